//! Streams over connections of our own making: what their readers see of time, and of errors.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
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

/// A client whose server sends `first`, tells that it has, and sends `rest` when it is told to, or after 10 ms if it need
/// not be; then it ends the connection.
fn client_of_two(first: Vec<u8>, rest: Vec<u8>, must_be_told: bool) -> (Client, Receiver<()>, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let (has_sent, sent) = channel();
    let (tell, told) = channel();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let _ = socket.read(&mut [0; 4096]).expect("a request");
        socket.write_all(&first).expect("the kernel keeps as much");
        has_sent.send(()).expect("the client waits");
        let patience = Duration::from_millis(if must_be_told { 20_000 } else { 10 });
        let _ = told.recv_timeout(patience);
        let _ = socket.write_all(&rest);
    });
    let client = Client::builder().access_token("a-ready-token").base_url(base).build().expect("a client");
    (client, sent, tell)
}

#[test]
fn a_read_takes_all_that_is_here_and_waits_for_no_more() {
    let (_, head) = head(80_000);
    let (client, sent, tell) = client_of_two([head, vec![7; 50_000]].concat(), vec![8; 30_000], true);
    let mut response = client.request("GET", "/").send_streaming().expect("a head");
    sent.recv().expect("half of it is here");
    let mut buffer = vec![0; 100_000];
    assert_eq!(response.read_some(&mut buffer[..40_000]).expect("bytes"), 40_000);
    assert_eq!(response.read_some(&mut buffer).expect("bytes"), 10_000);
    assert_eq!(&buffer[..10_000], &[7; 10_000]);
    tell.send(()).expect("the server waits");
    let mut rest = Vec::new();
    response.read_to_end(&mut rest).expect("a whole body");
    assert_eq!(rest, [8; 30_000]);
}

#[test]
fn an_end_too_early_is_told_after_the_bytes_that_came() {
    let (_, head) = head(80_000);
    let (client, sent, tell) = client_of_two([head, vec![7; 50_000]].concat(), Vec::new(), true);
    let mut response = client.request("GET", "/").send_streaming().expect("a head");
    sent.recv().expect("half of it is here");
    drop(tell);
    // Until the end is here too, which a read finds that has taken all.
    let (mut buffer, mut count) = (vec![0; 100_000], 0);
    let error = loop {
        match response.read_some(&mut buffer) {
            Ok(0) => panic!("{count} bytes are not the whole body"),
            Ok(more) => count += more,
            Err(error) => break error,
        }
    };
    assert_eq!((count, error.code()), (50_000, ErrorCode::ConnectionLost));
    assert_eq!(response.read_some(&mut buffer).expect_err("as before").code(), ErrorCode::ConnectionLost);
}

#[test]
fn a_body_in_gzip_may_pause_anywhere() {
    let member = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes all")
    };
    // RFC 1952 section 2.2 has them read as one body.
    let gzip = [member(b"one body "), member(b"of two members")].concat();
    let head = |length| format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n");
    for cut in 0..gzip.len() {
        let first = [head(gzip.len()).as_bytes(), &gzip[..cut]].concat();
        let (client, sent, tell) = client_of_two(first, gzip[cut..].to_vec(), false);
        let mut response = client.request("GET", "/").send_streaming().expect("a head");
        sent.recv().expect("a part of it is here");
        let (mut body, mut buffer) = (Vec::new(), [0; 100]);
        loop {
            let count = response.read_some(&mut buffer).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            body.extend_from_slice(&buffer[..count]);
            let _ = tell.send(());
            if count == 0 {
                break;
            }
        }
        assert_eq!(body, b"one body of two members", "cut at {cut}");
    }
}
