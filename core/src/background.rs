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

/// Runs code of the host's on a new thread, as on a thread of its own: with the signals of the caller's.
pub(crate) fn spawn_for_host(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    #[cfg(test)]
    let work = crate::simulation::inherited(work);
    thread::Builder::new().name(name.into()).spawn(work).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
    use std::sync::mpsc::channel;

    #[test]
    fn p08_our_threads_take_no_signal_of_the_hosts_and_the_callers_goes_on_to() {
        // Blocked by the host itself, and so to stay.
        SigSet::from(Signal::SIGUSR2).thread_block().expect("a valid mask");
        let before = SigSet::thread_get_mask().expect("a mask");
        let (tell, told) = channel();
        spawn("svctoken-test", move || tell.send(SigSet::thread_get_mask()).expect("the test waits"))
            .expect("a thread");
        let theirs = told.recv().expect("the thread tells").expect("a mask");
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGPROF] {
            assert!(theirs.contains(signal) && !before.contains(signal), "{signal}");
        }
        let after = SigSet::thread_get_mask().expect("a mask");
        for signal in Signal::iterator() {
            assert_eq!(after.contains(signal), before.contains(signal), "{signal}");
        }
    }
}
