//! The client credentials grant (RFC 6749 section 4.4) as pure functions: a request is built and an answer is read
//! over bytes, and nothing here touches a socket or a clock.

pub(crate) mod assertion;
pub(crate) mod client_authentication;
pub(crate) mod discovery;
pub(crate) mod introspection;
pub(crate) mod revocation;

use std::time::Duration;

use serde_json::Value;

use crate::config::credential::{AuthEncoding, Credential, Proof};
use crate::config::header;
use crate::config::settings::GrantSettings;
use crate::config::url::form_encode;
use crate::error::{self, Error, ErrorCode, Stage};
use crate::grant::assertion::{CLOCKS_MAY_DIFFER, Stamp};
use crate::secret::Secret;

/// The token request's own parts; the URL is the settings'.
pub(crate) struct TokenRequest {
    pub(crate) authorization: Option<Secret>,
    pub(crate) body: Secret,
    /// Part of the body.
    pub(crate) assertion: Option<Secret>,
}

impl TokenRequest {
    /// About one token, of that kind: its revocation (RFC 7009 section 2.1) or introspection (RFC 7662 section 2.1).
    fn about(settings: &GrantSettings, token: &str, hint: &str, stamp: &Stamp) -> error::Result<TokenRequest> {
        let mut form = String::from("token=");
        form_encode(token, &mut form);
        form.push_str("&token_type_hint=");
        form.push_str(hint);
        client_authentication::add_to(settings, form, stamp)
    }

    /// `stamp` is what assertions differ by. Fails only where the machine has no randomness to sign one with.
    pub(crate) fn build(settings: &GrantSettings, stamp: &Stamp) -> error::Result<TokenRequest> {
        let mut form = String::from("grant_type=client_credentials");
        let mut add = |name: &str, value: &str| {
            form.push('&');
            form_encode(name, &mut form);
            form.push('=');
            form_encode(value, &mut form);
        };
        if let Some(scope) = &settings.scope {
            add("scope", scope);
        }
        if let Some(audience) = &settings.audience {
            add("audience", audience);
        }
        for resource in &settings.resource {
            add("resource", resource);
        }
        for (name, value) in &settings.extra_params {
            add(name, value);
        }
        client_authentication::add_to(settings, form, stamp)
    }
}

/// What was asked, and where: an error names the endpoint and shows nothing of what it was sent.
struct Asked<'a> {
    settings: &'a GrantSettings,
    request: &'a TokenRequest,
    endpoint: Endpoint,
    /// The token the request was about.
    token: Option<&'a str>,
}

/// One of the authorization server's endpoints, each with an option for its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Token,
    Revocation,
    Introspection,
}

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Endpoint::Token => "the token endpoint",
            Endpoint::Revocation => "the revocation endpoint",
            Endpoint::Introspection => "the introspection endpoint",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Endpoint::Token => "token_url",
            Endpoint::Revocation => "revocation_url",
            Endpoint::Introspection => "introspection_url",
        }
    }
}

/// An answer as this module needs it.
pub(crate) struct TokenAnswer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// From Retry-After.
    pub(crate) retry_after: Option<Duration>,
    /// The answer has a Location and a status that asks to follow it.
    pub(crate) redirects_to: Option<&'a str>,
    /// By how much the answer's Date is ahead of the clock we go by, in seconds.
    pub(crate) clock_ahead: Option<i64>,
}

/// A token as granted.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) access_token: Secret,
    /// Of no use for another token (RFC 6749 section 4.4.3), but it ends the session that some servers open.
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) scope: Option<String>,
    pub(crate) lifetime: Lifetime,
}

/// What `expires_in` said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lifetime {
    Lasts(Duration),
    /// Zero, negative or unreadable: good for those who wait for it now, and for nobody later.
    Unusable,
}

impl Lifetime {
    /// For how long the token is kept.
    pub(crate) fn kept(self) -> Duration {
        match self {
            Lifetime::Lasts(lifetime) => lifetime,
            Lifetime::Unusable => Duration::ZERO,
        }
    }
}

/// The four classes of failure, by what is to be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// The credential: no use trying it again soon.
    Refused,
    /// The request or the set-up: no use trying again until somebody changes it.
    Wrong,
    /// Too many living tokens: waits for one to end.
    Limit,
    /// The network or the server: may go away by itself.
    Transient,
}

/// Why a token request brought no token.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) class: FailureClass,
    pub(crate) error: Error,
}

impl Failure {
    fn with_next_step(self, next_step: &str) -> Failure {
        Failure { error: self.error.with_next_step(next_step), ..self }
    }
}

/// RFC 6749 leaves open what a missing `expires_in` means; five minutes is what a cautious server would choose.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(300);
const LONGEST_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
const LONGEST_DESCRIPTION: usize = 300;
/// As long as an access token may be; it is kept with one.
const LONGEST_REFRESH_TOKEN: usize = 16 * 1024;

/// Reads the token endpoint's answer to `request` (RFC 6749 sections 5.1 and 5.2), in Atlas's format too, whose `error`
/// is a number.
pub(crate) fn read_answer(
    answer: &TokenAnswer<'_>,
    request: &TokenRequest,
    settings: &GrantSettings,
) -> Result<Granted, Failure> {
    let asked = &Asked { settings, request, endpoint: Endpoint::Token, token: None };
    let json: Option<Value> = serde_json::from_slice(answer.body).ok();
    let success = (200..300).contains(&answer.status);
    if success
        && let Some(json) = &json
        && json.get("access_token").is_some_and(|token| !token.is_null())
    {
        return read_granted(json, asked).map_err(|what| bad_answer(answer, what, FailureClass::Wrong));
    }
    let (oauth_error, description) = json.as_ref().map(|json| read_error(json, asked)).unwrap_or_default();
    if success && oauth_error.is_none() {
        let what = match json {
            Some(_) => "the answer holds no access_token",
            None => "the answer is not JSON; a gateway may have answered in the server's place",
        };
        return Err(bad_answer(answer, what.into(), FailureClass::Transient));
    }
    Err(refusal(answer, oauth_error, description, asked))
}

fn read_granted(json: &Value, asked: &Asked<'_>) -> Result<Granted, String> {
    match json.get("token_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name.eq_ignore_ascii_case("bearer") => {}
        Some(other) => {
            let shown = tidy(&other.to_string(), asked);
            return Err(format!("the token_type is {shown}, and only Bearer is understood"));
        }
    }
    let token = match json.get("access_token") {
        Some(Value::String(token)) => token,
        _ => return Err("the access_token is not a text".into()),
    };
    header::check_access_token(token).map_err(|why| format!("the access_token {why}"))?;
    Ok(Granted {
        access_token: Secret::new(token.clone()),
        refresh_token: json.get("refresh_token").and_then(Value::as_str).and_then(read_refresh_token),
        scope: json.get("scope").and_then(Value::as_str).map(Into::into),
        lifetime: read_lifetime(json.get("expires_in")),
    })
}

/// One of RFC 6749 appendix A.17; whatever else it is, nobody needs it for the access token.
fn read_refresh_token(text: &str) -> Option<Secret> {
    let is_one =
        (1..=LONGEST_REFRESH_TOKEN).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    is_one.then(|| Secret::new(text.into()))
}

/// An integer, a float or a text of one.
fn read_lifetime(expires_in: Option<&Value>) -> Lifetime {
    let seconds = match expires_in {
        None | Some(Value::Null) => return Lifetime::Lasts(ASSUMED_LIFETIME),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    match seconds {
        Some(seconds) if seconds > 0.0 => {
            Lifetime::Lasts(Duration::from_secs_f64(seconds.min(LONGEST_LIFETIME.as_secs_f64())))
        }
        _ => Lifetime::Unusable,
    }
}

/// The error code and the description of an error body in either format.
fn read_error(json: &Value, asked: &Asked<'_>) -> (Option<String>, Option<String>) {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(|text| tidy(text, asked));
    match json.get("error") {
        Some(Value::String(code)) => (Some(tidy(code, asked)), text("error_description")),
        // Atlas's API format, which its token endpoint uses for a 429.
        Some(Value::Number(_)) => (text("errorCode"), text("detail").or_else(|| text("reason"))),
        _ => (None, None),
    }
}

/// A server's text as it may be shown: one line, not long, and without our own proof and token in any form they were
/// sent in, should the server repeat them.
fn tidy(text: &str, asked: &Asked<'_>) -> String {
    let mut text = without_controls(text);
    for secret in client_authentication::forms_of_proof(asked.settings, asked.request) {
        text = text.replace(secret.reveal(), "[secret]");
    }
    if let Some(token) = asked.token {
        let mut encoded = String::new();
        form_encode(token, &mut encoded);
        text = text.replace(token, "[token]").replace(&encoded, "[token]");
    }
    shorten(&text)
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A server's text that can hold nothing of ours.
fn shorten(text: &str) -> String {
    let text = without_controls(text);
    match text.char_indices().nth(LONGEST_DESCRIPTION) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn bad_answer(answer: &TokenAnswer<'_>, what: String, class: FailureClass) -> Failure {
    let error = Error::new(ErrorCode::BadTokenAnswer, Stage::TokenAnswer, format!("{what} (status {})", answer.status));
    Failure { class, error: error.with_status(answer.status).with_retry_after(answer.retry_after) }
}

fn refusal(
    answer: &TokenAnswer<'_>,
    oauth_error: Option<String>,
    description: Option<String>,
    asked: &Asked<'_>,
) -> Failure {
    let code_word = oauth_error.as_deref().unwrap_or_default();
    let (code, class) = classify(answer, code_word, description.as_deref().unwrap_or_default());
    let mut what = format!("{} answered {}", asked.endpoint.name(), answer.status);
    if let Some(code_word) = &oauth_error {
        what.push_str(&format!(" {code_word}"));
    }
    if let Some(description) = &description {
        what.push_str(&format!(": {}", description.trim_end_matches('.')));
    }
    let clocks_agree_within = match asked.settings.credential.proof.assertion() {
        Some(_) => CLOCKS_MAY_DIFFER.as_secs(),
        None => CLOCKS_AGREE_WITHIN,
    };
    let note = answer.clock_ahead.filter(|ahead| ahead.unsigned_abs() > clocks_agree_within).map(clock_note);
    if let (FailureClass::Refused, Some(note)) = (class, note) {
        what.push_str(&note);
    }
    if let Some(location) = answer.redirects_to {
        what.push_str(&format!(", a redirect to {}", tidy(location, asked)));
    }
    let mut error = Error::new(code, Stage::TokenAnswer, what)
        .with_status(answer.status)
        .with_oauth(oauth_error, description)
        .with_retry_after(answer.retry_after);
    if let Some(next_step) = next_step(code, answer, asked) {
        error = error.with_next_step(next_step);
    }
    Failure { class, error }
}

/// Clocks that differ so much explain refusals of what is signed or bound to a time.
const CLOCKS_AGREE_WITHIN: u64 = 300;

fn clock_note(ahead: i64) -> String {
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let amount = match ahead.unsigned_abs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    };
    format!(" (the server's clock is {amount} {direction} this machine's: check which is wrong)")
}

fn classify(answer: &TokenAnswer<'_>, code_word: &str, description: &str) -> (ErrorCode, FailureClass) {
    use ErrorCode::{AccessDenied, ClientRefused, OauthError, RateLimited, ServerUnavailable, TokenLimit};
    use FailureClass::{Limit, Refused, Transient, Wrong};
    let says = |words: &str| description.to_ascii_lowercase().contains(words);
    match (answer.status, code_word) {
        (429, _) | (_, "rate_limited" | "RATE_LIMITED") => (RateLimited, Transient),
        (408 | 425 | 500..=599, _) | (_, "server_error" | "temporarily_unavailable") => (ServerUnavailable, Transient),
        (401, _) | (_, "invalid_client" | "unauthorized_client") => (ClientRefused, Refused),
        (403, _) if says("token limit") => (TokenLimit, Limit),
        (_, "access_denied") => (AccessDenied, Wrong),
        // A wrong secret, as some servers say it.
        (403, "") if answer.body.is_empty() => (ClientRefused, Refused),
        _ => (OauthError, Wrong),
    }
}

/// What this error's case asks for, beyond its code's general advice.
fn next_step(code: ErrorCode, answer: &TokenAnswer<'_>, asked: &Asked<'_>) -> Option<String> {
    let Asked { settings, endpoint, .. } = *asked;
    match code {
        ErrorCode::ClientRefused if has_outer_space(settings) => Some(
            "Check client_id and client_secret: one of them begins or ends with a space, which is often left over from \
             copying."
                .into(),
        ),
        ErrorCode::ClientRefused if settings.credential.proof.assertion().is_some() => assertion_advice(answer, settings),
        ErrorCode::ClientRefused if settings.credential.proof.is_certificate() => Some(format!(
            "Check that the server knows this client_id with {} and the certificate of client_cert_file, and that \
             {} is its address for those who have one: behind a proxy the server may not see it.",
            settings.credential.proof.method(),
            endpoint.option()
        )),
        ErrorCode::ClientRefused => client_authentication::disputed_encoding(settings).map(other_encoding),
        // What oidc-provider says of a credential that it could not decode.
        ErrorCode::OauthError if answer.status == 400 && client_authentication::disputed_encoding(settings).is_some() => {
            client_authentication::disputed_encoding(settings).map(other_encoding)
        }
        ErrorCode::OauthError if answer.status == 404 => {
            let option = endpoint.option();
            Some(format!("Check {option} (for Keycloak: server_url and realm): there is nothing at this address."))
        }
        ErrorCode::OauthError if answer.redirects_to.is_some() => {
            let option = endpoint.option();
            Some(format!("Give the final address as {option}: a secret does not follow redirects."))
        }
        ErrorCode::OauthError if endpoint != Endpoint::Token => {
            let option = endpoint.option();
            Some(format!("Read the server's description, and check {option} and auth_method."))
        }
        _ => None,
    }
}

/// What a server compares an assertion with.
fn assertion_advice(answer: &TokenAnswer<'_>, settings: &GrantSettings) -> Option<String> {
    let proof = &settings.credential.proof;
    let assertion = proof.assertion()?;
    let signer = match (proof, &assertion.key_id) {
        (Proof::PrivateKeyJwt { .. }, Some(key_id)) => format!("this private key's public half as key_id {key_id:?}"),
        (Proof::PrivateKeyJwt { .. }, None) => "this private key's public half (without a key_id)".into(),
        _ => "this client_secret".into(),
    };
    // Keycloak, for one, has no Date in its answers.
    let clock = match answer.clock_ahead {
        Some(_) => "",
        None => " The server does not tell its time: check this machine's clock too.",
    };
    Some(format!(
        "Check that the server knows this client_id and {signer}, accepts {} from it with signing_alg {}, and is called \
         {:?}, or set assertion_audience.{clock}",
        proof.method(),
        assertion.algorithm.name(),
        assertion.audience
    ))
}

fn other_encoding(encoding: AuthEncoding) -> String {
    let other = match encoding {
        AuthEncoding::Form => "raw",
        AuthEncoding::Raw => "form",
    };
    format!(
        "Check client_id and client_secret; they hold characters that servers read in two ways: this server may want \
         auth_encoding={other}."
    )
}

fn has_outer_space(settings: &GrantSettings) -> bool {
    let Credential { client_id, proof, .. } = &settings.credential;
    let secret = proof.secret().map(Secret::reveal);
    [client_id.as_str()].into_iter().chain(secret).any(|text| text.trim() != text)
}

#[cfg(test)]
mod tests;
