//! Bodies of requests that the library reads while it sends them.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Broken;
use crate::fields::{not_expressible, take, take_number};
use svctoken::{BodySource, CancelToken, RequestBuilder};

/// How much a source gives at once.
const PIECE: usize = 64 * 1024;

pub(crate) struct Upload {
    count: u64,
    way: Way,
    length: Option<u64>,
    fails: u64,
    cancel: u64,
}

/// How the library is given the body.
enum Way {
    Source,
    Repeatable,
    Bytes,
    File(TemporaryFile),
}

impl Upload {
    /// Takes its fields out of the request's; `None` if it has none.
    pub(crate) fn take(pairs: &mut Vec<(String, Vec<u8>)>) -> Result<Option<Self>, Broken> {
        let way = take(pairs, "upload_as")?;
        let mut numbers = |name| take_number(pairs, name);
        let (length, fails, cancel) = (numbers("upload_length")?, numbers("upload_fails")?, numbers("upload_cancel")?);
        let Some(count) = numbers("upload")? else { return Ok(None) };
        let (fails, cancel) = (fails.unwrap_or(u64::MAX), cancel.unwrap_or(u64::MAX));
        let way = match way.as_deref() {
            None | Some("source") => Way::Source,
            Some("repeatable") => Way::Repeatable,
            Some("bytes") => Way::Bytes,
            Some("file") => Way::File(TemporaryFile::with(count)?),
            _ => return Err(not_expressible()),
        };
        Ok(Some(Self { count, way, length, fails, cancel }))
    }

    pub(crate) fn add_to<'a>(&self, request: RequestBuilder<'a>, cancel: &CancelToken) -> RequestBuilder<'a> {
        let (left, fails) = (self.count, self.fails);
        let source = Source { position: 0, left, fails, cancel_at: self.cancel, cancel: cancel.clone() };
        match &self.way {
            Way::Source => request.body_from(source, self.length),
            Way::Repeatable => request.body_from(Repeatable { from: source.clone(), source }, self.length),
            Way::Bytes => {
                let mut bytes = vec![0; self.count as usize];
                pattern(0, &mut bytes);
                request.body(bytes)
            }
            Way::File(TemporaryFile(path)) => request.body_file(path),
        }
    }
}

/// Byte i of every body is i mod 251.
fn pattern(position: u64, buffer: &mut [u8]) {
    for (byte, index) in buffer.iter_mut().zip(position % 251..) {
        *byte = (index % 251) as u8;
    }
}

#[derive(Clone)]
struct Source {
    position: u64,
    left: u64,
    fails: u64,
    cancel_at: u64,
    cancel: CancelToken,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.fails {
            return Err(io::Error::other("no more paper"));
        }
        if self.position >= self.cancel_at {
            self.cancel.cancel();
        }
        let most = self.left.min(self.fails - self.position).min(buffer.len().min(PIECE) as u64) as usize;
        pattern(self.position, &mut buffer[..most]);
        self.position += most as u64;
        self.left -= most as u64;
        Ok(most)
    }
}

/// A source, and where it begins anew.
struct Repeatable {
    source: Source,
    from: Source,
}

impl BodySource for Repeatable {
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }

    fn rewind(&mut self) -> io::Result<bool> {
        self.source = self.from.clone();
        Ok(true)
    }
}

/// Removed when it is dropped.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn with(count: u64) -> Result<Self, Broken> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("svctoken-driver-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let file = Self(std::env::temp_dir().join(name));
        let cancel = CancelToken::new();
        let mut source = Source { position: 0, left: count, fails: u64::MAX, cancel_at: u64::MAX, cancel };
        let written = std::fs::File::create(&file.0).and_then(|mut to| io::copy(&mut source, &mut to));
        written.map_err(|error| Broken(format!("no temporary file: {error}")))?;
        Ok(file)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
