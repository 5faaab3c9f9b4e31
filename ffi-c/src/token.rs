//! Tokens as C is given them.

use std::ffi::{CString, c_char};
use std::ptr::null;
use std::time::{Duration, UNIX_EPOCH};

use svctoken_core::Token;
use zeroize::Zeroizing;

use crate::boundary::{c_string, free_text, value};

/// A token and its facts, as they were when it was got. Its texts are NUL-terminated and borrowed: valid until
/// svctoken_token_info_free. May be read by several threads at once.
pub struct svctoken_token_info {
    token: Zeroizing<CString>,
    token_type: CString,
    scope: Option<CString>,
    expires_in: Duration,
    expires_at: Duration,
}

impl svctoken_token_info {
    pub(crate) fn new(token: &Token) -> svctoken_token_info {
        svctoken_token_info {
            token: Zeroizing::new(c_string(token.as_str())),
            token_type: c_string(token.token_type()),
            scope: token.scope().map(c_string),
            expires_in: token.expires_in(),
            expires_at: token.expires_at().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}

/// The token. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_token_info_token(info: Option<&svctoken_token_info>) -> *const c_char {
    value(null(), || info.map_or(null(), |info| info.token.as_ptr()))
}

/// "Bearer", however the server spelt it. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_token_info_type(info: Option<&svctoken_token_info>) -> *const c_char {
    value(null(), || info.map_or(null(), |info| info.token_type.as_ptr()))
}

/// The scope the server granted, separated by spaces; NULL if it named none, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_token_info_scope(info: Option<&svctoken_token_info>) -> *const c_char {
    value(null(), || info.and_then(|info| info.scope.as_ref()).map_or(null(), |scope| scope.as_ptr()))
}

/// How long the token still lived when it was got, in milliseconds; 0 if it is good for once only, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_token_info_expires_in_ms(info: Option<&svctoken_token_info>) -> i64 {
    value(0, || info.map_or(0, |info| milliseconds(info.expires_in)))
}

/// When the token ends by this machine's wall clock, in milliseconds since 1970-01-01 UTC; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_token_info_expires_at_unix_ms(info: Option<&svctoken_token_info>) -> i64 {
    value(0, || info.map_or(0, |info| milliseconds(info.expires_at)))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Frees a token's facts and wipes the token; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_token_info_free(info: Option<Box<svctoken_token_info>>) {
    value((), || drop(info));
}

/// Frees a string that svctoken_client_get_token or svctoken_client_introspect gave, and wipes it; NULL is allowed. The string must be as it was
/// given: wiping goes to its first NUL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_string_free(text: *mut c_char) {
    value((), || free_text(text));
}
