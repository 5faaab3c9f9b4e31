//! Every action of a rule, seen from the other end of the socket.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{setup, with_action};

const ECHO: &str = "/echo?anonymous=1";

#[test]
fn delay_ms_delays_the_normal_answer() {
    let setup = with_action(json!({ "delay_ms": 80 }));
    let start = Instant::now();
    assert_eq!(setup.connect().get(ECHO, &[]).json()["path"], "/echo");
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn hold_keeps_the_mint_back_and_mint_first_does_not() {
    for (mint_first, mints_while_held) in [(false, 0), (true, 1)] {
        let setup = with_action(json!({ "hold": "gate", "mint_first": mint_first }));
        let mut connections = [setup.connect(), setup.connect()];
        for connection in &mut connections {
            connection.request(
                "POST",
                "/api/oauth/token",
                &[("Authorization", &basic())],
                b"grant_type=client_credentials",
            );
        }
        let report = setup.wait(json!({ "held": { "gate": 2 }, "max_token_requests_at_once": 2 }));
        assert_eq!(report["mints"], mints_while_held * 2);
        setup.space.release("gate");
        for connection in &mut connections {
            assert_eq!(connection.read_answer("POST").status, 200);
        }
        assert_eq!(setup.space.report()["mints"], 2);
        assert_eq!(setup.space.report()["held"]["gate"], 0);
    }
}

fn basic() -> String {
    use base64::Engine;
    let credentials = format!("{}:{}", crate::support::CLIENT, crate::support::SECRET);
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

#[test]
fn a_client_that_hangs_up_leaves_its_gate() {
    let setup = with_action(json!({ "hold": "gate" }));
    let mut leaving = setup.connect();
    leaving.request("POST", "/api/oauth/token", &[("Authorization", &basic())], b"grant_type=client_credentials");
    setup.wait(json!({ "held": { "gate": 1 } }));
    drop(leaving);
    let mut staying = setup.connect();
    staying.request("GET", ECHO, &[], b"");
    setup.wait(json!({ "requests": 2 }));
    // The gate must come down to one again: the first request is gone and nothing was minted for it.
    let deadline = Instant::now() + crate::support::LIMIT;
    while setup.space.report()["held"]["gate"] != 1 || setup.space.report()["open_connections"] != 1 {
        assert!(Instant::now() < deadline, "{}", setup.space.report());
        std::thread::yield_now();
    }
    assert_eq!(setup.space.report()["mints"], 0);
}

#[test]
fn status_headers_and_body_make_the_answer() {
    let setup = with_action(json!({
        "status": 503, "headers": [["Retry-After", "7"], ["X-A", "1"], ["X-A", "2"]], "body": "{\"error\":1}",
    }));
    let answer = setup.connect().ask_token();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "x-a").count(), 2);
    assert_eq!(answer.json(), json!({ "error": 1 }));
    assert!(answer.header("date").is_some());
    let report = setup.space.report();
    assert_eq!((&report["mints"], &report["log"][0]["status"]), (&json!(0), &json!(503)));
}

#[test]
fn a_status_alone_has_no_body_and_204_no_length() {
    let setup = setup(json!({ "rules": [
        { "path": "/a", "do": { "status": 403 } }, { "path": "/b", "do": { "status": 204, "body": "x" } },
    ] }));
    let mut connection = setup.connect();
    let empty = connection.get("/a", &[]);
    assert_eq!((empty.status, empty.header("content-length"), empty.header("content-type")), (403, Some("0"), None));
    let none = connection.get("/b", &[]);
    assert_eq!((none.status, none.header("content-length")), (204, None));
    assert_eq!(connection.get("/a", &[]).status, 403, "204 left bytes behind");
}

#[test]
fn headers_and_body_without_status_change_the_normal_answer() {
    let setup = with_action(json!({ "headers": [["content-type", "text/x"]], "body": "other" }));
    let answer = setup.connect().ask_token();
    assert_eq!((answer.status, answer.header("content-type"), &answer.body[..]), (200, Some("text/x"), &b"other"[..]));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "content-type").count(), 1);
    assert_eq!(setup.space.report()["mints"], 1);
}

#[test]
fn bodies_of_base64_and_of_a_size() {
    let setup = setup(json!({ "rules": [
        { "path": "/a", "do": { "status": 200, "body_base64": "AP8=" } },
        { "path": "/b", "do": { "status": 200, "body_size": 5_000_000 } },
    ] }));
    let mut connection = setup.connect();
    assert_eq!(connection.get("/a", &[]).body, b"\x00\xff");
    assert!(connection.get("/b", &[]).body == vec![b'x'; 5_000_000]);
}

#[test]
fn a_claimed_length_truncates_or_leaves_bytes_over() {
    let setup = setup(json!({ "rules": [
        { "path": "/short", "do": { "status": 200, "body": "1234", "content_length": 10 } },
        { "path": "/long", "do": { "status": 200, "body": "1234", "content_length": 3 } },
    ] }));
    let mut short = setup.connect();
    short.request("GET", "/short", &[], b"");
    assert_eq!(short.read_head().unwrap().header("content-length"), Some("10"));
    let (body, end) = short.read_to_end();
    assert!(body == b"1234" && end.is_ok(), "{body:?} {end:?}");

    let mut long = setup.connect();
    assert_eq!(long.get("/long", &[]).body, b"123");
    assert_eq!(long.read_until_silence(), b"4");
}

#[test]
fn chunked_sends_more_than_one_chunk() {
    let setup = with_action(json!({ "chunked": true, "status": 200, "body": "12345" }));
    let mut connection = setup.connect();
    for _ in 0..2 {
        connection.request("GET", "/", &[], b"");
        let head = connection.read_head().unwrap();
        assert_eq!((head.header("transfer-encoding"), head.header("content-length")), (Some("chunked"), None));
        assert_eq!(connection.read_chunks(), [b"123".to_vec(), b"45".to_vec()]);
    }
    setup
        .space
        .patch(&json!({ "rules": [{ "do": { "chunked": true, "content_length": 5, "status": 200 } }] }))
        .unwrap();
    connection.request("GET", "/", &[], b"");
    let both = connection.read_head().unwrap();
    assert_eq!((both.header("transfer-encoding"), both.header("content-length")), (Some("chunked"), Some("5")));
}

#[test]
fn html_is_a_gateways_page() {
    let setup = setup(json!({ "rules": [
        { "path": "/a", "do": { "html": true } }, { "path": "/b", "do": { "html": true, "status": 200 } },
    ] }));
    let mut connection = setup.connect();
    for (path, status) in [("/a", 502), ("/b", 200)] {
        let answer = connection.get(path, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("text/html; charset=utf-8")));
        assert!(answer.body.starts_with(b"<html>"));
    }
}

#[test]
fn raw_bytes_then_fin() {
    let setup = setup(json!({ "rules": [
        { "path": "/a", "do": { "raw": "HTTP/1.1 299 Odd\nno carriage returns" } },
        { "path": "/b", "do": { "raw_base64": "AAEC" } },
    ] }));
    for (path, bytes) in [("/a", &b"HTTP/1.1 299 Odd\nno carriage returns"[..]), ("/b", b"\x00\x01\x02")] {
        let mut connection = setup.connect();
        connection.request("GET", path, &[], b"");
        let (received, end) = connection.read_to_end();
        assert!(received == bytes && end.is_ok(), "{received:?} {end:?}");
    }
    let report = setup.space.report();
    assert_eq!((&report["log"][0]["status"], &report["log"][1]["status"]), (&json!(299), &json!(0)));
}

#[test]
fn reset_at_every_place() {
    let setup = setup(json!({ "rules": [
        { "path": "/a", "do": { "reset": "before_answer", "status": 200 } },
        { "path": "/b", "do": { "reset": "after_head", "status": 200, "body": "1234" } },
        { "path": "/c", "do": { "reset": { "after_body_bytes": 3 }, "status": 200, "body": "1234" } },
        { "path": "/api/*", "do": { "reset": "before_answer" } },
    ] }));
    let mut before = setup.connect();
    before.request("GET", "/a", &[], b"");
    before.assert_reset();

    for (path, bytes) in [("/b", &b""[..]), ("/c", b"123")] {
        let mut connection = setup.connect();
        connection.request("GET", path, &[], b"");
        assert_eq!(connection.read_head().unwrap().header("content-length"), Some("4"));
        assert_eq!(connection.take(bytes.len()).unwrap(), bytes);
        connection.assert_reset();
    }
    let mut lost = setup.connect();
    lost.request("POST", "/api/oauth/token", &[("Authorization", &basic())], b"grant_type=client_credentials");
    lost.assert_reset();
    let report = setup.space.report();
    assert_eq!(report["mints"], 1, "without a status the server does its work and the answer is lost");
    let statuses: Vec<_> = report["log"].as_array().unwrap().iter().map(|entry| entry["status"].clone()).collect();
    assert_eq!(statuses, [0, 200, 200, 0]);
}

#[test]
fn resets_reach_through_tls() {
    let setup = with_action(json!({ "reset": { "after_body_bytes": 3 }, "status": 200, "body": "1234" }));
    let mut connection = setup.connect_tls();
    connection.request("GET", "/", &[], b"");
    assert_eq!(connection.read_head().unwrap().status, 200);
    assert_eq!(connection.take(3).unwrap(), b"123");
    connection.assert_reset();
}

#[test]
fn close_before_and_after_the_answer() {
    let setup = setup(json!({ "rules": [
        { "path": "/a", "do": { "close": "before_answer" } }, { "path": "/echo", "do": { "close": "after_answer" } },
    ] }));
    for mut connection in [setup.connect(), setup.connect_tls()] {
        connection.request("GET", "/a", &[], b"");
        connection.assert_closed();
    }
    for mut connection in [setup.connect(), setup.connect_tls()] {
        let answer = connection.get(ECHO, &[]);
        assert_eq!((answer.status, answer.header("connection")), (200, None));
        connection.assert_closed();
    }
}

#[test]
fn stall_at_every_place_until_the_space_ends() {
    let setup = setup(json!({ "rules": [
        { "path": "/a", "do": { "stall": "before_answer" } },
        { "path": "/b", "do": { "stall": "after_head", "status": 200, "body": "1234" } },
        { "path": "/c", "do": { "stall": { "after_body_bytes": 2 }, "status": 200, "body": "1234" } },
    ] }));
    let mut connections = [setup.connect(), setup.connect(), setup.connect_tls()];
    for (connection, (path, tail)) in
        connections.iter_mut().zip([("/a", &b""[..]), ("/b", b"\r\n\r\n"), ("/c", b"\r\n\r\n12")])
    {
        connection.request("GET", path, &[], b"");
        let received = connection.read_until_silence();
        assert!(received.ends_with(tail) && received.is_empty() == (path == "/a"), "{path} {received:?}");
    }
    setup.space.delete();
    for connection in &mut connections {
        connection.assert_closed();
    }
}

#[test]
fn drip_sends_a_byte_at_a_time() {
    let setup = with_action(json!({ "drip_ms": 2, "status": 200, "body": "1234" }));
    let start = Instant::now();
    let mut connection = setup.connect();
    let answer = connection.get("/", &[]);
    assert_eq!(answer.body, b"1234");
    // A head of well over fifty bytes, two milliseconds each.
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
}

#[test]
fn http_1_0_ends_its_body_with_the_connection() {
    let setup = with_action(json!({ "http_1_0": true }));
    for mut connection in [setup.connect(), setup.connect_tls()] {
        let answer = connection.get(ECHO, &[]);
        assert_eq!((answer.version.as_str(), answer.status), ("HTTP/1.0", 200));
        assert_eq!((answer.header("content-length"), answer.header("connection")), (None, None));
        assert_eq!(answer.json()["path"], "/echo");
    }
}

#[test]
fn rules_are_chosen_by_method_path_nth_and_times() {
    let setup = setup(json!({ "rules": [
        { "method": "POST", "path": "/echo*", "nth": [1, 3], "do": { "status": 501 } },
        { "path": "/echo", "times": 1, "do": { "status": 502 } },
    ] }));
    let mut connection = setup.connect();
    let mut post = || connection.exchange("POST", "/echo/x?anonymous=1", &[], b"").status;
    assert_eq!([post(), post(), post(), post()], [501, 200, 501, 200]);
    let mut get = || connection.get(ECHO, &[]).status;
    assert_eq!([get(), get()], [502, 200]);
}
