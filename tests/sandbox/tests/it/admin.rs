use serde_json::{Value, json};
use svctoken_sandbox::Sandbox;

use crate::support::{Answer, Connection, address};

struct Admin {
    connection: Connection,
    _sandbox: Sandbox,
}

impl Admin {
    fn start() -> Admin {
        let sandbox = Sandbox::start();
        Admin { connection: Connection::plain(sandbox.admin()), _sandbox: sandbox }
    }

    /// Every call of a test goes over one connection: the admin API keeps it alive.
    fn call(&mut self, method: &str, path: &str, body: Value) -> Answer {
        self.connection.exchange(method, path, &[], body.to_string().as_bytes())
    }

    fn ok(&mut self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

fn connect(space: &Value) -> Connection {
    Connection::plain(space["http"].as_str().unwrap())
}

#[test]
fn spaces_are_apart_and_end_with_their_deletion() {
    let mut admin = Admin::start();
    let first = admin.ok("POST", "/spaces", json!({}));
    let second = admin.ok("POST", "/spaces", json!({}));
    assert_eq!((&first["space"], &second["space"]), (&json!("s1"), &json!("s2")));

    let mut connection = connect(&first);
    let bearer = connection.bearer();
    let foreign = connect(&second).get("/echo", &[("Authorization", &bearer)]);
    assert_eq!(foreign.status, 401, "a token of one space opened another");
    assert_eq!(admin.ok("GET", "/spaces/s1", json!({}))["mints"], 1);
    assert_eq!(admin.ok("GET", "/spaces/s2", json!({}))["mints"], 0);

    admin.ok("DELETE", "/spaces/s1", json!({}));
    connection.assert_closed();
    let refused = std::net::TcpStream::connect(address(first["http"].as_str().unwrap()));
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(admin.call("GET", "/spaces/s1", json!({})).status, 404);
    assert_eq!(connect(&second).ask_token().status, 200);
}

#[test]
fn patch_replaces_the_named_settings_and_no_counter() {
    let mut admin = Admin::start();
    let rules = json!([{ "path": "/echo", "nth": [2], "do": { "status": 418 } }]);
    let space = admin.ok("POST", "/spaces", json!({ "expires_in": 7, "rules": rules }));
    let mut connection = connect(&space);
    assert_eq!(connection.ask_token().json()["expires_in"], 7);
    assert_eq!(connection.get("/echo?anonymous=1", &[]).status, 200);

    admin.ok("PATCH", "/spaces/s1", json!({ "token_type": "bearer" }));
    let answer = connection.ask_token().json();
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&json!(7), &json!("bearer")));
    assert_eq!(connection.get("/echo?anonymous=1", &[]).status, 418, "the rule forgot the request before the patch");

    admin.ok("PATCH", "/spaces/s1", json!({ "rules": [] }));
    assert_eq!(admin.ok("GET", "/spaces/s1", json!({}))["requests"], 4);
}

#[test]
fn settings_that_make_no_sense_are_named_and_change_nothing() {
    let mut admin = Admin::start();
    let space = admin.ok("POST", "/spaces", json!({}));
    for (settings, named) in [
        (json!({ "projcets": 3 }), "projcets"),
        (json!({ "projects": "three" }), "projects: "),
        (json!({ "accept": false }), "accept: "),
        (json!({ "rules": [{ "do": { "reset": "sometimes" } }] }), "sometimes"),
        (json!({ "rules": [{ "do": { "body_base64": "?" } }] }), "rules: "),
        (json!({ "clients": [{ "id": "a" }] }), "secret"),
        (json!({ "realms": { "demo": { "clients": [{ "id": "a" }] } } }), "secret"),
        (json!({ "client_certificates": "required" }), "client_ca_file"),
        (json!({ "client_certificates": "required", "client_ca_file": "/nowhere" }), "client_ca_file"),
        (json!([]), "body"),
    ] {
        for (method, path) in [("POST", "/spaces"), ("PATCH", "/spaces/s1")] {
            let answer = admin.call(method, path, settings.clone());
            assert_eq!(answer.status, 400);
            let text = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(text.contains(named), "{settings}: {text}");
        }
    }
    assert_eq!(connect(&space).ask_token().status, 200);
}

#[test]
fn wait_ends_with_the_counters_or_with_its_time() {
    let mut admin = Admin::start();
    let space = admin.ok("POST", "/spaces", json!({ "rules": [{ "path": "/echo", "do": { "hold": "gate" } }] }));
    let late = admin.call("POST", "/spaces/s1/wait", json!({ "requests": 1, "timeout_ms": 30 }));
    assert_eq!((late.status, &late.json()["requests"]), (408, &json!(0)));

    let mut held = connect(&space);
    held.request("GET", "/echo?anonymous=1", &[], b"");
    let report = admin.ok(
        "POST",
        "/spaces/s1/wait",
        json!({ "requests": 1, "connections": 1, "held": { "gate": 1 }, "timeout_ms": 10_000 }),
    );
    assert_eq!(report["log"][0]["status"], 0, "held means counted and not answered");

    admin.ok("POST", "/spaces/s1/release", json!({ "hold": "gate" }));
    assert_eq!(held.read_answer("GET").status, 200);
    assert_eq!(held.get("/echo?anonymous=1", &[]).status, 200, "a released gate stays open");

    let unknown = admin.call("POST", "/spaces/s1/wait", json!({ "reqests": 1 }));
    assert_eq!(unknown.status, 400);
    assert!(unknown.json()["error"].as_str().unwrap().contains("reqests"));
}

#[test]
fn the_clock_ends_tokens_and_so_does_revocation() {
    let mut admin = Admin::start();
    let space = admin.ok("POST", "/spaces", json!({ "expires_in": 60 }));
    let mut connection = connect(&space);
    let (first, second) = (connection.bearer(), connection.bearer());
    let mut status = |bearer: &str| connection.get("/echo", &[("Authorization", bearer)]).status;
    assert_eq!(status(&first), 200);

    admin.ok("POST", "/spaces/s1/advance", json!({ "ms": 59_000 }));
    assert_eq!(status(&first), 200);
    admin.ok("POST", "/spaces/s1/advance", json!({ "ms": 1_000 }));
    assert_eq!((status(&first), status(&second)), (401, 401));
    assert_eq!(admin.ok("GET", "/spaces/s1", json!({}))["living_tokens"], 0);

    let mut other = connect(&space);
    let third = other.bearer();
    admin.ok("POST", "/spaces/s1/revoke_tokens", json!({}));
    assert_eq!(other.get("/echo", &[("Authorization", &third)]).status, 401);
    let fourth = other.bearer();
    assert_eq!(other.get("/echo", &[("Authorization", &fourth)]).status, 200);
    let report = admin.ok("GET", "/spaces/s1", json!({}));
    assert_eq!(
        (&report["mints"], &report["living_tokens"], &report["max_living_tokens"]),
        (&json!(4), &json!(1), &json!(2))
    );
}

#[test]
fn open_connections_are_closed_or_reset() {
    let mut admin = Admin::start();
    let rules = json!([{ "path": "/stalled", "do": { "stall": "before_answer" } }]);
    let space = admin.ok("POST", "/spaces", json!({ "rules": rules }));
    for (verb, reset) in [("close_connections", false), ("reset_connections", true)] {
        let mut idle = connect(&space);
        assert_eq!(idle.get("/echo?anonymous=1", &[]).status, 200);
        let mut busy = connect(&space);
        busy.request("GET", "/stalled", &[], b"");
        admin.ok("POST", "/spaces/s1/wait", json!({ "open_connections": 2, "timeout_ms": 10_000 }));
        admin.ok("POST", &format!("/spaces/s1/{verb}"), json!({}));
        for connection in [&mut idle, &mut busy] {
            if reset { connection.assert_reset() } else { connection.assert_closed() }
        }
    }
    let closed = admin.ok("POST", "/spaces/s1/wait", json!({ "closed_connections": 4, "timeout_ms": 10_000 }));
    assert_eq!(closed["open_connections"], 0);
    assert_eq!(connect(&space).ask_token().status, 200);
}

#[test]
fn the_report_shows_what_was_sent() {
    let mut admin = Admin::start();
    let space = admin.ok("POST", "/spaces", json!({}));
    let mut connection = connect(&space);
    let bearer = connection.bearer();
    connection.exchange("PUT", "/echo/a%20b?x=1&y", &[("Authorization", &bearer), ("X-Two", " a  b ")], b"body");
    connection.get("/echo", &[("Authorization", "Bearer unknown")]);
    let report = admin.ok("GET", "/spaces/s1", json!({}));

    let (mint, put, unknown) = (&report["log"][0], &report["log"][1], &report["log"][2]);
    assert_eq!((&mint["n"], &mint["token"], &mint["status"]), (&json!(1), &json!(1), &json!(200)));
    assert_eq!(mint["body"], "grant_type=client_credentials");
    assert_eq!((&put["n"], &put["connection"], &put["tls"]), (&json!(2), &json!(1), &json!(false)));
    assert_eq!((&put["method"], &put["path"], &put["query"]), (&json!("PUT"), &json!("/echo/a%20b"), &json!("x=1&y")));
    assert_eq!((&put["body"], &put["token"]), (&json!("body"), &json!(1)));
    let headers = put["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["authorization", bearer])), "{headers:?}");
    assert!(headers.contains(&json!(["x-two", "a  b"])), "{headers:?}");
    assert_eq!((&unknown["token"], &unknown["status"]), (&Value::Null, &json!(401)));
}

#[test]
fn the_log_keeps_the_last_thousand() {
    let mut admin = Admin::start();
    let space = admin.ok("POST", "/spaces", json!({}));
    let mut connection = connect(&space);
    for _ in 0..1_003 {
        assert_eq!(connection.get("/echo?anonymous=1", &[]).status, 200);
    }
    let report = admin.ok("GET", "/spaces/s1", json!({}));
    let log = report["log"].as_array().unwrap();
    assert_eq!((log.len(), &log[0]["n"], &log[999]["n"]), (1_000, &json!(4), &json!(1_003)));
    assert_eq!((&log[999]["status"], &report["requests"]), (&json!(200), &json!(1_003)));
}

#[test]
fn unknown_endpoints_are_404() {
    let mut admin = Admin::start();
    admin.ok("POST", "/spaces", json!({}));
    for (method, path) in
        [("GET", "/"), ("GET", "/spaces"), ("POST", "/spaces/s1/explode"), ("GET", "/spaces/s2"), ("PUT", "/spaces/s1")]
    {
        assert_eq!(admin.call(method, path, json!({})).status, 404, "{method} {path}");
    }
}

/// A program that keeps what it knows of an origin would take the later space for the earlier one.
#[test]
fn no_space_has_a_port_that_an_earlier_one_had() {
    let mut admin = Admin::start();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let space = admin.ok("POST", "/spaces", json!({}));
        for origin in [&space["http"], &space["https"]] {
            let origin = origin.as_str().unwrap();
            let port = origin.rsplit(':').next().unwrap().to_owned();
            assert!(seen.insert(port), "{origin} was another space's");
        }
        admin.ok("DELETE", &format!("/spaces/{}", space["space"].as_str().unwrap()), json!({}));
    }
}
