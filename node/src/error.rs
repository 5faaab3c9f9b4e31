//! Errors on their way to JavaScript.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use napi::Either;
use napi_derive::napi;
use svctoken::{Error, ErrorCode};

/// What failed, as `index.js` needs it to make an error object. Holds no secret.
#[napi(object, object_from_js = false)]
pub(crate) struct ErrorFacts {
    /// The code's name in the core: `token_limit`.
    pub code: String,
    /// The code's number, the same in every language.
    pub number: u32,
    pub stage: Option<String>,
    pub what: String,
    pub next_step: String,
    /// What happened and what to do.
    pub message: String,
    pub status: Option<u32>,
    pub oauth_error: Option<String>,
    pub oauth_error_description: Option<String>,
    pub api_error_code: Option<String>,
    /// In milliseconds.
    pub retry_after: Option<f64>,
}

impl From<Error> for ErrorFacts {
    fn from(error: Error) -> ErrorFacts {
        ErrorFacts {
            code: error.code().name().into(),
            number: error.code().number(),
            stage: Some(error.stage().name().into()),
            what: error.what().into(),
            next_step: error.next_step().into(),
            message: error.to_string(),
            status: error.status().map(u32::from),
            oauth_error: error.oauth_error().map(Into::into),
            oauth_error_description: error.oauth_error_description().map(Into::into),
            api_error_code: error.api_error_code().map(Into::into),
            retry_after: error.retry_after().map(|after| after.as_secs_f64() * 1000.0),
        }
    }
}

/// Why something failed.
#[derive(Clone)]
pub(crate) enum Failure {
    Core(Error),
    /// Of this binding itself, which has no error of the core's.
    Own(ErrorCode, String),
}

impl Failure {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Failure::Core(error) => error.code(),
            Failure::Own(code, _) => *code,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Core(error) => error.retry_after(),
            Failure::Own(..) => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<Failure> for ErrorFacts {
    fn from(failure: Failure) -> ErrorFacts {
        let (code, what) = match failure {
            Failure::Core(error) => return error.into(),
            Failure::Own(code, what) => (code, what),
        };
        ErrorFacts {
            code: code.name().into(),
            number: code.number(),
            stage: None,
            message: format!("{what}. {}", code.next_step()),
            what,
            next_step: code.next_step().into(),
            status: None,
            oauth_error: None,
            oauth_error_description: None,
            api_error_code: None,
            retry_after: None,
        }
    }
}

/// Runs `work`; a panic becomes a failure and ends neither the process nor its thread.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().map(Into::into);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        let what = format!("svctoken panicked: {}", said.unwrap_or_else(|| "without a message".into()));
        Err(Failure::Own(ErrorCode::Panic, what))
    })
}

/// As [`caught`], in the form an exported function returns.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Either<ErrorFacts, T> {
    match caught(work) {
        Ok(value) => Either::B(value),
        Err(failure) => Either::A(failure.into()),
    }
}
