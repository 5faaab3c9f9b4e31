//! HTTP/1.1 as bytes: reading a request, and the parts of an answer. Sending one is `connection`'s, which may break it.

use std::borrow::Cow;

use serde_json::Value;

use crate::form;
use crate::incoming::IncomingBody;
use crate::peer::Ending;
use crate::rules::Action;
use crate::wire::Wire;

const HEAD_LIMIT: usize = 64 * 1024;
pub(crate) const BODY_LIMIT: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Host and port, of a request that is for a proxy.
    pub(crate) authority: Option<String>,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case, values as they came.
    pub(crate) headers: Vec<(String, String)>,
    /// As much of the body as is kept.
    pub(crate) body: Vec<u8>,
    /// Of the body as it was read, and of all of it unless it was left unread.
    pub(crate) body_length: u64,
    pub(crate) body_sha256: String,
    /// Some of the body was not read.
    pub(crate) unread: bool,
    /// Whether the client speaks HTTP/1.0 or said `Connection: close`.
    pub(crate) wants_close: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        form::value(self.query.as_bytes(), name)
    }

    pub(crate) fn form_value(&self, name: &str) -> Option<String> {
        form::value(&self.body, name)
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// The credentials of `Authorization: Bearer`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
    }
}

/// Why there is no request.
pub(crate) enum NoRequest {
    Ended(Ending),
    /// The bytes were not a request that can be served: status and reason to answer before closing.
    Bad(u16, &'static str),
}

impl From<Ending> for NoRequest {
    fn from(ending: Ending) -> Self {
        NoRequest::Ended(ending)
    }
}

pub(crate) const MALFORMED: NoRequest = NoRequest::Bad(400, "malformed request");

/// Reads one request. `buffer` keeps the bytes that came after it.
pub(crate) fn read_request(wire: &mut Wire, buffer: &mut Vec<u8>) -> Result<Request, NoRequest> {
    let mut request = read_head(wire, buffer)?;
    let body = IncomingBody::announced_by(&request)?;
    body.receive(None, wire, buffer, &Action::default(), &mut request)?;
    Ok(request)
}

/// Reads a request up to its body.
pub(crate) fn read_head(wire: &mut Wire, buffer: &mut Vec<u8>) -> Result<Request, NoRequest> {
    let head_length = loop {
        // RFC 9112 §2.2: an empty line before a request is ignored.
        while buffer.starts_with(b"\r\n") {
            buffer.drain(..2);
        }
        match buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) if at <= HEAD_LIMIT => break at,
            None if buffer.len() <= HEAD_LIMIT => read_more(wire, buffer)?,
            _ => return Err(NoRequest::Bad(431, "request head too large")),
        }
    };
    let request = parse_head(&buffer[..head_length]).ok_or(MALFORMED)?;
    buffer.drain(..head_length + 4);
    Ok(request)
}

fn parse_head(head: &[u8]) -> Option<Request> {
    // Header values may hold any byte; what is not UTF-8 is shown with replacement characters.
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || method.is_empty() || !version.starts_with("HTTP/1.") {
        return None;
    }
    let (authority, target) = match target.strip_prefix("http://") {
        _ if method == "CONNECT" => (Some(target), "/"),
        Some(rest) => rest.find('/').map(|at| rest.split_at(at)).map(|(authority, path)| (Some(authority), path))?,
        None if target.starts_with('/') => (None, target),
        None => return None,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let mut request = Request {
        method: method.to_owned(),
        authority: authority.map(str::to_owned),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        ..Request::default()
    };
    request.wants_close = version == "HTTP/1.0"
        || request
            .header("connection")
            .is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")));
    Some(request)
}

pub(crate) fn read_line(wire: &mut Wire, buffer: &mut Vec<u8>) -> Result<String, NoRequest> {
    loop {
        if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
            let line = String::from_utf8_lossy(&buffer[..at]).into_owned();
            buffer.drain(..at + 2);
            return Ok(line);
        }
        if buffer.len() > HEAD_LIMIT {
            return Err(MALFORMED);
        }
        read_more(wire, buffer)?;
    }
}

pub(crate) fn read_more(wire: &mut Wire, buffer: &mut Vec<u8>) -> Result<(), NoRequest> {
    let mut chunk = [0; 32 * 1024];
    let read = wire.read(&mut chunk)?;
    buffer.extend_from_slice(&chunk[..read]);
    Ok(())
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Without Date, Content-Length, Transfer-Encoding and Connection, unless a rule gave them.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Response {
    pub(crate) fn new(status: u16, body: Body) -> Self {
        Response { status, headers: Vec::new(), body }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Response::new(status, Body::from(value.to_string().as_str())).header("Content-Type", "application/json")
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    /// Whether HTTP lets this answer have a body at all.
    pub(crate) fn may_have_body(&self, method: &str) -> bool {
        method != "HEAD" && self.status >= 200 && self.status != 204 && self.status != 304
    }
}

/// The bytes of an answer. Large ones are computed while they are sent, so that a body of gigabytes costs nothing.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// So many times `x`.
    Fill(u64),
    /// So many bytes, byte i being i % 251.
    Counting(u64),
}

impl Default for Body {
    fn default() -> Self {
        Body::Bytes(Vec::new())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Body::Bytes(text.as_bytes().to_vec())
    }
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Fill(length) | Body::Counting(length) => *length,
        }
    }

    /// The bytes from `start` to `end`, both within the body.
    pub(crate) fn slice(&self, start: u64, end: u64) -> Cow<'_, [u8]> {
        match self {
            Body::Bytes(bytes) => Cow::Borrowed(&bytes[start as usize..end as usize]),
            Body::Fill(_) => Cow::Owned(vec![b'x'; (end - start) as usize]),
            Body::Counting(_) => Cow::Owned(counting(start, (end - start) as usize)),
        }
    }
}

fn counting(start: u64, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (start..).map(|index| (index % 251) as u8).take(length.min(251)).collect();
    // A whole number of periods each time, and so a copy goes on where it ended.
    while bytes.len() < length {
        let more = bytes.len().min(length - bytes.len());
        bytes.extend_from_within(..more);
    }
    bytes
}

pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        425 => "Too Early",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
