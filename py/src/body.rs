//! Bodies of requests that Python code gives while they are sent.

use std::io;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use svctoken::BodySource;

use crate::interrupt::raise_from_call;

/// A function that returns the next bytes, none at the end, and one that begins anew.
pub(crate) struct Source {
    read: Py<PyAny>,
    rewind: Option<Py<PyAny>>,
    given: Option<PyBackedBytes>,
    taken: usize,
}

impl Source {
    pub(crate) fn new(read: Py<PyAny>, rewind: Option<Py<PyAny>>) -> Source {
        Source { read, rewind, given: None, taken: 0 }
    }
}

impl BodySource for Source {
    /// Attaches only where there is nothing left of what was given before.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let all_taken = |given: &PyBackedBytes| given.len() == self.taken;
        if self.given.as_ref().is_none_or(all_taken) {
            self.given = Some(called(&self.read, |answer| answer.extract::<PyBackedBytes>().map_err(PyErr::from))?);
            self.taken = 0;
        }
        let left = self.given.as_deref().map_or(&[][..], |given| &given[self.taken..]);
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }

    fn rewind(&mut self) -> io::Result<bool> {
        let Some(rewind) = &self.rewind else { return Ok(false) };
        called(rewind, |_| Ok(()))?;
        (self.given, self.taken) = (None, 0);
        Ok(true)
    }
}

/// What the function raises ends the call, and is what the caller gets.
fn called<T>(function: &Py<PyAny>, convert: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> io::Result<T> {
    let outcome = Python::try_attach(|py| function.bind(py).call0().and_then(|answer| convert(&answer)));
    match outcome {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => {
            raise_from_call(error);
            Err(io::Error::other("Python code raised an exception"))
        }
        None => Err(io::Error::other("the interpreter is ending")),
    }
}
