//! Threads for work that waits: never those of libuv, which are four and do the host's file I/O as well.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a thread without work stays, so that a program that makes one request after another keeps its thread.
const IDLE: Duration = Duration::from_secs(5);
/// A TLS handshake needs about 100 KiB.
const STACK_BYTES: usize = 512 * 1024;

type Work = Box<dyn FnOnce() + Send>;

/// Work that waits for a thread. When `due` comes it has no time left, and ends as soon as it runs.
struct Job {
    work: Work,
    due: Instant,
}

/// Threads that are started when work waits and none is idle, and that end when there was no work for a while.
pub(crate) struct Pool {
    name: &'static str,
    most: usize,
    state: Mutex<State>,
    work_came: Condvar,
    queue_changed: Condvar,
}

struct State {
    waiting: VecDeque<Job>,
    idle: usize,
    threads: usize,
    /// A thread beside the others runs what is due though they are busy.
    overdue_served: bool,
}

impl Pool {
    /// At most `most` threads; further work waits for one of them, until it is due.
    pub(crate) const fn new(name: &'static str, most: usize) -> Pool {
        let state = State { waiting: VecDeque::new(), idle: 0, threads: 0, overdue_served: false };
        Pool { name, most, state: Mutex::new(state), work_came: Condvar::new(), queue_changed: Condvar::new() }
    }

    /// Runs `work`, which must not panic, on a thread of the pool, at the latest when it is `due`. Fails if there is no
    /// thread and none can be started.
    pub(crate) fn run(&'static self, work: Work, due: Instant) -> io::Result<()> {
        let mut state = self.lock();
        state.waiting.push_back(Job { work, due });
        if state.waiting.len() <= state.idle {
            self.work_came.notify_one();
            return Ok(());
        }
        if state.threads == self.most {
            self.queue_changed.notify_one();
            // Without that thread the work waits for one of the others, which is late and not lost.
            state.overdue_served = state.overdue_served || self.thread().spawn(move || self.serve_overdue()).is_ok();
            return Ok(());
        }
        match self.thread().spawn(move || self.serve()) {
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
            if let Some(job) = state.waiting.pop_front() {
                if state.waiting.is_empty() {
                    self.queue_changed.notify_one();
                }
                drop(state);
                (job.work)();
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

    fn serve_overdue(&self) {
        let mut state = self.lock();
        while let Some((place, due)) = state.waiting.iter().map(|job| job.due).enumerate().min_by_key(|(_, due)| *due) {
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let woken = self.queue_changed.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let job = state.waiting.remove(place);
            drop(state);
            job.into_iter().for_each(|job| (job.work)());
            state = self.lock();
        }
        state.overdue_served = false;
    }

    fn thread(&self) -> thread::Builder {
        thread::Builder::new().name(self.name.into()).stack_size(STACK_BYTES)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
