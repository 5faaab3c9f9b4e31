//! A request's keyword arguments.

use std::ops::ControlFlow;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use svctoken::RequestBuilder;

use crate::body::Source;
use crate::convert::{cancel, flag, pairs_argument, path, size, text_argument, time};
use crate::error::Failure;
use crate::interrupt::raise_from_call;

/// The request with what was given; `None` is as if it were not given.
pub(crate) fn with_arguments<'a>(
    mut request: RequestBuilder<'a>,
    arguments: &Bound<'_, PyDict>,
) -> Result<RequestBuilder<'a>, Failure> {
    for (name, value) in arguments.iter().filter(|(_, value)| !value.is_none()) {
        let name: String = name.extract()?;
        request = match name.as_str() {
            "params" => {
                pairs_argument(&name, &value)?.into_iter().fold(request, |r, (name, value)| r.query(name, value))
            }
            "headers" => {
                pairs_argument(&name, &value)?.into_iter().fold(request, |r, (name, value)| r.header(name, value))
            }
            "default_headers" => pairs_argument("before_send", &value)?
                .into_iter()
                .fold(request, |r, (name, value)| r.default_header(name, value)),
            "form" => pairs_argument("data", &value)?.into_iter().fold(request, |r, (name, value)| r.form(name, value)),
            "body_file" => request.body_file(path(&value)?),
            "body_source" => {
                let (read, rewind, length): (Py<PyAny>, Option<Py<PyAny>>, Option<Bound<'_, PyAny>>) =
                    value.extract()?;
                let length = length.map(|length| size("content_length", &length)).transpose()?;
                request.body_from(Source::new(read, rewind), length)
            }
            "default_content_type" => request.content_type(text_argument(&name, &value)?),
            "content_type" => request.content_type(text_argument(&name, &value)?),
            "accept" => request.accept(text_argument(&name, &value)?),
            "timeout" => request.timeout(time(&name, &value)?),
            "max_response_bytes" => request.max_response_bytes(size(&name, &value)?),
            "idle_timeout" => request.idle_timeout(time(&name, &value)?),
            "max_attempts" => request.max_attempts(size(&name, &value)?),
            "idempotent" => request.idempotent(flag(&name, &value)?),
            "progress" => request.on_progress(told(value.unbind())),
            "cancel" => request.cancel(&cancel(&value)?),
            _ => return Err(Failure::WrongType(format!("a request has no argument {name}"))),
        };
    }
    Ok(request)
}

/// What the function raises ends the call, and is what the caller gets.
fn told(progress: Py<PyAny>) -> impl FnMut(u64, Option<u64>) -> ControlFlow<()> + Send {
    move |received, total| match Python::try_attach(|py| progress.call1(py, (received, total)).map(|_| ())) {
        Some(Err(error)) => {
            raise_from_call(error);
            ControlFlow::Break(())
        }
        Some(Ok(())) | None => ControlFlow::Continue(()),
    }
}
