//! An answer's body, written to a file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::crypto;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::request::RequestBuilder;
use crate::response::{Response, ResponseBody};

const PIECE: usize = 64 * 1024;
/// How often progress is told at most, beginning and end apart.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);
/// Of the file's name as much stands in that of its temporary: names have at most 255 bytes.
const LONGEST_NAME: usize = 200;

/// Told how many bytes of a download came, after decoding, and how many there will be, where that is known.
pub(super) type OnProgress<'a> = Box<dyn FnMut(u64, Option<u64>) -> ControlFlow<()> + Send + 'a>;

impl<'a> RequestBuilder<'a> {
    /// Called by [`download`](RequestBuilder::download) on the caller's thread, with the number of bytes that came, after
    /// decoding, and of all, where the answer tells it: when the body begins, with 0, then at most every 100 ms, and once
    /// when all came. `Break` ends the call as cancelled.
    pub fn on_progress(mut self, on_progress: impl FnMut(u64, Option<u64>) -> ControlFlow<()> + Send + 'a) -> Self {
        self.on_progress = Some(Box::new(on_progress));
        self
    }

    /// As [`send_streaming`](RequestBuilder::send_streaming), with the body of an answer of 200 to 299 written to the file
    /// at `path`, in memory that does not grow. The [`Response`] has no body then. Any other answer leaves the file alone,
    /// and has up to 64 KiB of its body, for its error to tell what they say.
    ///
    /// What comes is written to a temporary file in the same folder, `.NAME.….part`, which takes the place of an older file
    /// when it is whole, with that one's permissions: at `path` there is never a part of a body. If the call fails, the
    /// temporary is removed; a process that is killed leaves it. Nothing is synced to the disk. Where `path` is a symbolic
    /// link, the file it leads to is replaced. A Content-Encoding of gzip is undone, and a gzip file left as it is.
    ///
    /// Fails beside what `send_streaming` and its reader do with `invalid_argument`, before any network, where no file can
    /// be made there or `path` is something else than a file, and with `internal` where it cannot be written.
    pub fn download(mut self, path: impl AsRef<Path>) -> Result<Response> {
        let mut part = PartFile::create(path.as_ref())?;
        let (interrupt, on_progress) = (self.options.interrupt.clone(), self.on_progress.take());
        let (head, mut body) = self.send_streaming()?.into_parts();
        if head.is_ok() {
            body.set_interrupt(interrupt);
            copy(&mut body, &mut part, on_progress)?;
            part.put_in_place()?;
        }
        Ok(head)
    }
}

fn copy(body: &mut ResponseBody, part: &mut PartFile, mut on_progress: Option<OnProgress<'_>>) -> Result<()> {
    let total = body.length();
    let mut tell = |received| match on_progress.as_mut().map(|tell| tell(received, total)) {
        Some(ControlFlow::Break(())) => Err(Error::new(
            ErrorCode::Cancelled,
            Stage::Receiving,
            "cancelled by the function that is told of progress",
        )),
        Some(ControlFlow::Continue(())) | None => Ok(()),
    };
    let (mut piece, mut received, mut told) = (vec![0; PIECE], 0, Instant::now());
    tell(0)?;
    loop {
        let count = body.read_some(&mut piece)?;
        if count == 0 {
            return tell(received);
        }
        part.write(&piece[..count])?;
        received += count as u64;
        if told.elapsed() >= PROGRESS_PAUSE {
            told = Instant::now();
            tell(received)?;
        }
    }
}

/// A temporary file, removed unless it is put in its place.
struct PartFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    is_in_place: bool,
}

impl PartFile {
    fn create(path: &Path) -> Result<PartFile> {
        let cannot = |why: &str| Error::argument(format!("the download's path {} {why}", path.display()));
        // A link to nothing is replaced itself.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let before = fs::symlink_metadata(&target).ok();
        if before.as_ref().is_some_and(|metadata| !metadata.is_file() && !metadata.is_symlink()) {
            return Err(cannot("is something else than a file"));
        }
        // Of a path that would be a folder's, Rust takes the last part for a name.
        let is_folder = [&b"/"[..], b"/."].iter().any(|end| path.as_os_str().as_bytes().ends_with(end));
        let Some(name) = target.file_name().filter(|_| !is_folder) else { return Err(cannot("names no file")) };
        let random = crypto::random_bytes::<8>()
            .ok_or_else(|| Error::new(ErrorCode::Internal, Stage::Argument, "the machine gave no random bytes"))?;
        let mut part = OsString::from(".");
        part.push(beginning_of(name));
        part.push(format!(".{:016x}.part", u64::from_be_bytes(random)));
        let path = target.with_file_name(part);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| cannot(&format!("cannot be written: {error}")))?;
        let part = PartFile { target, path, file, is_in_place: false };
        if let Some(before) = before.filter(fs::Metadata::is_file) {
            part.done(part.file.set_permissions(before.permissions()))?;
        }
        Ok(part)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        self.done(written)
    }

    fn put_in_place(mut self) -> Result<()> {
        self.done(fs::rename(&self.path, &self.target))?;
        self.is_in_place = true;
        Ok(())
    }

    fn done(&self, outcome: std::io::Result<()>) -> Result<()> {
        outcome.map_err(|error| {
            let what = format!("the download to {} cannot be written: {error}", self.target.display());
            Error::new(ErrorCode::Internal, Stage::Receiving, what)
                .with_next_step("Check the disk's space and the folder's permissions.")
        })
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_in_place {
            // Who removed it before has done our work.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// As much of a name as fits, cut between characters where it has them.
fn beginning_of(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    name[..name.floor_char_boundary(LONGEST_NAME)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(beginning_of("logs.gz".as_ref()), "logs.gz");
        let long = "é".repeat(120);
        assert_eq!(beginning_of(long.as_ref()), "é".repeat(100));
        assert_eq!(beginning_of(format!("a{long}").as_ref()), format!("a{}", "é".repeat(99)));
    }
}
