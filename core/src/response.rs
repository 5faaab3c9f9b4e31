//! An answer of the API.

use std::fmt;

use serde_json::Value;

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::{Answer, HeaderValue, retry_after};

/// An answer, read whole. Any HTTP status is an answer; [`error_for_status`](Response::error_for_status) makes an error
/// of 400 and above.
pub struct Response {
    answer: Answer,
    attempts: u32,
    url: String,
    /// What the request was sent with, so that an API that repeats it does not bring it into an error.
    authorization: HeaderValue,
}

impl Response {
    pub(crate) fn new(answer: Answer, attempts: u32, url: String, authorization: HeaderValue) -> Response {
        Response { answer, attempts, url, authorization }
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
        let tidy = |text: &str| self.tidy(text);
        let text = |name: &str| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(tidy);
        let code = text("errorCode").or_else(|| text("error"));
        let description = text("detail").or_else(|| text("error_description")).or_else(|| text("title"));
        let mut what = format!("the API answered {status}");
        if let Some(code) = &code {
            what.push_str(&format!(" {code}"));
        }
        if let Some(description) = &description {
            what.push_str(&format!(": {description}"));
        }
        for (field, problem) in wrong_fields(&json) {
            what.push_str(&format!("; {}: {}", tidy(field), tidy(problem)));
        }
        let mut error = Error::new(ErrorCode::HttpStatus, Stage::Answer, what)
            .with_status(status)
            .with_oauth(text("error"), text("error_description"))
            .with_retry_after(retry_after(&self.answer.headers));
        if let Some(next_step) = next_step(status, code.as_deref().unwrap_or_default()) {
            error = error.with_next_step(next_step);
        }
        Some(error)
    }
}

impl Response {
    /// At most 300 characters of a server's text, on one line and without the token.
    fn tidy(&self, text: &str) -> String {
        let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
        if let Some(token) = self.authorization.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")) {
            text = text.replace(token, "[token]");
        }
        text.chars().take(300).collect()
    }
}

/// The fields of a request that Atlas found wrong, and why.
fn wrong_fields(json: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = json.get("badRequestDetail").and_then(|detail| detail.get("fields")).and_then(Value::as_array);
    fields.into_iter().flatten().filter_map(|entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        Some((text("field")?, text("description")?))
    })
}

/// What the statuses and the codes of the Atlas API ask for.
fn next_step(status: u16, code: &str) -> Option<&'static str> {
    Some(match (status, code) {
        (_, "RATE_LIMITED" | "RATE_LIMITED_TOKEN_BUCKET") | (429, _) => {
            "Wait as long as retry_after says, and ask less often."
        }
        (_, "GROUP_NOT_FOUND") => "Check the project's id, and that the service account is a member of the project.",
        (_, "VALIDATION_ERROR") => "Correct the fields the message names.",
        (_, "VERSION_GONE") | (410, _) => "Ask for a newer version of the API by accept.",
        (401, _) => {
            "A fresh token was refused too: check that the service account is a member of this resource's organization."
        }
        (403, _) => "Check the service account's roles, and the API's list of allowed addresses.",
        (406, _) => "Ask for a version the resource has by accept, such as application/vnd.atlas.2025-03-12+json.",
        _ => return None,
    })
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("body_bytes", &self.answer.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderMap;

    fn error_of(status: u16, body: &str) -> Error {
        let answer = Answer { status, headers: HeaderMap::new(), body: body.into() };
        Response::new(answer, 1, "https://a.example/".into(), HeaderValue::from_static("Bearer a.living.token"))
            .error()
            .expect("400 and above are errors")
    }

    #[test]
    fn p13_a_body_of_each_kind_tells_what_is_wrong() {
        let atlas = r#"{"detail":"No project.","error":404,"errorCode":"GROUP_NOT_FOUND","parameters":["x"],"reason":"Not Found"}"#;
        let error = error_of(404, atlas);
        assert_eq!(error.what(), "the API answered 404 GROUP_NOT_FOUND: No project.");
        assert!(error.next_step().contains("project's id"));
        let fields = r#"{"errorCode":"VALIDATION_ERROR","badRequestDetail":{"fields":[{"field":"name","description":"is missing"}]}}"#;
        assert_eq!(error_of(400, fields).what(), "the API answered 400 VALIDATION_ERROR; name: is missing");
        let oauth = error_of(403, r#"{"error":"insufficient_scope","error_description":"more"}"#);
        assert_eq!(oauth.oauth_error(), Some("insufficient_scope"));
        assert_eq!(error_of(500, r#"{"title":"Broken"}"#).what(), "the API answered 500: Broken");
        let echo = r#"{"errorCode":"a.living\u0001.token","detail":"Bearer a.living.token is no good"}"#;
        assert_eq!(error_of(400, echo).what(), "the API answered 400 [token]: Bearer [token] is no good");
        for odd in ["", "<html>", "[]", "null", r#"{"errorCode":null,"detail":7,"badRequestDetail":null}"#] {
            assert_eq!(error_of(502, odd).what(), "the API answered 502", "{odd}");
        }
    }
}
