//! Codes and errors.

use std::ffi::{CString, c_char};
use std::ptr::null;

use svctoken_core::Error;

use crate::boundary::{c_string, value};

/// What a call came to: SVCTOKEN_OK, which is 0, or why it failed. Numbers are never reused; a later version may have
/// more.
pub type svctoken_code = u32;

/// Success.
pub const SVCTOKEN_OK: svctoken_code = 0;
/// An argument of this call is wrong.
pub const SVCTOKEN_INVALID_ARGUMENT: svctoken_code = 10;
/// An option of the client is wrong or missing.
pub const SVCTOKEN_INVALID_CONFIGURATION: svctoken_code = 11;
/// The credential could not be read from its source.
pub const SVCTOKEN_CREDENTIAL_UNAVAILABLE: svctoken_code = 12;
/// The URL is outside the origins that may get the token.
pub const SVCTOKEN_ORIGIN_REFUSED: svctoken_code = 13;
/// The client was closed.
pub const SVCTOKEN_CLOSED: svctoken_code = 14;
/// The call's time was over.
pub const SVCTOKEN_TIMEOUT: svctoken_code = 20;
/// The caller cancelled.
pub const SVCTOKEN_CANCELLED: svctoken_code = 21;
/// The host name could not be resolved.
pub const SVCTOKEN_RESOLVE_FAILED: svctoken_code = 30;
/// No connection could be made.
pub const SVCTOKEN_CONNECT_FAILED: svctoken_code = 31;
/// The TLS handshake or the certificate check failed.
pub const SVCTOKEN_TLS_FAILED: svctoken_code = 32;
/// The connection broke before the answer was whole.
pub const SVCTOKEN_CONNECTION_LOST: svctoken_code = 33;
/// The proxy refused or failed.
pub const SVCTOKEN_PROXY_FAILED: svctoken_code = 34;
/// The authorization server refused the client's credential.
pub const SVCTOKEN_CLIENT_REFUSED: svctoken_code = 40;
/// The authorization server denied access for another reason than the credential.
pub const SVCTOKEN_ACCESS_DENIED: svctoken_code = 41;
/// Too many tokens of this account are alive.
pub const SVCTOKEN_TOKEN_LIMIT: svctoken_code = 42;
/// The server limits the rate of requests.
pub const SVCTOKEN_RATE_LIMITED: svctoken_code = 43;
/// The authorization server answered another OAuth error.
pub const SVCTOKEN_OAUTH_ERROR: svctoken_code = 44;
/// The server is unavailable.
pub const SVCTOKEN_SERVER_UNAVAILABLE: svctoken_code = 45;
/// The authorization server's answer holds no usable token.
pub const SVCTOKEN_BAD_TOKEN_ANSWER: svctoken_code = 46;
/// The API answered with an error status, and the caller asked for that to be an error.
pub const SVCTOKEN_HTTP_STATUS: svctoken_code = 50;
/// The answer is larger than allowed.
pub const SVCTOKEN_ANSWER_TOO_LARGE: svctoken_code = 51;
/// The answer is not HTTP, or not what its headers say.
pub const SVCTOKEN_BAD_ANSWER: svctoken_code = 52;
/// A redirect was not followed.
pub const SVCTOKEN_REDIRECT_REFUSED: svctoken_code = 53;
/// The token cache failed.
pub const SVCTOKEN_CACHE: svctoken_code = 60;
/// A bug in svctoken was caught before it could end the program.
pub const SVCTOKEN_PANIC: svctoken_code = 90;
/// svctoken could not do its work on this machine.
pub const SVCTOKEN_INTERNAL: svctoken_code = 91;

/// Why a call failed. Its texts are UTF-8, NUL-terminated, hold no secret, and are borrowed: valid until
/// svctoken_error_free. May be read by several threads at once.
pub struct svctoken_error {
    error: Error,
    message: CString,
    name: CString,
    stage: CString,
    next_step: CString,
    oauth_error: Option<CString>,
    oauth_error_description: Option<CString>,
    api_error_code: Option<CString>,
}

impl svctoken_error {
    pub(crate) fn new(error: Error) -> svctoken_error {
        svctoken_error {
            message: c_string(&error.to_string()),
            name: c_string(error.code().name()),
            stage: c_string(error.stage().name()),
            next_step: c_string(error.next_step()),
            oauth_error: error.oauth_error().map(c_string),
            oauth_error_description: error.oauth_error_description().map(c_string),
            api_error_code: error.api_error_code().map(c_string),
            error,
        }
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        self.message.to_str().expect("made of a str")
    }
}

/// The code that the failed call returned. SVCTOKEN_OK for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_code(error: Option<&svctoken_error>) -> svctoken_code {
    value(SVCTOKEN_OK, || error.map_or(SVCTOKEN_OK, |error| error.error.code().number()))
}

/// The code's name, such as "token_limit". NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_name(error: Option<&svctoken_error>) -> *const c_char {
    value(null(), || error.map_or(null(), |error| error.name.as_ptr()))
}

/// What happened and what to do about it, in a line for people. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_message(error: Option<&svctoken_error>) -> *const c_char {
    value(null(), || error.map_or(null(), |error| error.message.as_ptr()))
}

/// At which step it happened: "configuration", "argument", "waiting", "resolving", "connecting", "tls", "sending",
/// "receiving", "token_answer" or "answer"; a later version may have more. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_stage(error: Option<&svctoken_error>) -> *const c_char {
    value(null(), || error.map_or(null(), |error| error.stage.as_ptr()))
}

/// The last part of the message: what to do about it. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_next_step(error: Option<&svctoken_error>) -> *const c_char {
    value(null(), || error.map_or(null(), |error| error.next_step.as_ptr()))
}

/// The HTTP status of the answer that was the failure; 0 if there was none, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_status(error: Option<&svctoken_error>) -> u32 {
    value(0, || error.and_then(|error| error.error.status()).map_or(0, u32::from))
}

/// The answer's OAuth error code (RFC 6749 section 5.2), such as "invalid_client"; NULL if there was none, and for
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_oauth_error(error: Option<&svctoken_error>) -> *const c_char {
    value(null(), || error.and_then(|error| error.oauth_error.as_ref()).map_or(null(), |text| text.as_ptr()))
}

/// The server's description, at most 300 characters; NULL if there was none, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_oauth_error_description(error: Option<&svctoken_error>) -> *const c_char {
    value(null(), || {
        error.and_then(|error| error.oauth_error_description.as_ref()).map_or(null(), |text| text.as_ptr())
    })
}

/// The code that the API's answer has for the error, such as Atlas's "GROUP_NOT_FOUND", at most 300 characters: its body's
/// errorCode or error, its header X-Error-Code, or else the type of a problem (RFC 9457); NULL if there was none, and for
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_api_error_code(error: Option<&svctoken_error>) -> *const c_char {
    value(null(), || error.and_then(|error| error.api_error_code.as_ref()).map_or(null(), |text| text.as_ptr()))
}

/// How many milliseconds to wait before trying again; -1 if nobody said, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_retry_after_ms(error: Option<&svctoken_error>) -> i64 {
    value(-1, || {
        let retry_after = error.and_then(|error| error.error.retry_after());
        retry_after.map_or(-1, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Frees an error; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_error_free(error: Option<Box<svctoken_error>>) {
    value((), || drop(error));
}
