//! Token revocation (RFC 7009) as pure functions.

use serde_json::Value;

use crate::config::settings::GrantSettings;
use crate::error::{self, Error, ErrorCode};
use crate::grant::assertion::Stamp;
use crate::grant::{Asked, Endpoint, TokenAnswer, TokenRequest, read_error, refusal};

/// Why a token was not revoked, as far as is known.
#[derive(Debug)]
pub(crate) struct NotRevoked {
    pub(crate) error: Error,
    /// It may have been revoked all the same.
    pub(crate) in_doubt: bool,
}

/// What a token that is to be revoked is, as `token_type_hint` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    AccessToken,
    /// Its end is the end of the session that the server opened with the access token.
    RefreshToken,
}

/// The request that revokes a token (RFC 7009 section 2.1).
pub(crate) fn request(settings: &GrantSettings, token: &str, kind: Kind, stamp: &Stamp) -> error::Result<TokenRequest> {
    let hint = match kind {
        Kind::AccessToken => "access_token",
        Kind::RefreshToken => "refresh_token",
    };
    TokenRequest::about(settings, token, hint, stamp)
}

/// Reads the answer (RFC 7009 sections 2.2 and 2.2.1). A token that the server does not know, or no longer, is as good as
/// revoked, even where the server says so in an error body (Keycloak, with a 200).
pub(crate) fn read_answer(
    answer: &TokenAnswer<'_>,
    request: &TokenRequest,
    settings: &GrantSettings,
    token: &str,
) -> Result<(), NotRevoked> {
    let asked = &Asked { settings, request, endpoint: Endpoint::Revocation, token: Some(token) };
    let json: Option<Value> = serde_json::from_slice(answer.body).ok();
    let (oauth_error, description) = json.as_ref().map(|json| read_error(json, asked)).unwrap_or_default();
    let success = (200..300).contains(&answer.status);
    if success && oauth_error.as_deref().is_none_or(|code| code == "invalid_token") {
        return Ok(());
    }
    let unsupported = oauth_error.as_deref() == Some("unsupported_token_type");
    let error = refusal(answer, oauth_error, description, asked).error;
    let error = match error.code() {
        ErrorCode::OauthError if unsupported => {
            error.with_next_step("This server does not revoke access tokens: leave them to their end.")
        }
        _ => error,
    };
    // By RFC 7009 section 2.2.1 a 503 says that the token is still there; what breaks otherwise may break after the work.
    Err(NotRevoked { error, in_doubt: answer.status != 503 && (500..600).contains(&answer.status) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::tests::{plain, settings, stamp};

    const TOKEN: &str = "a-token/of+b64==";

    fn read(status: u16, body: &str) -> Result<(), NotRevoked> {
        let answer =
            TokenAnswer { status, body: body.as_bytes(), retry_after: None, redirects_to: None, clock_ahead: None };
        let settings = settings(plain());
        let request = request(&settings, TOKEN, Kind::AccessToken, &stamp()).expect("no signature");
        read_answer(&answer, &request, &settings, TOKEN)
    }

    #[test]
    fn the_token_is_sent_with_the_clients_authentication() {
        let basic = request(&settings(plain()), TOKEN, Kind::AccessToken, &stamp()).expect("no signature");
        assert_eq!(basic.body.reveal(), "token=a-token%2Fof%2Bb64%3D%3D&token_type_hint=access_token");
        assert!(basic.authorization.is_some());
        let post = request(&settings(plain().auth_method("client_secret_post")), "t", Kind::RefreshToken, &stamp())
            .expect("no signature");
        let form = "token=t&token_type_hint=refresh_token&client_id=id&client_secret=s3cret-s3cret";
        assert!(post.authorization.is_none() && post.body.reveal() == form);
    }

    #[test]
    fn what_the_server_does_not_know_is_revoked_and_other_errors_are_errors_whatever_their_status() {
        for done in ["", "OK", "{}", "<html>", r#"{"error":"invalid_token","error_description":"Invalid token"}"#] {
            assert!(read(200, done).is_ok(), "{done}");
        }
        assert!(read(204, "").is_ok());
        for (status, body, code, in_doubt) in [
            (200, r#"{"error":"server_error"}"#, ErrorCode::ServerUnavailable, false),
            (
                400,
                r#"{"error":"invalid_token","error_description":"Unmatching clients"}"#,
                ErrorCode::OauthError,
                false,
            ),
            (400, r#"{"error":"unsupported_token_type"}"#, ErrorCode::OauthError, false),
            (401, r#"{"error":"invalid_client"}"#, ErrorCode::ClientRefused, false),
            (404, "", ErrorCode::OauthError, false),
            (429, "", ErrorCode::RateLimited, false),
            (500, "", ErrorCode::ServerUnavailable, true),
            (502, "<html>", ErrorCode::ServerUnavailable, true),
            (503, "", ErrorCode::ServerUnavailable, false),
        ] {
            let failed = read(status, body).expect_err(body);
            assert_eq!((failed.error.code(), failed.in_doubt), (code, in_doubt), "{status} {body}");
            assert!(failed.error.what().starts_with("the revocation endpoint answered"), "{}", failed.error);
        }
        let not_there = read(404, "").expect_err("404").error;
        assert!(not_there.next_step().contains("revocation_url"), "{not_there}");
    }

    #[test]
    fn p07_a_server_that_repeats_the_token_brings_it_into_no_error() {
        let echo = r#"{"error":"invalid_request","error_description":"token=a-token%2Fof%2Bb64%3D%3D is a-token/of\u0007+b64=="}"#;
        let error = read(400, echo).expect_err("400").error;
        assert_eq!(error.oauth_error_description(), Some("token=[token] is [token]"));
    }
}
