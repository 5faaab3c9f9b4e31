//! One form to the authorization server, and its answer: the only place where credential, grant and http meet.

use std::time::{Duration, SystemTime};

use crate::clock;
use crate::config::settings::GrantSettings;
use crate::config::url::Url;
use crate::error::{Error, Result};
use crate::grant::{TokenAnswer, TokenRequest, introspection};
use crate::http::{Answer, HeaderMap, HeaderValue, HttpClient, Method, Outgoing, Reading, date, retry_after};
use crate::wait::Wait;

/// Larger answers are none of an authorization server's.
const LARGEST_ANSWER: u64 = 1024 * 1024;

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
        &Outgoing { method: Method::POST, url, headers, body },
        wait,
        Reading::Whole { limit: LARGEST_ANSWER },
    );
    sent.map_err(|broken| broken.error)
}

/// What of an answer the grant reads.
pub(crate) fn as_read(answer: &Answer) -> TokenAnswer<'_> {
    TokenAnswer {
        status: answer.status,
        body: &answer.body,
        retry_after: retry_after(&answer.headers),
        redirects_to: (300..400)
            .contains(&answer.status)
            .then(|| answer.headers.get("location").and_then(|location| location.to_str().ok()))
            .flatten(),
        clock_ahead: date(&answer.headers).map(|date| seconds_after(date, clock::wall())),
    }
}

/// Where tokens are introspected.
pub(crate) fn introspection_url(settings: &GrantSettings) -> Result<&Url> {
    settings.introspection_url.as_ref().ok_or_else(|| {
        Error::configuration("there is no introspection_url, so no token can be introspected")
            .with_next_step("Give introspection_url, or use a preset that knows it: keycloak.")
    })
}

/// What the server knows of a token, as its JSON text.
pub(crate) fn introspect(
    url: &Url,
    settings: &GrantSettings,
    http: &HttpClient,
    token: &str,
    wait: &Wait,
) -> Result<String> {
    let answer = send(&introspection::request(settings, token), url, settings, http, wait);
    let text = answer.and_then(|answer| introspection::read_answer(&as_read(&answer), settings, token));
    text.map_err(|error| error.while_doing(&format!("introspecting a token at {}", url.origin)))
}

fn headers(settings: &GrantSettings, request: &TokenRequest) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    let text = |option: &str, text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::configuration(format!("{option} cannot stand in a header")))
    };
    headers.insert("user-agent", text("user_agent", &settings.user_agent)?);
    if let Some(authorization) = &request.authorization {
        let mut value = text("client_secret", authorization.reveal())?;
        value.set_sensitive(true);
        headers.insert("authorization", value);
    }
    Ok(headers)
}

fn seconds_after(later: SystemTime, earlier: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    later.duration_since(earlier).map_or_else(|before| -seconds(before.duration()), seconds)
}
