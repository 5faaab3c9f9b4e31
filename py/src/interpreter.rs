//! One interpreter in a process: PyO3's type objects are shared by all, and would mix their objects.

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The interpreter that loaded this module first; their numbers begin at 0.
static FIRST: AtomicI64 = AtomicI64::new(NONE);
const NONE: i64 = -1;

/// Fails with `ImportError` in any other interpreter than the first. PyO3 0.30 looks only when a module is made
/// without the import system.
pub(crate) fn refuse_a_second(_attached: Python<'_>) -> PyResult<()> {
    // SAFETY: the caller is attached to an interpreter, which both functions ask for and which lives meanwhile.
    let current = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    match FIRST.compare_exchange(NONE, current, Ordering::SeqCst, Ordering::SeqCst) {
        Err(first) if first != current => Err(PyImportError::new_err(
            "svctoken does not support subinterpreters: import it in one interpreter of a process only",
        )),
        _ => Ok(()),
    }
}
