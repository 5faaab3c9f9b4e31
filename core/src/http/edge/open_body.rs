//! The body of an answer, over the connection it came by.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use ureq::http::{HeaderMap, StatusCode};
use ureq::{Body, BodyReader};

use crate::config::url::{Origin, Url};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::edge::current::{InCall, in_current};
use crate::http::edge::gunzip::Gunzip;
use crate::http::edge::{IDLE_FOR, from_ureq};
use crate::wait::Wait;

/// A promised length is believed up to here; beyond it memory is taken as the bytes come.
const LARGEST_RESERVE: u64 = 64 * 1024 * 1024;

/// A body that is still to be read, over the connection its answer came by.
pub(crate) struct OpenBody {
    decoding: Decoding,
    /// How many bytes it will have, where that is known.
    length: Option<u64>,
    /// Where it comes from, for messages.
    origin: Origin,
    /// What ended it, after bytes that are to be read before.
    failed: Option<Error>,
}

/// A body's Content-Encoding, undone.
enum Decoding {
    AsItIs(BodyReader<'static>),
    Gzip(Box<Gunzip<BodyReader<'static>>>),
}

impl Read for Decoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoding::AsItIs(reader) => reader.read(buffer),
            Decoding::Gzip(reader) => reader.read(buffer),
        }
    }
}

impl OpenBody {
    /// The body of an answer with this status and these headers.
    pub(super) fn new(body: Body, status: StatusCode, headers: &HeaderMap, url: &Url) -> OpenBody {
        // A part is no gzip by itself: it is the caller's as it came, who asked for it.
        let is_part = status == StatusCode::PARTIAL_CONTENT;
        let encoded = !is_part && headers.get(CONTENT_ENCODING).is_some_and(|encoding| is_gzip(encoding.as_bytes()));
        // Of a body that is encoded, the length tells nothing about what it becomes.
        let is_empty = headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        let length = body.content_length().or(is_empty.then_some(0)).filter(|_| !encoded);
        // ureq's limit is inclusive; the byte too many is ours to find.
        let reader = body.into_with_config().limit(u64::MAX).reader();
        let decoding = match encoded {
            true => {
                let is_framed = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
                Decoding::Gzip(Box::new(Gunzip::new(reader, !is_framed)))
            }
            false => Decoding::AsItIs(reader),
        };
        OpenBody { decoding, length, origin: url.origin.clone(), failed: None }
    }

    /// How many bytes it will have, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The error of a body with more than `limit` bytes.
    pub(crate) fn too_large(&self, limit: u64) -> Error {
        let what = format!("the answer of {} has more than {limit} bytes", self.origin);
        Error::new(ErrorCode::AnswerTooLarge, Stage::Receiving, what)
    }

    pub(super) fn check_length(&self, limit: u64) -> Result<()> {
        if self.length.unwrap_or(0) > limit { Err(self.too_large(limit)) } else { Ok(()) }
    }

    pub(super) fn read_whole(&mut self, limit: u64) -> Result<Vec<u8>> {
        self.check_length(limit)?;
        let bytes = self.read_up_to(limit.saturating_add(1))?;
        if bytes.len() as u64 > limit { Err(self.too_large(limit)) } else { Ok(bytes) }
    }

    pub(super) fn read_up_to(&mut self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.length.unwrap_or(0).min(most).min(LARGEST_RESERVE) as usize);
        let read = self.decoding.by_ref().take(most).read_to_end(&mut bytes);
        read.map_err(|error| from_ureq(error.into(), &self.origin))?;
        Ok(bytes)
    }

    /// Reads what there is, waiting for the first byte at most `idle`; 0 is the end, and then the connection is back in
    /// the pool.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: &Wait, idle: Duration) -> Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let _in_call = InCall::reading(wait, idle);
        let mut count = self.decoding.read(buffer).map_err(|error| from_ureq(error.into(), &self.origin))?;
        // ureq hands out what its buffer holds, which may be far less than came.
        in_current(|exchange| exchange.at_once = true);
        while count > 0 && count < buffer.len() {
            match self.decoding.read(&mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.failed = Some(from_ureq(error.into(), &self.origin));
                    break;
                }
            }
        }
        Ok(count)
    }

    /// Reads at most `most` bytes into the void, within the wait, so that the connection may serve again.
    pub(crate) fn drain(&mut self, most: u64, wait: &Wait) {
        let _in_call = InCall::with(wait, IDLE_FOR);
        let reader: &mut dyn Read = match &mut self.decoding {
            Decoding::AsItIs(reader) => reader,
            Decoding::Gzip(reader) => reader.source(),
        };
        // Whoever left does not care; a body that does not end in time takes its connection with it.
        let _ = io::copy(&mut reader.take(most), &mut io::sink());
    }
}

/// RFC 9110 section 8.4.1.3.
fn is_gzip(encoding: &[u8]) -> bool {
    let encoding = encoding.trim_ascii();
    encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip")
}
