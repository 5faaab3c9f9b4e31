//! The body of an answer, read as it comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{mem, process};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use svctoken::{Error, ResponseBody};

use crate::convert;
use crate::error::{Failure, boundary};
use crate::interrupt::waiting;

/// Read at a time where all is wanted.
const PIECE: usize = 64 * 1024;

/// What a piece has at most, whatever is asked for: memory is taken before the bytes come.
const LARGEST_PIECE: usize = 1024 * 1024;

#[pyclass(frozen, module = "svctoken._native")]
pub(crate) struct Body {
    /// Locked by attached code alone and never for a wait, so that no thread waits for it and no fork finds it locked.
    state: Mutex<State>,
    /// Ends the read that is in progress.
    closed: Arc<AtomicBool>,
}

enum State {
    Here(ResponseBody),
    /// A thread of that process reads it.
    Read {
        process: u32,
    },
    Closed,
}

impl Body {
    pub(crate) fn new(core: ResponseBody) -> Body {
        Body { state: Mutex::new(State::Here(core)), closed: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads without the interpreter, until a byte is there, or the thread that closes says so.
    fn reading<T: Send>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&mut ResponseBody) -> svctoken::Result<T> + Send,
    ) -> Result<T, Failure> {
        let mut taken = Taken { core: Some(self.take()?), body: self };
        let core = taken.core.as_mut().expect("just taken");
        let outcome = waiting(py, |check| {
            let closed = self.closed.clone();
            let ends = move || closed.load(Ordering::Relaxed) || check.as_ref().is_some_and(|check| check());
            core.set_interrupt(Some(Arc::new(ends)));
            read(core)
        });
        match outcome {
            Err(Failure::Core(_)) if self.closed.load(Ordering::Relaxed) => Err(was_closed().into()),
            outcome => outcome,
        }
    }

    fn take(&self) -> svctoken::Result<ResponseBody> {
        let (here, mut state) = (process::id(), self.state());
        match mem::replace(&mut *state, State::Read { process: here }) {
            State::Here(core) => Ok(core),
            State::Closed => {
                *state = State::Closed;
                Err(was_closed())
            }
            State::Read { process } => {
                *state = State::Read { process };
                Err(Error::invalid_argument(match process == here {
                    true => "the response is read already, by another thread or by what a signal's handler interrupts",
                    false => "the response was read by another thread when this process was forked",
                }))
            }
        }
    }
}

/// A body in the hands of its reader, who gives it back.
struct Taken<'a> {
    core: Option<ResponseBody>,
    body: &'a Body,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let Some(mut core) = self.core.take() else { return };
        core.set_interrupt(None);
        let mut state = self.body.state();
        if let State::Closed = *state {
            drop(state);
            let_go(core);
        } else {
            *state = State::Here(core);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let before = mem::replace(&mut *self.state(), State::Closed);
        let_go(before);
    }
}

/// Drops a body, which may wait a moment for the rest of it, while other threads run.
fn let_go(body: impl Send) {
    Python::try_attach(|py| py.detach(|| drop(body)));
}

fn was_closed() -> Error {
    Error::invalid_argument("the response was closed")
}

#[pymethods]
impl Body {
    /// What there is, at most `size` bytes; none at the end.
    fn read_some<'py>(&self, py: Python<'py>, size: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        boundary(py, || {
            let mut piece = vec![0; length("chunk_size", size)?.min(LARGEST_PIECE)];
            let count = self.reading(py, |body| body.read_some(&mut piece))?;
            Ok(PyBytes::new(py, &piece[..count]))
        })
    }

    /// `size` bytes, fewer only at the end; all without one.
    #[pyo3(signature = (size=None))]
    fn read<'py>(&self, py: Python<'py>, size: Option<&Bound<'_, PyAny>>) -> PyResult<Bound<'py, PyBytes>> {
        boundary(py, || {
            let size = size.map_or(Ok(usize::MAX), |size| length("size", size))?;
            let bytes = self.reading(py, |body| read_up_to(body, size))?;
            Ok(PyBytes::new(py, &bytes))
        })
    }

    /// Does not wait for a thread that reads; that ends at the latest 50 ms later.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let before = mem::replace(&mut *self.state(), State::Closed);
        let_go(before);
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
