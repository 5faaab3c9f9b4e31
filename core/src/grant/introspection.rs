//! Token introspection (RFC 7662) as pure functions.

use serde_json::Value;

use crate::config::settings::GrantSettings;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::grant::assertion::Stamp;
use crate::grant::{Asked, Endpoint, TokenAnswer, TokenRequest, read_error, refusal};

/// The request that asks what the server knows of an access token (RFC 7662 section 2.1).
pub(crate) fn request(settings: &GrantSettings, token: &str, stamp: &Stamp) -> Result<TokenRequest> {
    TokenRequest::about(settings, token, "access_token", stamp)
}

/// Reads the answer (RFC 7662 section 2.2): the JSON object as the server wrote it. A token that is not active is no
/// error.
pub(crate) fn read_answer(
    answer: &TokenAnswer<'_>,
    request: &TokenRequest,
    settings: &GrantSettings,
    token: &str,
) -> Result<String> {
    let asked = &Asked { settings, request, endpoint: Endpoint::Introspection, token: Some(token) };
    let json: Option<Value> = serde_json::from_slice(answer.body).ok();
    let is_answer = json.as_ref().and_then(|json| json.get("active")).is_some_and(Value::is_boolean);
    let success = (200..300).contains(&answer.status);
    match std::str::from_utf8(answer.body) {
        Ok(text) if success && is_answer => return Ok(text.to_owned()),
        _ => {}
    }
    let (oauth_error, description) = json.as_ref().map(|json| read_error(json, asked)).unwrap_or_default();
    if success && oauth_error.is_none() {
        let what = format!("{} answered {} without saying whether it is active", asked.endpoint.name(), answer.status);
        return Err(Error::new(ErrorCode::BadAnswer, Stage::TokenAnswer, what)
            .with_status(answer.status)
            .with_next_step(
                "Check that introspection_url is the introspection endpoint and no gateway answers for it.",
            ));
    }
    Err(refusal(answer, oauth_error, description, asked).error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::tests::{plain, settings, stamp};

    fn read(status: u16, body: &str) -> Result<String> {
        let answer =
            TokenAnswer { status, body: body.as_bytes(), retry_after: None, redirects_to: None, clock_ahead: None };
        let settings = settings(plain());
        let request = request(&settings, "a.given.token", &stamp()).expect("no signature");
        read_answer(&answer, &request, &settings, "a.given.token")
    }

    #[test]
    fn an_answer_is_handed_on_as_it_is_and_what_is_none_is_an_error() {
        for body in [r#"{"active":false}"#, "{ \"active\": true, \"exp\": 12345678901234567890123 }\n"] {
            assert_eq!(read(200, body).expect(body), body);
        }
        for (status, body, code) in [
            (200, "", ErrorCode::BadAnswer),
            (200, "<html>", ErrorCode::BadAnswer),
            (200, r#"[{"active":true}]"#, ErrorCode::BadAnswer),
            (200, r#"{"active":"true"}"#, ErrorCode::BadAnswer),
            (200, r#"{"error":"server_error"}"#, ErrorCode::ServerUnavailable),
            (400, r#"{"active":true}"#, ErrorCode::OauthError),
            (401, r#"{"error":"invalid_request","error_description":"a.given.token"}"#, ErrorCode::ClientRefused),
            (403, r#"{"error":"access_denied"}"#, ErrorCode::AccessDenied),
            (503, "", ErrorCode::ServerUnavailable),
        ] {
            let error = read(status, body).expect_err(body);
            assert_eq!(error.code(), code, "{status} {body}");
            let shown = error.to_string();
            assert!(shown.contains("the introspection endpoint") && !shown.contains("a.given.token"), "{shown}");
        }
    }
}
