//! Headers: what a caller may set, and what of a token can be sent.

/// Headers that are svctoken's own, or that would change where a message ends.
const RESERVED: [&str; 9] = [
    "authorization",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// Checks a header a caller gives; the error says what is wrong.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    if !is_token(name) {
        return Err(format!("the header name {name:?} is no token (RFC 9110 section 5.6.2)"));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        return Err(format!("the header {name} is set by svctoken alone"));
    }
    check_value(value).map_err(|why| format!("the header {name} {why}"))
}

/// Checks a header value (RFC 9110 section 5.5): no line break, no NUL, no other control character but a tab.
pub(crate) fn check_value(value: &str) -> Result<(), String> {
    match value.chars().find(|c| c.is_control() && *c != '\t') {
        Some('\r' | '\n') => Err("has a line break in its value".into()),
        Some('\0') => Err("has a NUL in its value".into()),
        Some(_) => Err("has a control character in its value".into()),
        None => Ok(()),
    }
}

/// A token by RFC 9110 section 5.6.2, as methods and header names must be.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

const LONGEST_TOKEN: usize = 16 * 1024;

/// Whether a text can be sent as a token; the error says what is wrong with it.
pub(crate) fn check_access_token(token: &str) -> Result<(), String> {
    if token.len() > LONGEST_TOKEN {
        return Err(format!("has {} characters, more than {LONGEST_TOKEN}", token.len()));
    }
    if !is_b64token(token) {
        return Err("is empty or has characters that no header can carry (RFC 6750 section 2.1)".into());
    }
    Ok(())
}

/// RFC 6750 section 2.1: letters, digits and `-._~+/`, then any number of `=`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_message_or_the_token_is_refused() {
        for (name, value) in [
            ("Authorization", "x"),
            ("HOST", "x"),
            ("Content-length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("TE", "x"),
            ("Trailer", "x"),
            ("Upgrade", "x"),
            ("Expect", "x"),
            ("Proxy-Authorization", "x"),
            ("a b", "x"),
            ("", "x"),
            ("X:", "x"),
            ("X\r\nY", "x"),
            ("X", "a\r\nb: c"),
            ("X", "a\0b"),
            ("X", "a\nb"),
            ("X-\u{e4}", "x"),
        ] {
            assert!(check(name, value).is_err(), "{name:?}: {value:?} was accepted");
        }
        assert!(check("X-Request-Id", "a\tb \u{fc}").is_ok());
    }
}
