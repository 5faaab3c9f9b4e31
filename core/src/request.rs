//! A request: what the caller says, where it may go, and what a 401 means.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::config::header;
use crate::config::settings::Settings;
use crate::config::url::{self, Url};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::{Answer, HeaderMap, HeaderName, HeaderValue, HttpClient, Method, Outgoing};
use crate::response::Response;
use crate::token::Token;
use crate::wait::{CallOptions, CancelToken, InterruptCheck, Wait};

/// How long a token that is too fresh is given to become known everywhere.
const REPLICA_LAG: Duration = Duration::from_millis(250);
/// More than any server takes, and few enough for the map that holds them, which panics when it is full.
const MOST_HEADERS: usize = 1000;

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
    accept: Option<String>,
    body: Option<Cow<'a, [u8]>>,
    content_type: Option<String>,
    max_response_bytes: Option<u64>,
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
            accept: None,
            body: None,
            content_type: None,
            max_response_bytes: None,
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

    /// The Accept header of this call. Default: the client's.
    pub fn accept(mut self, value: impl Into<String>) -> Self {
        self.accept = Some(value.into());
        self
    }

    /// A JSON body, with its Content-Type.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body(value.to_string().into_bytes()).content_type("application/json")
    }

    /// A body of bytes; no Content-Type is sent unless one is given.
    pub fn body(mut self, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        self.body = Some(bytes.into());
        self
    }

    /// The body's Content-Type.
    pub fn content_type(mut self, value: impl Into<String>) -> Self {
        self.content_type = Some(value.into());
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

    /// The largest answer body, in bytes after decoding. Default: the client's.
    pub fn max_response_bytes(mut self, bytes: u64) -> Self {
        self.max_response_bytes = Some(bytes);
        self
    }

    /// Sends the request and reads its answer whole. Any HTTP status is an answer.
    ///
    /// Blocks, at most for the call's timeout. Fails with `invalid_argument` or `origin_refused` before any network,
    /// with the token's errors if there is no token, and with the network's.
    pub fn send(self) -> Result<Response> {
        let client = self.client;
        client.check_open()?;
        let settings = client.settings();
        let url = self.url(settings)?;
        let headers = self.header_map(settings)?;
        let method = self.checked_method()?;
        if self.options.timeout == Some(Duration::ZERO) {
            return Err(Error::argument("timeout must be above zero"));
        }
        if self.max_response_bytes == Some(0) {
            return Err(Error::argument("max_response_bytes must be 1 or more"));
        }
        client.count_request();
        let wait = Wait::for_call(&self.options, settings.timeout);
        let http = client.http();
        let mut sending = Sending {
            client,
            http: &http,
            outgoing: Outgoing { method, url: &url, headers, body: self.body.as_deref() },
            wait: &wait,
            limit: self.max_response_bytes.unwrap_or(settings.max_response_bytes),
            sends: 0,
        };
        let answer = sending.run()?;
        let authorization = sending.outgoing.headers.remove("authorization").expect("every send has put it there");
        Ok(Response::new(answer, sending.sends, url.to_string(), authorization))
    }

    /// Where the request goes: a path on the base's origin, or a URL of an origin that may get the token.
    fn url(&self, settings: &Settings) -> Result<Url> {
        let wrong = |why: String| Error::argument(format!("the URL {:?} {why}", url::shown(&self.target)));
        let mut url = if self.target.contains("://") {
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

    fn header_map(&self, settings: &Settings) -> Result<HeaderMap> {
        if self.headers.len() + settings.headers.len() > MOST_HEADERS {
            return Err(Error::argument(format!("a request has more than {MOST_HEADERS} headers")));
        }
        let mut headers = HeaderMap::new();
        let mut defaults = vec![("user-agent", settings.user_agent.as_str()), ("accept", settings.accept.as_str())];
        defaults.extend(settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        for (name, value) in defaults {
            headers.insert(header_name(name)?, header_value(name, value)?);
        }
        for (name, value) in [("accept", &self.accept), ("content-type", &self.content_type)] {
            if let Some(value) = value {
                header::check_value(value).map_err(|why| Error::argument(format!("{name} {why}")))?;
                headers.insert(header_name(name)?, header_value(name, value)?);
            }
        }
        for (name, value) in &self.headers {
            header::check(name, value).map_err(Error::argument)?;
            headers.remove(name.as_str());
        }
        for (name, value) in &self.headers {
            headers.append(header_name(name)?, header_value(name, value)?);
        }
        Ok(headers)
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

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::argument(format!("the header name {name:?} cannot be sent")))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| Error::argument(format!("the value of the header {name} cannot be sent")))
}

/// A call in progress.
struct Sending<'a> {
    client: &'a Client,
    http: &'a HttpClient,
    outgoing: Outgoing<'a>,
    wait: &'a Wait,
    limit: u64,
    sends: u32,
}

impl Sending<'_> {
    /// At most three sends: the first, one of its token's successor, and one of a token that is too fresh to be known
    /// everywhere.
    fn run(&mut self) -> Result<Answer> {
        let mut token = self.client.token(self.wait)?;
        let mut too_fresh = token.is_too_fresh();
        let mut answer = self.send(&token)?;
        if answer.status == 401 && self.client.was_revoked(&token) {
            too_fresh = false;
        }
        let mut replaced = false;
        if answer.status == 401 && !too_fresh {
            self.client.condemn(&token, self.wait);
            // Without a successor the refusal is the caller's answer: it tells more than "no token" would.
            match self.client.token(self.wait) {
                Ok(successor) if successor.generation() != token.generation() => token = successor,
                Err(error) if error.code() == ErrorCode::Cancelled => return Err(error),
                _ => return Ok(answer),
            }
            replaced = true;
            too_fresh = token.is_too_fresh();
            answer = self.resend(&token, "replaced")?;
        }
        if answer.status == 401 && too_fresh {
            if self.wait.sleep(REPLICA_LAG).is_err() {
                return Ok(answer);
            }
            answer = self.resend(&token, "too_fresh")?;
        }
        match answer.status {
            // However long this answer took: the token was new when it was sent, and a newer one would fare no better.
            401 if replaced || too_fresh => self.client.hold(&token),
            401 => {}
            _ if replaced => self.client.accepted(&token),
            _ => {}
        }
        Ok(answer)
    }

    fn resend(&mut self, token: &Token, reason: &'static str) -> Result<Answer> {
        self.client.count_resend();
        self.client.log().request_resent(reason, self.sends + 1);
        self.send(token)
    }

    fn send(&mut self, token: &Token) -> Result<Answer> {
        self.sends += 1;
        self.outgoing.headers.insert("authorization", token.header());
        let sent = self.http.send(&self.outgoing, self.wait, self.limit);
        sent.map_err(|error| {
            error.while_doing(&format!("{} {}", self.outgoing.method, without_query(self.outgoing.url)))
        })
    }
}

/// A query may hold what is not for error texts.
fn without_query(url: &Url) -> String {
    let path = url.path_and_query.split('?').next().unwrap_or_default();
    format!("{}{path}", url.origin)
}
