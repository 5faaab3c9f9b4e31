//! Functions that return a client secret.

use std::ffi::{c_char, c_void};

use svctoken_core::SecretCallback;

use crate::boundary::{UserData, read_text, value};
use crate::error::{SVCTOKEN_INVALID_ARGUMENT, SVCTOKEN_OK, SVCTOKEN_PANIC, svctoken_code};

/// Takes what a svctoken_secret_callback has to say; the last word counts. Borrowed: valid until the callback returns.
pub struct svctoken_secret_answer {
    answer: Result<String, String>,
}

/// What svctoken_config_set_client_secret_callback takes, and where the rules for it stand.
pub type svctoken_secret_callback = Option<extern "C" fn(answer: &mut svctoken_secret_answer, user_data: *mut c_void)>;

pub(crate) fn function(
    callback: extern "C" fn(&mut svctoken_secret_answer, *mut c_void),
    user_data: UserData,
) -> SecretCallback {
    SecretCallback::new(move || {
        let mut given = svctoken_secret_answer { answer: Err("it gave no answer".into()) };
        callback(&mut given, user_data.pointer());
        given.answer
    })
}

fn answer(
    given: Option<&mut svctoken_secret_answer>,
    text: *const c_char,
    answer: impl FnOnce(String) -> Result<String, String>,
) -> svctoken_code {
    value(SVCTOKEN_PANIC, || {
        let Some(given) = given else { return SVCTOKEN_INVALID_ARGUMENT };
        match read_text(text) {
            Ok(text) => {
                given.answer = answer(text.into());
                SVCTOKEN_OK
            }
            Err(found) => {
                given.answer = Err(format!("it gave {found}"));
                SVCTOKEN_INVALID_ARGUMENT
            }
        }
    })
}

/// The secret: `text` is copied, and may be wiped when this returns.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_secret_answer_set(
    given: Option<&mut svctoken_secret_answer>,
    text: *const c_char,
) -> svctoken_code {
    answer(given, text, Ok)
}

/// Why there is none: `text` becomes part of the error's message, and should hold no secret.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_secret_answer_fail(
    given: Option<&mut svctoken_secret_answer>,
    text: *const c_char,
) -> svctoken_code {
    answer(given, text, Err)
}
