//! Waiting without holding the interpreter, and Ctrl-C while doing so.

use std::cell::RefCell;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use svctoken::InterruptCheck;

use crate::error::Failure;
use crate::log;

thread_local! {
    /// What ends the call in progress on this thread, and is what its caller gets.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs a call that may wait, while other threads run Python code. On the main thread, where Python runs signal
/// handlers, it hands over a check that runs them; what a handler raises (Ctrl-C: `KeyboardInterrupt`) ends the call
/// and is what the caller gets.
pub(crate) fn waiting<T: Send>(
    py: Python<'_>,
    call: impl FnOnce(Option<InterruptCheck>) -> svctoken::Result<T> + Send,
) -> Result<T, Failure> {
    log::look_at_level(py)?;
    let check = is_main_thread(py)?.then(run_handlers);
    let result = py.detach(|| call(check));
    raised()?;
    Ok(result?)
}

/// Makes the call in progress on this thread end with the exception.
pub(crate) fn raise_from_call(error: PyErr) {
    RAISED.set(Some(error));
}

/// Fails with what was raised in the call that ends.
pub(crate) fn raised() -> PyResult<()> {
    RAISED.take().map_or(Ok(()), Err)
}

fn run_handlers() -> InterruptCheck {
    Arc::new(|| {
        // A log handler may have been interrupted in the place of this call.
        if RAISED.with_borrow(Option::is_some) {
            return true;
        }
        let Some(Err(error)) = Python::try_attach(|py| py.check_signals()) else {
            return false;
        };
        raise_from_call(error);
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
