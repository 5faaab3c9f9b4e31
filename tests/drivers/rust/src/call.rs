//! Calls, each on a thread of its own.

use crate::Broken;
use crate::answer::Answer;
use crate::fields::{Fields, milliseconds, number, text};
use std::thread::JoinHandle;
use std::time::Instant;
use svctoken::{CallOptions, CancelToken, Client, Error};

pub(crate) struct Call {
    thread: JoinHandle<Answer>,
    cancel: CancelToken,
}

impl Call {
    fn start(cancel: CancelToken, work: impl FnOnce() -> Result<Answer, Error> + Send + 'static) -> Self {
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let answer = work().unwrap_or_else(|error| Answer::error(&error));
            answer.with("elapsed_ms", start.elapsed().as_secs_f64() * 1000.0)
        });
        Self { thread, cancel }
    }

    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn wait(self) -> Answer {
        self.thread.join().unwrap_or_else(|_| Answer::broken("the call panicked; standard error says where"))
    }
}
