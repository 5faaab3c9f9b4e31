use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Answer, Connection, setup};

const APP: &str = "app:app-secret-app-secret-app-secret";
const GRANT: &str = "grant_type=client_credentials";
const DEMO: &str = "/realms/demo/protocol/openid-connect";

fn assert_oauth_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{answer:?}");
    assert!(answer.json()["error_description"].is_string());
}

fn token(connection: &mut Connection, path: &str) -> Value {
    let answer = connection.post_form(path, APP, GRANT);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn basic_and_post_get_a_token_that_opens_the_admin_api() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let body = token(&mut connection, &format!("{DEMO}/token"));
    assert_eq!((&body["refresh_expires_in"], &body["not-before-policy"]), (&json!(0), &json!(0)));
    assert_eq!(body["scope"], "profile email");
    let post = format!("{GRANT}&client_id=app&client_secret=app-secret-app-secret-app-secret&scope=s");
    let answer = connection.exchange("POST", &format!("/auth{DEMO}/token"), &[], post.as_bytes());
    assert_eq!((answer.status, &answer.json()["scope"]), (200, &json!("profile email s")));

    for path in ["/admin/realms", "/auth/admin/realms"] {
        let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
        assert_eq!(connection.get(path, &[("Authorization", &bearer)]).json(), json!([{ "realm": "demo" }]));
        assert_eq!(connection.get(path, &[]).status, 401);
    }
    let atlas = connection.bearer();
    assert_eq!(connection.get("/admin/realms", &[("Authorization", &atlas)]).status, 401);
    assert_eq!(setup.space.report()["token_requests"], 3);
}

#[test]
fn refusals_have_keycloaks_shapes() {
    let client = json!({ "id": "app", "secret": "app-secret-app-secret-app-secret" });
    let realm = |enabled: bool| json!({ "clients": [client], "enabled": enabled });
    let setup = setup(json!({ "realms": { "demo": realm(true), "off": realm(false) } }));
    let mut connection = setup.connect();
    let path = format!("{DEMO}/token");
    assert_oauth_error(&connection.post_form(&path, "app:wrong", GRANT), 401, "unauthorized_client");
    assert_oauth_error(&connection.post_form(&path, "app:100%", GRANT), 401, "unauthorized_client");
    assert_oauth_error(&connection.post_form(&path, "nobody:x", GRANT), 401, "invalid_client");
    let post = format!("{GRANT}&client_id=app&client_secret=wrong");
    assert_oauth_error(&connection.exchange("POST", &path, &[], post.as_bytes()), 401, "unauthorized_client");
    assert_oauth_error(&connection.exchange("POST", &path, &[], GRANT.as_bytes()), 401, "invalid_client");
    assert_oauth_error(&connection.post_form(&path, APP, "grant_type=x"), 400, "unsupported_grant_type");
    assert_oauth_error(&connection.post_form(&path, APP, "x=y"), 400, "invalid_request");
    let off = "/realms/off/protocol/openid-connect/token";
    assert_oauth_error(&connection.post_form(off, APP, GRANT), 403, "access_denied");

    let unreadable = connection.exchange("POST", &path, &[("Authorization", "Basic ?")], GRANT.as_bytes());
    assert_eq!((unreadable.status, unreadable.body.len()), (401, 0));
    assert_eq!(unreadable.header("www-authenticate"), Some("Basic realm=\"demo\""));
    let unknown = connection.post_form("/realms/x/protocol/openid-connect/token", APP, GRANT);
    assert_eq!((unknown.status, unknown.json()), (404, json!({ "error": "Realm does not exist" })));
    assert_eq!(connection.get(&path, &[]).status, 405);
    assert_eq!(connection.get("/realms/demo/x", &[]).status, 404);
}

#[test]
fn a_realm_has_its_own_expires_in() {
    let client = json!([{ "id": "app", "secret": "app-secret-app-secret-app-secret" }]);
    let setup = setup(json!({
        "expires_in": 7,
        "realms": {
            "own": { "clients": client, "expires_in": 60 },
            "null": { "clients": client, "expires_in": null },
            "inherits": { "clients": client },
        },
    }));
    let mut connection = setup.connect();
    for (realm, expires_in) in [("own", json!(60)), ("null", json!(null)), ("inherits", json!(7))] {
        let body = token(&mut connection, &format!("/realms/{realm}/protocol/openid-connect/token"));
        assert_eq!(body["expires_in"], expires_in, "{realm}");
    }
}

#[test]
fn revoking_an_unknown_token_is_a_success_with_an_error_in_it() {
    let clients = json!([{ "id": "app", "secret": "app-secret-app-secret-app-secret" }, { "id": "b", "secret": "c" }]);
    let setup = setup(json!({ "realms": { "demo": { "clients": clients } } }));
    let mut connection = setup.connect();
    let path = format!("{DEMO}/revoke");
    let text = token(&mut connection, &format!("{DEMO}/token"))["access_token"].as_str().unwrap().to_owned();
    let form = format!("token={text}");
    assert_oauth_error(&connection.post_form(&path, "b:c", &form), 400, "invalid_token");
    assert_oauth_error(&connection.post_form(&path, "b:d", &form), 401, "unauthorized_client");
    assert_eq!(setup.space.report()["living_tokens"], 1);
    let revoked = connection.post_form(&path, APP, &form);
    assert_eq!((revoked.status, revoked.body.len()), (200, 0));
    assert_eq!(setup.space.report()["living_tokens"], 0);
    assert_oauth_error(&connection.post_form(&path, APP, &form), 200, "invalid_token");
    assert_eq!(setup.space.report()["revocations"], 1);
}

#[test]
fn introspection_tells_a_living_token_of_the_asker_from_all_others() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let path = format!("{DEMO}/token/introspect");
    let text = token(&mut connection, &format!("{DEMO}/token"))["access_token"].as_str().unwrap().to_owned();
    let active = connection.post_form(&path, APP, &format!("token={text}")).json();
    assert_eq!((&active["active"], &active["client_id"]), (&json!(true), &json!("app")));
    assert_eq!(active["exp"].as_u64().unwrap() - active["iat"].as_u64().unwrap(), 3600);
    assert_eq!(connection.post_form(&path, APP, "token=x").json(), json!({ "active": false }));
    assert_oauth_error(&connection.post_form(&path, "app:x", "token=x"), 401, "invalid_request");
    setup.space.revoke_tokens();
    assert_eq!(connection.post_form(&path, APP, &format!("token={text}")).json(), json!({ "active": false }));
}

#[test]
fn logout_takes_the_refresh_token_that_was_given() {
    let setup = setup(json!({ "token_fields": { "refresh_token": "refresh" } }));
    let mut connection = setup.connect();
    let path = format!("{DEMO}/logout");
    assert_eq!(connection.post_form(&path, APP, "refresh_token=refresh").status, 204);
    assert_oauth_error(&connection.post_form(&path, APP, "refresh_token=other"), 400, "invalid_grant");
    assert_oauth_error(&connection.post_form(&path, APP, ""), 400, "invalid_request");
    assert_oauth_error(&connection.post_form(&path, "app:x", "refresh_token=refresh"), 401, "unauthorized_client");
}

#[test]
fn discovery_names_the_endpoints_where_they_were_asked_for() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    for prefix in ["", "/auth"] {
        let answer = connection.get(&format!("{prefix}/realms/demo/.well-known/openid-configuration"), &[]).json();
        let issuer = format!("http://sandbox.test{prefix}/realms/demo");
        assert_eq!(answer["issuer"], issuer);
        assert_eq!(answer["token_endpoint"], format!("{issuer}/protocol/openid-connect/token"));
        assert_eq!(answer["revocation_endpoint"], format!("{issuer}/protocol/openid-connect/revoke"));
        assert_eq!(answer["introspection_endpoint"], format!("{issuer}/protocol/openid-connect/token/introspect"));
    }
    assert_eq!(connection.get(&format!("{DEMO}/certs"), &[]).json(), json!({ "keys": [] }));
}

fn assertion(secret: &str, claims: &Value) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(claims.to_string().as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes()).as_ref()))
}

#[test]
fn an_assertion_serves_once_and_only_its_own_client_its_realm_and_its_time() {
    const SECRET: &str = "signer-secret-signer-secret-1234";
    let client = json!({ "id": "signer", "secret": SECRET, "auth_method": "client_secret_jwt" });
    let setup = setup(json!({ "realms": { "demo": { "clients": [client] } } }));
    let mut connection = setup.connect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let issuer = "http://sandbox.test/realms/demo";
    let right =
        |id: &str| json!({"iss": "signer", "sub": "signer", "aud": issuer, "jti": id, "iat": now, "exp": now + 50});
    let mut ask = |secret: &str, claims: &Value| {
        let form = format!(
            "{GRANT}&client_id=signer&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3A\
             jwt-bearer&client_assertion={}",
            assertion(secret, claims)
        );
        connection.exchange("POST", &format!("{DEMO}/token"), &[], form.as_bytes())
    };
    assert_eq!(ask(SECRET, &right("1")).status, 200);
    for (name, value, why) in [
        ("jti", json!("1"), "reuse"),
        ("jti", Value::Null, "ID"),
        ("aud", json!([issuer]), "audience"),
        ("aud", json!("https://other.example"), "audience"),
        ("iss", json!("app"), "Issuer"),
        ("iat", Value::Null, "iat"),
        ("iat", json!(now + 30), "future"),
        ("exp", json!(now - 20), "not active"),
        ("exp", json!(now + 90), "too far"),
    ] {
        let mut claims = right("2");
        claims[name] = value;
        let answer = ask(SECRET, &claims);
        assert_oauth_error(&answer, 400, "invalid_client");
        assert!(answer.json()["error_description"].as_str().unwrap().contains(why), "{why}: {answer:?}");
    }
    assert_oauth_error(&ask("another-secret-another-secret-12", &right("3")), 400, "invalid_client");
    assert_eq!(ask(SECRET, &right("2")).status, 200, "what was refused was not used up");
    let basic = connection.post_form(&format!("{DEMO}/token"), &format!("signer:{SECRET}"), GRANT);
    assert_oauth_error(&basic, 401, "unauthorized_client");
}

#[test]
fn a_realm_tells_where_its_endpoints_are_in_two_places_and_as_it_is_told() {
    let realm = json!({ "metadata": { "token_endpoint": "https://elsewhere.example", "jwks_uri": null } });
    let setup = setup(json!({ "realms": { "plain": {}, "odd": realm } }));
    let mut connection = setup.connect();
    for (prefix, realm, endpoint) in
        [("", "plain", ""), ("/auth", "plain", ""), ("", "odd", "https://elsewhere.example")]
    {
        let issuer = format!("http://sandbox.test{prefix}/realms/{realm}");
        let document = connection.get(&format!("{prefix}/realms/{realm}/.well-known/openid-configuration"), &[]).json();
        assert_eq!(document["issuer"], json!(issuer));
        let own = format!("{issuer}/protocol/openid-connect/token");
        assert_eq!(document["token_endpoint"], if endpoint.is_empty() { json!(own) } else { json!(endpoint) });
        assert_eq!(document.get("jwks_uri").is_some(), realm == "plain");
        let other = format!("/.well-known/oauth-authorization-server{prefix}/realms/{realm}");
        assert_eq!(connection.get(&other, &[]).json(), document);
    }
    assert_eq!(connection.get("/.well-known/oauth-authorization-server", &[]).status, 404);
    assert_eq!(setup.space.report()["metadata_requests"], 7);
}
