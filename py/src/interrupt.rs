//! Waiting without holding the interpreter, and Ctrl-C while doing so.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use svctoken::InterruptCheck;

use crate::error::Failure;

/// Runs a call that may wait, while other threads run Python code. On the main thread, where Python runs signal
/// handlers, it hands over a check that runs them; what a handler raises (Ctrl-C: `KeyboardInterrupt`) ends the call
/// and is what the caller gets.
pub(crate) fn waiting<T: Send>(
    py: Python<'_>,
    call: impl FnOnce(Option<InterruptCheck>) -> svctoken::Result<T> + Send,
) -> Result<T, Failure> {
    let raised = Arc::new(Mutex::new(None));
    let check = is_main_thread(py)?.then(|| run_handlers(raised.clone()));
    let result = py.detach(|| call(check));
    match raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(Failure::Raised(error)),
        None => Ok(result?),
    }
}

fn run_handlers(raised: Arc<Mutex<Option<PyErr>>>) -> InterruptCheck {
    Arc::new(move || {
        let Some(Err(error)) = Python::try_attach(|py| py.check_signals()) else {
            return false;
        };
        *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        true
    })
}

/// By Python's own account, which a forked child corrects: elsewhere no handler ever runs, and the check would only
/// contend for the interpreter.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?.getattr(intern!(py, "ident"))?;
    threading.call_method0(intern!(py, "get_ident"))?.eq(main)
}
