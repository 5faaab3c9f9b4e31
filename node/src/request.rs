//! Requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{Either, External, Uint8Array};
use napi_derive::napi;
use svctoken::{CancelToken, Client, duration_of_milliseconds};

use crate::call::{Calls, Outcome, REQUESTS, Shared};
use crate::client::NativeClient;
use crate::error::{ErrorFacts, Failure, guarded};
use crate::pages::Pages;
use crate::question::{body_of, progress_of};

/// What is to be sent.
#[napi(object, object_to_js = false)]
pub(crate) struct RequestFacts {
    pub method: String,
    pub url: String,
    /// Names and values in turn.
    pub query: Option<Vec<String>>,
    /// Names and values in turn.
    pub headers: Option<Vec<String>>,
    /// Names and values in turn; those that `headers` gives win.
    pub default_headers: Option<Vec<String>>,
    /// Names and values in turn.
    pub form: Option<Vec<String>>,
    /// Copied before the call returns.
    pub body: Option<Either<String, Uint8Array>>,
    /// In place of `body`, the path of a file.
    pub body_file: Option<String>,
    /// In place of `body`, one that is asked for its bytes while it is sent.
    pub upload: Option<UploadFacts>,
    pub content_type: Option<String>,
    pub accept: Option<String>,
    /// In milliseconds.
    pub timeout: Option<f64>,
    pub max_response_bytes: Option<f64>,
    pub max_attempts: Option<f64>,
    pub idempotent: Option<bool>,
    pub stream: Option<bool>,
    /// In milliseconds.
    pub idle_timeout: Option<f64>,
    /// The path of a file that the answer's body is written to.
    pub download: Option<String>,
    /// Progress is wanted.
    pub progress: Option<bool>,
}

/// A body that is asked for its bytes.
#[napi(object, object_to_js = false)]
pub(crate) struct UploadFacts {
    /// In bytes, where that is known.
    pub length: Option<f64>,
    /// It can begin anew.
    pub repeatable: bool,
}

/// A request that owns what it sends, to be sent on another thread.
struct Sending {
    method: String,
    url: String,
    query: Vec<String>,
    headers: Vec<String>,
    default_headers: Vec<String>,
    form: Vec<String>,
    body: Option<Vec<u8>>,
    body_file: Option<String>,
    upload: Option<UploadFacts>,
    content_type: Option<String>,
    accept: Option<String>,
    timeout: Option<Duration>,
    max_response_bytes: Option<u64>,
    max_attempts: Option<u64>,
    idempotent: bool,
    stream: bool,
    idle_timeout: Option<Duration>,
    download: Option<String>,
    progress: bool,
}

/// Starts a request, which is settled later: of the next page of `pages`, if those are given.
#[napi]
pub(crate) fn request(
    calls: &External<Calls>,
    client: &External<NativeClient>,
    call: u32,
    request: RequestFacts,
    cancellable: bool,
    pages: Option<&External<Pages>>,
) -> Either<ErrorFacts, ()> {
    guarded(|| {
        let began = Instant::now();
        let sending = Sending::from(request);
        let client = client.client.clone();
        // What ends the reads of one stream ends no other's.
        let cancel = calls.0.cancels.token(call, cancellable || sending.stream);
        let due = began + sending.timeout.unwrap_or_else(|| client.timeout());
        let pages = pages.map(|pages| Pages::clone(pages));
        let shared = calls.0.clone();
        calls.0.run(&REQUESTS, call, due, move || sending.send(&client, began, &cancel, pages, call, &shared))
    })
}

impl From<RequestFacts> for Sending {
    fn from(request: RequestFacts) -> Sending {
        Sending {
            method: request.method,
            url: request.url,
            query: request.query.unwrap_or_default(),
            headers: request.headers.unwrap_or_default(),
            default_headers: request.default_headers.unwrap_or_default(),
            form: request.form.unwrap_or_default(),
            body: request.body.map(|body| match body {
                Either::A(text) => text.into_bytes(),
                Either::B(bytes) => bytes.to_vec(),
            }),
            body_file: request.body_file,
            upload: request.upload,
            content_type: request.content_type,
            accept: request.accept,
            timeout: request.timeout.map(time),
            max_response_bytes: request.max_response_bytes.map(|bytes| bytes as u64),
            max_attempts: request.max_attempts.map(|count| count as u64),
            idempotent: request.idempotent.unwrap_or_default(),
            stream: request.stream.unwrap_or_default(),
            idle_timeout: request.idle_timeout.map(time),
            download: request.download,
            progress: request.progress.unwrap_or_default(),
        }
    }
}

/// A zero reaches the core, which has the words for it.
fn time(milliseconds: f64) -> Duration {
    duration_of_milliseconds(milliseconds).unwrap_or(Duration::ZERO)
}

impl Sending {
    /// `began`: when the caller called, who may have waited for a thread since.
    fn send(
        self,
        client: &Client,
        began: Instant,
        cancel: &CancelToken,
        pages: Option<Pages>,
        call: u32,
        shared: &Arc<Shared>,
    ) -> Result<Outcome, Failure> {
        let mut request = client.request(self.method, self.url).began(began).cancel(cancel);
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        for pair in self.query.chunks_exact(2) {
            request = request.query(&pair[0], &pair[1]);
        }
        for pair in self.headers.chunks_exact(2) {
            request = request.header(&pair[0], &pair[1]);
        }
        for pair in self.default_headers.chunks_exact(2) {
            request = request.default_header(&pair[0], &pair[1]);
        }
        for pair in self.form.chunks_exact(2) {
            request = request.form(&pair[0], &pair[1]);
        }
        if let Some(accept) = self.accept {
            request = request.accept(accept);
        }
        if let Some(body) = self.body {
            request = request.body(body);
        }
        if let Some(path) = self.body_file {
            request = request.body_file(path);
        }
        if let Some(upload) = self.upload {
            request =
                request.body_asked(body_of(call, shared), upload.length.map(|length| length as u64), upload.repeatable);
        }
        if let Some(content_type) = self.content_type {
            request = request.content_type(content_type);
        }
        if let Some(bytes) = self.max_response_bytes {
            request = request.max_response_bytes(bytes);
        }
        if let Some(count) = self.max_attempts {
            request = request.max_attempts(count);
        }
        if let Some(timeout) = self.idle_timeout {
            request = request.idle_timeout(timeout);
        }
        let request = request.idempotent(self.idempotent);
        if let Some(path) = self.download {
            let request = if self.progress { request.on_progress(progress_of(call, shared)) } else { request };
            return Ok(Outcome::Response(request.download(path)?));
        }
        if self.stream {
            return Ok(Outcome::Stream(Box::new(request.send_streaming()?), cancel.clone()));
        }
        let response = match pages {
            None => Some(request.send()?),
            Some(pages) => request.send_page(&mut pages.lock())?,
        };
        Ok(response.map_or(Outcome::Done, Outcome::Response))
    }
}
