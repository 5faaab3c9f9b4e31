use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::ClientBuilder;
use crate::config::environment::Environment;
use crate::config::preset::Preset;
use crate::config::settings::TokenSource;

pub(super) fn settings(builder: ClientBuilder) -> Arc<GrantSettings> {
    let builder = builder.token_url("https://a.example/token");
    let settings = Preset::Plain.resolve(builder.config, &Environment::from_pairs::<&str, &str>([])).expect("valid");
    match settings.tokens {
        TokenSource::Grant(grant) => grant,
        TokenSource::Ready(_) => panic!("a ready token"),
    }
}

pub(super) fn plain() -> ClientBuilder {
    ClientBuilder::new().client_id("id").client_secret("s3cret-s3cret")
}

/// An assertion of a day in 2001.
pub(super) fn stamp() -> Stamp {
    Stamp { time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000), id: [7; 16] }
}

fn request(settings: &GrantSettings) -> TokenRequest {
    TokenRequest::build(settings, &stamp()).expect("randomness")
}

fn read_by(settings: &GrantSettings, status: u16, body: &str, clock_ahead: Option<i64>) -> Result<Granted, Failure> {
    let answer = TokenAnswer { status, body: body.as_bytes(), retry_after: None, redirects_to: None, clock_ahead };
    read_answer(&answer, &request(settings), settings)
}

fn read(status: u16, body: &str) -> Result<Granted, Failure> {
    read_by(&settings(plain()), status, body, None)
}

#[test]
fn p12_basic_encodes_as_rfc_6749_says_and_changes_no_atlas_credential() {
    let basic = |id: &str, secret: &str, encoding: &str| {
        let builder = ClientBuilder::new().client_id(id).client_secret(secret).auth_encoding(encoding);
        let request = request(&settings(builder));
        let header = request.authorization.expect("basic").reveal().to_string();
        let pair = STANDARD_DECODE(header.strip_prefix("Basic ").expect("Basic"));
        String::from_utf8(pair).expect("utf-8")
    };
    assert_eq!(basic("mdb_sa_id_0123", "mdb_sa_sk_Ab-9", "form"), "mdb_sa_id_0123:mdb_sa_sk_Ab-9");
    assert_eq!(basic("a:b", "+ % : & ü", "form"), "a%3Ab:%2B+%25+%3A+%26+%C3%BC");
    assert_eq!(basic("id", "+ % : & ü", "raw"), "id:+ % : & ü");
}

#[allow(non_snake_case, reason = "stands for the engine's constant")]
fn STANDARD_DECODE(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

#[test]
fn post_puts_the_credential_into_the_form_and_nowhere_else() {
    let builder = plain().auth_method("client_secret_post").scope("a b").extra_params([("x", "1&2")]);
    let request = request(&settings(builder));
    assert!(request.authorization.is_none());
    assert_eq!(
        request.body.reveal(),
        "grant_type=client_credentials&scope=a+b&x=1%262&client_id=id&client_secret=s3cret-s3cret"
    );
}

#[test]
fn p05_every_odd_expires_in_has_a_meaning() {
    let lifetime = |expires_in: &str| {
        let body = format!(r#"{{"access_token":"t","token_type":"bearer"{expires_in}}}"#);
        read(200, &body).expect("a token").lifetime
    };
    let lasts = |seconds: f64| Lifetime::Lasts(Duration::from_secs_f64(seconds));
    assert_eq!(lifetime(r#","expires_in":3600"#), lasts(3600.0));
    assert_eq!(lifetime(r#","expires_in":59.5"#), lasts(59.5));
    assert_eq!(lifetime(r#","expires_in":"60""#), lasts(60.0));
    assert_eq!(lifetime(""), lasts(300.0));
    assert_eq!(lifetime(r#","expires_in":null"#), lasts(300.0));
    assert_eq!(lifetime(r#","expires_in":1e30"#), lasts(30.0 * 24.0 * 3600.0));
    for unusable in ["0", "-1", r#""soon""#, r#""NaN""#, "true", "[]"] {
        assert_eq!(lifetime(&format!(r#","expires_in":{unusable}"#)), Lifetime::Unusable, "{unusable}");
    }
}

#[test]
fn what_is_no_usable_token_is_refused() {
    for body in [
        r#"{"access_token":"","expires_in":1}"#,
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":"a\r\nX: y"}"#,
        r#"{"access_token":5}"#,
        r#"{"access_token":"t","token_type":"mac"}"#,
        r#"{"access_token":"t","token_type":7}"#,
    ] {
        let failure = read(200, body).expect_err(body);
        assert_eq!((failure.error.code(), failure.class), (ErrorCode::BadTokenAnswer, FailureClass::Wrong), "{body}");
    }
    assert!(read(200, &format!(r#"{{"access_token":"{}"}}"#, "a".repeat(16 * 1024 + 1))).is_err());
    assert!(read(201, r#"{"access_token":"t"}"#).is_ok(), "any 2xx with a token is a token");
}

#[test]
fn each_refusal_has_its_class_and_code() {
    use ErrorCode as C;
    use FailureClass as F;
    let limit = r#"{"error":"access_denied","error_description":"Access Token limit reached for the account."}"#;
    let ip_list = r#"{"error":"access_denied","error_description":"IP access list validation failed."}"#;
    let atlas_429 = r#"{"error":429,"errorCode":"RATE_LIMITED","detail":"d","reason":"Too Many Requests"}"#;
    for (status, body, code, class) in [
        (401, r#"{"error":"invalid_client"}"#, C::ClientRefused, F::Refused),
        (401, r#"{"error":"unauthorized_client"}"#, C::ClientRefused, F::Refused),
        (400, r#"{"error":"invalid_client"}"#, C::ClientRefused, F::Refused),
        (401, "", C::ClientRefused, F::Refused),
        (403, "", C::ClientRefused, F::Refused),
        (403, limit, C::TokenLimit, F::Limit),
        (403, ip_list, C::AccessDenied, F::Wrong),
        (400, r#"{"error":"invalid_request"}"#, C::OauthError, F::Wrong),
        (400, r#"{"error":"unsupported_grant_type"}"#, C::OauthError, F::Wrong),
        (404, r#"{"error":"Realm does not exist"}"#, C::OauthError, F::Wrong),
        (200, r#"{"error":"invalid_scope"}"#, C::OauthError, F::Wrong),
        (429, atlas_429, C::RateLimited, F::Transient),
        (429, r#"{"error":"rate_limited"}"#, C::RateLimited, F::Transient),
        (500, r#"{"error":"server_error"}"#, C::ServerUnavailable, F::Transient),
        (502, "<html>", C::ServerUnavailable, F::Transient),
        (503, "", C::ServerUnavailable, F::Transient),
        (200, "<html>", C::BadTokenAnswer, F::Transient),
        (200, "{}", C::BadTokenAnswer, F::Transient),
        (302, "", C::OauthError, F::Wrong),
    ] {
        let failure = read(status, body).expect_err(body);
        assert_eq!((failure.error.code(), failure.class), (code, class), "{status} {body}");
        assert_eq!(failure.error.status(), Some(status));
    }
}

#[test]
fn p06_a_clock_far_from_the_servers_is_named_where_it_may_explain_a_refusal() {
    let said = |status, body: &str, clock_ahead| {
        read_by(&settings(plain()), status, body, clock_ahead).expect_err("refused").error.what().to_string()
    };
    let refused = r#"{"error":"invalid_client"}"#;
    assert!(said(401, refused, Some(3660)).contains("61 min ahead of this machine's"));
    assert!(said(401, refused, Some(-3600)).contains("60 min behind this machine's"));
    assert!(!said(401, refused, Some(200)).contains("clock"));
    assert!(!said(500, "", Some(3660)).contains("clock"), "it does not explain a server's own failure");
}

#[test]
fn p13_a_space_at_the_end_of_a_secret_is_named() {
    let settings = settings(ClientBuilder::new().client_id("id").client_secret("secret "));
    let error = read_by(&settings, 401, "", None).expect_err("refused").error;
    assert!(error.next_step().contains("space"), "{error}");
}

#[test]
fn p07_a_server_that_repeats_the_secret_is_not_quoted() {
    let body = "{\"error\":\"invalid_client\",\"error_description\":\"bad s3cret-s3cret\\u0007\\n given\"}";
    let error = read(401, body).expect_err("refused").error;
    assert_eq!(error.oauth_error_description(), Some("bad [secret] given"));
    assert!(!format!("{error:?} {error}").contains("s3cret"));
    for sent in ["s3cret\\u0001-s3cret", "Basic aWQ6czNjcmV0LXMzY3JldA=="] {
        let body = format!(r#"{{"error":"invalid_client","error_description":"{sent} is wrong"}}"#);
        let error = read(401, &body).expect_err("refused").error;
        assert!(error.oauth_error_description().is_some_and(|text| text.contains("[secret]")), "{sent}: {error}");
    }
    let error = read(200, r#"{"access_token":"t","token_type":"s3cret-s3cret"}"#).expect_err("no bearer").error;
    assert!(error.what().contains("[secret]") && !error.what().contains("s3cret"), "{error}");
    let long = format!(r#"{{"error":"x","error_description":"{}"}}"#, "ü".repeat(1000));
    let error = read(400, &long).expect_err("refused").error;
    assert_eq!(error.oauth_error_description().map(|text| text.chars().count()), Some(301));
}

#[test]
fn an_assertion_says_who_for_whom_and_until_when() {
    let secret = "0123456789abcdef0123456789abcdef";
    let builder = ClientBuilder::new().client_id("me").client_secret(secret).auth_method("client_secret_jwt");
    let settings = settings(builder.key_id("k 1").scope("a"));
    let request = request(&settings);
    assert!(request.authorization.is_none());
    let assertion = request.assertion.expect("an assertion");
    let body = format!(
        "grant_type=client_credentials&scope=a&client_id=me&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
         client-assertion-type%3Ajwt-bearer&client_assertion={}",
        assertion.reveal()
    );
    assert_eq!(request.body.reveal(), body);
    let parts: Vec<&str> = assertion.reveal().split('.').collect();
    let json = |part: &str| -> Value {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    assert_eq!(json(parts[0]), serde_json::json!({"alg": "HS256", "typ": "JWT", "kid": "k 1"}));
    let claims = serde_json::json!({
        "iss": "me",
        "sub": "me",
        "aud": "https://a.example/token",
        "jti": "07".repeat(16),
        "iat": 999_999_990,
        "exp": 1_000_000_050,
    });
    assert_eq!(json(parts[1]), claims);
    assert_eq!(parts.len(), 3);
}

#[test]
fn p07_a_server_that_repeats_the_assertion_is_not_quoted() {
    let builder = ClientBuilder::new().client_id("me").client_secret("s".repeat(32)).auth_method("client_secret_jwt");
    let settings = settings(builder);
    let assertion = request(&settings).assertion.expect("an assertion");
    let (_, claims_and_signature) = assertion.reveal().split_once('.').expect("three parts");
    let (claims, signature) = claims_and_signature.split_once('.').expect("three parts");
    for repeated in [assertion.reveal(), claims, signature] {
        let body = format!(r#"{{"error":"invalid_client","error_description":"bad {repeated} given"}}"#);
        let error = read_by(&settings, 400, &body, None).expect_err("refused").error;
        assert!(error.oauth_error_description().is_some_and(|text| text.contains("[secret]")), "{error}");
        assert!(!format!("{error:?} {error}").contains(repeated));
    }
}

#[test]
fn p13_a_refused_assertion_names_what_servers_compare_it_with() {
    let secret = "s".repeat(32);
    let builder = ClientBuilder::new().client_id("me").client_secret(&secret).auth_method("client_secret_jwt");
    let settings = settings(builder);
    let refused = r#"{"error":"invalid_client"}"#;
    let error = read_by(&settings, 400, refused, Some(11)).expect_err("refused").error;
    for named in ["client_secret_jwt", "HS256", "https://a.example/token", "assertion_audience"] {
        assert!(error.next_step().contains(named), "{error}");
    }
    assert!(error.what().contains("11 s ahead"), "{error}");
    let error = read_by(&settings, 400, refused, Some(-10)).expect_err("refused").error;
    assert!(!error.to_string().contains("clock"), "{error}");
    let error = read_by(&settings, 400, refused, None).expect_err("refused").error;
    assert!(error.next_step().contains("does not tell its time"), "{error}");
}
