//! Bodies of requests that are read while they are sent.

use std::ffi::{c_char, c_void};
use std::io;
use std::sync::Arc;

use svctoken_core::{BodySource, RequestBuilder, Result};

use crate::boundary::{UserData, given, text};
use crate::error::svctoken_code;
use crate::options::{change, svctoken_options};

/// What svctoken_options_set_body_callback takes, and where the rules for it stand.
pub type svctoken_body_read = Option<extern "C" fn(user_data: *mut c_void, buffer: *mut c_void, size: usize) -> i64>;

/// What svctoken_options_set_body_callback takes, and where the rules for it stand.
pub type svctoken_body_rewind = Option<extern "C" fn(user_data: *mut c_void) -> bool>;

/// The body that options give a request.
#[derive(Clone)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    File(String),
    Callback(Callback),
}

#[derive(Clone)]
pub(crate) struct Callback {
    read: extern "C" fn(*mut c_void, *mut c_void, usize) -> i64,
    rewind: svctoken_body_rewind,
    user_data: Arc<UserData>,
    length: Option<u64>,
}

impl Body {
    pub(crate) fn add_to<'a>(&'a self, request: RequestBuilder<'a>) -> RequestBuilder<'a> {
        match self {
            Body::Bytes(bytes) => request.body(&bytes[..]),
            Body::File(path) => request.body_file(path),
            Body::Callback(callback) => request.body_from(callback.clone(), callback.length),
        }
    }
}

impl BodySource for Callback {
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.read)(self.user_data.pointer(), buffer.as_mut_ptr().cast(), buffer.len());
        usize::try_from(count).map_err(|_| io::Error::other("the callback failed"))
    }

    fn rewind(&mut self) -> io::Result<bool> {
        Ok(self.rewind.is_some_and(|rewind| rewind(self.user_data.pointer())))
    }
}

fn content_type_of(content_type: *const c_char) -> Result<Option<String>> {
    match content_type.is_null() {
        true => Ok(None),
        false => Ok(Some(text(content_type, "content_type")?.into())),
    }
}

/// Sets a body of bytes, and its type.
pub(crate) fn set(options: &mut svctoken_options, body: Body, content_type: *const c_char) -> Result<()> {
    let content_type = content_type_of(content_type)?;
    options.set_body(body, content_type);
    Ok(())
}

/// The request's body: the file at `path`, from its beginning, read while it is sent, in memory that does not grow, and
/// again where the request is sent again. It is opened by the call, which is SVCTOKEN_INVALID_ARGUMENT if that fails.
/// `content_type` as in svctoken_options_set_body. Takes the place of a body set before.
///
/// As to the server, see svctoken_options_set_body_callback.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_body_file(
    options: Option<&mut svctoken_options>,
    path: *const c_char,
    content_type: *const c_char,
) -> svctoken_code {
    change(options, |options| {
        let path = text(path, "path")?.into();
        set(options, Body::File(path), content_type)
    })
}

/// The request's body: what `read` gives while it is sent, in memory that does not grow. `length` is how many bytes that
/// are, or negative if it is not known: then the body goes in chunks (RFC 9112 section 7.1), which some servers do not
/// take. `content_type` as in svctoken_options_set_body. Takes the place of a body set before.
///
/// `read(user_data, buffer, size)` puts at most `size` bytes, which is above 0, into `buffer`, and returns how many; 0 is
/// the end, and a negative number says that it failed. Then, or if there are more or fewer bytes than `length`, the request
/// is broken off, and the call fails with SVCTOKEN_INVALID_ARGUMENT. `rewind(user_data)` begins anew from the first byte,
/// and returns false if it cannot; `rewind` may be NULL for what never can. Sent again, after a 401 or by the rules of
/// retries and redirects, is only what was not begun to be read, or could be rewound; else the answer or error is the
/// caller's.
///
/// The server is asked first whether it wants the body (Expect: 100-continue, as for every body over 1 MiB), and given 1 s
/// to say so; if it says nothing, it is not asked again for 5 minutes. A server that answers with 300 or above before it has
/// the whole body gets no more of it. The call's timeout covers the sending too; it and the cancel are seen when `read`
/// returns.
///
/// Both are called on the thread of the call. They may use other clients or this one, and must not leave by longjmp or a
/// C++ exception. Options with a callback are for one call at a time, unless it is made for several at once, and every
/// call reads on where the last one ended.
///
/// `release`, which may be NULL, is called with `user_data` once, when the callbacks will not be called any more: when the
/// options were freed, or got another body. On failure `user_data` is not taken and `release` not called.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_body_callback(
    options: Option<&mut svctoken_options>,
    read: svctoken_body_read,
    rewind: svctoken_body_rewind,
    length: i64,
    content_type: *const c_char,
    user_data: *mut c_void,
    release: Option<extern "C" fn(user_data: *mut c_void)>,
) -> svctoken_code {
    change(options, |options| {
        let (read, content_type) = (given(read, "read")?, content_type_of(content_type)?);
        let (user_data, length) = (Arc::new(UserData::new(user_data, release)), u64::try_from(length).ok());
        options.set_body(Body::Callback(Callback { read, rewind, user_data, length }), content_type);
        Ok(())
    })
}
