//! The body of an answer, read as it comes.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use svctoken::{Error, InterruptCheck, ResponseBody};

use crate::convert;
use crate::error::{Failure, boundary};
use crate::interrupt::waiting;

/// Read at a time where all is wanted.
const PIECE: usize = 64 * 1024;

#[pyclass(frozen, module = "svctoken._native")]
pub(crate) struct Body {
    /// `None`: closed. One reads at a time, and others wait for it.
    core: Mutex<Option<ResponseBody>>,
}

impl Body {
    pub(crate) fn new(core: ResponseBody) -> Body {
        Body { core: Mutex::new(Some(core)) }
    }

    fn with<T>(
        &self,
        check: Option<InterruptCheck>,
        read: impl FnOnce(&mut ResponseBody) -> svctoken::Result<T>,
    ) -> svctoken::Result<T> {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let body = core.as_mut().ok_or_else(|| Error::invalid_argument("the response was closed"))?;
        body.set_interrupt(check);
        let outcome = read(body);
        body.set_interrupt(None);
        outcome
    }
}

#[pymethods]
impl Body {
    /// What there is, at most `size` bytes; none at the end.
    fn read_some<'py>(&self, py: Python<'py>, size: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        boundary(py, || {
            let mut piece = vec![0; length("chunk_size", size)?];
            let read = |body: &mut ResponseBody| body.read_some(&mut piece);
            let count = waiting(py, |check| self.with(check, read))?;
            Ok(PyBytes::new(py, &piece[..count]))
        })
    }

    /// `size` bytes, fewer only at the end; all without one.
    #[pyo3(signature = (size=None))]
    fn read<'py>(&self, py: Python<'py>, size: Option<&Bound<'_, PyAny>>) -> PyResult<Bound<'py, PyBytes>> {
        boundary(py, || {
            let size = size.map_or(Ok(usize::MAX), |size| length("size", size))?;
            let bytes = waiting(py, |check| self.with(check, |body| read_up_to(body, size)))?;
            Ok(PyBytes::new(py, &bytes))
        })
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.core.lock().unwrap_or_else(PoisonError::into_inner).take()));
    }
}

fn length(name: &str, size: &Bound<'_, PyAny>) -> Result<usize, Failure> {
    let size = convert::size(name, size)?;
    if size == 0 {
        return Err(Error::invalid_argument(format!("{name} must be 1 or more")).into());
    }
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

fn read_up_to(body: &mut ResponseBody, size: usize) -> svctoken::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < size {
        let begin = bytes.len();
        bytes.resize(begin + (size - begin).min(PIECE), 0);
        let count = body.read_some(&mut bytes[begin..])?;
        bytes.truncate(begin + count);
        if count == 0 {
            break;
        }
    }
    Ok(bytes)
}
