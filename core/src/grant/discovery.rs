//! What an authorization server says of itself (RFC 8414, OpenID Connect Discovery 1.0) as pure functions.

use serde_json::{Map, Value, json};

use crate::config::issuer::Issuer;
use crate::config::url::{Url, shown};
use crate::error::{Error, ErrorCode, Stage};
use crate::grant::{Failure, FailureClass, TokenAnswer, classify, shorten};

const TOKEN: &str = "token_endpoint";
const REVOCATION: &str = "revocation_endpoint";
const INTROSPECTION: &str = "introspection_endpoint";
const METHODS: &str = "token_endpoint_auth_methods_supported";
const ALIASES: &str = "mtls_endpoint_aliases";

/// Where requests to a server go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) token: Url,
    pub(crate) revocation: Option<Url>,
    pub(crate) introspection: Option<Url>,
}

/// What of a server's metadata is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    endpoints: Endpoints,
    /// For clients with a certificate (RFC 8705 section 5).
    aliases: Endpoints,
    /// It takes a secret in the form, and not in a header.
    pub(crate) takes_post_alone: bool,
}

impl Metadata {
    /// The endpoints for a client that has a certificate, or none.
    pub(crate) fn endpoints(&self, with_certificate: bool) -> &Endpoints {
        if with_certificate { &self.aliases } else { &self.endpoints }
    }
}

/// Where the metadata may be, in the order of trying: OpenID Connect's place, which nearly every server has, and that of
/// RFC 8414 section 3.1. A slash at the issuer's end is left out by both.
pub(crate) fn locations(issuer: &Issuer) -> [Url; 2] {
    let Url { origin, path_and_query: path } = &issuer.url;
    let path = path.strip_suffix('/').unwrap_or(path);
    [format!("{path}/.well-known/openid-configuration"), format!("/.well-known/oauth-authorization-server{path}")]
        .map(|path_and_query| Url { origin: origin.clone(), path_and_query })
}

/// What was found at one place.
#[derive(Debug)]
pub(crate) enum Found {
    /// The metadata, and the part of the document it was read from.
    Metadata(Box<Metadata>, Value),
    /// It is elsewhere on the same origin.
    Moved(Url),
    /// Nothing, so that the next place is to be tried.
    Nothing(Failure),
}

/// Reads the answer to a GET of `url`.
pub(crate) fn read_answer(answer: &TokenAnswer<'_>, url: &Url, issuer: &Issuer) -> Result<Found, Failure> {
    let fail = |code, class, what: String| {
        let error = Error::new(code, Stage::TokenAnswer, what).with_status(answer.status);
        Failure { class, error: error.with_retry_after(answer.retry_after) }
    };
    if let Some(location) = answer.redirects_to {
        return match url.follow(location) {
            Ok(target) if target.origin == url.origin => Ok(Found::Moved(target)),
            _ => {
                let location = shorten(&shown(location));
                let what = format!("{url} redirects to {location}, which is not on its origin and was not followed");
                Err(fail(ErrorCode::RedirectRefused, FailureClass::Wrong, what)).map_err(|failure| {
                    failure.with_next_step("Give the issuer that the server has now, if that one can be trusted.")
                })
            }
        };
    }
    if !(200..300).contains(&answer.status) {
        let what = format!("{url} answered {}", answer.status);
        return match classify(answer, "", "") {
            (code, FailureClass::Transient) => Err(fail(code, FailureClass::Transient, what)),
            _ => Ok(Found::Nothing(fail(ErrorCode::OauthError, FailureClass::Wrong, what))),
        };
    }
    let Ok(Value::Object(document)) = serde_json::from_slice(answer.body) else {
        let what = format!("{url} answered {} with what is no JSON object", answer.status);
        return Ok(Found::Nothing(fail(ErrorCode::BadAnswer, FailureClass::Transient, what)));
    };
    match read_document(&document, issuer) {
        Ok(metadata) => Ok(Found::Metadata(Box::new(metadata), in_use(&document))),
        Err(Unusable { what, next_step }) => {
            let failure = fail(ErrorCode::BadAnswer, FailureClass::Wrong, format!("the metadata at {url} {what}"));
            Err(failure.with_next_step(&next_step))
        }
    }
}

/// The failure of a server that redirects on and on, in the end to `url`.
pub(crate) fn redirected_too_often(url: &Url) -> Failure {
    let what = format!("it was redirected again and again, in the end to {url}");
    Failure { class: FailureClass::Wrong, error: Error::new(ErrorCode::RedirectRefused, Stage::TokenAnswer, what) }
}

/// The failure of a server that has metadata at neither place.
pub(crate) fn nowhere([first, second]: [Failure; 2]) -> Failure {
    // What is not JSON may be a gateway's page in its place.
    let (told, other) = if second.class == FailureClass::Transient { (second, first) } else { (first, second) };
    let what = format!("{}, and {}", told.error.what(), other.error.what());
    let mut error = Error::new(told.error.code(), told.error.stage(), what);
    if let Some(status) = told.error.status() {
        error = error.with_status(status);
    }
    let failure = Failure { class: told.class, error };
    failure.with_next_step("Check issuer: its metadata is at neither of these addresses. Or give token_url instead.")
}

/// Why a document is of no use.
#[derive(Debug)]
pub(crate) struct Unusable {
    what: String,
    next_step: String,
}

/// Reads a metadata document (RFC 8414 section 3.2), or the part of one that a record keeps.
pub(crate) fn read_document(document: &Map<String, Value>, issuer: &Issuer) -> Result<Metadata, Unusable> {
    check_issuer(document, issuer)?;
    let endpoint = |document: &Map<String, Value>, name: &str| match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => issuer.endpoint(text).map(Some),
        Some(_) => Err("is not a text".to_owned()),
    };
    let token = endpoint(document, TOKEN).and_then(|token| token.ok_or_else(|| "is missing".into()));
    let token = token.map_err(|why| Unusable {
        what: format!("is of no use: its {TOKEN} {why}"),
        next_step: "Give token_url instead of issuer, or have the server's metadata corrected.".into(),
    })?;
    // Without these a token can be had, and whoever needs one of them is told that it is missing.
    let other = |document, name| endpoint(document, name).unwrap_or_default();
    let endpoints =
        Endpoints { token, revocation: other(document, REVOCATION), introspection: other(document, INTROSPECTION) };
    let aliases = match document.get(ALIASES).and_then(Value::as_object) {
        Some(aliases) => Endpoints {
            token: other(aliases, TOKEN).unwrap_or_else(|| endpoints.token.clone()),
            revocation: other(aliases, REVOCATION).or_else(|| endpoints.revocation.clone()),
            introspection: other(aliases, INTROSPECTION).or_else(|| endpoints.introspection.clone()),
        },
        None => endpoints.clone(),
    };
    let methods = document.get(METHODS).and_then(Value::as_array);
    let supports = |method: &str| methods.is_some_and(|methods| methods.iter().any(|name| name == method));
    let takes_post_alone = supports("client_secret_post") && !supports("client_secret_basic");
    Ok(Metadata { endpoints, aliases, takes_post_alone })
}

/// By RFC 8414 section 3.3 the two are compared as they are written: whoever answers for another issuer may be anyone.
fn check_issuer(document: &Map<String, Value>, issuer: &Issuer) -> Result<(), Unusable> {
    let given = &issuer.text;
    let theirs = match document.get("issuer") {
        Some(Value::String(theirs)) if theirs == given => return Ok(()),
        Some(Value::String(theirs)) => shorten(&shown(theirs)),
        _ => {
            let what = "has no issuer, which has to be there".into();
            return Err(Unusable { what, next_step: "Give token_url instead of issuer.".into() });
        }
    };
    let next_step = if theirs.trim_end_matches('/') == given.trim_end_matches('/') {
        format!("Give issuer as the server writes it: {theirs}")
    } else {
        format!("Check issuer; if {theirs} is the server that you mean, give that.")
    };
    Err(Unusable { what: format!("is of the issuer {theirs}, and not of {given}"), next_step })
}

/// The members that are read, as a document.
fn in_use(document: &Map<String, Value>) -> Value {
    let texts = |document: &Map<String, Value>, names: &[&str]| -> Map<String, Value> {
        let texts = names.iter().filter_map(|name| Some((name.to_string(), document.get(*name)?.as_str()?.into())));
        texts.collect()
    };
    const ENDPOINTS: [&str; 3] = [TOKEN, REVOCATION, INTROSPECTION];
    let mut used = texts(document, &["issuer", TOKEN, REVOCATION, INTROSPECTION]);
    if let Some(aliases) = document.get(ALIASES).and_then(Value::as_object) {
        used.insert(ALIASES.into(), texts(aliases, &ENDPOINTS).into());
    }
    if let Some(methods) = document.get(METHODS).and_then(Value::as_array) {
        let known = |name: &&Value| **name == "client_secret_basic" || **name == "client_secret_post";
        used.insert(METHODS.into(), json!(methods.iter().filter(known).collect::<Vec<_>>()));
    }
    used.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://a.example/realms/x";

    fn issuer(text: &str) -> Issuer {
        Issuer::read(text, false).expect("valid")
    }

    fn document(more: Value) -> Value {
        let mut document = json!({"issuer": ISSUER, "token_endpoint": "https://b.example/token"});
        let members = document.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        members.retain(|_, value| *value != json!("absent"));
        document
    }

    fn answer<'a>(status: u16, body: &'a str, location: Option<&'a str>) -> TokenAnswer<'a> {
        let redirects_to = location;
        TokenAnswer { status, body: body.as_bytes(), retry_after: None, redirects_to, clock_ahead: None }
    }

    fn read(status: u16, body: &str, location: Option<&str>) -> Result<Found, Failure> {
        let issuer = issuer(ISSUER);
        read_answer(&answer(status, body, location), &locations(&issuer)[0], &issuer)
    }

    fn metadata(document: &Value) -> Metadata {
        match read(200, &document.to_string(), None) {
            Ok(Found::Metadata(metadata, used)) => {
                let again = read_document(used.as_object().expect("an object"), &issuer(ISSUER)).expect("kept");
                assert_eq!(again, *metadata, "what a record keeps says the same");
                *metadata
            }
            other => panic!("{document}: {other:?}"),
        }
    }

    fn refused(document: &Value) -> String {
        let failure = read(200, &document.to_string(), None).expect_err("of no use");
        assert_eq!((failure.class, failure.error.code()), (FailureClass::Wrong, ErrorCode::BadAnswer));
        failure.error.to_string()
    }

    #[test]
    fn metadata_is_looked_for_where_the_rfcs_say() {
        for (given, oidc, oauth) in [
            ("https://a.example", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"),
            ("https://a.example/", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"),
            (
                "https://a.example/t/1/",
                "/t/1/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/t/1",
            ),
        ] {
            let expected = [oidc, oauth].map(|path| format!("https://a.example{path}"));
            assert_eq!(locations(&issuer(given)).map(|url| url.to_string()), expected);
        }
    }

    #[test]
    fn endpoints_are_read_and_those_of_no_use_are_missed_only_by_who_needs_them() {
        let whole = metadata(&document(json!({
            "revocation_endpoint": "https://a.example/revoke",
            "introspection_endpoint": "https://a.example/introspect",
            "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example/token", "revocation_endpoint": 7},
        })));
        let plain = whole.endpoints(false);
        assert_eq!(plain.token.to_string(), "https://b.example/token");
        assert_eq!(plain.revocation.as_ref().expect("there").to_string(), "https://a.example/revoke");
        let aliases = whole.endpoints(true);
        assert_eq!(aliases.token.to_string(), "https://mtls.example/token");
        assert_eq!((&aliases.revocation, &aliases.introspection), (&plain.revocation, &plain.introspection));
        let odd = json!({"revocation_endpoint": "http://a.example/revoke", "introspection_endpoint": ["x"]});
        let odd = metadata(&document(odd));
        assert_eq!((&odd.endpoints(false).revocation, &odd.endpoints(true).introspection), (&None, &None));
    }

    #[test]
    fn a_secret_goes_into_the_form_only_where_the_server_says_so() {
        for (methods, expected) in [
            (json!("absent"), false),
            (json!(null), false),
            (json!([]), false),
            (json!(["client_secret_basic", "client_secret_post"]), false),
            (json!(["client_secret_post", "private_key_jwt"]), true),
            (json!(["private_key_jwt", "none", 7]), false),
            (json!("client_secret_post"), false),
        ] {
            let found = metadata(&document(json!({ METHODS: methods }))).takes_post_alone;
            assert_eq!(found, expected, "{methods}");
        }
    }

    #[test]
    fn a_document_of_another_issuer_is_refused_to_the_letter() {
        for (theirs, advice) in [
            (json!("https://a.example/realms/x/"), "as the server writes it: https://a.example/realms/x/"),
            (json!("https://A.example/realms/x"), "Check issuer"),
            (json!("https://a.example:443/realms/x"), "Check issuer"),
            (json!("https://evil.example"), "Check issuer"),
            (json!("absent"), "token_url"),
            (json!(7), "token_url"),
        ] {
            let error = refused(&document(json!({ "issuer": theirs })));
            assert!(error.contains("/.well-known/openid-configuration") && error.contains(advice), "{error}");
        }
        let long = refused(&document(json!({"issuer": format!("https://u:p@a.example/\u{7}{}", "x".repeat(5000))})));
        assert!(long.len() < 1000 && !long.contains('\u{7}') && !long.contains("u:p"), "{long}");
    }

    #[test]
    fn a_token_endpoint_of_no_use_is_named() {
        for (token, why) in [
            (json!("absent"), "is missing"),
            (json!(null), "is missing"),
            (json!(7), "is not a text"),
            (json!("/token"), "has no scheme"),
            (json!("http://a.example/token"), "is plain http to a.example"),
            (json!("http://127.0.0.1/token"), "is plain http to 127.0.0.1"),
            (json!("https://u:p@a.example/token"), "has a user name"),
        ] {
            let error = refused(&document(json!({ "token_endpoint": token })));
            assert!(error.contains(&format!("token_endpoint {why}")) && !error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn what_is_not_there_is_looked_for_elsewhere_and_what_may_pass_is_not() {
        for (status, body) in [(404, ""), (400, "{}"), (401, ""), (403, ""), (405, ""), (200, "<html>"), (200, "[]")] {
            assert!(matches!(read(status, body, None), Ok(Found::Nothing(_))), "{status} {body}");
        }
        for (status, code) in [
            (408, ErrorCode::ServerUnavailable),
            (429, ErrorCode::RateLimited),
            (500, ErrorCode::ServerUnavailable),
            (503, ErrorCode::ServerUnavailable),
        ] {
            let failure = read(status, "", None).expect_err("may pass");
            assert_eq!((failure.class, failure.error.code()), (FailureClass::Transient, code));
        }
    }

    #[test]
    fn redirects_are_followed_on_the_same_origin_alone() {
        match read(301, "", Some("/moved")) {
            Ok(Found::Moved(url)) => assert_eq!(url.to_string(), "https://a.example/moved"),
            other => panic!("{other:?}"),
        }
        for location in ["https://evil.example/", "http://a.example/realms/x", "https://a.example:444/", "//a", "/\\a"]
        {
            let failure = read(302, "", Some(location)).expect_err(location);
            assert_eq!((failure.class, failure.error.code()), (FailureClass::Wrong, ErrorCode::RedirectRefused));
        }
    }

    #[test]
    fn a_server_without_metadata_is_told_with_both_addresses() {
        let nothing = |status, body| match read(status, body, None) {
            Ok(Found::Nothing(failure)) => failure,
            other => panic!("{other:?}"),
        };
        let failure = nowhere([nothing(404, ""), nothing(403, "")]);
        assert_eq!((failure.class, failure.error.status()), (FailureClass::Wrong, Some(404)));
        assert!(failure.error.what().contains("answered 404, and ") && failure.error.what().ends_with("answered 403"));
        for pair in [[nothing(200, "<html>"), nothing(404, "")], [nothing(404, ""), nothing(200, "<html>")]] {
            let failure = nowhere(pair);
            assert_eq!((failure.class, failure.error.code()), (FailureClass::Transient, ErrorCode::BadAnswer));
        }
    }
}
