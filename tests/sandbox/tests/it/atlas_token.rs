use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{CLIENT, SECRET, setup};

const GRANT: &str = "grant_type=client_credentials";

#[test]
fn a_token_answer_has_atlas_three_members_and_every_mint_is_unique() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let mut texts = HashSet::new();
    for _ in 0..3 {
        let answer = connection.ask_token();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let body = answer.json();
        let names: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["access_token", "expires_in", "token_type"]);
        assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(3600), &json!("Bearer")));
        let text = body["access_token"].as_str().unwrap().to_owned();
        assert_eq!((text.len(), text.split('.').count()), (700, 3));
        texts.insert(text);
    }
    assert_eq!(texts.len(), 3);
    let report = setup.space.report();
    assert_eq!((&report["mints"], &report["max_token_requests_at_once"]), (&json!(3), &json!(1)));
}

#[test]
fn a_space_knows_the_tokens_it_has_issued_and_no_other() {
    let setup = setup(json!({}));
    let token = setup.connect().ask_token().json()["access_token"].as_str().unwrap().to_owned();
    setup.space.advance(Duration::from_secs(5));
    let issued = setup.space.issued(&token).unwrap();
    assert_eq!((issued.client.as_str(), issued.age.as_secs()), (CLIENT, 5));
    assert!(setup.space.issued(&token[1..]).is_none() && setup.space.issued(&format!("{token}x")).is_none());
}

#[test]
fn refusals_have_oauths_shape() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let right = format!("{CLIENT}:{SECRET}");
    for (credentials, form, status, error) in [
        (format!("{CLIENT}:wrong"), GRANT, 401, "invalid_client"),
        (format!("nobody:{SECRET}"), GRANT, 401, "invalid_client"),
        (right.clone(), "grant_type=password", 400, "unsupported_grant_type"),
        (right, "scope=a", 400, "invalid_request"),
    ] {
        let answer = connection.post_form("/api/oauth/token", &credentials, form);
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{credentials} {form}");
        let digest = answer.header("www-authenticate").is_some_and(|value| value.starts_with("Digest "));
        assert_eq!(digest, status == 401);
    }
    assert_eq!(connection.exchange("POST", "/api/oauth/token", &[], GRANT.as_bytes()).status, 401);
    assert_eq!(connection.get("/api/oauth/token", &[]).status, 405);
    assert_eq!(setup.space.report()["mints"], 0);
}

#[test]
fn ten_mints_a_minute_then_the_api_format() {
    let setup = setup(json!({ "mints_per_minute": 10 }));
    let mut connection = setup.connect();
    for _ in 0..10 {
        assert_eq!(connection.ask_token().status, 200);
    }
    let answer = connection.ask_token();
    let body = answer.json();
    assert_eq!((answer.status, &body["error"], &body["errorCode"]), (429, &json!(429), &json!("RATE_LIMITED")));
    assert_eq!(body["parameters"], json!(["/api/oauth/token", 10, 1]));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");

    setup.space.advance(Duration::from_secs(wait - 5));
    assert_eq!(connection.ask_token().status, 429, "the minute was short");
    setup.space.advance(Duration::from_secs(5));
    assert_eq!(connection.ask_token().status, 200, "Retry-After was too short");
}

#[test]
fn a_hundred_living_tokens_then_403_until_one_is_revoked_or_ends() {
    let setup = setup(json!({ "living_tokens": 100 }));
    let mut connection = setup.connect();
    let first = connection.bearer();
    for _ in 1..100 {
        assert_eq!(connection.ask_token().status, 200);
    }
    let answer = connection.ask_token();
    let body = answer.json();
    assert_eq!((answer.status, &body["error"]), (403, &json!("access_denied")));
    assert!(body["error_description"].as_str().unwrap().starts_with("Access Token limit reached"), "{body}");

    let form = format!("token={}&token_type_hint=access_token", first.strip_prefix("Bearer ").unwrap());
    let revoked = connection.post_form("/api/oauth/revoke", &format!("{CLIENT}:{SECRET}"), &form);
    assert_eq!((revoked.status, revoked.body.len()), (200, 0));
    assert_eq!(connection.get("/echo", &[("Authorization", &first)]).status, 401);
    assert_eq!((connection.ask_token().status, connection.ask_token().status), (200, 403));

    setup.space.advance(Duration::from_secs(3_600));
    assert_eq!(connection.ask_token().status, 200);
    let report = setup.space.report();
    assert_eq!((&report["revocations"], &report["max_living_tokens"]), (&json!(1), &json!(100)));
}

#[test]
fn revoking_needs_the_client_and_forgives_unknown_tokens() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    assert_eq!(connection.post_form("/api/oauth/revoke", &format!("{CLIENT}:no"), "token=x").status, 401);
    assert_eq!(connection.post_form("/api/oauth/revoke", &format!("{CLIENT}:{SECRET}"), "token=x").status, 200);
    assert_eq!(connection.post_form("/api/oauth/revoke", &format!("{CLIENT}:{SECRET}"), "").status, 400);
    assert_eq!(setup.space.report()["revocations"], 0);
}

#[test]
fn expires_in_is_sent_as_it_was_given() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    for value in [json!("3600"), json!(3599.5), json!(0), json!(-1), json!(null), json!(1e300), json!("soon")] {
        setup.space.patch(&json!({ "expires_in": value })).unwrap();
        assert_eq!(connection.ask_token().json().get("expires_in"), Some(&value));
    }
    setup.space.patch(&json!({ "expires_in": "omit" })).unwrap();
    assert_eq!(connection.ask_token().json().get("expires_in"), None);
}

#[test]
fn the_real_life_may_differ_from_the_announced_one() {
    let setup = setup(json!({ "expires_in": "3600", "lifetime_ms": 1_000 }));
    let mut connection = setup.connect();
    let bearer = connection.bearer();
    setup.space.advance(Duration::from_secs(1));
    assert_eq!(connection.get("/echo", &[("Authorization", &bearer)]).status, 401);
}

#[test]
fn the_answer_can_be_dressed() {
    let setup = setup(json!({
        "token_type": null, "token_length": 20_000, "token_fields": { "refresh_token": "r", "nested": { "a": [1] } },
    }));
    let body = setup.connect().ask_token().json();
    assert_eq!(body.get("token_type"), None);
    assert_eq!(body["access_token"].as_str().unwrap().len(), 20_000);
    assert_eq!((&body["refresh_token"], &body["nested"]["a"][0]), (&json!("r"), &json!(1)));
}

#[test]
fn the_same_token_comes_until_it_ends() {
    let setup = setup(json!({ "same_token": true, "expires_in": 60 }));
    let mut connection = setup.connect();
    let (first, second) = (connection.bearer(), connection.bearer());
    assert_eq!(first, second);
    setup.space.advance(Duration::from_secs(60));
    assert_ne!(connection.bearer(), first);
    let report = setup.space.report();
    let ordinals: Vec<&Value> = report["log"].as_array().unwrap().iter().map(|entry| &entry["token"]).collect();
    assert_eq!((ordinals, &report["mints"]), (vec![&json!(1), &json!(1), &json!(2)], &json!(3)));
}

#[test]
fn two_secrets_and_three_encodings_authenticate() {
    let secret = "+ % : & space ü";
    let client =
        |id: &str, encoding: &str| json!({ "id": id, "secret": secret, "secret_2": "b", "encoding": encoding });
    let clients = json!([client("f", "form"), client("r", "raw"), client("s", "strict")]);
    let setup = setup(json!({ "clients": clients }));
    let mut connection = setup.connect();
    let encoded = "%2B+%25+%3A+%26+space+%C3%BC";
    for (credentials, status) in [
        (format!("f:{encoded}"), 200),
        (format!("f:{secret}"), 401),
        (format!("r:{secret}"), 200),
        (format!("r:{encoded}"), 401),
        (format!("s:{encoded}"), 200),
        (format!("s:{secret}"), 401),
        ("s:b".to_owned(), 200),
    ] {
        assert_eq!(connection.post_form("/api/oauth/token", &credentials, GRANT).status, status, "{credentials}");
    }
}

#[test]
fn who_waits_for_a_mint_is_woken_by_it() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    for mints in 1..20 {
        let until = json!({ "mints": mints });
        let space = setup.space.clone();
        let waiting = thread::spawn(move || {
            let began = Instant::now();
            space.wait(until.as_object().unwrap(), Duration::from_secs(5)).unwrap();
            began.elapsed()
        });
        connection.ask_token();
        assert!(waiting.join().unwrap() < Duration::from_secs(4));
    }
}
