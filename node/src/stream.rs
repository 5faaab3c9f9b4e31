//! The body of an answer, read as it comes: each read on a thread of ours, one after the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{BufferSlice, Either, External};
use napi_derive::napi;
use svctoken::{CancelToken, ErrorCode, ResponseBody};

use crate::call::{Calls, Outcome, start};
use crate::error::{ErrorFacts, Failure, guarded};
use crate::pool::Pool;

/// Apart from the requests: a reader that stalls must not keep one waiting.
pub(crate) static READS: Pool = Pool::new("svctoken-read", 256);

/// A read has its own limit, and waits for a thread as long as it takes.
const NEVER_DUE: Duration = Duration::from_secs(365 * 24 * 3600);

const PIECE: usize = 256 * 1024;

/// A body, and what ends its reads.
pub(crate) struct NativeStream {
    body: Arc<Mutex<Option<Reading>>>,
    cancel: CancelToken,
}

struct Reading {
    body: ResponseBody,
    /// The piece read last: JavaScript copies it into memory of its own, which it frees far sooner than ours.
    piece: Vec<u8>,
}

impl NativeStream {
    pub(crate) fn new(body: ResponseBody, cancel: CancelToken) -> NativeStream {
        NativeStream { body: Arc::new(Mutex::new(Some(Reading { body, piece: vec![0; PIECE] }))), cancel }
    }

    /// To drop a body may take some milliseconds, which are not the event loop's.
    fn close(&self) -> Result<(), Failure> {
        let body = self.body.clone();
        start(&READS, Instant::now() + NEVER_DUE, move || {
            body.lock().unwrap_or_else(PoisonError::into_inner).take();
        })
    }
}

/// It was collected, read to its end or not.
impl Drop for NativeStream {
    fn drop(&mut self) {
        let is_over = self.body.try_lock().is_ok_and(|body| body.is_none());
        if !is_over {
            // Without a thread the last reference goes here.
            let _ = self.close();
        }
    }
}

/// Reads what there is of a stream, settled later with the number of bytes, 0 at its end, for `takePiece`.
#[napi]
pub(crate) fn read_stream(
    calls: &External<Calls>,
    stream: &External<NativeStream>,
    call: u32,
) -> Either<ErrorFacts, ()> {
    guarded(|| {
        let NativeStream { body, cancel } = &**stream;
        let (body, cancel) = (body.clone(), cancel.clone());
        calls.0.cancels.on_cancel(call, Box::new(move || cancel.cancel()));
        calls.0.run(&READS, call, Instant::now() + NEVER_DUE, move || {
            let mut reading = body.lock().unwrap_or_else(PoisonError::into_inner);
            let closed = || Failure::Own(ErrorCode::InvalidArgument, "the response was closed".into());
            let Reading { body, piece } = reading.as_mut().ok_or_else(closed)?;
            let read = body.read_some(piece);
            if matches!(read, Ok(0) | Err(_)) {
                *reading = None;
            }
            Ok(Outcome::Read(read?))
        })
    })
}

/// Copies the beginning of the piece that was read last.
#[napi]
pub(crate) fn take_piece(stream: &External<NativeStream>, mut into: BufferSlice<'_>) -> Either<ErrorFacts, ()> {
    guarded(|| {
        let reading = stream.body.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Reading { piece, .. }) = &*reading {
            let length = into.len().min(piece.len());
            into[..length].copy_from_slice(&piece[..length]);
        }
        Ok(())
    })
}

/// Ends a stream: a read in progress as cancelled where there is one.
#[napi]
pub(crate) fn close_stream(stream: &External<NativeStream>, is_reading: bool) -> Either<ErrorFacts, ()> {
    guarded(|| {
        if is_reading {
            stream.cancel.cancel();
        }
        stream.close()
    })
}
