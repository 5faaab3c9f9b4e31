//! The border with C: pointers, strings, panics. The only file with unsafe code.
//!
//! Handles need none: `Option<&T>`, `Option<&mut T>` and `Option<Box<T>>` are C's pointers that may be NULL, and
//! `MaybeUninit` is a variable of the caller's that holds nothing yet. What stays for this file is what Rust cannot
//! see: how long a string is.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use svctoken_core::{Error, Result};
use zeroize::Zeroize;

use crate::error::{SVCTOKEN_OK, svctoken_code, svctoken_error};

/// A variable of the caller's for a handle that becomes the caller's.
pub(crate) type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// The body of an export that returns a code. `error` is written only on failure.
pub(crate) fn call(error: Out<'_, Option<Box<svctoken_error>>>, body: impl FnOnce() -> Result<()>) -> svctoken_code {
    match caught(body).and_then(|outcome| outcome) {
        Ok(()) => SVCTOKEN_OK,
        Err(failure) => {
            let code = failure.code().number();
            if let Some(slot) = error {
                slot.write(Some(Box::new(svctoken_error::new(failure))));
            }
            code
        }
    }
}

/// The body of an export that returns a value: `otherwise` if it panics.
pub(crate) fn value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or(otherwise)
}

/// A panic ends here, and never in the frames of a caller that cannot unwind.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T> {
    // A half-done change is seen by nobody: the core keeps its own state valid across panics, and the handles of this
    // crate change in one step.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload: Box<dyn Any + Send>| Error::panic(&*payload))
}

/// An argument that must not be NULL.
pub(crate) fn given<T>(argument: Option<T>, name: &str) -> Result<T> {
    argument.ok_or_else(|| Error::invalid_argument(format!("{name} must not be NULL")))
}

/// A text argument.
pub(crate) fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    read_text(pointer).map_err(|found| Error::invalid_argument(format!("{name} must be a text, not {found}")))
}

/// A NUL-terminated UTF-8 text, or what was found in its place.
pub(crate) fn read_text<'a>(pointer: *const c_char) -> std::result::Result<&'a str, &'static str> {
    if pointer.is_null() {
        return Err("NULL");
    }
    // SAFETY: not NULL; the header asks the caller for a NUL-terminated string that stays unchanged during the call.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| "bytes that are not UTF-8")
}

/// `length` bytes; NULL is good for none.
pub(crate) fn bytes<'a>(pointer: *const c_void, length: usize, name: &str) -> Result<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() || isize::try_from(length).is_err() {
        return Err(Error::invalid_argument(format!("{name} must be {length} bytes, not NULL or beyond the memory")));
    }
    // SAFETY: neither NULL nor too long; the header asks the caller for `length` readable bytes during the call.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
}

/// The caller's buffer of `size` bytes, to be written into.
pub(crate) fn buffer<'a>(pointer: *mut c_void, size: usize) -> Result<&'a mut [u8]> {
    if size == 0 {
        return Ok(&mut []);
    }
    let pointer = given((!pointer.is_null()).then_some(pointer), "buffer")?;
    let size = size.min(isize::MAX as usize);
    // SAFETY: the header asks the caller for `size` writable bytes that nobody else uses during the call.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast(), size) })
}

/// Copies `text` and a NUL into the caller's buffer; false, and nothing written, if it is too small.
pub(crate) fn copy(text: &str, buffer: *mut c_char, size: usize) -> bool {
    if buffer.is_null() || size <= text.len() {
        return false;
    }
    // SAFETY: the header asks the caller for `size` writable bytes, and the text and its NUL fit; the text is ours,
    // so it does not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    true
}

/// Takes back and wipes a string that [`CString::into_raw`] gave away.
pub(crate) fn free_text(pointer: *mut c_char) {
    if !pointer.is_null() {
        // SAFETY: the header asks the caller for a string of this library that was neither freed nor changed.
        let mut text = unsafe { CString::from_raw(pointer) };
        text.zeroize();
    }
}

/// What a callback gets back from us: a pointer of the caller's, and what tells the caller that we are done with it.
pub(crate) struct UserData {
    pointer: *mut c_void,
    release: Option<extern "C" fn(*mut c_void)>,
}

impl UserData {
    pub(crate) fn new(pointer: *mut c_void, release: Option<extern "C" fn(*mut c_void)>) -> UserData {
        UserData { pointer, release }
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            release(self.pointer);
        }
    }
}

// SAFETY: we never look behind the pointer, and the header asks the caller for functions that may run on any thread.
unsafe impl Send for UserData {}
// SAFETY: as above, and the header says that several threads may run the callback at once.
unsafe impl Sync for UserData {}

/// A text for C. A NUL inside, which no C program could see past, becomes U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        CString::new(text.replace('\0', "\u{fffd}")).expect("every NUL was replaced in the line above")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use svctoken_core::ErrorCode;

    #[test]
    fn p13_a_panic_becomes_a_code_with_its_message_and_a_value_its_default() {
        let mut slot = MaybeUninit::uninit();
        let code = call(Some(&mut slot), || panic!("the cow jumped"));
        assert_eq!(code, ErrorCode::Panic.number());
        // SAFETY: `call` returned a failure, so it wrote the slot.
        let error = unsafe { slot.assume_init() }.expect("an error");
        assert!(error.text().contains("the cow jumped"), "{}", error.text());
        assert_eq!(value(7, || panic!("again")), 7);
    }

    #[test]
    fn a_text_is_copied_only_where_it_fits_with_its_nul() {
        let mut buffer = [1 as c_char; 4];
        assert!(!copy("four", buffer.as_mut_ptr(), buffer.len()));
        assert_eq!(buffer, [1; 4]);
        assert!(copy("abc", buffer.as_mut_ptr(), buffer.len()));
        assert_eq!(buffer, [b'a' as c_char, b'b' as c_char, b'c' as c_char, 0]);
        assert!(!copy("", std::ptr::null_mut(), 9));
    }

    #[test]
    fn a_nul_inside_a_text_cuts_nothing_off() {
        assert_eq!(c_string("a\0b").to_bytes(), "a\u{fffd}b".as_bytes());
    }
}
