//! An answer of the API.

use std::fmt;

use serde_json::Value;

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::Answer;
use crate::token::mint::retry_after;

/// An answer, read whole. Any HTTP status is an answer; [`error_for_status`](Response::error_for_status) makes an error
/// of 400 and above.
pub struct Response {
    answer: Answer,
    attempts: u32,
    url: String,
}

impl Response {
    pub(crate) fn new(answer: Answer, attempts: u32, url: String) -> Response {
        Response { answer, attempts, url }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// Whether the status is 200 to 299.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.answer.status)
    }

    /// How often the request was sent.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The URL asked, with its query.
    pub fn url(&self) -> &str {
        &self.url
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

    /// The body as text. Fails with `bad_answer` if it is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.answer.body).map_err(|error| {
            Error::new(ErrorCode::BadAnswer, Stage::Answer, format!("the answer's body is not UTF-8: {error}"))
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

    /// The error a status of 400 or above stands for: Atlas's, OAuth's and RFC 9457's bodies are read.
    pub fn error(&self) -> Option<Error> {
        let status = self.status();
        if status < 400 {
            return None;
        }
        let json: Value = serde_json::from_slice(&self.answer.body).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(short);
        let code = text("errorCode").or_else(|| text("error"));
        let description = text("detail").or_else(|| text("error_description")).or_else(|| text("title"));
        let mut what = format!("the API answered {status}");
        if let Some(code) = &code {
            what.push_str(&format!(" {code}"));
        }
        if let Some(description) = &description {
            what.push_str(&format!(": {description}"));
        }
        let error = Error::new(ErrorCode::HttpStatus, Stage::Answer, what)
            .with_status(status)
            .with_oauth(text("error"), text("error_description"))
            .with_retry_after(retry_after(&self.answer.headers));
        Some(error)
    }
}

/// At most 300 characters of a server's text, on one line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("body_bytes", &self.answer.body.len())
            .finish_non_exhaustive()
    }
}
