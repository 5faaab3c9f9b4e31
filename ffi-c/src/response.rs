//! An answer of the API.

use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::OnceLock;

use svctoken_core::{Error, Response, ResponseBody, StreamingResponse};

use crate::boundary::{self, c_string, call, given, read_text, value};
use crate::error::{svctoken_code, svctoken_error};

/// An answer, read whole, or of svctoken_client_request_stream its head and what is read of its body one piece after
/// the other. Everything it hands out is borrowed: valid until svctoken_response_free. May be used by several threads
/// at once, but by no other while svctoken_response_read runs.
pub struct svctoken_response {
    response: Response,
    /// Of a stream.
    rest: Option<ResponseBody>,
    url: CString,
    headers: OnceLock<Vec<(CString, CString)>>,
    /// With a NUL behind it.
    text: OnceLock<Vec<u8>>,
}

impl svctoken_response {
    pub(crate) fn new(response: Response) -> svctoken_response {
        svctoken_response {
            url: c_string(response.url()),
            response,
            rest: None,
            headers: OnceLock::new(),
            text: OnceLock::new(),
        }
    }

    pub(crate) fn of_stream(response: StreamingResponse) -> svctoken_response {
        let (head, rest) = response.into_parts();
        svctoken_response { rest: Some(rest), ..svctoken_response::new(head) }
    }

    fn headers(&self) -> &[(CString, CString)] {
        let made = || self.response.headers().map(|(name, value)| (c_string(name), c_string(&value))).collect();
        self.headers.get_or_init(made)
    }
}

/// The HTTP status; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_status(response: Option<&svctoken_response>) -> u32 {
    value(0, || response.map_or(0, |response| response.response.status().into()))
}

/// Whether the status is 200 to 299; false for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_is_ok(response: Option<&svctoken_response>) -> bool {
    value(false, || response.is_some_and(|response| response.response.is_ok()))
}

/// The body, with any Content-Encoding of gzip undone: svctoken_response_body_len bytes, not NUL-terminated, of
/// whatever the server sent; of a stream only what was read ahead, nothing below status 300 and at most 64 KiB above,
/// which svctoken_response_read reads all the same. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_body(response: Option<&svctoken_response>) -> *const c_char {
    value(null(), || response.map_or(null(), |response| response.response.body().as_ptr().cast()))
}

/// The body's length in bytes; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_body_len(response: Option<&svctoken_response>) -> usize {
    value(0, || response.map_or(0, |response| response.response.body().len()))
}

/// The body as text: in UTF-8, whatever charset the answer's Content-Type names. Known are UTF-8, which is also taken
/// where none is named, and ISO 8859-1 and windows-1252, which are read as the latter.
///
/// Fails with SVCTOKEN_BAD_ANSWER if the body is no such text. `*text` is NUL-terminated and borrowed; `*length`, where
/// `length` is not NULL, becomes its bytes without that NUL, as the text may hold others.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_text(
    response: Option<&svctoken_response>,
    text: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (response, slot) = (given(response, "response")?, given(text, "text")?);
        let decoded = response.response.text()?;
        let kept = response.text.get_or_init(|| [decoded.as_bytes(), b"\0"].concat());
        slot.write(kept.as_ptr().cast());
        if let Some(length) = length {
            length.write(kept.len() - 1);
        }
        Ok(())
    })
}

/// Reads what there is of the body of svctoken_client_request_stream, at most `size` bytes, with any Content-Encoding
/// of gzip undone. Blocks until a byte is there. `*length` becomes the number of bytes written to `buffer`; 0 is the
/// body's end, or the answer to a `size` of 0.
///
/// Fails with SVCTOKEN_TIMEOUT when no byte came for idle_timeout, with SVCTOKEN_CANCELLED, SVCTOKEN_CONNECTION_LOST or
/// SVCTOKEN_BAD_ANSWER, with SVCTOKEN_ANSWER_TOO_LARGE beyond a max_response_bytes of the options, and with the same at
/// every later read; what came before was handed out. With SVCTOKEN_INVALID_ARGUMENT if the response was read whole.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_read(
    response: Option<&mut svctoken_response>,
    buffer: *mut c_void,
    size: usize,
    length: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (response, slot) = (given(response, "response")?, given(length, "length")?);
        let not_a_stream = || Error::invalid_argument("the response was read whole: use svctoken_response_body");
        let rest = response.rest.as_mut().ok_or_else(not_a_stream)?;
        slot.write(rest.read_some(boundary::buffer(buffer, size)?)?);
        Ok(())
    })
}

/// The value of the first header of that name, without regard to case; NULL if there is none. NUL-terminated; bytes
/// that are not UTF-8 are replaced by U+FFFD.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_header(response: Option<&svctoken_response>, name: *const c_char) -> *const c_char {
    value(null(), || {
        let (Some(response), Ok(name)) = (response, read_text(name)) else { return null() };
        let mut headers = response.headers().iter();
        let found = headers.find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name.as_bytes()));
        found.map_or(null(), |(_, value)| value.as_ptr())
    })
}

/// How many headers there are; a repeated one counts repeatedly. 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_header_count(response: Option<&svctoken_response>) -> usize {
    value(0, || response.map_or(0, |response| response.headers().len()))
}

/// The header at `index`, counted from 0 in the order they came: its name in lower case and its value, both
/// NUL-terminated. False, and nothing written, if there is none or an argument is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_header_at(
    response: Option<&svctoken_response>,
    index: usize,
    name: Option<&mut MaybeUninit<*const c_char>>,
    text: Option<&mut MaybeUninit<*const c_char>>,
) -> bool {
    value(false, || {
        let (Some(response), Some(name), Some(text)) = (response, name, text) else { return false };
        let Some(header) = response.headers().get(index) else { return false };
        name.write(header.0.as_ptr());
        text.write(header.1.as_ptr());
        true
    })
}

/// How many requests were sent for it: the first, those tried again, sent again after a 401, and redirected. 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_attempts(response: Option<&svctoken_response>) -> u32 {
    value(0, || response.map_or(0, |response| response.response.attempts()))
}

/// The URL that answered, with its query, NUL-terminated: where the last redirect led, if any was followed. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_url(response: Option<&svctoken_response>) -> *const c_char {
    value(null(), || response.map_or(null(), |response| response.url.as_ptr()))
}

/// Makes an error of a status of 400 or above: SVCTOKEN_HTTP_STATUS, with what Atlas's, OAuth's and RFC 9457's bodies
/// say of it. SVCTOKEN_OK below. The response stays as it is.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_check(
    response: Option<&svctoken_response>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || given(response, "response")?.response.error().map_or(Ok(()), Err))
}

/// Frees a response; NULL is allowed. A stream that was read to its end has given its connection back; of another the
/// connection is closed, unless the rest is there within 10 ms and at most 64 KiB.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_response_free(response: Option<Box<svctoken_response>>) {
    value((), || drop(response));
}
