//! The body of a request as it arrives, read in pieces, so that one of gigabytes costs nothing.

use ring::digest::{Context, SHA256};

use crate::http::{BODY_LIMIT, MALFORMED, NoRequest, Request, read_line, read_more};
use crate::rules::{Action, Continue};
use crate::space::Space;
use crate::wire::Wire;

const TOO_LARGE: NoRequest = NoRequest::Bad(413, "request body too large");

/// What the report shows of a body that nobody looks into.
const KEPT_OF_UPLOADS: usize = 256;

/// What is still to come of a body.
enum Left {
    Nothing,
    Bytes(u64),
    /// Of the chunk that has begun, and its end of line; then more chunks.
    Chunked(u64),
}

pub(crate) struct IncomingBody {
    left: Left,
    begun: bool,
    expects_continue: bool,
}

impl IncomingBody {
    pub(crate) fn announced_by(request: &Request) -> Result<IncomingBody, NoRequest> {
        let chunked = request.header("transfer-encoding").map(|value| value.eq_ignore_ascii_case("chunked"));
        let length = request.header("content-length").map(str::parse);
        let left = match (chunked, length) {
            (None, None | Some(Ok(0))) => Left::Nothing,
            (None, Some(Ok(length))) => Left::Bytes(length),
            (Some(true), None) => Left::Chunked(0),
            _ => return Err(MALFORMED),
        };
        Ok(IncomingBody { left, begun: false, expects_continue: request.expects_continue() })
    }

    /// As many bytes as are there, at least one and at most so many; none is the end.
    fn next(&mut self, wire: &mut Wire, buffer: &mut Vec<u8>, most: u64) -> Result<Vec<u8>, NoRequest> {
        if let Left::Chunked(0) = self.left {
            if self.begun && !read_line(wire, buffer)?.is_empty() {
                return Err(MALFORMED);
            }
            let size_line = read_line(wire, buffer)?;
            let digits = size_line.split(';').next().unwrap_or_default().trim();
            self.left = match u64::from_str_radix(digits, 16).map_err(|_| MALFORMED)? {
                0 => Left::Nothing,
                size => Left::Chunked(size),
            };
            self.begun = true;
            if let Left::Nothing = self.left {
                // Trailers are read and dropped.
                while !read_line(wire, buffer)?.is_empty() {}
            }
        }
        let (Left::Bytes(left) | Left::Chunked(left)) = &mut self.left else { return Ok(Vec::new()) };
        if buffer.is_empty() {
            read_more(wire, buffer)?;
        }
        let count = (buffer.len() as u64).min(*left).min(most);
        *left -= count;
        if let Left::Bytes(0) = self.left {
            self.left = Left::Nothing;
        }
        let rest = buffer.split_off(count as usize);
        Ok(std::mem::replace(buffer, rest))
    }

    /// Reads the body into the request, as its server wants it.
    pub(crate) fn receive(
        mut self,
        space: Option<&Space>,
        wire: &mut Wire,
        buffer: &mut Vec<u8>,
        action: &Action,
        request: &mut Request,
    ) -> Result<(), NoRequest> {
        let kept = if request.path.starts_with("/upload") { KEPT_OF_UPLOADS } else { BODY_LIMIT };
        if matches!(self.left, Left::Bytes(length) if length > BODY_LIMIT as u64) && kept == BODY_LIMIT {
            return Err(TOO_LARGE);
        }
        let most = action.body_bytes.unwrap_or(u64::MAX);
        if self.expects_continue && most > 0 {
            wire.write(action.answer_to_expectation())?;
        }
        let (mut digest, mut hold) = (Context::new(&SHA256), action.hold_body.as_ref());
        while request.body_length < most {
            let mut wanted = most - request.body_length;
            if let (Some(stop), Some(space)) = (hold, space) {
                if request.body_length == stop.after_bytes {
                    space.hold(&wire.peer, &stop.gate)?;
                    hold = None;
                } else {
                    wanted = wanted.min(stop.after_bytes - request.body_length);
                }
            }
            let piece = self.next(wire, buffer, wanted)?;
            if piece.is_empty() {
                break;
            }
            if self.expects_continue && request.body_length == 0 {
                wire.write(action.interim_answer_to_the_body())?;
            }
            digest.update(&piece);
            request.body_length += piece.len() as u64;
            let room = kept - request.body.len();
            if piece.len() > room && kept == BODY_LIMIT {
                return Err(TOO_LARGE);
            }
            request.body.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        request.unread = !matches!(self.left, Left::Nothing);
        request.body_sha256 = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(())
    }
}

impl Action {
    fn answer_to_expectation(&self) -> &'static [u8] {
        match self.r#continue {
            None => b"HTTP/1.1 100 Continue\r\n\r\n",
            Some(Continue::Omit | Continue::Late) => b"",
            Some(Continue::Headers) => b"HTTP/1.1 100 Continue\r\nServer: sandbox\r\nX-Hint: 1\r\n\r\n",
            Some(Continue::EarlyHints) => {
                b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
            }
        }
    }

    /// What is said when the body's first bytes are there.
    fn interim_answer_to_the_body(&self) -> &'static [u8] {
        match self.r#continue {
            Some(Continue::Late) => b"HTTP/1.1 100 Continue\r\nX-Hint: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
            _ => b"",
        }
    }
}
