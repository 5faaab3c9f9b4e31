//! Options of one call.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use svctoken_core::{CallOptions, Error, PageCursor, RequestBuilder, Result, duration_of_milliseconds};

use crate::body::{self, Body};
use crate::boundary::{bytes, given, text, value};
use crate::cancel::svctoken_cancel;
use crate::download::Progress;
use crate::error::{SVCTOKEN_INVALID_ARGUMENT, SVCTOKEN_OK, SVCTOKEN_PANIC, svctoken_code};

/// Options of a call, for any number of calls. Calls only read it: several may use it at once, but none while it is
/// changed. Values are copied. Calls that get a token heed timeout and cancel; requests heed all.
///
/// A setter that is given a wrong value returns a code, and every call with these options then fails with an error
/// that names what is wrong.
#[derive(Clone, Default)]
pub struct svctoken_options {
    call: CallOptions,
    accept: Option<String>,
    body: Option<Body>,
    content_type: Option<String>,
    max_response_bytes: Option<u64>,
    idle_timeout: Option<Duration>,
    max_attempts: Option<u64>,
    idempotent: bool,
    max_pages: Option<u64>,
    progress: Option<Progress>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    form: Vec<(String, String)>,
    first_error: Option<Error>,
}

impl svctoken_options {
    /// What every call heeds, or the error of the first setter that failed.
    pub(crate) fn call(&self) -> Result<&CallOptions> {
        self.first_error.clone().map_or(Ok(&self.call), Err)
    }

    /// Before the first page of a list, or the error of the first setter that failed.
    pub(crate) fn cursor(&self) -> Result<PageCursor> {
        self.call()?;
        PageCursor::new(self.max_pages, None)
    }

    pub(crate) fn set_progress(&mut self, progress: Option<Progress>) {
        self.progress = progress;
    }

    pub(crate) fn set_body(&mut self, body: Body, content_type: Option<String>) {
        (self.body, self.content_type) = (Some(body), content_type);
    }

    /// A request with these options.
    pub(crate) fn apply<'a>(&'a self, mut request: RequestBuilder<'a>) -> Result<RequestBuilder<'a>> {
        let CallOptions { timeout, cancel, interrupt: _, began: _ } = self.call()?;
        for (name, value) in &self.query {
            request = request.query(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in &self.form {
            request = request.form(name, value);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(*timeout);
        }
        if let Some(cancel) = cancel {
            request = request.cancel(cancel);
        }
        if let Some(accept) = &self.accept {
            request = request.accept(accept);
        }
        if let Some(body) = &self.body {
            request = body.add_to(request);
        }
        if let Some(content_type) = &self.content_type {
            request = request.content_type(content_type);
        }
        if let Some(limit) = self.max_response_bytes {
            request = request.max_response_bytes(limit);
        }
        if let Some(timeout) = self.idle_timeout {
            request = request.idle_timeout(timeout);
        }
        if let Some(count) = self.max_attempts {
            request = request.max_attempts(count);
        }
        if let Some(progress) = &self.progress {
            request = request.on_progress(progress.told());
        }
        Ok(request.idempotent(self.idempotent))
    }
}

pub(crate) fn change(
    options: Option<&mut svctoken_options>,
    change: impl FnOnce(&mut svctoken_options) -> Result<()>,
) -> svctoken_code {
    value(SVCTOKEN_PANIC, || {
        let Some(options) = options else { return SVCTOKEN_INVALID_ARGUMENT };
        match change(options) {
            Ok(()) => SVCTOKEN_OK,
            Err(error) => {
                let code = error.code().number();
                options.first_error.get_or_insert(error);
                code
            }
        }
    })
}

/// Options without any set, to be freed with svctoken_options_free. NULL only in case of a bug.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_new() -> Option<Box<svctoken_options>> {
    value(None, || Some(Box::default()))
}

/// Frees options; NULL is allowed. Not while a call uses them.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_free(options: Option<Box<svctoken_options>>) {
    value((), || drop(options));
}

/// How long the whole call may take, waiting for a token included, in milliseconds, above zero. Default: the client's
/// timeout.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_timeout(
    options: Option<&mut svctoken_options>,
    milliseconds: i64,
) -> svctoken_code {
    change(options, |options| {
        let timeout = duration_of_milliseconds(milliseconds as f64);
        // A zero reaches the core, which has the words for it.
        options.call.timeout = Some(timeout.unwrap_or(Duration::ZERO));
        timeout.map(|_| ()).ok_or_else(|| Error::invalid_argument("timeout must be above zero"))
    })
}

/// Lets svctoken_cancel_trigger end the call with SVCTOKEN_CANCELLED. The cancel stays the caller's and may be freed
/// before the options.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_cancel(
    options: Option<&mut svctoken_options>,
    cancel: Option<&svctoken_cancel>,
) -> svctoken_code {
    change(options, |options| {
        options.call.cancel = Some(given(cancel, "cancel")?.0.clone());
        Ok(())
    })
}

/// The Accept header. Default: the client's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_accept(
    options: Option<&mut svctoken_options>,
    accept: *const c_char,
) -> svctoken_code {
    change(options, |options| {
        options.accept = Some(text(accept, "accept")?.into());
        Ok(())
    })
}

/// The request's body: `length` bytes, which are copied; `body` may be NULL if `length` is 0. `content_type` may be
/// NULL: then no Content-Type is sent. Takes the place of a body set before. Default: no body.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_body(
    options: Option<&mut svctoken_options>,
    body: *const c_void,
    length: usize,
    content_type: *const c_char,
) -> svctoken_code {
    change(options, |options| body::set(options, Body::Bytes(bytes(body, length, "body")?.to_vec()), content_type))
}

/// The largest answer body, after decoding, in bytes. Default: the client's; for a stream there is no limit but the one
/// given here.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_max_response_bytes(
    options: Option<&mut svctoken_options>,
    count: u64,
) -> svctoken_code {
    change(options, |options| {
        options.max_response_bytes = Some(count);
        Ok(())
    })
}

/// How long one svctoken_response_read may wait for a byte, in milliseconds, above zero. Default: 30 s.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_idle_timeout(
    options: Option<&mut svctoken_options>,
    milliseconds: i64,
) -> svctoken_code {
    change(options, |options| {
        let timeout = duration_of_milliseconds(milliseconds as f64);
        options.idle_timeout = Some(timeout.unwrap_or(Duration::ZERO));
        timeout.map(|_| ()).ok_or_else(|| Error::invalid_argument("idle_timeout must be above zero"))
    })
}

/// How often the request is tried in all when the server or the network fails, the first included: 1 to 10; 1 is no
/// retry. Default: the client's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_max_attempts(
    options: Option<&mut svctoken_options>,
    count: u64,
) -> svctoken_code {
    change(options, |options| {
        options.max_attempts = Some(count);
        Ok(())
    })
}

/// Says that to send this POST or PATCH twice is as good as once, so that it may be tried again after it has left. An
/// Idempotency-Key header says the same. GET, HEAD, PUT, DELETE and OPTIONS are so by themselves. Default: false.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_idempotent(
    options: Option<&mut svctoken_options>,
    idempotent: bool,
) -> svctoken_code {
    change(options, |options| {
        options.idempotent = idempotent;
        Ok(())
    })
}

/// How many pages svctoken_pages_next reads at most, 1 or more: if there are more, that is an error after the last of
/// them. Default: 1000.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_set_max_pages(options: Option<&mut svctoken_options>, count: u64) -> svctoken_code {
    change(options, |options| {
        options.max_pages = Some(count);
        Ok(())
    })
}

/// Adds a query parameter, form-encoded, after those there are.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_add_query(
    options: Option<&mut svctoken_options>,
    name: *const c_char,
    value: *const c_char,
) -> svctoken_code {
    change(options, |options| {
        options.query.push((text(name, "the query's name")?.into(), text(value, "the query's value")?.into()));
        Ok(())
    })
}

/// Adds a field to a form body (application/x-www-form-urlencoded), after those there are. Not beside
/// another body.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_add_form(
    options: Option<&mut svctoken_options>,
    name: *const c_char,
    value: *const c_char,
) -> svctoken_code {
    change(options, |options| {
        options.form.push((text(name, "the field's name")?.into(), text(value, "the field's value")?.into()));
        Ok(())
    })
}

/// Adds a header. One of the same name that the client sends by default is replaced; one of these options is joined.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_options_add_header(
    options: Option<&mut svctoken_options>,
    name: *const c_char,
    value: *const c_char,
) -> svctoken_code {
    change(options, |options| {
        options.headers.push((text(name, "the header's name")?.into(), text(value, "the header's value")?.into()));
        Ok(())
    })
}
