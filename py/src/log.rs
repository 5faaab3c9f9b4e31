//! Log events on their way to Python's `logging`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyModule};
use svctoken::{LogEvent, LogHook, Severity};

use crate::interrupt;

/// The least level that Python wants, as last seen. A token request of others must not wait for the interpreter only
/// to find that nobody reads its events.
static WANTED: AtomicU8 = AtomicU8::new(u8::MAX);

/// Looks at the logger's level, for the events of the call that begins.
pub(crate) fn look_at_level(py: Python<'_>) -> PyResult<()> {
    let level: i64 = facade(py)?.call_method0(intern!(py, "wanted_level"))?.extract()?;
    WANTED.store(u8::try_from(level.max(0)).unwrap_or(u8::MAX), Ordering::Relaxed);
    Ok(())
}

/// Hands a client's events to the logger `svctoken`. Runs on the caller's thread, attached or not, and on those of token
/// requests; at the end of the interpreter, which cannot be attached to any more, it does nothing.
pub(crate) fn hook() -> LogHook {
    Arc::new(|event| {
        let level = level(event.severity());
        if level < WANTED.load(Ordering::Relaxed) {
            return;
        }
        Python::try_attach(|py| {
            if let Err(error) = emit(py, level, event) {
                give_up(py, error);
            }
        });
    })
}

/// As `logging` numbers them.
fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Debug => 10,
        Severity::Info => 20,
        Severity::Warning => 30,
    }
}

fn emit(py: Python<'_>, level: u8, event: &LogEvent) -> PyResult<()> {
    let fields = event.fields().iter().map(|(name, value)| (*name, value)).into_py_dict(py)?;
    facade(py)?.call_method1(intern!(py, "emit"), (level, event.name(), event.message(), fields))?;
    Ok(())
}

/// A handler's mistake is told as Python tells those of callbacks, and harms no call. What is to end the program,
/// Ctrl-C above all, ends the call.
fn give_up(py: Python<'_>, error: PyErr) {
    if error.is_instance_of::<PyException>(py) {
        error.write_unraisable(py, None);
    } else {
        interrupt::raise_from_call(error);
    }
}

/// Looked up each time, as in `error.rs`.
fn facade(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "svctoken._log"))
}
