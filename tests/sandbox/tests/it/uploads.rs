//! Bodies of requests: read as they come, held up, and left unread.

use std::time::Duration;

use serde_json::json;

use crate::support::{Connection, Setup, setup};

/// Of 100 bytes, byte i being i mod 251.
const SHA256: &str = "bce0aff19cf5aa6a7469a30d61d04e4376e4bbf6381052ee9e7f33925c954d52";

fn hundred() -> Vec<u8> {
    (0..100).collect()
}

/// Sends the head of a request with a body of 100 bytes, in chunks or not.
fn announce(connection: &mut Connection, chunked: bool) {
    let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 100" };
    let head =
        format!("POST /upload?anonymous=1 HTTP/1.1\r\nHost: sandbox.test\r\n{framing}\r\nExpect: 100-continue\r\n\r\n");
    connection.send(head.as_bytes());
}

fn with_rule(action: serde_json::Value) -> Setup {
    setup(json!({ "rules": [{ "path": "/upload", "do": action }] }))
}

#[test]
fn an_upload_is_counted_and_hashed_however_it_is_framed() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    announce(&mut connection, false);
    assert_eq!(connection.line(), "HTTP/1.1 100 Continue");
    assert_eq!(connection.line(), "");
    connection.send(&hundred());
    let expected = json!({ "length": 100, "sha256": SHA256 });
    assert_eq!(connection.read_answer("POST").json(), expected);
    announce(&mut connection, true);
    assert_eq!(connection.line(), "HTTP/1.1 100 Continue");
    assert_eq!(connection.line(), "");
    let body = hundred();
    connection.send(&[b"1\r\n", &body[..1], b"\r\n63;x=y\r\n", &body[1..], b"\r\n0\r\n\r\n"].concat());
    assert_eq!(connection.read_answer("POST").json(), expected);
    let report = setup.space.report();
    for entry in [&report["log"][0], &report["log"][1]] {
        assert_eq!((&entry["body_length"], &entry["body_sha256"]), (&json!(100), &json!(SHA256)));
    }
    assert_eq!(report["connections"], 1);
}

#[test]
fn what_is_said_to_an_expectation() {
    for (how, lines) in [
        ("headers", &["HTTP/1.1 100 Continue", "Server: sandbox", "X-Hint: 1", ""][..]),
        ("early_hints", &["HTTP/1.1 103 Early Hints", "Link: </style.css>", "", "HTTP/1.1 100 Continue", ""]),
        ("omit", &[]),
    ] {
        let setup = with_rule(json!({ "continue": how }));
        let mut connection = setup.connect();
        announce(&mut connection, false);
        for line in lines {
            assert_eq!(connection.line(), *line, "{how}");
        }
        if lines.is_empty() {
            assert!(connection.read_until_silence().is_empty());
        }
        connection.send(&hundred());
        assert_eq!(connection.read_answer("POST").json()["sha256"], SHA256, "{how}");
    }
}

#[test]
fn interim_answers_may_come_when_the_body_has_begun() {
    let setup = with_rule(json!({ "continue": "late" }));
    let mut connection = setup.connect();
    announce(&mut connection, false);
    assert!(connection.read_until_silence().is_empty());
    connection.send(&hundred()[..10]);
    for line in ["HTTP/1.1 100 Continue", "X-Hint: 1", "", "HTTP/1.1 102 Processing", ""] {
        assert_eq!(connection.line(), line);
    }
    connection.send(&hundred()[10..]);
    assert_eq!(connection.read_answer("POST").json()["sha256"], SHA256);
}

#[test]
fn an_answer_may_come_before_the_body_and_ends_the_connection() {
    for (bytes, chunked) in [(0, false), (0, true), (10, false)] {
        let setup = with_rule(json!({ "body_bytes": bytes, "status": 413 }));
        let mut connection = setup.connect();
        announce(&mut connection, chunked);
        if bytes > 0 {
            assert_eq!(connection.line(), "HTTP/1.1 100 Continue");
            assert_eq!(connection.line(), "");
            connection.send(&hundred()[..10]);
        }
        assert_eq!(connection.read_answer("POST").status, 413);
        connection.assert_closed();
        assert_eq!(setup.space.report()["log"][0]["body_length"], bytes);
    }
}

#[test]
fn a_body_is_held_up_in_its_midst() {
    let setup = with_rule(json!({ "hold_body": { "after_bytes": 10, "gate": "g" } }));
    let mut connection = setup.connect();
    announce(&mut connection, false);
    assert_eq!(connection.line(), "HTTP/1.1 100 Continue");
    assert_eq!(connection.line(), "");
    connection.send(&hundred()[..50]);
    setup.wait(json!({ "held": { "g": 1 } }));
    assert_eq!(setup.space.report()["requests"], 0);
    setup.space.release("g");
    connection.send(&hundred()[50..]);
    assert_eq!(connection.read_answer("POST").json()["sha256"], SHA256);
}

#[test]
fn rules_may_be_for_requests_that_expect_only() {
    let setup = setup(json!({ "rules": [{ "expects": true, "do": { "body_bytes": 0, "status": 417 } }] }));
    let mut connection = setup.connect();
    announce(&mut connection, false);
    assert_eq!(connection.read_answer("POST").status, 417);
    let answer = setup.connect().exchange("POST", "/upload?anonymous=1", &[], &hundred());
    assert_eq!(answer.json()["length"], 100);
}

#[test]
fn ended_connections_have_ended_when_the_call_returns() {
    let setup = setup(json!({}));
    let connections: Vec<Connection> = (0..20).map(|_| setup.connect()).collect();
    setup.wait(json!({ "connections": 20 }));
    setup.space.close_connections();
    assert_eq!(setup.space.report()["closed_connections"], 20);
    for connection in connections {
        connection.tcp().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(connection.tcp().peek(&mut [0; 1]).unwrap(), 0, "the end is here already");
    }
}
