//! An answer.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{boundary, exception};

#[pyclass(frozen, module = "svctoken._native")]
pub(crate) struct Response {
    pub(crate) core: svctoken::Response,
}

#[pymethods]
impl Response {
    #[getter]
    fn status_code(&self) -> u16 {
        self.core.status()
    }

    #[getter]
    fn ok(&self) -> bool {
        self.core.is_ok()
    }

    #[getter]
    fn url(&self) -> &str {
        self.core.url()
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.core.attempts()
    }

    /// A new bytes object each time.
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.core.body())
    }

    fn charset(&self) -> Option<String> {
        self.core.charset()
    }

    fn text(&self, py: Python<'_>) -> PyResult<Cow<'_, str>> {
        boundary(py, || Ok(self.core.text()?))
    }

    /// Raises if the body is not JSON.
    fn check_json(&self, py: Python<'_>) -> PyResult<()> {
        boundary(py, || {
            self.core.json()?;
            Ok(())
        })
    }

    fn header_pairs(&self) -> Vec<(&str, String)> {
        self.core.headers().collect()
    }

    fn error(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        boundary(py, || Ok(self.core.error().map(|error| exception(py, &error).into_value(py).into_any())))
    }
}
