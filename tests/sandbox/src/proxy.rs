//! A proxy of every kind on one port: CONNECT, forwarding of plain requests, SOCKS 5, each also over TLS. Whatever host it
//! is asked for, it leads to loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread;

use base64::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};

use crate::client_certificate;
use crate::connection;
use crate::http::{self, NoRequest, Request};
use crate::peer::{Ending, Peer};
use crate::settings::ProxyFault;
use crate::space::Space;
use crate::state::Proxied;
use crate::wire::Wire;

const STACK: usize = 512 * 1024;
const TLS_HANDSHAKE: u8 = 22;
const SOCKS_VERSION: u8 = 5;

/// Serves a connection on a thread of its own.
pub(crate) fn accept(space: &Arc<Space>, stream: TcpStream) {
    let Ok(peer) = Peer::new(stream).map(Arc::new) else { return };
    let Ok(number) = space.register_at_proxy(&peer) else { return };
    let (served, ended) = (Arc::clone(space), peer.ended());
    let spawned = thread::Builder::new().name("sandbox-proxy".into()).stack_size(STACK).spawn(move || {
        let wire = Wire::plain(peer);
        let mut session = Session { space: &served, wire, tls: false, buffer: Vec::new(), forwarding: None };
        let Err(ending) = session.serve();
        let Session { wire, forwarding, .. } = session;
        served.unregister_at_proxy(number);
        if let Some(number) = forwarding {
            served.unregister(number);
        }
        wire.end(ending);
        if forwarding.is_some() {
            served.count_closed();
        }
        served.ended(&ended);
    });
    if spawned.is_err() {
        space.unregister_at_proxy(number);
    }
}

/// What an endless loop returns.
enum Never {}

struct Session<'a> {
    space: &'a Space,
    wire: Wire,
    tls: bool,
    /// What came and was not used yet.
    buffer: Vec<u8>,
    /// The number of the connection to the servers that its forwarded requests have, as far as the books know.
    forwarding: Option<u64>,
}

impl Session<'_> {
    fn serve(&mut self) -> Result<Never, Ending> {
        let mut first = [0];
        if let Ok(1) = self.wire.peer.stream.peek(&mut first)
            && first == [TLS_HANDSHAKE]
        {
            // It asks for a certificate, so that whoever would show it one is found out.
            self.wire.start_tls(self.space.identities.good_with(Some(client_certificate::any()), None))?;
            self.tls = true;
        }
        self.fill(1)?;
        if self.buffer[0] == SOCKS_VERSION { self.serve_socks() } else { self.serve_http() }
    }

    fn serve_http(&mut self) -> Result<Never, Ending> {
        loop {
            let request = match http::read_head(&mut self.wire, &mut self.buffer) {
                Ok(request) => request,
                Err(NoRequest::Ended(ending)) => return Err(ending),
                Err(NoRequest::Bad(..)) => return Err(self.answer(400, &[])),
            };
            self.serve_request(request)?;
        }
    }

    fn serve_request(&mut self, mut request: Request) -> Result<(), Ending> {
        let Some(authority) = request.authority.take() else { return Err(self.answer(400, &[])) };
        let authorization = request.header("proxy-authorization").and_then(|value| value.strip_prefix("Basic "));
        let credential = authorization.and_then(|encoded| BASE64_STANDARD.decode(encoded).ok());
        let credential = credential.and_then(|bytes| String::from_utf8(bytes).ok());
        let kind = if request.method == "CONNECT" { "connect" } else { "forward" };
        let headers = request.headers.clone();
        let (target, credential_shown) = (authority.clone(), credential.clone());
        self.log(Proxied {
            kind,
            tls: self.tls,
            certificate: self.wire.clients_certificate().is_some(),
            target,
            credential: credential_shown,
            headers,
        });
        match self.fault() {
            Some(ProxyFault::Answer { status, headers }) => return Err(self.answer(status, &headers)),
            Some(ProxyFault::Raw(text)) => {
                self.wire.write(text.as_bytes())?;
                return Err(self.space.stall(&self.wire.peer));
            }
            other => self.break_off(other)?,
        }
        if !self.space.lock().settings.proxy_admits(credential.as_deref()) {
            return Err(self.answer(407, &[("Proxy-Authenticate".into(), "Basic realm=\"sandbox\"".into())]));
        }
        if kind == "connect" {
            let Some(server) = lead_to(&authority) else { return Err(self.answer(502, &[])) };
            self.wire.write(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            return self.relay(server).map(|never| match never {});
        }
        self.space.count_forwarded();
        let number = match self.forwarding {
            Some(number) => number,
            None => self.space.register(&self.wire.peer).map_err(|_| Ending::Close)?,
        };
        self.forwarding = Some(number);
        request.headers.retain(|(name, _)| !name.starts_with("proxy-"));
        connection::serve_request(self.space, &mut self.wire, &mut self.buffer, number, false, request)
    }

    fn serve_socks(&mut self) -> Result<Never, Ending> {
        self.fill(2)?;
        let methods = usize::from(self.buffer[1]);
        let greeting = self.take(2 + methods)?;
        self.break_off(self.fault())?;
        let wanted = self.space.lock().settings.proxy_credential.is_some();
        let offered = greeting[2..].contains(&2);
        let mut credential = None;
        if wanted && !offered {
            self.wire.write(&[SOCKS_VERSION, 255])?;
            return Err(Ending::Close);
        }
        self.wire.write(&[SOCKS_VERSION, if wanted { 2 } else { 0 }])?;
        if wanted {
            let user = self.take_text(1)?;
            let password = self.take_text(0)?;
            credential = Some(format!("{user}:{password}"));
            let admitted = self.space.lock().settings.proxy_admits(credential.as_deref());
            self.wire.write(&[1, u8::from(!admitted)])?;
            if !admitted {
                return Err(Ending::Close);
            }
        }
        let kind = self.take(4)?[3];
        let host = match kind {
            1 => <[u8; 4]>::try_from(self.take(4)?).map(|bytes| Ipv4Addr::from(bytes).to_string()).unwrap_or_default(),
            4 => {
                let bytes = <[u8; 16]>::try_from(self.take(16)?).unwrap_or_default();
                format!("[{}]", std::net::Ipv6Addr::from(bytes))
            }
            _ => self.take_text(0)?,
        };
        let port = self.take(2)?;
        let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
        let server = lead_to(&target);
        let (kind, tls) = ("socks5", self.tls);
        self.log(Proxied {
            kind,
            tls,
            certificate: self.wire.clients_certificate().is_some(),
            target,
            credential,
            headers: Vec::new(),
        });
        let reply = match (self.fault(), &server) {
            (Some(ProxyFault::SocksReply(reply)), _) => reply,
            (_, None) => 5,
            (_, Some(_)) => 0,
        };
        self.wire.write(&[SOCKS_VERSION, reply, 0, 1, 127, 0, 0, 1, 0, 0])?;
        match server.filter(|_| reply == 0) {
            Some(server) => self.relay(server),
            None => Err(Ending::Close),
        }
    }

    /// Carries bytes both ways until one side ends.
    fn relay(&mut self, mut server: TcpStream) -> Result<Never, Ending> {
        self.space.count_tunnel();
        let mut bytes = vec![0; 64 * 1024];
        let early = std::mem::take(&mut self.buffer);
        server.write_all(&early).map_err(|_| Ending::Reset)?;
        loop {
            let [from_client, from_server] = {
                let mut both =
                    [PollFd::new(&self.wire.peer.stream, PollFlags::IN), PollFd::new(&server, PollFlags::IN)];
                poll(&mut both, None).map_err(|_| Ending::Close)?;
                both.map(|one| !one.revents().is_empty())
            };
            if from_client {
                let count = self.wire.read(&mut bytes)?;
                server.write_all(&bytes[..count]).map_err(|_| Ending::Reset)?;
            }
            if from_server {
                match server.read(&mut bytes) {
                    Ok(0) => return Err(Ending::Close),
                    Ok(count) => self.wire.write(&bytes[..count])?,
                    Err(_) => return Err(Ending::Reset),
                }
            }
        }
    }

    fn fault(&self) -> Option<ProxyFault> {
        self.space.lock().settings.proxy_fault.clone()
    }

    fn break_off(&self, fault: Option<ProxyFault>) -> Result<(), Ending> {
        match fault {
            Some(ProxyFault::Stall) => Err(self.space.stall(&self.wire.peer)),
            Some(ProxyFault::Close) => Err(Ending::Close),
            _ => Ok(()),
        }
    }

    fn log(&self, proxied: Proxied) {
        self.space.log_proxied(proxied);
    }

    fn answer(&mut self, status: u16, headers: &[(String, String)]) -> Ending {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let reason = http::reason(status);
        let text =
            format!("HTTP/1.1 {status} {reason}\r\n{headers}Content-Length: 4\r\nConnection: close\r\n\r\nno.\n");
        self.wire.write(text.as_bytes()).err().unwrap_or(Ending::Close)
    }

    /// Waits until so many bytes are in the buffer.
    fn fill(&mut self, count: usize) -> Result<(), Ending> {
        let mut bytes = [0; 4096];
        while self.buffer.len() < count {
            let read = self.wire.read(&mut bytes)?;
            self.buffer.extend_from_slice(&bytes[..read]);
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, Ending> {
        self.fill(count)?;
        Ok(self.buffer.drain(..count).collect())
    }

    /// A text behind its length, which `skipped` bytes precede.
    fn take_text(&mut self, skipped: usize) -> Result<String, Ending> {
        let length = self.take(skipped + 1)?[skipped];
        Ok(String::from_utf8_lossy(&self.take(usize::from(length))?).into_owned())
    }
}

/// The server at that port of this machine, whatever the host's name is.
fn lead_to(authority: &str) -> Option<TcpStream> {
    let port = authority.rsplit_once(':')?.1.parse().ok()?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}
