//! What is said to proxies before they open a way, and what they answer. Pure: bytes in, bytes out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// More than any proxy says before it lets bytes through.
const LARGEST_HEAD: usize = 16 * 1024;

const SOCKS_VERSION: u8 = 5;
const NO_CREDENTIAL: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;

/// What a proxy did not understand or allow, in words that go on "the proxy … ".
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) what: String,
    /// Of an HTTP proxy.
    pub(crate) status: Option<u16>,
    pub(crate) next_step: Option<&'static str>,
    /// The next try may be luckier.
    pub(crate) may_pass: bool,
}

impl Refusal {
    fn of(what: impl Into<String>) -> Refusal {
        Refusal { what: what.into(), status: None, next_step: None, may_pass: false }
    }
}

/// The request for a way to `target`, a host and port (RFC 9110 section 9.3.6).
pub(crate) fn connect_head(target: &str, user_agent: &str, authorization: Option<&str>) -> String {
    let authorization = authorization.map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {user_agent}\r\n{authorization}\r\n")
}

/// Reads the answer to CONNECT from what has come so far; `false`: more must come. Interim answers are passed over.
pub(crate) fn is_connected(mut answer: &[u8]) -> Result<bool, Refusal> {
    loop {
        let begin = &answer[..answer.len().min(b"HTTP/1.".len())];
        if !b"HTTP/1.".starts_with(begin) {
            return Err(Refusal::of("does not answer CONNECT in HTTP").with_next_step(
                "Check the proxy's scheme and port: this may be no HTTP proxy, or one that wants https.",
            ));
        }
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return match answer.len() {
                ..=LARGEST_HEAD => Ok(false),
                _ => Err(Refusal::of("answers CONNECT without an end")),
            };
        };
        let (head, rest) = (&answer[..end], &answer[end + 4..]);
        let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
        match status {
            Some(100 | 102..=199) => answer = rest,
            // Whoever speaks first here is not the server: of TLS and HTTP the client does.
            Some(200..=299) if !rest.is_empty() => return Err(Refusal::of("sent bytes that nobody had asked for")),
            Some(200..=299) => return Ok(true),
            Some(status) => return Err(refused(status, &String::from_utf8_lossy(head))),
            None => return Err(Refusal::of("does not answer CONNECT in HTTP")),
        }
    }
}

/// What a proxy that answers so has against a request.
pub(crate) fn refused(status: u16, head: &str) -> Refusal {
    let schemes: Vec<&str> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"))
        .filter_map(|(_, value)| value.split([' ', ',', '\t']).find(|word| !word.is_empty()))
        .filter(|scheme| scheme.len() <= 30 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
        .collect();
    let knows_basic = schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic"));
    let (what, next_step) = match status {
        407 if knows_basic => (
            "wants a user name and password, or others than it got (407)".into(),
            Some("Give them in the proxy's URL: http://USER:PASSWORD@HOST:PORT, percent-encoded."),
        ),
        407 => (
            format!("wants to be logged in to by {} (407)", schemes.join(" or ")),
            Some("svctoken logs in by Basic only: use another proxy, or one on this machine that logs in to it."),
        ),
        403 => (
            "does not allow it (403)".into(),
            Some("Ask who runs the proxy to allow this host and port, or name the host in no_proxy."),
        ),
        _ => (format!("refuses it with status {status}"), None),
    };
    let may_pass = matches!(status, 408 | 429 | 500 | 502..=504);
    Refusal { what, status: Some(status), next_step, may_pass }
}

impl Refusal {
    fn with_next_step(self, next_step: &'static str) -> Refusal {
        Refusal { next_step: Some(next_step), ..self }
    }
}

/// Where a SOCKS proxy is to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Address(SocketAddr),
    /// A name that the proxy looks up.
    Name(&'a str, u16),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// The greeting (RFC 1928 section 3).
pub(crate) fn socks_greeting(has_credential: bool) -> &'static [u8] {
    match has_credential {
        true => &[SOCKS_VERSION, 2, NO_CREDENTIAL, USER_AND_PASSWORD],
        false => &[SOCKS_VERSION, 1, NO_CREDENTIAL],
    }
}

/// Whether the proxy, by its answer to the greeting, wants the credential.
pub(crate) fn socks_wants_credential(answer: [u8; 2], has_credential: bool) -> Result<bool, Refusal> {
    match answer {
        [SOCKS_VERSION, NO_CREDENTIAL] => Ok(false),
        [SOCKS_VERSION, USER_AND_PASSWORD] if has_credential => Ok(true),
        [SOCKS_VERSION, _] => {
            let what = match has_credential {
                true => "takes no user name and password",
                false => "wants to be logged in to",
            };
            Err(Refusal::of(what)
                .with_next_step("Give user name and password in the proxy's URL: socks5h://USER:PASSWORD@HOST:PORT."))
        }
        _ => Err(not_socks()),
    }
}

/// The credential (RFC 1929 section 2), each text of at most 255 bytes.
pub(crate) fn socks_credential(user: &str, password: &str) -> Vec<u8> {
    let mut bytes = vec![1];
    for text in [user, password] {
        bytes.push(text.len() as u8);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The proxy's answer to the credential.
pub(crate) fn socks_logged_in(answer: [u8; 2]) -> Result<(), Refusal> {
    match answer {
        [_, 0] => Ok(()),
        _ => Err(Refusal::of("refuses the user name and password")),
    }
}

/// The request for a way (RFC 1928 section 4).
pub(crate) fn socks_connect(target: &Target<'_>) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![SOCKS_VERSION, 1, 0];
    let port = match target {
        Target::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(1);
                    bytes.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(4);
                    bytes.extend_from_slice(&ip.octets());
                }
            }
            address.port()
        }
        Target::Name(name, port) => {
            let length = u8::try_from(name.len());
            let length = length.map_err(|_| Refusal::of("cannot be told a host name of more than 255 bytes"))?;
            bytes.extend_from_slice(&[3, length]);
            bytes.extend_from_slice(name.as_bytes());
            *port
        }
    };
    bytes.extend_from_slice(&port.to_be_bytes());
    Ok(bytes)
}

/// How many bytes of the answer still come after its first five (RFC 1928 section 6).
pub(crate) fn socks_connected(answer: [u8; 5]) -> Result<usize, Refusal> {
    let [version, reply, _, kind, first] = answer;
    if version != SOCKS_VERSION {
        return Err(not_socks());
    }
    let why = match reply {
        0 => "",
        1 => "failed",
        2 => "does not allow it",
        3 => "says that the network cannot be reached",
        4 => "says that the host cannot be reached",
        5 => "says that the connection was refused",
        6 => "says that the way there is too long",
        7 => "knows no CONNECT",
        8 => "knows no addresses of this kind",
        _ => "refuses it",
    };
    if reply != 0 {
        let may_pass = matches!(reply, 1 | 3..=6);
        let next_step = (reply == 8).then_some("Use socks5h, which has names looked up by the proxy.");
        return Err(Refusal { may_pass, next_step, ..Refusal::of(format!("{why} (SOCKS reply {reply})")) });
    }
    // The address that was bound, of which nothing is wanted but its end.
    match kind {
        1 => Ok(4 + 2 - 1),
        4 => Ok(16 + 2 - 1),
        3 => Ok(usize::from(first) + 2),
        _ => Err(not_socks()),
    }
}

fn not_socks() -> Refusal {
    Refusal::of("does not speak SOCKS 5").with_next_step("Check the proxy's scheme and port.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p07_a_connect_tells_the_proxy_its_own_credential_and_nothing_else() {
        assert_eq!(
            connect_head("api.example:443", "ua", Some("Basic eA==")),
            "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nUser-Agent: ua\r\nProxy-Authorization: Basic eA==\r\n\r\n"
        );
        assert!(!connect_head("[::1]:443", "ua", None).contains("Authorization"));
    }

    #[test]
    fn an_answer_to_connect_is_read_at_every_cut() {
        let answer =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection established\r\nVia: x\r\nContent-Length: 5\r\n\r\n";
        for cut in 0..answer.len() {
            assert_eq!(is_connected(&answer[..cut]), Ok(false), "{cut}");
        }
        assert_eq!(is_connected(answer), Ok(true));
    }

    #[test]
    fn what_is_no_way_is_told_apart() {
        let refusal = |text: &str| is_connected(text.as_bytes()).expect_err(text);
        let refused = refusal("HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\nbody");
        assert_eq!((refused.status, refused.may_pass), (Some(407), false));
        let refused = refusal("HTTP/1.1 407 x\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n");
        assert!(refused.what.contains("Negotiate or NTLM"), "{refused:?}");
        for status in [101, 301, 400, 401, 403, 404, 405, 500, 502, 503, 504, 999] {
            let refused = refusal(&format!("HTTP/1.1 {status} x\r\n\r\n"));
            assert_eq!((refused.status, refused.may_pass), (Some(status), [500, 502, 503, 504].contains(&status)));
        }
        for bad in ["SSH-2.0-x", "<html>", "HTTP/2 200\r\n\r\n", "HTTP/1.1 2x0 \r\n\r\n", "HTTP/1.1 200 x\r\n\r\nearly"]
        {
            assert_eq!(refusal(bad).status, None, "{bad}");
        }
        let endless = format!("HTTP/1.1 200 x\r\nx: {}", "y".repeat(LARGEST_HEAD));
        assert!(is_connected(endless.as_bytes()).is_err());
    }

    #[test]
    fn socks_requests_are_those_of_the_rfc() {
        assert_eq!(socks_greeting(false), [5, 1, 0]);
        assert_eq!(socks_greeting(true), [5, 2, 0, 2]);
        assert_eq!(socks_credential("me", "pass"), *b"\x01\x02me\x04pass");
        let bytes = |target| socks_connect(&target).expect("short");
        assert_eq!(bytes(Target::Name("a.example", 443)), *b"\x05\x01\x00\x03\x09a.example\x01\xbb");
        let address = |text: &str| Target::Address(text.parse().expect("an address"));
        assert_eq!(bytes(address("127.0.0.1:80")), [5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
        assert_eq!(bytes(address("[::1]:80")), [&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 80]].concat());
        assert!(socks_connect(&Target::Name(&"x".repeat(256), 1)).is_err());
    }

    #[test]
    fn socks_answers_are_those_of_the_rfc() {
        assert_eq!(socks_wants_credential([5, 0], true), Ok(false));
        assert_eq!(socks_wants_credential([5, 2], true), Ok(true));
        for (answer, has_credential) in
            [([5, 2], false), ([5, 255], true), ([5, 255], false), ([5, 1], true), ([4, 0], false)]
        {
            assert!(socks_wants_credential(answer, has_credential).is_err(), "{answer:?}");
        }
        assert!(socks_logged_in([1, 0]).is_ok() && socks_logged_in([1, 1]).is_err());
        assert_eq!(socks_connected([5, 0, 0, 1, 9]), Ok(5));
        assert_eq!(socks_connected([5, 0, 0, 4, 9]), Ok(17));
        assert_eq!(socks_connected([5, 0, 0, 3, 9]), Ok(11));
        assert!(socks_connected([5, 0, 0, 2, 9]).is_err() && socks_connected([72, 84, 84, 80, 47]).is_err());
        for reply in 1..=255 {
            let refused = socks_connected([5, reply, 0, 1, 0]).expect_err("refused");
            assert_eq!(refused.may_pass, [1, 3, 4, 5, 6].contains(&reply), "{refused:?}");
        }
    }
}
