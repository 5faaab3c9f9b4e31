//! Opens connections to origins, straight or through a proxy, as this client's network says.

use std::sync::Arc;
use std::time::Duration;

use crate::config::proxy::{Proxies, ProxyAddress, ProxyKind};
use crate::config::url::{Origin, Scheme};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::Network;
use crate::net::resolver::Resolver;
use crate::net::stream::Stream;
use crate::net::tcp::Socket;
use crate::net::tls::{TlsSocket, Trust};
use crate::net::tunnel::{self, Target};
use crate::wait::Wait;

pub(super) struct Dialer {
    connect_timeout: Duration,
    proxies: Arc<Proxies>,
    user_agent: String,
    names: Resolver,
    trust: Arc<Trust>,
    /// A proxy is not shown the client's certificate.
    trust_in_proxies: Arc<Trust>,
}

impl Dialer {
    pub(super) fn new(network: &Network) -> Dialer {
        let certificate = network.certificate.as_ref().map(|certificate| certificate.certified().clone());
        let trust_in = |certificate| Arc::new(Trust::new(network.extra_authorities.clone(), certificate));
        let trust_in_proxies = trust_in(None);
        let trust = if certificate.is_none() { trust_in_proxies.clone() } else { trust_in(certificate) };
        Dialer {
            connect_timeout: network.connect_timeout,
            proxies: network.proxies.clone(),
            user_agent: network.user_agent.clone(),
            names: Resolver::default(),
            trust,
            trust_in_proxies,
        }
    }

    /// A connection over which a request to that origin can be sent; to one who forwards it where there is a forwarder.
    pub(super) fn dial(&self, origin: &Origin, wait: &Wait) -> Result<Stream> {
        let wait = wait.limited("connect_timeout", self.connect_timeout);
        let target = format!("{}:{}", origin.host, origin.port);
        let Some(proxy) = self.proxies.to(origin) else {
            let stream = self.reach(origin, &target, &wait)?;
            return secured(stream, origin, &self.trust, &wait);
        };
        if self.proxies.forwarder(origin).is_some() {
            return self.reach_proxy(proxy, &wait);
        }
        let mut stream = match proxy.kind {
            ProxyKind::Http => {
                let mut stream = self.reach_proxy(proxy, &wait)?;
                let authorization = proxy.basic();
                let authorization = authorization.as_ref().map(|value| value.reveal());
                tunnel::by_connect(&mut stream, &target, &self.user_agent, authorization, &wait)?;
                stream
            }
            ProxyKind::Socks5 | ProxyKind::Socks5h => self.through_socks(proxy, origin, &wait)?,
        };
        stream.set_peer(format!("{target} (through the proxy {})", proxy.place()));
        secured(stream, origin, &self.trust, &wait)
    }

    /// Through the first of the origin's addresses that the proxy can reach.
    fn through_socks(&self, proxy: &ProxyAddress, origin: &Origin, wait: &Wait) -> Result<Stream> {
        let targets: Vec<Target<'_>> = match (proxy.kind, origin.ip()) {
            (ProxyKind::Socks5h, None) => vec![Target::Name(&origin.host, origin.port)],
            _ => {
                let addresses = self.names.resolve(origin.bare_host(), origin.port, wait)?;
                addresses.into_iter().map(Target::Address).collect()
            }
        };
        let credential = proxy.credential.as_ref().map(|(user, password)| (user.as_str(), password.reveal()));
        let mut targets = targets.iter().peekable();
        loop {
            let target = targets.next().expect("a look-up ends with an address or an error");
            let mut stream = self.reach_proxy(proxy, wait)?;
            match tunnel::by_socks(&mut stream, target, credential, wait) {
                Ok(()) => return Ok(stream),
                Err(error) if error.code() == ErrorCode::ProxyFailed && targets.peek().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn reach_proxy(&self, proxy: &ProxyAddress, wait: &Wait) -> Result<Stream> {
        let stream = self.reach(&proxy.origin, &format!("the proxy {}", proxy.place()), wait);
        stream.and_then(|stream| secured(stream, &proxy.origin, &self.trust_in_proxies, wait)).map_err(|error| {
            match error.code() {
                ErrorCode::ResolveFailed | ErrorCode::ConnectFailed => {
                    let what = format!("the proxy {} cannot be reached: {}", proxy.place(), error.what());
                    Error::new(ErrorCode::ProxyFailed, Stage::Connecting, what).that_may_pass()
                }
                _ => error,
            }
        })
    }

    fn reach(&self, origin: &Origin, peer: &str, wait: &Wait) -> Result<Stream> {
        let host = origin.bare_host();
        let addresses = self.names.resolve(host, origin.port, wait)?;
        let (socket, address) = Socket::connect(&addresses, peer, wait).inspect_err(|error| {
            if error.code() == ErrorCode::ConnectFailed {
                self.names.forget(host, origin.port);
            }
        })?;
        if addresses.first() != Some(&address) {
            self.names.prefer(host, origin.port, address);
        }
        Ok(Stream::Plain(socket))
    }
}

fn secured(stream: Stream, origin: &Origin, trust: &Trust, wait: &Wait) -> Result<Stream> {
    match origin.scheme {
        Scheme::Https => TlsSocket::handshake(stream, origin.bare_host(), trust, wait).map(Box::new).map(Stream::Tls),
        Scheme::Http => Ok(stream),
    }
}
