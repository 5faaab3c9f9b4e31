//! An answer of the API.

mod charset;
mod problem;
mod streaming;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::{Answer, HeaderValue, Method};
pub use crate::response::streaming::{ResponseBody, StreamingResponse};

/// An answer, read whole. Any HTTP status is an answer; [`error_for_status`](Response::error_for_status) makes an error
/// of 400 and above.
pub struct Response {
    answer: Answer,
    attempts: u32,
    asked: Asked,
}

/// What an answer is the answer to.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) url: String,
    /// What the request was sent with, so that an API that repeats it does not bring it into an error.
    pub(crate) authorization: HeaderValue,
    pub(crate) accept: Option<HeaderValue>,
}

impl Asked {
    fn url_without_query(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// Whether a version of the Atlas API was asked for.
    fn of_atlas(&self) -> bool {
        self.accept.as_ref().is_some_and(|accept| accept.as_bytes().starts_with(b"application/vnd.atlas."))
    }
}

impl Response {
    pub(crate) fn new(answer: Answer, attempts: u32, asked: Asked) -> Response {
        Response { answer, attempts, asked }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// Whether the status is 200 to 299.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.answer.status)
    }

    /// How many requests were sent for it: the first, those tried again, sent again after a 401, and redirected.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The URL that answered, with its query: where the last redirect led, if any was followed.
    pub fn url(&self) -> &str {
        &self.asked.url
    }

    /// The first header of that name, without case; bytes that are not UTF-8 are replaced.
    pub fn header(&self, name: &str) -> Option<String> {
        self.answer.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Every header in order, names in lower case; a repeated header comes repeatedly.
    pub fn headers(&self) -> impl Iterator<Item = (&str, String)> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.answer.headers.iter().map(move |(name, value)| (name.as_str(), text(value.as_bytes())))
    }

    /// The body, with any Content-Encoding of gzip undone.
    pub fn body(&self) -> &[u8] {
        &self.answer.body
    }

    /// The body, without copying it.
    pub fn into_body(self) -> Vec<u8> {
        self.answer.body
    }

    /// The charset that the answer's Content-Type names, in lower case; `None` if it names none.
    pub fn charset(&self) -> Option<String> {
        charset::named(&self.header("content-type")?)
    }

    /// The body as text, in the charset of its Content-Type or else UTF-8. Known are UTF-8, and ISO 8859-1 and
    /// windows-1252, which are read as the latter. Fails with `bad_answer` if the body is no such text.
    pub fn text(&self) -> Result<Cow<'_, str>> {
        charset::decode(self.charset().as_deref(), &self.answer.body).map_err(|why| {
            Error::new(ErrorCode::BadAnswer, Stage::Answer, format!("the answer's body {why}"))
                .with_status(self.status())
                .with_next_step("Use the body's bytes.")
        })
    }

    /// The body as JSON (RFC 8259). Fails with `bad_answer` if it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.answer.body).map_err(|error| {
            Error::new(ErrorCode::BadAnswer, Stage::Answer, format!("the answer's body is not JSON: {error}"))
                .with_status(self.status())
                .with_next_step("Look at the status and at the Content-Type first.")
        })
    }

    /// The answer itself below status 400; above, an `http_status` error with what the body says of it.
    pub fn error_for_status(self) -> Result<Response> {
        match self.error() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// The error a status of 400 or above stands for, with what the body says of it: Atlas's, OAuth's and RFC 9457's
    /// are read, and of a page the title.
    pub fn error(&self) -> Option<Error> {
        problem::error_of(&self.asked, &self.answer)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("body_bytes", &self.answer.body.len())
            .finish_non_exhaustive()
    }
}
