//! A request: what the caller says, and where it may go.

mod body;
mod download;
mod headers;
mod hooks;
mod paging;
mod sending;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::config::header;
use crate::config::settings::{Settings, check_attempts};
use crate::config::url::{self, Url};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::{Answer, Method, Reading, is_idempotent};
use crate::request::body::RequestBody;
use crate::request::download::OnProgress;
pub(crate) use crate::request::headers::default_headers;
pub(crate) use crate::request::hooks::Hooks;
pub use crate::request::hooks::{AfterReceive, BeforeSend};
pub use crate::request::paging::{Items, Pages};
use crate::request::sending::{Sending, Target};
use crate::response::{Asked, Response, StreamingResponse};
use crate::retry::Policy;
use crate::wait::{CallOptions, CancelToken, InterruptCheck, Wait};

/// How long a stream may pause unless its call says otherwise.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request in the making; [`send`](RequestBuilder::send) sends it.
///
/// Nothing is checked before `send`, which names what is wrong.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder<'a> {
    client: &'a Client,
    method: Cow<'a, str>,
    target: Cow<'a, str>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    default_headers: Vec<(String, String)>,
    accept: Option<String>,
    body: RequestBody<'a>,
    max_response_bytes: Option<u64>,
    idle_timeout: Option<Duration>,
    max_attempts: Option<u64>,
    idempotent: bool,
    on_progress: Option<OnProgress<'a>>,
    options: CallOptions,
}

impl<'a> RequestBuilder<'a> {
    pub(crate) fn new(client: &'a Client, method: Cow<'a, str>, target: Cow<'a, str>) -> RequestBuilder<'a> {
        RequestBuilder {
            client,
            method,
            target,
            query: Vec::new(),
            headers: Vec::new(),
            default_headers: Vec::new(),
            accept: None,
            body: RequestBody::default(),
            max_response_bytes: None,
            idle_timeout: None,
            max_attempts: None,
            idempotent: false,
            on_progress: None,
            options: CallOptions::default(),
        }
    }

    /// Adds a query parameter, form-encoded, after those there are.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Adds a header. One of the same name that the client sets by default is replaced; one of this call is joined.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a header that is sent unless this call gives one of the same name by [`header`](RequestBuilder::header). One of
    /// the same name that the client sets by default is replaced.
    pub fn default_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.default_headers.push((name.into(), value.into()));
        self
    }

    /// The Accept header of this call. Default: the client's.
    pub fn accept(mut self, value: impl Into<String>) -> Self {
        self.accept = Some(value.into());
        self
    }

    /// How long the whole call may take, waiting for a token and reading the answer included. Default: the client's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// When the caller called, where the call waited for a thread since: the timeout runs from then. Default: now.
    pub fn began(mut self, began: Instant) -> Self {
        self.options.began = Some(began);
        self
    }

    /// Ends the call early.
    pub fn cancel(mut self, cancel: &CancelToken) -> Self {
        self.options.cancel = Some(cancel.clone());
        self
    }

    /// Asked whenever a signal interrupts a wait, and every 50 ms; `true` ends the call as cancelled.
    pub fn interrupt(mut self, check: InterruptCheck) -> Self {
        self.options.interrupt = Some(check);
        self
    }

    /// The largest answer body, in bytes after decoding. Default: the client's; for a stream there is no limit but the
    /// one given here.
    pub fn max_response_bytes(mut self, bytes: u64) -> Self {
        self.max_response_bytes = Some(bytes);
        self
    }

    /// How long one read of a stream may wait for a byte, above zero. Default: 30 s. Of no meaning for answers that are
    /// read whole.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// How often the request is tried in all when the server or the network fails, the first included: 1 to 10; 1 is no
    /// retry. Default: the client's.
    pub fn max_attempts(mut self, count: u64) -> Self {
        self.max_attempts = Some(count);
        self
    }

    /// Says that to send this POST or PATCH twice is as good as once, so that it may be tried again after it has left.
    /// An Idempotency-Key header says the same. GET, HEAD, PUT, DELETE and OPTIONS are so by themselves (RFC 9110
    /// section 9.2.2). Default: false.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Sends the request and reads its answer whole. Any HTTP status is an answer.
    ///
    /// Blocks, at most for the call's timeout. Failed connections and answers of 429 are tried again, and so are 408,
    /// 502, 503, 504 and broken connections where that cannot do the request's work twice. Redirects are followed: 301,
    /// 302 and 303 for GET and HEAD, 307 and 308 for every method, at most 5; to another origin for GET and HEAD without
    /// a body only, and without the token or any header but Accept, Range and User-Agent.
    ///
    /// Fails with `invalid_argument` or `origin_refused` before any network, with the token's errors if there is no
    /// token, with the network's, and with `redirect_refused` where a redirect leads where it may not.
    pub fn send(self) -> Result<Response> {
        let limit = self.max_response_bytes.unwrap_or(self.client.settings().max_response_bytes);
        let client = self.client;
        let (answer, attempts, asked) = self.answer(Reading::Whole { limit })?;
        let response = Response::new(answer, attempts, asked);
        client.hooks().received(&response);
        Ok(response)
    }

    /// As [`send`](RequestBuilder::send), with the answer's body left to be read as it comes, in memory that does not
    /// grow.
    ///
    /// The call's timeout runs to the answer's head; after it each read waits at most `idle_timeout` for a byte, and
    /// the call's cancel ends it as well. `max_response_bytes` counts only if this call gives it. What is tried or sent
    /// again, and redirects, end with the head too: a body that breaks off is an error of its reader's. Of an answer of
    /// 300 or above up to 64 KiB of the body are read at once, within the timeout, for its error to tell what they say.
    pub fn send_streaming(self) -> Result<StreamingResponse> {
        if self.idle_timeout == Some(Duration::ZERO) {
            return Err(Error::argument("idle_timeout must be above zero"));
        }
        let (limit, idle) = (self.max_response_bytes, self.idle_timeout.unwrap_or(IDLE_TIMEOUT));
        let client = self.client;
        let (answer, attempts, asked) = self.answer(Reading::Stream { limit, idle })?;
        let response = StreamingResponse::new(answer, attempts, asked);
        client.hooks().received(response.head());
        Ok(response)
    }

    fn answer(mut self, reading: Reading) -> Result<(Answer, u32, Asked)> {
        let client = self.client;
        client.check_open()?;
        let settings = client.settings();
        if let Some(before_send) = &client.hooks().before_send {
            self.default_headers.extend(before_send(&self.method, &self.target));
        }
        self.body.write_form()?;
        let url = self.url(settings)?;
        let headers = self.header_map()?;
        let method = self.checked_method()?;
        if self.options.timeout == Some(Duration::ZERO) {
            return Err(Error::argument("timeout must be above zero"));
        }
        if self.max_response_bytes == Some(0) {
            return Err(Error::argument("max_response_bytes must be 1 or more"));
        }
        let most = match self.max_attempts {
            Some(count) => check_attempts(count).map_err(Error::argument)?,
            None => settings.max_attempts,
        };
        let repeatable = self.idempotent || is_idempotent(&method) || headers.contains_key("idempotency-key");
        let body = self.body.begin()?;
        client.counters().request();
        let wait = Wait::for_call(&self.options, settings.timeout);
        let target = Target { method, url, headers, body };
        Sending::begin(client, target, &wait, reading, Policy { most, repeatable })?.run()
    }

    /// Where the request goes: a path on the base's origin, or a URL of an origin that may get the token.
    fn url(&self, settings: &Settings) -> Result<Url> {
        let wrong = |why: String| Error::argument(format!("the URL {:?} {why}", url::shown(&self.target)));
        let mut url = if !self.target.starts_with('/') && self.target.contains("://") {
            let url = Url::parse(&self.target).map_err(wrong)?;
            let known =
                settings.base_origin.iter().chain(&settings.allowed_origins).any(|origin| *origin == url.origin);
            if !known {
                let what = format!(
                    "{} is neither the base_url's origin nor in allowed_origins, so it gets no token",
                    url.origin
                );
                return Err(Error::new(ErrorCode::OriginRefused, Stage::Argument, what));
            }
            url
        } else {
            let Some(origin) = &settings.base_origin else {
                return Err(Error::argument(format!(
                    "the path {:?} has no server: the client has no base_url",
                    url::shown(&self.target)
                ))
                .with_next_step("Give the client a base_url, or the request an absolute URL."));
            };
            Url::on_origin(origin, &self.target).map_err(wrong)?
        };
        url.add_query(self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Ok(url)
    }

    fn checked_method(&self) -> Result<Method> {
        if !header::is_token(&self.method) {
            return Err(Error::argument(format!("the method {:?} is no token (RFC 9110 section 5.6.2)", self.method)));
        }
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| Error::argument(format!("the method {:?} cannot be sent", self.method)))?;
        if [Method::CONNECT, Method::TRACE].contains(&method) {
            return Err(Error::argument(format!(
                "the method {method} is not for APIs, and TRACE would echo the token"
            )));
        }
        if method == Method::HEAD && self.body.is_some() {
            return Err(Error::argument("a HEAD request has no body"));
        }
        Ok(method)
    }
}

impl fmt::Debug for RequestBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &self.method)
            .field("target", &url::shown(&self.target))
            .finish_non_exhaustive()
    }
}
