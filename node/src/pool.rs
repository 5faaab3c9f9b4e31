//! Threads for work that waits: never those of libuv, which are four and do the host's file I/O as well.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a thread without work stays, so that a program that makes one request after another keeps its thread.
const IDLE: Duration = Duration::from_secs(5);
/// A TLS handshake needs about 100 KiB.
const STACK_BYTES: usize = 512 * 1024;

type Work = Box<dyn FnOnce() + Send>;

/// Threads that are started when work waits and none is idle, and that end when there was no work for a while.
pub(crate) struct Pool {
    name: &'static str,
    most: usize,
    state: Mutex<State>,
    work_came: Condvar,
}

struct State {
    waiting: VecDeque<Work>,
    idle: usize,
    threads: usize,
}

impl Pool {
    /// At most `most` threads; further work waits for one of them.
    pub(crate) const fn new(name: &'static str, most: usize) -> Pool {
        let state = State { waiting: VecDeque::new(), idle: 0, threads: 0 };
        Pool { name, most, state: Mutex::new(state), work_came: Condvar::new() }
    }

    /// Runs `work`, which must not panic, on a thread of the pool. Fails if there is none and none can be started.
    pub(crate) fn run(&'static self, work: Work) -> io::Result<()> {
        let mut state = self.lock();
        state.waiting.push_back(work);
        if state.waiting.len() <= state.idle {
            self.work_came.notify_one();
            return Ok(());
        }
        if state.threads == self.most {
            return Ok(());
        }
        let thread = thread::Builder::new().name(self.name.into()).stack_size(STACK_BYTES);
        match thread.spawn(move || self.serve()) {
            Ok(_) => state.threads += 1,
            // The threads there are will come to it.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                state.waiting.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                work();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self.work_came.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.waiting.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
