//! The life of one connection: handshake, requests, and answers whole or broken.

use std::fmt::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::server::danger::ClientCertVerifier;

use crate::client_certificate;
use crate::http::{self, NoRequest, Request, Response};
use crate::incoming::IncomingBody;
use crate::peer::{Ending, Peer};
use crate::route::{self, Exchange};
use crate::rules::{Action, Close, Cut};
use crate::settings::{Accept, ClientCertificates, TlsFault};
use crate::space::Space;
use crate::wire::Wire;

/// Enough for rustls in a debug build; hundreds of connections must not cost gigabytes of address space.
const STACK: usize = 256 * 1024;

/// Bytes of an answer that are collected before they are written, and the largest chunk of a chunked one.
const SEGMENT: u64 = 16 * 1024;

/// Serves a connection on a thread of its own.
pub(crate) fn accept(space: &Arc<Space>, stream: TcpStream, tls: bool) {
    let Ok(peer) = Peer::new(stream).map(Arc::new) else { return };
    let Ok(number) = space.register(&peer) else { return };
    let (served, ended) = (Arc::clone(space), peer.ended());
    let spawned = thread::Builder::new().name("sandbox-connection".into()).stack_size(STACK).spawn(move || {
        let mut wire = Wire::plain(peer);
        let ending = serve(&served, &mut wire, number, tls);
        // Out of the books first: who sees the end must find it in the report.
        served.unregister(number);
        wire.end(ending);
        served.count_closed();
        served.ended(&ended);
    });
    if spawned.is_err() {
        space.unregister(number);
    }
}

fn serve(space: &Space, wire: &mut Wire, number: u64, tls: bool) -> Ending {
    let (accept, fault) = {
        let state = space.lock();
        (state.settings.accept, state.settings.tls_fault)
    };
    if accept == Accept::Stall {
        return space.stall(&wire.peer);
    }
    if tls && let Err(ending) = handshake(space, wire, fault) {
        return ending;
    }
    let mut buffer = Vec::new();
    loop {
        let served = match http::read_head(wire, &mut buffer) {
            Ok(request) if request.authority.is_some() => refuse(space, wire, 400, "this is no proxy"),
            Ok(request) => serve_request(space, wire, &mut buffer, number, tls, request),
            Err(no_request) => refuse_no_request(space, wire, no_request),
        };
        if let Err(ending) = served {
            return ending;
        }
    }
}

fn handshake(space: &Space, wire: &mut Wire, fault: Option<TlsFault>) -> Result<(), Ending> {
    let identities = &space.identities;
    let identity = match fault {
        None => {
            let version = space.lock().settings.tls_version;
            match (client_certificates(space), version) {
                (None, None) => Arc::clone(&identities.good),
                (clients, version) => identities.good_with(clients, version),
            }
        }
        Some(TlsFault::WrongHost) => Arc::clone(&identities.wrong_host),
        Some(TlsFault::Expired) => Arc::clone(&identities.expired),
        Some(TlsFault::UnknownCa) => Arc::clone(&identities.unknown_ca),
        Some(TlsFault::StallHandshake) => return Err(space.stall(&wire.peer)),
        Some(TlsFault::CloseInHandshake) => {
            wire.read(&mut [0; 4096])?;
            return Err(Ending::Close);
        }
        Some(TlsFault::Garbage) => {
            wire.read(&mut [0; 4096])?;
            wire.write(b"220 this is not a TLS server\r\n")?;
            return Err(Ending::Close);
        }
    };
    wire.start_tls(identity)
}

fn client_certificates(space: &Space) -> Option<Arc<dyn ClientCertVerifier>> {
    let state = space.lock();
    match state.settings.client_certificates? {
        ClientCertificates::Any => Some(client_certificate::any()),
        ClientCertificates::Required => {
            let clients = state.settings.client_ca_file.as_deref().and_then(client_certificate::of_authority);
            Some(clients.expect("the settings were checked, and the file is still there"))
        }
    }
}

/// Reads the body and answers. Ok: the connection serves the next request.
pub(crate) fn serve_request(
    space: &Space,
    wire: &mut Wire,
    buffer: &mut Vec<u8>,
    connection: u64,
    tls: bool,
    mut request: Request,
) -> Result<(), Ending> {
    let action = space.choose(&request);
    let received = IncomingBody::announced_by(&request)
        .and_then(|body| body.receive(Some(space), wire, buffer, &action, &mut request));
    match received {
        Ok(()) => respond(space, wire, connection, tls, &action, &request),
        Err(no_request) => refuse_no_request(space, wire, no_request),
    }
}

fn refuse_no_request(space: &Space, wire: &mut Wire, no_request: NoRequest) -> Result<(), Ending> {
    match no_request {
        NoRequest::Ended(ending) => Err(ending),
        NoRequest::Bad(status, reason) => refuse(space, wire, status, reason),
    }
}

fn refuse(space: &Space, wire: &mut Wire, status: u16, reason: &str) -> Result<(), Ending> {
    let date = space.lock().date();
    let text = format!(
        "HTTP/1.1 {status} {}\r\nDate: {date}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{reason}",
        http::reason(status),
        reason.len(),
    );
    wire.write(text.as_bytes())?;
    Err(Ending::Close)
}

fn respond(
    space: &Space,
    wire: &mut Wire,
    connection: u64,
    tls: bool,
    action: &Action,
    request: &Request,
) -> Result<(), Ending> {
    let certificate = wire.clients_certificate();
    let admitted = space.admit(connection, tls, certificate.is_some(), request);
    let exchange = Exchange { space, number: admitted.number, tls, certificate, request };

    let early = action.mint_first.then(|| route::answer(&exchange));
    if let Some(delay) = action.delay_ms {
        space.pause(&wire.peer, Duration::from_millis(delay))?;
    }
    if let Some(gate) = &action.hold {
        space.hold(&wire.peer, gate)?;
    }
    let mut sender = Sender { space, wire, drip: action.drip_ms.map(Duration::from_millis), pending: Vec::new() };
    if let Some(raw) = action.raw() {
        admitted.answering(raw_status(raw));
        sender.push(raw)?;
        sender.flush()?;
        return Err(Ending::Close);
    }
    let mut response = action.scripted().or(early).unwrap_or_else(|| route::answer(&exchange));
    action.amend(&mut response);

    if action.reset == Some(Cut::BeforeAnswer) {
        return Err(Ending::Reset);
    }
    if action.stall == Some(Cut::BeforeAnswer) {
        return Err(space.stall(&sender.wire.peer));
    }
    if action.close == Some(Close::BeforeAnswer) {
        return Err(Ending::Close);
    }
    let has_body = response.may_have_body(&request.method);
    let body_length = if has_body { response.body.len() } else { 0 };
    let cut = |cut: Option<Cut>| match cut {
        Some(Cut::AfterBodyBytes(bytes)) => Some(bytes.min(body_length)),
        Some(Cut::AfterHead) => Some(0),
        Some(Cut::BeforeAnswer) | None => None,
    };
    let (reset_at, stall_at) = (cut(action.reset), cut(action.stall));
    let end = reset_at.or(stall_at).unwrap_or(body_length);

    admitted.answering(response.status);
    sender.push(head(space, request, action, &response).as_bytes())?;
    sender.push_body(&response, end, has_body && is_chunked(action))?;
    if reset_at.is_none() && stall_at.is_none() && has_body && is_chunked(action) {
        sender.push(b"0\r\n\r\n")?;
    }
    sender.flush()?;

    if reset_at.is_some() {
        return Err(Ending::Reset);
    }
    if stall_at.is_some() {
        return Err(space.stall(&sender.wire.peer));
    }
    let truncated = action.content_length.is_some_and(|claimed| claimed > body_length);
    let says_close = response
        .headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close"));
    if action.close.is_some() || action.http_1_0 || truncated || says_close || request.wants_close || request.unread {
        return Err(Ending::Close);
    }
    Ok(())
}

fn is_chunked(action: &Action) -> bool {
    action.chunked && !action.http_1_0
}

fn head(space: &Space, request: &Request, action: &Action, response: &Response) -> String {
    let version = if action.http_1_0 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut head = format!("{version} {} {}\r\n", response.status, http::reason(response.status));
    let mut line = |name: &str, value: &str| {
        write!(head, "{name}: {value}\r\n").expect("a String takes every text");
    };
    if !response.has_header("date") {
        line("Date", &space.lock().date());
    }
    for (name, value) in &response.headers {
        line(name, value);
    }
    let framed = response.has_header("content-length") || response.has_header("transfer-encoding");
    let bodiless_status = !response.may_have_body("GET");
    let chunked = is_chunked(action) && !bodiless_status;
    if let Some(claimed) = action.content_length {
        line("Content-Length", &claimed.to_string());
    }
    if chunked {
        line("Transfer-Encoding", "chunked");
    }
    let framed = framed || chunked || action.content_length.is_some() || bodiless_status || action.http_1_0;
    if !framed {
        line("Content-Length", &response.body.len().to_string());
    }
    if request.wants_close && !response.has_header("connection") {
        line("Connection", "close");
    }
    head.push_str("\r\n");
    head
}

/// The status that raw bytes begin with; 0 when they are no HTTP answer.
fn raw_status(raw: &[u8]) -> u16 {
    let status = raw.strip_prefix(b"HTTP/1.1 ").or(raw.strip_prefix(b"HTTP/1.0 "));
    status.and_then(|rest| str::from_utf8(rest.get(..3)?).ok()?.parse().ok()).unwrap_or(0)
}

/// Writes an answer in segments, or byte by byte.
struct Sender<'a> {
    space: &'a Space,
    wire: &'a mut Wire,
    drip: Option<Duration>,
    pending: Vec<u8>,
}

impl Sender<'_> {
    fn push_body(&mut self, response: &Response, end: u64, chunked: bool) -> Result<(), Ending> {
        // At least two chunks, so that a reader who stops after the first is found out.
        let step = if chunked { end.div_ceil(2).clamp(1, SEGMENT) } else { SEGMENT };
        let mut position = 0;
        while position < end {
            let next = end.min(position + step);
            if chunked {
                self.push(format!("{:x}\r\n", next - position).as_bytes())?;
            }
            self.push(&response.body.slice(position, next))?;
            if chunked {
                self.push(b"\r\n")?;
            }
            position = next;
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() as u64 >= SEGMENT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Ending> {
        let pending = std::mem::take(&mut self.pending);
        let Some(pause) = self.drip else { return self.wire.write(&pending) };
        for byte in pending {
            self.wire.write(&[byte])?;
            self.space.pause(&self.wire.peer, pause)?;
        }
        Ok(())
    }
}
