//! An answer whose body is read as it comes.

use std::fmt;
use std::io::{self, Read};

use crate::error::{Error, ErrorCode, Result};
use crate::http::{Answer, BodyStream};
use crate::response::{Asked, Response};
use crate::wait::InterruptCheck;

/// An answer whose body is read as it comes, in memory that does not grow; see
/// [`send_streaming`](crate::RequestBuilder::send_streaming). Any HTTP status is an answer.
///
/// It is a [`Read`]: copy it, or wrap it in a `BufReader`. Read to its end, its connection serves the next request;
/// dropped before, the connection is closed, unless the rest is here within 10 ms and at most 64 KiB.
pub struct StreamingResponse {
    head: Response,
    body: ResponseBody,
}

/// The body of a [`StreamingResponse`].
pub struct ResponseBody {
    /// What was read ahead, and how much of that the reader has.
    ahead: Vec<u8>,
    taken: usize,
    rest: Option<Box<BodyStream>>,
}

impl StreamingResponse {
    pub(crate) fn new(mut answer: Answer, attempts: u32, asked: Asked) -> StreamingResponse {
        let rest = answer.rest.take();
        let body = ResponseBody { ahead: answer.body.clone(), taken: 0, rest };
        StreamingResponse { head: Response::new(answer, attempts, asked), body }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// Whether the status is 200 to 299.
    pub fn is_ok(&self) -> bool {
        self.head.is_ok()
    }

    /// As [`Response::attempts`].
    pub fn attempts(&self) -> u32 {
        self.head.attempts()
    }

    /// As [`Response::url`].
    pub fn url(&self) -> &str {
        self.head.url()
    }

    /// As [`Response::header`].
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.header(name)
    }

    /// As [`Response::headers`].
    pub fn headers(&self) -> impl Iterator<Item = (&str, String)> {
        self.head.headers()
    }

    /// As [`Response::error`], by the first 64 KiB of the body, which stay to be read.
    pub fn error(&self) -> Option<Error> {
        self.head.error()
    }

    /// As [`Response::error_for_status`].
    pub fn error_for_status(self) -> Result<StreamingResponse> {
        match self.error() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// As [`ResponseBody::read_some`].
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.body.read_some(buffer)
    }

    pub(crate) fn head(&self) -> &Response {
        &self.head
    }

    /// The head and the body apart. The body of the [`Response`] is what was read ahead: of an answer of 300 or above
    /// at most 64 KiB, else nothing.
    pub fn into_parts(self) -> (Response, ResponseBody) {
        (self.head, self.body)
    }
}

impl ResponseBody {
    /// Reads what there is, with any Content-Encoding of gzip undone, waiting for the first byte; 0 is the end, or the
    /// answer to an empty buffer.
    ///
    /// Fails with `timeout` when no byte came for the call's `idle_timeout`, with `cancelled`, `connection_lost` or
    /// `bad_answer`, with `answer_too_large` beyond the call's `max_response_bytes`, and with the same at every later
    /// read. What came before was handed out.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = &self.ahead[self.taken..];
        if !left.is_empty() {
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.taken += count;
            return Ok(count);
        }
        self.rest.as_mut().map_or(Ok(0), |rest| rest.read(buffer))
    }

    /// How many bytes the body has after decoding, where that is known.
    pub(crate) fn length(&mut self) -> Option<u64> {
        match &mut self.rest {
            Some(rest) => rest.length(),
            None => Some(self.ahead.len() as u64),
        }
    }

    /// Asked whenever a signal interrupts a read that waits, and every 50 ms; `true` ends it as cancelled. `None`:
    /// nobody is asked, as at first.
    pub fn set_interrupt(&mut self, check: Option<InterruptCheck>) {
        if let Some(rest) = &mut self.rest {
            rest.set_interrupt(check);
        }
    }
}

impl Read for ResponseBody {
    /// As [`read_some`](ResponseBody::read_some); the [`Error`] is inside the [`io::Error`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(|error| {
            let kind = match error.code() {
                ErrorCode::Timeout => io::ErrorKind::TimedOut,
                ErrorCode::ConnectionLost => io::ErrorKind::UnexpectedEof,
                // Not Interrupted, after which readers read on.
                _ => io::ErrorKind::Other,
            };
            io::Error::new(kind, error)
        })
    }
}

impl Read for StreamingResponse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("rest", &self.rest).finish_non_exhaustive()
    }
}

impl fmt::Debug for StreamingResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamingResponse").field("status", &self.status()).finish_non_exhaustive()
    }
}
