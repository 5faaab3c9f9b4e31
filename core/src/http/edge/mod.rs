//! The one place that knows ureq: its requests and answers, and the parts of `ureq::unversioned` that let it run on
//! our sockets. That module may change in any minor release of ureq, and nothing outside this folder would notice.
//!
//! ureq's own timeouts stay off, but for the time in which a server may say that it wants a body: our sockets wait with the
//! deadline and the cancel of the call in hand, which travel beside ureq in a thread-local, because a pooled connection
//! outlives the call that opened it.

mod connection;
mod current;
mod gunzip;
mod open_body;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::uri::Uri;
pub(crate) use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, header as header_names};
use ureq::{Agent, SendBody};

use crate::config::proxy::{Proxies, ProxyAddress};
use crate::config::url::{Origin, Url};
use crate::error::{Error, ErrorCode, Result, Stage};
#[cfg(test)]
use crate::http::Progress;
use crate::http::dial::Dialer;
use crate::http::edge::connection::{Connect, NoLookUp};
use crate::http::edge::current::{Exchange, InCall, current_wait, in_current};
pub(crate) use crate::http::edge::open_body::OpenBody;
use crate::http::expectation::Expectations;
use crate::http::{Answer, BodyStream, Broken, Network, Outgoing, Reading, Upload, is_idempotent};
use crate::net::tunnel;
use crate::wait::Wait;

/// Enough for the heads and the JSON of an API; ureq's own 128 KiB each way cost 230 KiB more a connection.
const BUFFER: usize = 16 * 1024;
/// ureq reads a head into one buffer and would take a full buffer for the end of the stream.
const LARGEST_HEAD: usize = BUFFER - 1;
/// ureq writes the request line and each header whole into one buffer: room for the longest token behind its name.
const OUTPUT_BUFFER: usize = 17 * 1024;
/// What a line has beside its text: a method or a name, a version, separators.
const LARGEST_LINE: usize = OUTPUT_BUFFER - 512;
/// What is read of an answer that is no success, though its body is wanted as a stream.
const READ_AHEAD: u64 = 64 * 1024;
/// As many idle connections as callers are likely to use at once.
const MOST_IDLE: usize = 256;
const IDLE_FOR: Duration = Duration::from_secs(55);
/// The longer a connection was idle, the likelier the server closes it in the very moment of its use; what must not be
/// sent twice has no remedy then.
const IDLE_FOR_ONCE_ONLY: Duration = Duration::from_secs(2);
/// How long a server is given to say that it wants the body (RFC 9110 section 10.1.1); many never do.
const LONGEST_EXPECTATION: Duration = Duration::from_secs(1);

/// A pool of connections, and the ways to make more.
pub(crate) struct HttpClient {
    agent: Agent,
    proxies: Arc<Proxies>,
    expectations: Expectations,
}

impl HttpClient {
    pub(crate) fn new(network: &Arc<Network>) -> HttpClient {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .max_response_header_size(LARGEST_HEAD)
            .max_idle_connections(MOST_IDLE)
            .max_idle_connections_per_host(MOST_IDLE)
            .max_idle_age(IDLE_FOR)
            .timeout_await_100(Some(LONGEST_EXPECTATION))
            // Never over; but without it ureq would not tell us that what it writes is the body.
            .timeout_send_body(Some(Duration::from_secs(365 * 24 * 3600)))
            .build();
        let connector = Connect { dialer: Dialer::new(network) };
        let agent = Agent::with_parts(config, connector, NoLookUp);
        HttpClient { agent, proxies: network.proxies.clone(), expectations: Expectations::default() }
    }

    /// Whether it is worth a second to ask a server if it wants a body.
    pub(crate) fn may_expect_continue(&self, origin: &Origin) -> bool {
        self.expectations.are_known_to(origin)
    }

    /// Sends a request and reads its answer: of one that is to be read as a stream the head, and if that says no
    /// success the beginning of the body too, which tells why and is all that most such answers have.
    pub(crate) fn send(
        &self,
        outgoing: &Outgoing<'_>,
        wait: &Wait,
        reading: Reading,
    ) -> std::result::Result<Answer, Broken> {
        self.send_with(outgoing, None, wait, reading)
    }

    /// As [`send`](HttpClient::send), with a body that is read while it is sent, in place of the request's own. A server
    /// that answers with 300 or above before it has all of it gets no more.
    pub(crate) fn send_with(
        &self,
        outgoing: &Outgoing<'_>,
        upload: Option<&mut Upload<'_>>,
        wait: &Wait,
        reading: Reading,
    ) -> std::result::Result<Answer, Broken> {
        #[cfg(test)]
        if let Some(played) = crate::simulation::exchange(outgoing, wait) {
            return played.map_err(|error| {
                let left = error.stage() != crate::error::Stage::Connecting;
                Broken { error, progress: Progress { left, ..Progress::default() } }
            });
        }
        let longest_idle = match &outgoing.method {
            _ if outgoing.new_connection => Duration::ZERO,
            method if is_idempotent(method) => IDLE_FOR,
            _ => IDLE_FOR_ONCE_ONLY,
        };
        let large_body = upload.is_some() || outgoing.body.is_some_and(|body| body.len() > OUTPUT_BUFFER);
        let _in_call = InCall::of(Exchange { large_body, ..Exchange::new(wait, longest_idle) });
        self.exchange(outgoing, upload, wait, reading)
            .map_err(|error| Broken { error, progress: in_current(|exchange| exchange.progress) })
    }

    fn exchange(
        &self,
        outgoing: &Outgoing<'_>,
        upload: Option<&mut Upload<'_>>,
        wait: &Wait,
        reading: Reading,
    ) -> Result<Answer> {
        check_lines(outgoing)?;
        let mut request = ureq::http::Request::new(());
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = to_uri(outgoing.url)?;
        *request.headers_mut() = outgoing.headers.clone();
        // A part of what is encoded cannot be decoded alone.
        let encodings = if outgoing.headers.contains_key(header_names::RANGE) { "identity" } else { "gzip" };
        request.headers_mut().entry(header_names::ACCEPT_ENCODING).or_insert(HeaderValue::from_static(encodings));
        let forwarder = self.proxies.forwarder(&outgoing.url.origin);
        if let Some(proxy) = forwarder {
            request.headers_mut().extend(proxy_authorization(proxy));
            in_current(|exchange| exchange.forwarded_to = Some(outgoing.url.origin.to_string()));
        }
        let needs_body = [Method::POST, Method::PUT, Method::PATCH].contains(&outgoing.method);
        let answer = match (upload, outgoing.body) {
            (Some(upload), _) => {
                upload.check_empty(wait)?;
                if let Some(length) = upload.length() {
                    request.headers_mut().insert(header_names::CONTENT_LENGTH, HeaderValue::from(length));
                }
                let mut outflow = Outflow(upload);
                self.agent.run(request.map(|()| SendBody::from_reader(&mut outflow)))
            }
            (None, Some(body)) => self.agent.run(request.map(|()| body)),
            (None, None) if needs_body => self.agent.run(request.map(|()| &[] as &[u8])),
            (None, None) => self.agent.run(request),
        };
        if in_current(|exchange| exchange.expectation_ignored) {
            self.expectations.failed(&outgoing.url.origin);
        }
        let (head, body) = answer.map_err(|error| from_ureq(error, &outgoing.url.origin))?.into_parts();
        if let Some(proxy) = forwarder.filter(|_| head.status == 407) {
            return Err(refused_by(proxy, &head.headers, outgoing.url));
        }
        check_framing(&head.headers, outgoing.url)?;
        let status = head.status.as_u16();
        if status == 417 && outgoing.headers.contains_key(header_names::EXPECT) {
            self.expectations.failed(&outgoing.url.origin);
        }
        let mut open = OpenBody::new(body, head.status, &head.headers, outgoing.url);
        match reading {
            Reading::Whole { limit } => Ok(Answer::whole(status, head.headers, open.read_whole(limit)?)),
            Reading::Stream { limit, idle } => {
                open.check_length(limit.unwrap_or(u64::MAX))?;
                let most = if head.status.is_success() { 0 } else { READ_AHEAD.min(limit.unwrap_or(u64::MAX)) };
                let body = open.read_up_to(most)?;
                let stream = BodyStream::new(open, wait, limit, idle, body.len() as u64);
                let rest = Some(Box::new(stream));
                Ok(Answer { status, headers: head.headers, body, rest })
            }
        }
    }
}

/// A request's body as ureq reads it.
struct Outflow<'u, 'a>(&'u mut Upload<'a>);

impl Read for Outflow<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // ureq counts every byte of a body whose length was said; these are not sent.
        if in_current(|exchange| exchange.body_unwanted) {
            return Ok(self.0.skip(buffer.len()));
        }
        self.0.read(buffer, &current_wait()).map_err(|error| io::Error::other(other(error)))
    }
}

/// What is too long for our buffer is too long for nearly every server as well.
fn check_lines(outgoing: &Outgoing<'_>) -> Result<()> {
    let too_long = |what: &str, length: usize| {
        Error::argument(format!("{what} has {length} bytes, more than the {LARGEST_LINE} that can be sent"))
    };
    let target = outgoing.url.path_and_query.len() + outgoing.method.as_str().len();
    if target > LARGEST_LINE {
        return Err(too_long("the URL's path and query", target));
    }
    match outgoing.headers.iter().find(|(name, value)| name.as_str().len() + value.len() > LARGEST_LINE) {
        Some((name, value)) => Err(too_long(&format!("the header {:.100}", name.as_str()), value.len())),
        None => Ok(()),
    }
}

/// A forwarding proxy reads its credential from the request itself.
fn proxy_authorization(proxy: &ProxyAddress) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(proxy.basic()?.reveal()).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    Some((HeaderName::from_static("proxy-authorization"), value))
}

fn refused_by(proxy: &ProxyAddress, headers: &HeaderMap, url: &Url) -> Error {
    let schemes = headers.get_all("proxy-authenticate").iter().filter_map(|value| value.to_str().ok());
    let head: String = schemes.map(|scheme| format!("proxy-authenticate: {scheme}\n")).collect();
    tunnel::forwarding_refused(&proxy.place(), &url.origin.to_string(), 407, &head)
}

fn to_uri(url: &Url) -> Result<Uri> {
    url.text()
        .parse()
        .map_err(|error| Error::argument(format!("the URL on {} is not one HTTP can carry: {error}", url.origin)))
}

/// Two lengths, or a length beside chunks, and two readers disagree where the answer ends (RFC 9112 section 6.3). The
/// connection goes with the answer's body, which is dropped unread.
fn check_framing(headers: &HeaderMap, url: &Url) -> Result<()> {
    let lengths = headers.get_all(header_names::CONTENT_LENGTH).iter().count();
    if lengths > 1 || (lengths == 1 && headers.contains_key(header_names::TRANSFER_ENCODING)) {
        let what = format!("{} sent an answer with two lengths", url.origin);
        return Err(Error::new(ErrorCode::BadAnswer, Stage::Receiving, what));
    }
    Ok(())
}

/// ureq's errors as ours; those our own sockets made come back as they were.
fn from_ureq(error: ureq::Error, origin: &Origin) -> Error {
    let bad = |why: String| {
        Error::new(
            ErrorCode::BadAnswer,
            Stage::Receiving,
            format!("the answer of {} is not HTTP as it should be: {why}", origin),
        )
    };
    let lost = || {
        let what = format!("{} closed the connection before the answer was whole", origin);
        Error::new(ErrorCode::ConnectionLost, Stage::Receiving, what)
    };
    match error {
        ureq::Error::Other(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => bad(other.to_string()),
        },
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => lost(),
        // The end came in the middle of a chunk.
        ureq::Error::BodyStalled => lost(),
        ureq::Error::LargeResponseHeader(..) => bad(format!("its head is larger than {LARGEST_HEAD} bytes")),
        other => bad(other.to_string()),
    }
}

fn other(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}
