//! URLs, parsed once and by one parser: a second one is how origin checks get bypassed.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// Scheme, host and port (RFC 6454): what decides who may see a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// In lower case; an IPv6 address stands in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// An absolute http or https URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Url {
    pub(crate) origin: Origin,
    /// Begins with `/`; holds the query, if there is one.
    pub(crate) path_and_query: String,
}

impl Url {
    /// Parses an absolute URL. The error says what is wrong, without the field's name.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        check_characters(text)?;
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("has no scheme: begin it with https://".into());
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err("has a scheme other than https and http".into()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains('#') {
            return Err("has a fragment (#…), which is never sent: leave it out".into());
        }
        let path_and_query = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        if path_and_query.starts_with("//") {
            return Err("has a path that begins with two slashes".into());
        }
        let default_port = if scheme == Scheme::Https { 443 } else { 80 };
        Ok(Url { origin: parse_authority(scheme, authority, default_port)?, path_and_query })
    }

    /// `path` on `origin`, appended and never joined (RFC 3986's joining lets `//host` change the host).
    pub(crate) fn on_origin(origin: &Origin, path: &str) -> Result<Url, String> {
        if !path.starts_with('/') || path.starts_with("//") {
            return Err("must begin with exactly one slash".into());
        }
        check_characters(path)?;
        if path.contains('#') {
            return Err("has a fragment (#…), which is never sent: leave it out".into());
        }
        Ok(Url { origin: origin.clone(), path_and_query: path.to_string() })
    }

    /// Where a reference in an answer of this URL leads (RFC 3986 section 5.2), its fragment left out. Whatever parsers
    /// disagree about is refused.
    pub(crate) fn follow(&self, reference: &str) -> Result<Url, String> {
        let reference = reference.split('#').next().unwrap_or_default();
        if reference.is_empty() {
            return Err("is empty".into());
        }
        check_characters(reference)?;
        let scheme = match self.origin.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        if reference.starts_with("//") {
            return Url::parse(&format!("{scheme}:{reference}"));
        }
        if reference.split(['/', '?']).next().is_some_and(|first| first.contains(':')) {
            return Url::parse(reference);
        }
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        let (below, query) = match reference.split_once('?') {
            Some((below, query)) => (below, Some(query)),
            None => (reference, None),
        };
        let mut target = match below {
            "" => path.to_string(),
            _ if below.starts_with('/') => without_dot_segments(below),
            _ => without_dot_segments(&format!("{}/{below}", &path[..path.rfind('/').unwrap_or_default()])),
        };
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        Url::on_origin(&self.origin, &target)
    }

    /// Adds form-encoded query parameters.
    pub(crate) fn add_query<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        let query = form_body(pairs);
        if !query.is_empty() {
            self.path_and_query.push(if self.path_and_query.contains('?') { '&' } else { '?' });
            self.path_and_query.push_str(&query);
        }
    }

    /// As it is written, in one allocation.
    pub(crate) fn text(&self) -> String {
        const SCHEME_AND_PORT: usize = "https://:65535".len();
        let length = SCHEME_AND_PORT + self.origin.host.len() + self.path_and_query.len();
        let mut text = String::with_capacity(length);
        write!(text, "{self}").expect("a String takes every text");
        text
    }

    /// Whether a token or secret may travel there: https, or http to this machine itself.
    pub(crate) fn is_safe(&self) -> bool {
        self.origin.scheme == Scheme::Https || self.origin.is_loopback()
    }
}

impl Origin {
    /// Parses `HOST[:PORT]`, the port being `default_port` where none is told. The error says what is wrong.
    pub(crate) fn parse(scheme: Scheme, authority: &str, default_port: u16) -> Result<Origin, String> {
        check_characters(authority)?;
        parse_authority(scheme, authority, default_port)
    }

    pub(crate) fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(address) => address.is_loopback(),
            None => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// The address, where the host is one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        if let Some(inner) = self.host.strip_prefix('[') {
            let inner = inner.strip_suffix(']')?;
            return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
        }
        self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    }

    /// The host as a resolver and a certificate know it: without brackets.
    pub(crate) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default_port) = match self.scheme {
            Scheme::Https => ("https", 443),
            Scheme::Http => ("http", 80),
        };
        f.write_str(scheme)?;
        f.write_str("://")?;
        f.write_str(&self.host)?;
        if self.port != default_port {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)?;
        f.write_str(&self.path_and_query)
    }
}

/// A text that was to be a URL, for messages: without the user name and password it may hold.
pub(crate) fn shown(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.into() };
    let is_path = text.starts_with('/') && !text.starts_with("//");
    match text.find("//") {
        _ if is_path => text.into(),
        Some(slashes) if slashes < at => format!("{}//[hidden]{}", &text[..slashes], &text[at..]),
        _ => format!("[hidden]{}", &text[at..]),
    }
}

/// A path that begins with a slash, with `.` and `..` worked out (RFC 3986 section 5.2.4).
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn check_characters(text: &str) -> Result<(), String> {
    for character in text.chars() {
        match character {
            '\\' => return Err("has a backslash".into()),
            ' ' => return Err("has a space: write it as %20".into()),
            c if c.is_control() => return Err("has a control character".into()),
            c if !c.is_ascii() => {
                return Err(format!("has the character {c}: percent-encode it (in a host name: use its xn-- form)"));
            }
            '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}' => {
                return Err(format!("has the character {character}: percent-encode it"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn parse_authority(scheme: Scheme, authority: &str, default_port: u16) -> Result<Origin, String> {
    if authority.contains('@') {
        return Err("has a user name or password: credentials belong into their own options".into());
    }
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    };
    let port = match port {
        None => default_port,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or("has a port that is no number from 1 to 65535")?
        }
        Some(_) => return Err("has a port that is no number from 1 to 65535".into()),
    };
    let host = host.to_ascii_lowercase();
    let is_name = |host: &str| {
        !host.is_empty()
            && host.split('.').all(|label| !label.is_empty())
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    let origin = Origin { scheme, host, port };
    if origin.host.is_empty() {
        return Err("has no host".into());
    }
    let bracketed = origin.host.starts_with('[');
    if (bracketed && origin.ip().is_none()) || (!bracketed && !is_name(&origin.host)) {
        return Err("has a host that is no name and no address".into());
    }
    Ok(origin)
}

/// Percent-decoded (RFC 3986 section 2.1), as a user name or password may have any character.
pub(crate) fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("has a % that is not followed by two hexadecimal digits: write it as %25")?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| "has a user name or password that is not UTF-8".into())
}

/// Names and values as `application/x-www-form-urlencoded`.
pub(crate) fn form_body<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut body = String::new();
    for (name, value) in pairs {
        if !body.is_empty() {
            body.push('&');
        }
        form_encode(name, &mut body);
        body.push('=');
        form_encode(value, &mut body);
    }
    body
}

/// Form-encodes by the WHATWG set: `A-Z a-z 0-9 * - . _` stay, a space becomes `+`, all else `%XX`.
pub(crate) fn form_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(byte as char),
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin_of(text: &str) -> String {
        Url::parse(text).map(|url| url.origin.to_string()).unwrap_or_else(|why| why)
    }

    #[test]
    fn an_origin_is_told_in_one_spelling() {
        assert_eq!(origin_of("HTTPS://Cloud.MongoDB.com:443/x"), "https://cloud.mongodb.com");
        assert_eq!(origin_of("http://localhost:80"), "http://localhost");
        assert_eq!(origin_of("https://[::1]:8443/"), "https://[::1]:8443");
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        for hostile in [
            "https://a@b.example/",
            "https://a:b@c.example/",
            "https://a\\b.example/",
            "https:/one.example",
            "https://a.example\\@b.example/",
            "https://exämple.org/",
            "https://a b/",
            "https://a.example:0/",
            "https://a.example:99999/",
            "https://a.example:+1/",
            "https:///path",
            "ftp://a.example/",
            "//a.example/",
            "https://[::1/",
            "https://[1.2.3.4]/",
            "https://a..b/",
            "https://a.example/\r\nx",
            "https://a%2eb/",
            "https://a.example/#fragment",
            "https://a.example//x",
            "",
            "a.example",
        ] {
            assert!(Url::parse(hostile).is_err(), "{hostile:?} was accepted");
        }
    }

    #[test]
    fn a_path_stays_on_its_origin() {
        let origin = Url::parse("https://api.example").expect("valid").origin;
        assert_eq!(Url::on_origin(&origin, "/a/b?c=d").expect("valid").to_string(), "https://api.example/a/b?c=d");
        for hostile in
            ["//evil.example", "evil", "/\\evil", "/a b", "/a\tb", "/ä", "/a#b", "@evil", ".evil.example", ""]
        {
            assert!(Url::on_origin(&origin, hostile).is_err(), "{hostile:?} was accepted");
        }
    }

    #[test]
    fn a_reference_leads_where_the_rfc_says() {
        let base = Url::parse("http://a/b/c/d;p?q").expect("valid");
        // RFC 3986 section 5.4, less what has another scheme or no path of its own.
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("HTTP://B:80/x#y", "http://b/x"),
        ] {
            assert_eq!(base.follow(reference).map(|url| url.to_string()).as_deref(), Ok(expected), "{reference}");
        }
        for hostile in ["", "#x", "g:h", "http:g", "../..//evil", "/.//evil", "/x/..//evil", "//", "///evil", "/\\evil"]
        {
            assert!(base.follow(hostile).is_err(), "{hostile:?} was followed to {:?}", base.follow(hostile));
        }
    }

    #[test]
    fn p07_a_password_in_a_url_is_not_repeated() {
        assert_eq!(shown("https://user:p@ss@a.example/x"), "https://[hidden]@a.example/x");
        assert_eq!(shown("//user:pass@a.example"), "//[hidden]@a.example");
        assert_eq!(shown("/users/a@b.example"), "/users/a@b.example");
        assert_eq!(shown("/users//a@b.example"), "/users//a@b.example");
        assert_eq!(shown("user:pass@a.example/x"), "[hidden]@a.example/x");
        assert_eq!(shown("https:user:pass@a.example/x"), "[hidden]@a.example/x");
    }

    #[test]
    fn plain_http_is_safe_only_on_this_machine() {
        let safe = |text: &str| Url::parse(text).expect("valid").is_safe();
        assert!(safe("http://127.0.0.1:1") && safe("http://localhost") && safe("http://[::1]") && safe("https://a.b"));
        assert!(
            !safe("http://10.0.0.1")
                && !safe("http://localhost.evil.example")
                && !safe("http://127.0.0.1.evil.example")
        );
    }

    #[test]
    fn a_query_is_form_encoded_and_keeps_its_order() {
        let mut url = Url::parse("https://a.example/p?x=1").expect("valid");
        url.add_query([("q", "a b&c"), ("q", "ü")].into_iter());
        assert_eq!(url.path_and_query, "/p?x=1&q=a+b%26c&q=%C3%BC");
    }
}
