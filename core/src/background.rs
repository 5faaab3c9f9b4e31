//! Short-lived threads of our own: one at most for each token request and each name look-up.

use std::io;
use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow};

/// Runs `work` on a new thread that no signal handler of the host ever runs on.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    #[cfg(test)]
    let work = crate::simulation::inherited(work);
    // Blocked before the thread exists, so that it inherits the mask: afterwards there would be a gap.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    before.thread_set_mask()?;
    spawned.map(|_| ())
}
