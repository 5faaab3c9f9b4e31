//! One form to the authorization server, and its answer: the only place where credential, grant and http meet.

use std::time::{Duration, SystemTime};

use crate::config::settings::GrantSettings;
use crate::config::url::Url;
use crate::crypto;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::grant::assertion::Stamp;
use crate::grant::{Failure, FailureClass, TokenAnswer, TokenRequest};
use crate::http::{Answer, HeaderMap, HeaderValue, HttpClient, Method, Outgoing, Reading, date, retry_after};
use crate::token::server_clock::{self, ServerClock};
use crate::wait::Wait;

/// Larger answers are none of an authorization server's.
const LARGEST_ANSWER: u64 = 1024 * 1024;

/// What the next assertion differs by; its time is that of `clock`, ours if there is none.
pub(crate) fn stamp(clock: Option<ServerClock>) -> Result<Stamp> {
    let no_randomness = || Error::new(ErrorCode::Internal, Stage::Sending, "the machine gave no random bytes");
    Ok(Stamp { time: server_clock::now_by(clock), id: crypto::random_bytes().ok_or_else(no_randomness)? })
}

/// Posts a form to one of the server's endpoints. Redirects are not followed.
pub(crate) fn send(
    request: &TokenRequest,
    url: &Url,
    settings: &GrantSettings,
    http: &HttpClient,
    wait: &Wait,
) -> Result<Answer> {
    let headers = headers(settings, request)?;
    let body = Some(request.body.reveal().as_bytes());
    let sent = http.send(
        &Outgoing { method: Method::POST, url, headers, body, new_connection: false },
        wait,
        Reading::Whole { limit: LARGEST_ANSWER },
    );
    sent.map_err(|broken| broken.error)
}

/// Asks for a public document of the server's. Redirects are not followed.
pub(crate) fn get(url: &Url, settings: &GrantSettings, http: &HttpClient, wait: &Wait) -> Result<Answer> {
    let headers = common_headers(settings)?;
    let sent = http.send(
        &Outgoing { method: Method::GET, url, headers, body: None, new_connection: false },
        wait,
        Reading::Whole { limit: LARGEST_ANSWER },
    );
    sent.map_err(|broken| broken.error)
}

/// What the network did to a request: nearly all of it may go away by itself.
pub(crate) fn failure_of_network(error: Error) -> Failure {
    let class = match error.code() {
        ErrorCode::TlsFailed | ErrorCode::ProxyFailed if error.may_pass() => FailureClass::Transient,
        ErrorCode::AnswerTooLarge
        | ErrorCode::TlsFailed
        | ErrorCode::ProxyFailed
        | ErrorCode::InvalidArgument
        | ErrorCode::InvalidConfiguration => FailureClass::Wrong,
        _ => FailureClass::Transient,
    };
    Failure { class, error }
}

/// What of an answer the grant reads; `clock` is the one that the request was stamped by.
pub(crate) fn as_read(answer: &Answer, clock: Option<ServerClock>) -> TokenAnswer<'_> {
    TokenAnswer {
        status: answer.status,
        body: &answer.body,
        retry_after: retry_after(&answer.headers),
        redirects_to: (300..400)
            .contains(&answer.status)
            .then(|| answer.headers.get("location").and_then(|location| location.to_str().ok()))
            .flatten(),
        clock_ahead: date(&answer.headers).map(|date| seconds_after(date, server_clock::now_by(clock))),
    }
}

fn common_headers(settings: &GrantSettings) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("user-agent", header_value("user_agent", &settings.user_agent)?);
    Ok(headers)
}

fn header_value(option: &str, text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::configuration(format!("{option} cannot stand in a header")))
}

fn headers(settings: &GrantSettings, request: &TokenRequest) -> Result<HeaderMap> {
    let mut headers = common_headers(settings)?;
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Some(authorization) = &request.authorization {
        let mut value = header_value("client_secret", authorization.reveal())?;
        value.set_sensitive(true);
        headers.insert("authorization", value);
    }
    Ok(headers)
}

fn seconds_after(later: SystemTime, earlier: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    later.duration_since(earlier).map_or_else(|before| -seconds(before.duration()), seconds)
}
