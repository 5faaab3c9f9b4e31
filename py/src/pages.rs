//! How far a list has been read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::convert;
use crate::error::{boundary, exception};

/// Locked by threads that are detached only: who waits for the lock holds up nobody.
#[pyclass(frozen, module = "svctoken._native")]
pub(crate) struct PageCursor(Mutex<svctoken::PageCursor>);

impl PageCursor {
    pub(crate) fn lock(&self) -> MutexGuard<'_, svctoken::PageCursor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PageCursor {
    #[new]
    fn new(
        py: Python<'_>,
        max_pages: Option<&Bound<'_, PyAny>>,
        member: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PageCursor> {
        boundary(py, || {
            let max_pages = max_pages.map(|count| convert::size("max_pages", count)).transpose()?;
            let member = member.map(|name| convert::text_argument("member", name)).transpose()?;
            Ok(PageCursor(Mutex::new(svctoken::PageCursor::new(max_pages, member)?)))
        })
    }

    /// Where the next page is; None after the last. Raises what keeps it from being asked for.
    fn next_url(&self, py: Python<'_>) -> PyResult<Option<String>> {
        boundary(py, || Ok(py.detach(|| self.lock().next_url())?))
    }

    #[getter]
    fn member(&self, py: Python<'_>) -> String {
        py.detach(|| self.lock().member().to_owned())
    }

    /// The error of a page, of that status, that has no items.
    fn no_items(&self, py: Python<'_>, status: u16) -> Py<PyAny> {
        let error = py.detach(|| self.lock().no_items(status));
        exception(py, &error).into_value(py).into_any()
    }
}
