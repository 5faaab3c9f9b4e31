//! What a server says before its answer (RFC 9110 section 15.2). Pure.

/// What ureq understands as "go on", in the fewest bytes; it takes one with headers for the answer, and would never send
/// the body.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100\r\n\r\n";

/// How the bytes begin that have come so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// There must be more before anything can be said.
    Unclear,
    /// "100 Continue", so many bytes long.
    Continue(usize),
    /// Another interim answer, so many bytes long, that means nothing here.
    Interim(usize),
    /// The answer itself, or nothing of HTTP.
    Answer,
}

/// Whether of an answer as much is there as ureq needs to tell it from "100 Continue": its first line, and a byte more.
pub(super) fn has_first_line(answer: &[u8]) -> bool {
    let end = answer.iter().position(|byte| *byte == b'\n');
    !answer.starts_with(b"HTTP/1.") || end.is_some_and(|end| end + 1 < answer.len())
}

/// Whether an answer is of 200 to 299.
pub(super) fn is_success(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.") && answer.get(9) == Some(&b'2')
}

pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    const VERSION: &[u8] = b"HTTP/1.";
    let common = bytes.len().min(VERSION.len());
    if bytes[..common] != VERSION[..common] {
        return Beginning::Answer;
    }
    // "HTTP/1.1 100"
    let Some(status) = bytes.get(9..12) else { return Beginning::Unclear };
    if status[0] != b'1' || status == b"101" {
        return Beginning::Answer;
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Beginning::Unclear };
    if status == b"100" { Beginning::Continue(end + 4) } else { Beginning::Interim(end + 4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_an_answer_is_told_from_it() {
        for (text, expected) in [
            ("HTTP/1.1 100 Continue\r\n\r\n", Beginning::Continue(25)),
            ("HTTP/1.1 100 Continue\r\nServer: x\r\n\r\nHTTP/1.1 200", Beginning::Continue(36)),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Beginning::Interim(37)),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Beginning::Answer),
            ("HTTP/1.1 401 Unauthorized\r\nContent", Beginning::Answer),
            ("HTTP/1.0 417", Beginning::Answer),
            ("220 smtp.example", Beginning::Answer),
            ("", Beginning::Unclear),
        ] {
            assert_eq!(beginning(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn of_an_answer_the_first_line_tells_what_it_is() {
        const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\nA: b\r\n";
        for length in 12..ANSWER.len() {
            assert_eq!(has_first_line(&ANSWER[..length]), length > "HTTP/1.1 204 No Content\r\n".len(), "{length}");
            assert!(is_success(&ANSWER[..length]));
        }
        assert!(has_first_line(b"220 smtp.example") && has_first_line(b"HTTP/1.1 413\nA"));
        assert!(!is_success(b"220 smtp.example") && !is_success(b"HTTP/1.1 302 Found\r\n"));
    }

    #[test]
    fn a_beginning_is_unclear_until_it_is_whole() {
        for length in 0..CONTINUE.len() {
            assert_eq!(beginning(&CONTINUE[..length]), Beginning::Unclear, "{length}");
        }
        assert_eq!(beginning(CONTINUE), Beginning::Continue(CONTINUE.len()));
    }
}
