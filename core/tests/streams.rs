//! Streams over connections of our own making: what their readers see of time, and of errors.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use svctoken::{CancelToken, Client, ErrorCode};

/// A client whose server sends these pieces as its one answer, and then nothing until the client has left.
fn client_of(pieces: Vec<(Duration, Vec<u8>)>) -> (Client, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).expect("a request");
        for (pause, piece) in pieces {
            thread::sleep(pause);
            // The client may have left already.
            let _ = socket.write_all(&piece);
        }
        while matches!(socket.read(&mut request), Ok(1..)) {}
    });
    let client = Client::builder().access_token("a-ready-token").base_url(base).build().expect("a client");
    (client, server)
}

fn head(length: usize) -> (Duration, Vec<u8>) {
    (Duration::ZERO, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes())
}

#[test]
fn p09_the_idle_timeout_begins_anew_with_each_byte_and_the_calls_timeout_ends_with_the_head() {
    let pause = Duration::from_millis(150);
    let pieces = [head(8)].into_iter().chain((0..8).map(|index| (pause, vec![index]))).collect();
    let (client, server) = client_of(pieces);
    let began = Instant::now();
    let request = client.request("GET", "/").timeout(Duration::from_millis(600)).idle_timeout(Duration::from_secs(5));
    let mut response = request.send_streaming().expect("a head");
    let mut body = Vec::new();
    response.read_to_end(&mut body).expect("a body");
    assert_eq!(body, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(began.elapsed() > Duration::from_millis(600), "the timeout did not end it");
    drop((response, client));
    server.join().expect("no panic");
}

#[test]
fn p13_an_error_of_a_read_is_svctokens_own_and_comes_again() {
    let (client, server) = client_of(vec![head(100), (Duration::ZERO, b"begin".to_vec())]);
    let request = client.request("GET", "/").idle_timeout(Duration::from_millis(100));
    let mut response = request.send_streaming().expect("a head");
    let mut body = Vec::new();
    let error = response.read_to_end(&mut body).expect_err("nothing more comes");
    assert_eq!((body.as_slice(), error.kind()), (&b"begin"[..], io::ErrorKind::TimedOut));
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<svctoken::Error>()).expect("ours");
    assert_eq!(inner.code(), ErrorCode::Timeout);
    assert!(inner.what().contains("idle_timeout"), "{inner}");
    assert_eq!(response.read_some(&mut [0; 5]).expect_err("as before").code(), ErrorCode::Timeout);
    // The connection is closed though the response lives.
    server.join().expect("no panic");
}

#[test]
fn p09_a_cancel_wakes_a_reader_within_100_ms_and_is_seen_though_bytes_are_there() {
    let (client, server) = client_of(vec![head(1000), (Duration::ZERO, vec![7; 500])]);
    let cancel = CancelToken::new();
    let mut response = client.request("GET", "/").cancel(&cancel).send_streaming().expect("a head");
    response.read_exact(&mut [0; 500]).expect("what came");
    let canceller = cancel.clone();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        canceller.cancel();
        Instant::now()
    });
    let error = response.read(&mut [0; 5]).expect_err("cancelled");
    assert_eq!(error.kind(), io::ErrorKind::Other, "never Interrupted, after which readers read on");
    let took = other.join().expect("no panic").elapsed();
    assert!(took < Duration::from_millis(100), "{took:?}");
    server.join().expect("no panic");

    let (client, server) = client_of(vec![head(1000), (Duration::ZERO, vec![7; 1000])]);
    let cancel = CancelToken::new();
    let mut response = client.request("GET", "/").cancel(&cancel).send_streaming().expect("a head");
    response.read_exact(&mut [0; 1]).expect("what came");
    cancel.cancel();
    assert_eq!(response.read_some(&mut [0; 5]).expect_err("cancelled").code(), ErrorCode::Cancelled);
    drop((response, client));
    server.join().expect("no panic");
}

#[test]
fn a_reader_that_leaves_waits_for_nothing() {
    let (client, server) = client_of(vec![head(1000), (Duration::ZERO, vec![7; 500])]);
    let mut response = client.request("GET", "/").send_streaming().expect("a head");
    response.read_exact(&mut [0; 100]).expect("what came");
    let began = Instant::now();
    drop(response);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    server.join().expect("no panic");
}

#[test]
fn a_reader_that_leaves_gives_its_connection_back_if_hardly_anything_is_left() {
    for (length, expected) in [(64 * 1024, "same"), (64 * 1024 + 2, "anew")] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let (all_sent, is_all_sent) = channel();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut request = [0; 4096];
            assert!(socket.read(&mut request).expect("a request") > 0);
            let (_, head) = head(length);
            socket.write_all(&[head, vec![7; length]].concat()).expect("the kernel keeps as much");
            all_sent.send(()).expect("the client waits");
            let (mut socket, body) = match socket.read(&mut request) {
                Ok(1..) => (socket, "same"),
                _ => (listener.accept().expect("another connection").0, "anew"),
            };
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{body}").expect("the client waits");
        });
        let client = Client::builder().access_token("a-ready-token").base_url(base).build().expect("a client");
        let mut response = client.request("GET", "/").send_streaming().expect("a head");
        is_all_sent.recv().expect("the whole answer is on its way");
        response.read_exact(&mut [0; 1]).expect("what came");
        drop(response);
        let next = client.request("GET", "/").send().expect("an answer");
        assert_eq!(next.text().expect("a text"), expected, "of {length} bytes one was read");
        server.join().expect("no panic");
    }
}
