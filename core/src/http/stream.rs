//! The body of an answer, read as it comes.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::fork::Held;
use crate::http::edge::OpenBody;
use crate::wait::{InterruptCheck, Wait};

/// What is read of a body that its reader left, so that its connection may serve again, and how long that may take:
/// the bytes of small answers are here already.
const LARGEST_DRAIN: u64 = 64 * 1024;
const LONGEST_DRAIN: Duration = Duration::from_millis(10);

/// A body that is still to be read. Read to its end, it gives its connection back; dropped before, it does so if hardly
/// anything was left to come, and otherwise the connection is closed.
pub(crate) struct BodyStream {
    state: State,
    wait: Wait,
    idle: Duration,
    limit: Option<u64>,
    count: u64,
}

enum State {
    Open(Box<Held<OpenBody>>),
    Ended,
    /// And so it ends for every later read.
    Failed(Error),
}

impl BodyStream {
    /// `wait` is that of the call: its cancel goes on to count, its time does not. `count` bytes were read of it before.
    pub(super) fn new(body: OpenBody, wait: &Wait, limit: Option<u64>, idle: Duration, count: u64) -> BodyStream {
        let state = State::Open(Box::new(Held::new(body)));
        BodyStream { state, wait: wait.beyond_the_call(), idle, limit, count }
    }

    /// Reads what there is, waiting for the first byte; 0 is the end, also for an empty buffer.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let held = match &mut self.state {
            State::Open(_) if buffer.is_empty() => return Ok(0),
            State::Open(held) => held,
            State::Ended => return Ok(0),
            State::Failed(error) => return Err(error.clone()),
        };
        let outcome = match held.get() {
            Some(body) => read(body, buffer, &self.wait, self.idle, self.limit, &mut self.count),
            None => Err(of_the_parent()),
        };
        match &outcome {
            Ok(0) => self.state = State::Ended,
            Ok(_) => {}
            Err(error) => self.state = State::Failed(error.clone()),
        }
        outcome
    }

    /// How many bytes it will have in all, where that is known and it was not read to its end.
    pub(crate) fn length(&mut self) -> Option<u64> {
        match &mut self.state {
            State::Open(held) => held.get().and_then(|body| body.length()),
            State::Ended | State::Failed(_) => None,
        }
    }

    /// Has the host asked by this check while a read waits.
    pub(crate) fn set_interrupt(&mut self, check: Option<InterruptCheck>) {
        self.wait.set_interrupt(check);
    }
}

fn read(
    body: &mut OpenBody,
    buffer: &mut [u8],
    wait: &Wait,
    idle: Duration,
    limit: Option<u64>,
    count: &mut u64,
) -> Result<usize> {
    // Bytes that are here already ask no socket, and would hide a cancel.
    wait.check().map_err(|stop| stop.into_error(Stage::Receiving, "reading the answer's body"))?;
    // As much as is allowed is handed out, and only then looked for more.
    let most = match limit {
        Some(limit) if *count == limit => {
            let more = body.read(&mut [0], wait, idle)?;
            return if more == 0 { Ok(0) } else { Err(body.too_large(limit)) };
        }
        Some(limit) => usize::try_from(limit - *count).unwrap_or(usize::MAX).min(buffer.len()),
        None => buffer.len(),
    };
    let read = body.read(&mut buffer[..most], wait, idle)?;
    *count += read as u64;
    Ok(read)
}

fn of_the_parent() -> Error {
    let what = "the answer's stream was begun by the parent of this process";
    Error::new(ErrorCode::ConnectionLost, Stage::Receiving, what)
        .with_next_step("Make the request in the process that reads its answer.")
}

impl Drop for BodyStream {
    fn drop(&mut self) {
        if let State::Open(held) = &mut self.state
            && let Some(body) = held.get()
        {
            self.wait.set_interrupt(None);
            body.drain(LARGEST_DRAIN, &self.wait.limited("idle_timeout", LONGEST_DRAIN));
        }
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyStream").field("count", &self.count).finish_non_exhaustive()
    }
}
