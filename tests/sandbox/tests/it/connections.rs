//! What happens before a request: accepting, TLS, and many at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Connection, SILENCE, address, setup};

fn refused(origin: &str) -> bool {
    TcpStream::connect(address(origin)).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn the_ca_vouches_for_localhost() {
    let setup = setup(json!({}));
    let mut connection = setup.connect_tls();
    assert_eq!(connection.ask_token().status, 200);
    assert_eq!(connection.get("/bytes/200000?anonymous=1", &[]).body.len(), 200_000);
    let report = setup.space.report();
    assert_eq!((&report["log"][0]["tls"], &report["connections"]), (&json!(true), &json!(1)));
}

#[test]
fn certificates_that_must_be_refused() {
    let setup = setup(json!({}));
    for (fault, complaint) in
        [("wrong_host", "NotValidForName"), ("expired", "Expired"), ("unknown_ca", "UnknownIssuer")]
    {
        setup.space.patch(&json!({ "tls_fault": fault })).unwrap();
        let error = Connection::tls(&setup.space, &setup.sandbox).map(drop).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains(complaint), "{fault}: {text}");
    }
    assert_eq!(setup.connect().ask_token().status, 200, "TLS faults are for TLS alone");
    setup.space.patch(&json!({ "tls_fault": null })).unwrap();
    assert_eq!(setup.connect_tls().ask_token().status, 200);
}

#[test]
fn handshakes_that_do_not_end() {
    let setup = setup(json!({}));
    for fault in ["close_in_handshake", "garbage"] {
        setup.space.patch(&json!({ "tls_fault": fault })).unwrap();
        let error = Connection::tls(&setup.space, &setup.sandbox).map(drop).unwrap_err();
        let expected = if fault == "garbage" { ErrorKind::InvalidData } else { ErrorKind::UnexpectedEof };
        assert_eq!(error.kind(), expected, "{fault}: {error:?}");
    }
    setup.space.patch(&json!({ "tls_fault": "stall_handshake" })).unwrap();
    let mut stream = TcpStream::connect(address(setup.space.https())).unwrap();
    assert_silent(&mut stream);
}

fn assert_silent(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}

#[test]
fn a_space_that_refuses_and_serves_again_on_the_same_port() {
    let setup = setup(json!({ "accept": "refuse" }));
    assert!(refused(setup.space.http()) && refused(setup.space.https()));
    setup.space.patch(&json!({ "accept": true })).unwrap();
    let mut connection = setup.connect();
    assert_eq!(connection.ask_token().status, 200);
    setup.space.patch(&json!({ "accept": "refuse" })).unwrap();
    assert!(refused(setup.space.http()) && refused(setup.space.https()));
    assert_eq!(connection.ask_token().status, 200, "an open connection lives on");
    setup.space.patch(&json!({ "accept": true })).unwrap();
    assert_eq!(setup.connect_tls().ask_token().status, 200);
    assert_eq!(setup.space.report()["connections"], 2, "the sandbox counted its own wake-up call");
}

#[test]
fn a_space_that_accepts_and_never_answers() {
    let setup = setup(json!({ "accept": "stall" }));
    for origin in [setup.space.http(), setup.space.https()] {
        assert_silent(&mut TcpStream::connect(address(origin)).unwrap());
    }
    let report = setup.wait(json!({ "connections": 2 }));
    assert_eq!(report["requests"], 0);
}

#[test]
fn three_hundred_connections_at_once() {
    let setup = setup(json!({ "rules": [{ "path": "/echo", "do": { "hold": "gate" } }] }));
    let mut connections: Vec<Connection> = (0..300).map(|_| setup.connect()).collect();
    for connection in &mut connections {
        connection.request("GET", "/echo?anonymous=1", &[], b"");
    }
    let report = setup.wait(json!({ "held": { "gate": 300 }, "open_connections": 300 }));
    assert_eq!(report["requests"], 300);
    setup.space.release("gate");
    for connection in &mut connections {
        assert_eq!(connection.read_answer("GET").status, 200);
    }
}

#[test]
fn dropping_the_sandbox_ends_everything() {
    let setup = setup(json!({}));
    let (admin, space) = (setup.sandbox.admin().to_owned(), std::sync::Arc::clone(&setup.space));
    let mut connection = setup.connect();
    assert_eq!(connection.ask_token().status, 200);
    drop(setup);
    connection.assert_closed();
    assert!(refused(&admin) && refused(space.http()) && refused(space.https()));
    space.patch(&json!({ "accept": true })).unwrap();
    assert!(refused(space.http()), "a deleted space opened its port again");
}
