//! Which version is running.

use std::ffi::{CStr, c_char};

/// The library's version at run time, such as "0.1.0": NUL-terminated, valid for ever. SVCTOKEN_VERSION is the
/// header's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_version() -> *const c_char {
    VERSION.as_ptr()
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no NUL inside"),
};
