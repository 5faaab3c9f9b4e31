//! Answers downloaded to a file.

use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::boundary::{UserData, call, given, text};
use crate::client::{request, svctoken_client};
use crate::error::{svctoken_code, svctoken_error};
use crate::options::{change, svctoken_options};
use crate::response::svctoken_response;

/// What svctoken_options_set_progress takes, and where the rules for it stand.
pub type svctoken_progress_callback = Option<extern "C" fn(user_data: *mut c_void, received: u64, total: i64) -> bool>;

#[derive(Clone)]
pub(crate) struct Progress {
    callback: extern "C" fn(*mut c_void, u64, i64) -> bool,
    user_data: Arc<UserData>,
}

impl Progress {
    pub(crate) fn told(&self) -> impl FnMut(u64, Option<u64>) -> ControlFlow<()> + Send + use<> {
        let Progress { callback, user_data } = self.clone();
        move |received, total| {
            let total = total.and_then(|total| i64::try_from(total).ok()).unwrap_or(-1);
            match callback(user_data.pointer(), received, total) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        }
    }
}

/// Has svctoken_client_download tell its progress to `callback`; NULL: to nobody, as at first.
///
/// `callback(user_data, received, total)` is called on the thread of the call with the number of bytes that came, after
/// decoding, and of all, or a negative number where the answer does not tell: when the body begins, with 0, then at most
/// every 100 ms, and once when all came. If it returns false, the call ends with SVCTOKEN_CANCELLED. It must not leave by
/// longjmp or a C++ exception. Options with a callback are for one call at a time, unless it is made for several at once.
///
/// `release`, which may be NULL, is called with `user_data` once, when `callback` will not be called any more: when the
/// options were freed, or got another callback. Without a callback, and on failure, `user_data` is not taken and `release`
/// not called.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_progress(
    options: Option<&mut svctoken_options>,
    callback: svctoken_progress_callback,
    user_data: *mut c_void,
    release: Option<extern "C" fn(user_data: *mut c_void)>,
) -> svctoken_code {
    change(options, |options| {
        let progress =
            callback.map(|callback| Progress { callback, user_data: Arc::new(UserData::new(user_data, release)) });
        options.set_progress(progress);
        Ok(())
    })
}

/// As svctoken_client_request_stream, with the body of an answer of 200 to 299 written to the file at `path`, in memory
/// that does not grow; the response has no body then. Any other answer leaves the file alone, and has up to 64 KiB of its
/// body, for svctoken_response_check to tell what they say.
///
/// What comes is written to a temporary file in the same folder, .NAME.(16 digits).part, which takes the place of an older
/// file when it is whole, with that one's permissions: at `path` there is never a part of a body. If the call fails, the
/// temporary is removed; a process that is killed leaves it. Nothing is synced to the disk. Where `path` is a symbolic link,
/// the file it leads to is replaced. A Content-Encoding of gzip is undone, and a gzip file left as it is. `options` may be
/// NULL; see svctoken_options_set_progress.
///
/// Fails beside what svctoken_client_request_stream and svctoken_response_read do with SVCTOKEN_INVALID_ARGUMENT, before
/// any network, where no file can be made there or `path` is something else than a file, and with SVCTOKEN_INTERNAL where
/// it cannot be written.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_download(
    client: Option<&svctoken_client>,
    method: *const c_char,
    url: *const c_char,
    path: *const c_char,
    options: Option<&svctoken_options>,
    response: Option<&mut MaybeUninit<Option<Box<svctoken_response>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (given(client, "client")?, given(response, "response")?);
        let path = text(path, "path")?;
        let request = request(client, method, url, options)?;
        slot.write(Some(Box::new(svctoken_response::new(request.download(path)?))));
        Ok(())
    })
}
