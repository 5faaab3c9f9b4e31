//! Files that hold a secret.

use std::fs::{self, File};
use std::io::Read;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Result, Stage};

/// A larger file holds no secret, and no key.
const LARGEST: u64 = 64 * 1024;

/// Why the file an option names cannot be read.
pub(super) fn unreadable(option: &str, path: &str, why: &str) -> Error {
    let what = format!("{option} {path:?} cannot be read: {why}");
    Error::new(ErrorCode::CredentialUnavailable, Stage::Configuration, what)
}

/// The whole file that `option` names.
pub(super) fn read(option: &str, path: &str) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: std::io::Error| unreadable(option, path, &error.to_string());
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(unreadable(option, path, "it is not a file"));
    }
    if metadata.len() > LARGEST {
        return Err(unreadable(option, path, "it is larger than 64 KiB"));
    }
    // Of its whole size at once: a growing buffer would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST as usize));
    File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}
