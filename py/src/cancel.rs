//! Ends calls from another thread.

use pyo3::prelude::*;

/// Ends calls early, from another thread or a signal handler.
///
/// Hand it to calls as ``cancel=``. ``cancel()`` then ends every call that holds it, now and later, with
/// ``svctoken.CancelledError``. A cancelled token stays so.
#[pyclass(frozen, module = "svctoken")]
pub(crate) struct CancelToken {
    pub(crate) core: svctoken::CancelToken,
}

#[pymethods]
impl CancelToken {
    #[new]
    fn new() -> CancelToken {
        CancelToken { core: svctoken::CancelToken::new() }
    }

    /// Cancels. Doing so again changes nothing.
    fn cancel(&self) {
        self.core.cancel();
    }

    /// Whether it was cancelled.
    #[getter]
    fn cancelled(&self) -> bool {
        self.core.is_cancelled()
    }

    fn __repr__(&self) -> String {
        format!("<svctoken.CancelToken cancelled={}>", if self.cancelled() { "True" } else { "False" })
    }
}
