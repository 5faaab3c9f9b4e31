//! Proxies: where they are, and which requests go through one. What the environment says of them is read as curl does.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::url::{Origin, Scheme, percent_decoded};
use crate::secret::Secret;

/// The value of `proxy` that means none, whatever the environment says.
const DIRECT: &str = "direct";
/// curl's, for every kind but https.
const PORT: u16 = 1080;
const TLS_PORT: u16 = 443;
/// RFC 1929 section 2 has one byte for each length.
const LONGEST_SOCKS_CREDENTIAL: usize = 255;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// HTTP, in the clear or over TLS.
    Http,
    /// SOCKS 5, with addresses that are looked up here.
    Socks5,
    /// SOCKS 5, with names that the proxy looks up.
    Socks5h,
}

/// A proxy and how to log in to it. `Display` shows no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyAddress {
    pub(crate) kind: ProxyKind,
    /// https stands for TLS to the proxy itself.
    pub(crate) origin: Origin,
    /// A user name and its password, which may be empty.
    pub(crate) credential: Option<(String, Secret)>,
}

impl ProxyAddress {
    /// Parses `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]`; a path is passed over, as curl does. The error says what is
    /// wrong, without the option's name and without the text.
    pub(crate) fn parse(text: &str) -> Result<ProxyAddress, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (kind, scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, Scheme::Http, PORT),
            "https" => (ProxyKind::Http, Scheme::Https, TLS_PORT),
            "socks5" => (ProxyKind::Socks5, Scheme::Http, PORT),
            "socks5h" => (ProxyKind::Socks5h, Scheme::Http, PORT),
            _ => return Err("has a scheme other than http, https, socks5 and socks5h".into()),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if path.contains('@') {
            return Err("has a /, ? or # in its user name or password: write it as %2F, %3F or %23".into());
        }
        let (credential, place) = match authority.rsplit_once('@') {
            Some((credential, place)) => (Some(credential), place),
            None => (None, authority),
        };
        let credential = credential.filter(|credential| !credential.is_empty()).map(|credential| {
            let (user, password) = credential.split_once(':').unwrap_or((credential, ""));
            Ok::<_, String>((percent_decoded(user)?, Secret::new(percent_decoded(password)?)))
        });
        let credential = credential.transpose()?;
        if let Some((user, password)) = &credential {
            check_credential(kind, user, password.reveal())?;
        }
        Ok(ProxyAddress { kind, origin: Origin::parse(scheme, place, port)?, credential })
    }

    /// The credential as an HTTP proxy reads it (RFC 7617).
    pub(crate) fn basic(&self) -> Option<Secret> {
        let (user, password) = self.credential.as_ref()?;
        let both = Secret::new(format!("{user}:{}", password.reveal()));
        Some(Secret::new(format!("Basic {}", STANDARD.encode(both.reveal()))))
    }

    /// Host and port.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.origin.host, self.origin.port)
    }
}

fn check_credential(kind: ProxyKind, user: &str, password: &str) -> Result<(), String> {
    match kind {
        // RFC 7617 section 2: the first colon ends the user name.
        ProxyKind::Http if user.contains(':') => Err("has a colon in its user name, which Basic cannot carry".into()),
        ProxyKind::Socks5 | ProxyKind::Socks5h
            if user.is_empty() || user.len().max(password.len()) > LONGEST_SOCKS_CREDENTIAL =>
        {
            Err("has a user name or password that SOCKS 5 cannot carry: 1 to 255 bytes".into())
        }
        _ => Ok(()),
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.kind, self.origin.scheme) {
            (ProxyKind::Http, Scheme::Http) => "http",
            (ProxyKind::Http, Scheme::Https) => "https",
            (ProxyKind::Socks5, _) => "socks5",
            (ProxyKind::Socks5h, _) => "socks5h",
        };
        write!(f, "{scheme}://{}", self.place())
    }
}

/// Which proxy leads to which origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) for_https: Option<Arc<ProxyAddress>>,
    pub(crate) for_http: Option<Arc<ProxyAddress>>,
    pub(crate) exceptions: Exceptions,
    /// Plain http may go to other machines.
    pub(crate) allow_http: bool,
}

impl Proxies {
    /// The one proxy of the option `proxy`, or none; the error says what is wrong, without the option's name.
    pub(crate) fn given(text: &str) -> Result<Proxies, String> {
        if text == DIRECT {
            return Ok(Proxies::default());
        }
        if text.is_empty() {
            return Err(format!("is empty: for no proxy write {DIRECT}"));
        }
        let proxy = Some(Arc::new(ProxyAddress::parse(text)?));
        Ok(Proxies { for_https: proxy.clone(), for_http: proxy, ..Proxies::default() })
    }

    /// The proxy that leads there; `None`: no proxy does.
    pub(crate) fn to(&self, origin: &Origin) -> Option<&ProxyAddress> {
        let proxy = match origin.scheme {
            Scheme::Https => self.for_https.as_deref()?,
            Scheme::Http => self.for_http.as_deref()?,
        };
        // Plain http to this machine is safe because it stays here: the token must not travel to a proxy in the clear,
        // and what the proxy calls localhost is another machine.
        let would_leave = origin.scheme == Scheme::Http && origin.is_loopback() && !proxy.origin.is_loopback();
        let goes = !self.exceptions.have(origin) && (!would_leave || self.allow_http);
        goes.then_some(proxy)
    }

    /// The proxy that takes requests to that origin itself (RFC 9112 section 3.2.2), instead of opening a way there.
    pub(crate) fn forwarder(&self, origin: &Origin) -> Option<&ProxyAddress> {
        let proxy = self.to(origin).filter(|proxy| proxy.kind == ProxyKind::Http);
        proxy.filter(|_| origin.scheme == Scheme::Http)
    }
}

/// `no_proxy`: where no proxy is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    place: Place,
    /// Any, if none was named.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Everywhere,
    /// In lower case, without dots at its ends: this host and those below it.
    Domain(String),
    /// These addresses: those that begin with as many bits.
    Network(IpAddr, u32),
}

impl Exceptions {
    /// Parses a list separated by commas or spaces. What cannot be read excepts nothing, as with curl.
    pub(crate) fn parse(text: &str) -> Exceptions {
        let entries = text.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Exceptions(entries.filter_map(Exception::parse).collect())
    }

    fn have(&self, origin: &Origin) -> bool {
        self.0.iter().any(|exception| exception.has(origin))
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Exception> {
        let (host, port) = split_port(entry)?;
        let place = match host {
            "*" => Place::Everywhere,
            _ => {
                let (address, bits) = host.split_once('/').map_or((host, None), |(host, bits)| (host, Some(bits)));
                match (address.parse::<IpAddr>(), bits) {
                    (Ok(address), None) => Place::Network(address, width(address)),
                    (Ok(address), Some(bits)) => {
                        Place::Network(address, bits.parse().ok().filter(|bits| *bits <= width(address))?)
                    }
                    (Err(_), Some(_)) => return None,
                    (Err(_), None) => Place::Domain(bare_domain(host)?),
                }
            }
        };
        Some(Exception { place, port })
    }

    fn has(&self, origin: &Origin) -> bool {
        if self.port.is_some_and(|port| port != origin.port) {
            return false;
        }
        match (&self.place, origin.ip()) {
            (Place::Everywhere, _) => true,
            (Place::Network(network, bits), Some(address)) => begins_with(address, *network, *bits),
            (Place::Domain(domain), None) => {
                let host = origin.host.trim_end_matches('.');
                host.strip_suffix(domain.as_str()).is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            _ => false,
        }
    }
}

/// Host and port; an IPv6 address with a port stands in brackets.
fn split_port(entry: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match entry.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            if rest.is_empty() { (address, None) } else { (address, Some(rest.strip_prefix(':')?)) }
        }
        None if entry.matches(':').count() == 1 => entry.split_once(':').map(|(host, port)| (host, Some(port)))?,
        None => (entry, None),
    };
    Some((host, port.map(str::parse).transpose().ok()?))
}

fn bare_domain(host: &str) -> Option<String> {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let bare = bare.strip_prefix('.').unwrap_or(bare);
    (!bare.is_empty()).then(|| bare.to_ascii_lowercase())
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn begins_with(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => u128::from(address.to_bits() ^ network.to_bits()) << 96,
        (IpAddr::V6(address), IpAddr::V6(network)) => address.to_bits() ^ network.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url::Url;

    fn origin(text: &str) -> Origin {
        Url::parse(text).expect("valid").origin
    }

    #[test]
    fn every_kind_of_proxy_is_read_and_has_curls_ports() {
        for (text, shown) in [
            ("proxy.example", "http://proxy.example:1080"),
            ("proxy.example:3128", "http://proxy.example:3128"),
            ("HTTP://Proxy.example:3128/ignored?x", "http://proxy.example:3128"),
            ("https://proxy.example", "https://proxy.example:443"),
            ("https://proxy.example:80", "https://proxy.example:80"),
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("socks5h://[::1]", "socks5h://[::1]:1080"),
            ("http://[::1]:443", "http://[::1]:443"),
        ] {
            let proxy = ProxyAddress::parse(text).expect(text);
            assert_eq!((proxy.to_string().as_str(), proxy.credential), (shown, None), "{text}");
        }
    }

    #[test]
    fn p07_a_credential_is_decoded_and_never_shown() {
        for (text, user, password) in [
            ("http://me:p%40ss%3Aw@proxy.example", "me", "p@ss:w"),
            ("me:p@ss@proxy.example:1", "me", "p@ss"),
            ("socks5://me@proxy.example", "me", ""),
            ("https://:pass@proxy.example", "", "pass"),
        ] {
            let proxy = ProxyAddress::parse(text).expect(text);
            let (is_user, is_password) = proxy.credential.clone().expect(text);
            assert_eq!((is_user.as_str(), is_password.reveal()), (user, password), "{text}");
            assert!(password.is_empty() || !format!("{proxy:?} {proxy}").contains(password), "{text}");
        }
        assert_eq!(ProxyAddress::parse("http://@proxy.example").expect("valid").credential, None);
    }

    #[test]
    fn p07_what_cannot_be_right_is_refused_without_being_repeated() {
        for wrong in [
            "http://",
            "http://proxy.example:0",
            "http://proxy.example:port",
            "http://:secret@",
            "http://me:secret/1@proxy.example",
            "http://me:secret%zz@proxy.example",
            "http://a%3Asecret:x@proxy.example",
            "ftp://me:secret@proxy.example",
            "socks4://me:secret@proxy.example",
            "socks5://:secret@proxy.example",
            "http://me:secret@pro xy.example",
            "http://me:secret@exämple.org",
        ] {
            let why = ProxyAddress::parse(wrong).expect_err(wrong);
            assert!(!why.contains("secret"), "{why}");
        }
        let long = format!("socks5://me:{}@proxy.example", "x".repeat(256));
        assert!(ProxyAddress::parse(&long).is_err());
        assert!(Proxies::given("").is_err());
    }

    #[test]
    fn the_environments_exceptions_are_those_of_curl() {
        for (list, url, expected) in [
            ("example.org", "https://example.org", true),
            ("example.org", "https://api.example.org", true),
            ("example.org", "https://notexample.org", false),
            ("example.org", "https://example.org.evil.example", false),
            (".example.org", "https://example.org", true),
            (".example.org", "https://a.b.example.org", true),
            ("EXAMPLE.org.", "https://API.example.ORG", true),
            ("a.example, b.example", "https://b.example", true),
            ("a.example b.example", "https://b.example", true),
            ("a.example,,\tb.example", "https://b.example", true),
            ("*", "https://example.org", true),
            ("*", "https://[::1]", true),
            ("*.example.org", "https://api.example.org", false),
            ("localhost", "http://localhost:8080", true),
            ("localhost", "http://127.0.0.1:8080", false),
            ("10.0.0.1", "https://10.0.0.1", true),
            ("10.0.0.1", "https://10.0.0.10", false),
            ("10.0.0.0/8", "https://10.200.3.4", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("192.168.1.0/25", "https://192.168.1.127", true),
            ("192.168.1.0/25", "https://192.168.1.128", false),
            ("0.0.0.0/0", "https://8.8.8.8", true),
            ("0.0.0.0/0", "https://example.org", false),
            ("10.0.0.0/33", "https://10.0.0.0", false),
            ("10.0.0.0/x", "https://10.0.0.0", false),
            ("0.0.1", "https://10.0.0.1", false),
            ("::1", "https://[::1]:8443", true),
            ("[::1]", "https://[::1]:8443", true),
            ("[::1]:8443", "https://[::1]:8443", true),
            ("[::1]:8443", "https://[::1]:8444", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("fd00::/8", "https://[fe80::1]", false),
            ("::/0", "https://10.0.0.1", false),
            ("example.org:8443", "https://example.org:8443", true),
            ("example.org:8443", "https://api.example.org:8443", true),
            ("example.org:8443", "https://example.org", false),
            ("example.org:443", "https://example.org", true),
            ("10.0.0.1:80", "http://10.0.0.1", true),
            ("10.0.0.1:80", "https://10.0.0.1", false),
            ("", "https://example.org", false),
            (".", "https://example.org", false),
            ("example.org:port", "https://example.org", false),
        ] {
            assert_eq!(Exceptions::parse(list).have(&origin(url)), expected, "{list:?} {url}");
        }
    }

    #[test]
    fn p07_plain_http_to_this_machine_stays_here() {
        let away = Proxies::given("http://proxy.example:3128").expect("valid");
        let here = Proxies::given("socks5://127.0.0.1:1080").expect("valid");
        for local in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]"] {
            assert!(away.to(&origin(local)).is_none() && here.to(&origin(local)).is_some(), "{local}");
            let allowed = Proxies { allow_http: true, ..away.clone() };
            assert!(allowed.to(&origin(local)).is_some(), "{local}");
        }
        assert!(away.to(&origin("https://localhost:8443")).is_some(), "TLS hides it from the proxy");
    }

    #[test]
    fn only_an_http_proxy_takes_plain_requests_themselves() {
        for (proxy, url, expected) in [
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("https://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("http://127.0.0.1:1", "https://127.0.0.1:2", false),
            ("socks5://127.0.0.1:1", "http://127.0.0.1:2", false),
            ("direct", "http://127.0.0.1:2", false),
        ] {
            let proxies = Proxies::given(proxy).expect("valid");
            assert_eq!(proxies.forwarder(&origin(url)).is_some(), expected, "{proxy} {url}");
        }
    }
}
