//! The one place that knows ureq: its requests and answers, and the parts of `ureq::unversioned` that let it run on
//! our sockets. That module may change in any minor release of ureq, and nothing outside this file would notice.
//!
//! ureq's own timeouts stay off: our sockets wait with the deadline and the cancel of the call in hand, which travel
//! beside ureq in a thread-local, because a pooled connection outlives the call that opened it.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use ureq::http::uri::Uri;
pub(crate) use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as UreqResolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Agent, Body, BodyReader, SendBody, Timeout};

use crate::clock::{self, BootTime};
use crate::config::proxy::{Proxies, ProxyAddress};
use crate::config::url::{Origin, Url};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::dial::Dialer;
use crate::http::interim::{self, Beginning};
use crate::http::{Answer, BodyStream, Broken, Network, Outgoing, Progress, Reading, Upload, is_idempotent};
use crate::net::stream::Stream;
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
/// A promised length is believed up to here; beyond it memory is taken as the bytes come.
const LARGEST_RESERVE: u64 = 64 * 1024 * 1024;
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

thread_local! {
    /// The call this thread is in.
    static CURRENT: RefCell<Option<Exchange>> = const { RefCell::new(None) };
}

/// What a call hands to our sockets beside ureq, and hears from them.
struct Exchange {
    wait: Wait,
    /// How long one read may wait for a byte, where that is no matter of the whole call's time.
    idle: Option<Duration>,
    /// How long a connection may have been idle that this request goes over.
    longest_idle: Duration,
    /// The origin that a proxy is to be told in the request's first line, which is yet to be written.
    forwarded_to: Option<String>,
    /// The request's body is so large that its server may answer, and read no more, before it has left.
    large_body: bool,
    /// The server has answered, or taken no more, before the body was whole: what is left of that goes nowhere.
    body_unwanted: bool,
    progress: Progress,
}

impl Exchange {
    fn new(wait: &Wait, longest_idle: Duration) -> Exchange {
        Exchange {
            wait: wait.clone(),
            idle: None,
            longest_idle,
            forwarded_to: None,
            large_body: false,
            body_unwanted: false,
            progress: Progress::default(),
        }
    }
}

/// Puts an exchange in place for as long as it lives. The one before comes back afterwards: a host's signal handler may
/// run inside a wait and make a call of its own.
struct InCall {
    before: Option<Exchange>,
}

impl InCall {
    fn with(wait: &Wait, longest_idle: Duration) -> InCall {
        InCall::of(Exchange::new(wait, longest_idle))
    }

    fn reading(wait: &Wait, idle: Duration) -> InCall {
        InCall::of(Exchange { idle: Some(idle), ..Exchange::new(wait, IDLE_FOR) })
    }

    fn of(exchange: Exchange) -> InCall {
        InCall { before: CURRENT.replace(Some(exchange)) }
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

fn in_current<T>(look: impl FnOnce(&mut Exchange) -> T) -> T {
    CURRENT.with_borrow_mut(|current| look(current.as_mut().expect("ureq works only inside HttpClient::send")))
}

fn current_wait() -> Wait {
    in_current(|Exchange { wait, idle, .. }| match idle {
        Some(idle) => wait.limited("idle_timeout", *idle),
        None => wait.clone(),
    })
}

/// A pool of connections, and the ways to make more.
pub(crate) struct HttpClient {
    agent: Agent,
    proxies: Arc<Proxies>,
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
        HttpClient { agent: Agent::with_parts(config, connector, NoLookUp), proxies: network.proxies.clone() }
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
    /// that answers before it has all of it gets no more.
    pub(crate) fn send_with(
        &self,
        outgoing: &Outgoing<'_>,
        upload: Option<&mut Upload<'_>>,
        wait: &Wait,
        reading: Reading,
    ) -> std::result::Result<Answer, Broken> {
        #[cfg(test)]
        if let Some(played) = crate::simulation::exchange(outgoing, wait) {
            let progress = Progress { left: true, ..Progress::default() };
            return played.map_err(|error| Broken { error, progress });
        }
        let longest_idle = if is_idempotent(&outgoing.method) { IDLE_FOR } else { IDLE_FOR_ONCE_ONLY };
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
        request.headers_mut().entry("accept-encoding").or_insert(HeaderValue::from_static("gzip"));
        let forwarder = self.proxies.forwarder(&outgoing.url.origin);
        if let Some(proxy) = forwarder {
            request.headers_mut().extend(proxy_authorization(proxy));
            in_current(|exchange| exchange.forwarded_to = Some(outgoing.url.origin.to_string()));
        }
        let needs_body = [Method::POST, Method::PUT, Method::PATCH].contains(&outgoing.method);
        let answer = match (upload, outgoing.body) {
            (Some(upload), _) => {
                if let Some(length) = upload.length() {
                    request.headers_mut().insert("content-length", HeaderValue::from(length));
                }
                let mut outflow = Outflow(upload);
                self.agent.run(request.map(|()| SendBody::from_reader(&mut outflow)))
            }
            (None, Some(body)) => self.agent.run(request.map(|()| body)),
            (None, None) if needs_body => self.agent.run(request.map(|()| &[] as &[u8])),
            (None, None) => self.agent.run(request),
        };
        let (head, body) = answer.map_err(|error| from_ureq(error, &outgoing.url.origin))?.into_parts();
        if let Some(proxy) = forwarder.filter(|_| head.status == 407) {
            return Err(refused_by(proxy, &head.headers, outgoing.url));
        }
        check_framing(&head.headers, outgoing.url)?;
        let status = head.status.as_u16();
        let mut open = OpenBody::new(body, &head.headers, outgoing.url);
        match reading {
            Reading::Whole { limit } => Ok(Answer::whole(status, head.headers, open.read_whole(limit)?)),
            Reading::Stream { limit, idle } => {
                open.check_length(limit.unwrap_or(u64::MAX))?;
                let body = open.read_up_to(if head.status.is_success() { 0 } else { READ_AHEAD })?;
                let rest = Some(Box::new(BodyStream::new(open, wait, limit, idle)));
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

/// A request as a forwarding proxy wants it, with the whole URL in its first line (RFC 9112 section 3.2.2); ureq writes
/// that line at once, and only its path.
fn in_absolute_form(output: &[u8], origin: &str) -> Vec<u8> {
    let method = output.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
    [&output[..method], origin.as_bytes(), &output[method..]].concat()
}

fn to_uri(url: &Url) -> Result<Uri> {
    url.to_string()
        .parse()
        .map_err(|error| Error::argument(format!("the URL on {} is not one HTTP can carry: {error}", url.origin)))
}

/// Two lengths, or a length beside chunks, and two readers disagree where the answer ends (RFC 9112 section 6.3). The
/// connection goes with the answer's body, which is dropped unread.
fn check_framing(headers: &HeaderMap, url: &Url) -> Result<()> {
    let lengths = headers.get_all("content-length").iter().count();
    if lengths > 1 || (lengths == 1 && headers.contains_key("transfer-encoding")) {
        let what = format!("{} sent an answer with two lengths", url.origin);
        return Err(Error::new(ErrorCode::BadAnswer, Stage::Receiving, what));
    }
    Ok(())
}

/// A body that is still to be read, over the connection its answer came by.
pub(crate) struct OpenBody {
    decoding: Decoding,
    /// How many bytes it will have, where that is known.
    length: Option<u64>,
    /// Where it comes from, for messages.
    origin: Origin,
}

/// A body's Content-Encoding, undone.
enum Decoding {
    AsItIs(BodyReader<'static>),
    /// Encoded, and nothing was read yet: an answer without a body may still say how it would have been encoded.
    NotBegun(BufReader<BodyReader<'static>>),
    Gzip(Box<MultiGzDecoder<BufReader<BodyReader<'static>>>>),
    Ended,
}

impl Read for Decoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Decoding::NotBegun(reader) = self {
            let is_empty = reader.fill_buf()?.is_empty();
            *self = match mem::replace(self, Decoding::Ended) {
                Decoding::NotBegun(reader) if !is_empty => Decoding::Gzip(Box::new(MultiGzDecoder::new(reader))),
                _ => Decoding::Ended,
            };
        }
        match self {
            Decoding::AsItIs(reader) => reader.read(buffer),
            Decoding::Gzip(reader) => reader.read(buffer),
            Decoding::NotBegun(_) | Decoding::Ended => Ok(0),
        }
    }
}

impl OpenBody {
    fn new(body: Body, headers: &HeaderMap, url: &Url) -> OpenBody {
        let encoded = headers.get("content-encoding").is_some_and(|encoding| is_gzip(encoding.as_bytes()));
        // Of a body that is encoded, the length tells nothing about what it becomes.
        let length = body.content_length().filter(|_| !encoded);
        // ureq's limit is inclusive; the byte too many is ours to find.
        let reader = body.into_with_config().limit(u64::MAX).reader();
        let decoding = match encoded {
            true => Decoding::NotBegun(BufReader::with_capacity(BUFFER, reader)),
            false => Decoding::AsItIs(reader),
        };
        OpenBody { decoding, length, origin: url.origin.clone() }
    }

    /// The error of a body with more than `limit` bytes.
    pub(crate) fn too_large(&self, limit: u64) -> Error {
        let what = format!("the answer of {} has more than {limit} bytes", self.origin);
        Error::new(ErrorCode::AnswerTooLarge, Stage::Receiving, what)
    }

    fn check_length(&self, limit: u64) -> Result<()> {
        if self.length.unwrap_or(0) > limit { Err(self.too_large(limit)) } else { Ok(()) }
    }

    fn read_whole(&mut self, limit: u64) -> Result<Vec<u8>> {
        self.check_length(limit)?;
        let bytes = self.read_up_to(limit.saturating_add(1))?;
        if bytes.len() as u64 > limit { Err(self.too_large(limit)) } else { Ok(bytes) }
    }

    fn read_up_to(&mut self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.length.unwrap_or(0).min(most).min(LARGEST_RESERVE) as usize);
        let read = self.decoding.by_ref().take(most).read_to_end(&mut bytes);
        read.map_err(|error| from_ureq(error.into(), &self.origin))?;
        Ok(bytes)
    }

    /// Reads what there is, waiting for the first byte at most `idle`; 0 is the end, and then the connection is back in
    /// the pool.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: &Wait, idle: Duration) -> Result<usize> {
        let _in_call = InCall::reading(wait, idle);
        self.decoding.read(buffer).map_err(|error| from_ureq(error.into(), &self.origin))
    }

    /// Reads at most `most` bytes into the void, within the wait, so that the connection may serve again.
    pub(crate) fn drain(&mut self, most: u64, wait: &Wait) {
        let _in_call = InCall::with(wait, IDLE_FOR);
        let reader: &mut dyn Read = match &mut self.decoding {
            Decoding::AsItIs(reader) => reader,
            Decoding::NotBegun(reader) => reader.get_mut(),
            Decoding::Gzip(reader) => reader.get_mut().get_mut(),
            Decoding::Ended => return,
        };
        // Whoever left does not care; a body that does not end in time takes its connection with it.
        let _ = io::copy(&mut reader.take(most), &mut io::sink());
    }
}

/// RFC 9110 section 8.4.1.3.
fn is_gzip(encoding: &[u8]) -> bool {
    let encoding = encoding.trim_ascii();
    encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip")
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

/// ureq asks for addresses before it looks into its pool; so it gets none, and the connector, which alone knows that a
/// new connection is needed, looks the name up.
#[derive(Debug)]
struct NoLookUp;

impl UreqResolver for NoLookUp {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

struct Connect {
    dialer: Dialer,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

impl Connector for Connect {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> std::result::Result<Option<Connection>, ureq::Error> {
        self.open(details.uri).map(Some).map_err(other)
    }
}

impl Connect {
    fn open(&self, uri: &Uri) -> Result<Connection> {
        let url = Url::parse(&uri.to_string()).map_err(|why| Error::argument(format!("the URL {uri} {why}")))?;
        let stream = self.dialer.dial(&url.origin, &current_wait())?;
        in_current(|exchange| exchange.progress.reused = false);
        let buffers = LazyBuffers::new(BUFFER, OUTPUT_BUFFER);
        Ok(Connection { stream, buffers, in_use: true, idle_since: clock::now(), cut: None })
    }
}

fn other(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

/// A connection as ureq's pool keeps it.
struct Connection {
    stream: Stream,
    buffers: LazyBuffers,
    /// Bytes went through since the last time ureq asked whether the connection is open.
    in_use: bool,
    /// By the boot clock, so that a suspend makes it old.
    idle_since: BootTime,
    /// A request's body did not go out whole, so no other may follow it.
    cut: Option<Cut>,
}

enum Cut {
    /// The server had something to say before.
    Answered,
    /// The server took no more, and may have said why.
    Refused(Error),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Reads what there is; 0 is the end.
    fn receive(&mut self, wait: &Wait) -> Result<usize> {
        let count = self.stream.read(self.buffers.input_append_buf(), wait)?;
        self.buffers.input_appended(count);
        if count > 0 {
            in_current(|exchange| exchange.progress.answered = true);
        }
        Ok(count)
    }

    /// Sends a part of the body, unless the server does not want it any more: then its answer is to be read.
    fn transmit_body(&mut self, amount: usize) -> Result<()> {
        if self.cut.is_some() {
            return Ok(());
        }
        let before = self.stream.bytes_written();
        let sent = self.send_body(amount);
        if self.stream.bytes_written() > before {
            in_current(|exchange| exchange.progress.left = true);
        }
        self.cut = match sent {
            Ok(cut) => cut,
            Err(error) if error.code() == ErrorCode::ConnectionLost => Some(Cut::Refused(error)),
            Err(error) => return Err(error),
        };
        in_current(|exchange| exchange.body_unwanted = self.cut.is_some());
        Ok(())
    }

    fn send_body(&mut self, amount: usize) -> Result<Option<Cut>> {
        let wait = current_wait();
        let mut left = &self.buffers.output()[..amount];
        if !in_current(|exchange| exchange.large_body) {
            return self.stream.write_all(left, &wait).map(|()| None);
        }
        while !left.is_empty() {
            match self.stream.write_unless_answered(left, &wait)? {
                Some(count) => left = &left[count..],
                None => return Ok(Some(Cut::Answered)),
            }
        }
        Ok(None)
    }

    /// Waits for "100 Continue", for an answer, or until `longest` is over and the body goes without.
    fn await_continue(&mut self, longest: Duration) -> std::result::Result<bool, ureq::Error> {
        let wait = current_wait();
        let expectation = wait.limited("the time to say 100 Continue", longest);
        loop {
            match interim::beginning(self.buffers.input()) {
                Beginning::Answer => {
                    // ureq waits for more than what was there when it looked last, unless some of that was taken since.
                    self.put_before_input(0, &[]);
                    return Ok(true);
                }
                Beginning::Interim(length) => self.buffers.input_consume(length),
                Beginning::Continue(length) => {
                    self.put_before_input(length, interim::CONTINUE);
                    return Ok(true);
                }
                Beginning::Unclear if self.buffers.input().len() > LARGEST_HEAD => {
                    return Err(ureq::Error::LargeResponseHeader(self.buffers.input().len(), LARGEST_HEAD));
                }
                Beginning::Unclear => match self.receive(&expectation) {
                    Ok(0) => {
                        let what = format!("{} closed the connection instead of an answer", self.stream.peer());
                        return Err(other(Error::new(ErrorCode::ConnectionLost, Stage::Receiving, what)));
                    }
                    Ok(_) => {}
                    Err(error) if error.code() == ErrorCode::Timeout && wait.check().is_ok() => {
                        return Err(ureq::Error::Timeout(Timeout::Await100));
                    }
                    Err(error) => return Err(other(error)),
                },
            }
        }
    }

    /// Has ureq read these bytes in place of the first `length`.
    fn put_before_input(&mut self, length: usize, bytes: &[u8]) {
        let input = [bytes, &self.buffers.input()[length..]].concat();
        self.buffers.input_consume(self.buffers.input().len());
        self.buffers.input_append_buf()[..input.len()].copy_from_slice(&input);
        self.buffers.input_appended(input.len());
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, next: NextTimeout) -> std::result::Result<(), ureq::Error> {
        self.in_use = true;
        if next.reason == Timeout::SendBody {
            return self.transmit_body(amount).map_err(other);
        }
        let wait = current_wait();
        let before = self.stream.bytes_written();
        let output = &self.buffers.output()[..amount];
        let written = match in_current(|exchange| exchange.forwarded_to.take()) {
            Some(origin) => self.stream.write_all(&in_absolute_form(output, &origin), &wait),
            None => self.stream.write_all(output, &wait),
        };
        if self.stream.bytes_written() > before {
            in_current(|exchange| exchange.progress.left = true);
        }
        written.map_err(other)
    }

    fn await_input(&mut self, next: NextTimeout) -> std::result::Result<bool, ureq::Error> {
        self.in_use = true;
        if next.reason == Timeout::Await100 {
            return self.await_continue(*next.after);
        }
        match (self.receive(&current_wait()), self.cut.take()) {
            // It said nothing, so what it did is all there is to tell.
            (Ok(0), Some(Cut::Refused(error))) => Err(other(error)),
            (Err(lost), Some(Cut::Refused(error))) if lost.code() == ErrorCode::ConnectionLost => Err(other(error)),
            (received, cut) => {
                self.cut = cut;
                received.map(|count| count > 0).map_err(other)
            }
        }
    }

    /// ureq asks twice: when it puts a connection back, and when it takes it out again. Only the second answer
    /// matters, as whatever came in between is seen then; so the first costs no system call.
    fn is_open(&mut self) -> bool {
        if self.cut.is_some() {
            return false;
        }
        if std::mem::take(&mut self.in_use) {
            self.idle_since = clock::now();
            return true;
        }
        let young = clock::now().since(self.idle_since) < in_current(|exchange| exchange.longest_idle);
        let open = young && self.stream.is_quiet();
        in_current(|exchange| exchange.progress.reused = open);
        open
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}
