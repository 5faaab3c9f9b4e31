//! From the core's error to the exception, and the one place that catches panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use svctoken::{Error, ErrorCode};

/// Why a function of this module failed.
pub(crate) enum Failure {
    Core(Error),
    /// An argument has a type it cannot have.
    WrongType(String),
    /// Raised by Python code that was called: a signal's handler, a mapping's `items`.
    Raised(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Raised(error)
    }
}

/// Runs the body of a function that Python calls: failures become exceptions, and so does a panic, which would be a
/// `BaseException` that no `except svctoken.Error` catches.
pub(crate) fn boundary<T>(py: Python<'_>, body: impl FnOnce() -> Result<T, Failure>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Failure::Raised(error))) => Err(error),
        Ok(Err(Failure::Core(error))) => Err(exception(py, &error)),
        Ok(Err(Failure::WrongType(what))) => Err(wrong_type(py, what)),
        Err(payload) => Err(panic(py, &*payload)),
    }
}

/// The exception that stands for the core's error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    make(py, class_of(py, error.code()), error).unwrap_or_else(|failed| failed)
}

fn wrong_type(py: Python<'_>, what: String) -> PyErr {
    let class = exceptions(py).and_then(|module| module.getattr("InvalidArgumentTypeError"));
    make(py, class, &Error::invalid_argument(what)).unwrap_or_else(|failed| failed)
}

/// For the facade, which checks what never comes here.
#[pyfunction]
pub(crate) fn invalid_argument(py: Python<'_>, what: String, is_type: bool) -> Py<PyAny> {
    let error = if is_type { wrong_type(py, what) } else { exception(py, &Error::invalid_argument(what)) };
    error.into_value(py).into_any()
}

fn panic(py: Python<'_>, payload: &(dyn Any + Send)) -> PyErr {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let message = format!("svctoken panicked: {text}. {}", ErrorCode::Panic.next_step());
    let raised = class_of(py, ErrorCode::Panic).and_then(|class| class.call1((message,)));
    raised.map_or_else(|failed| failed, PyErr::from_value)
}

fn class_of(py: Python<'_>, code: ErrorCode) -> PyResult<Bound<'_, PyAny>> {
    exceptions(py)?.getattr("CLASSES")?.get_item(code.name())
}

/// Looked up each time: a static would be one more thing that a forked child can find half done.
fn exceptions(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("svctoken.exceptions")
}

fn make(py: Python<'_>, class: PyResult<Bound<'_, PyAny>>, error: &Error) -> PyResult<PyErr> {
    let facts = PyDict::new(py);
    facts.set_item("what", error.what())?;
    facts.set_item("stage", error.stage().name())?;
    facts.set_item("next_step", error.next_step())?;
    facts.set_item("status", error.status())?;
    facts.set_item("oauth_error", error.oauth_error())?;
    facts.set_item("oauth_error_description", error.oauth_error_description())?;
    facts.set_item("api_error_code", error.api_error_code())?;
    facts.set_item("retry_after", error.retry_after().map(|time| time.as_secs_f64()))?;
    Ok(PyErr::from_value(class?.call((error.to_string(),), Some(&facts))?))
}
