//! Bodies that are read while they are sent, against servers that want them, do not, or say nothing at all.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use svctoken::{CancelToken, Client, ErrorCode, Response, Result};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
/// More than the kernel keeps for a server that does not read.
const MANY: u64 = 256 * 1024 * 1024;

/// One connection as its server sees it.
struct Served {
    reader: BufReader<TcpStream>,
    /// It stays open, though nobody reads it, when its part is over.
    stays: bool,
}

impl Served {
    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.reader.read_line(&mut head).expect("a head in time") > 0, "the head ends after {head:?}");
        }
        head
    }

    fn say(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).expect("the client is there");
    }

    fn chunked_body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).expect("a chunk's size");
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("no size: {line:?}"));
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).expect("a chunk");
            if size == 0 {
                return body;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("a body");
        body
    }

    /// What comes until the client ends the connection.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // Whether by an end or a reset.
        let _ = self.reader.read_to_end(&mut rest);
        rest
    }
}

/// A client, and a server that plays these parts, one connection each, in turn.
fn client_and<const N: usize>(parts: [fn(&mut Served); N]) -> (Client, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let server = thread::spawn(move || {
        let mut stay = Vec::new();
        for part in parts {
            let (socket, _) = listener.accept().expect("a client");
            socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
            let mut served = Served { reader: BufReader::new(socket), stays: false };
            part(&mut served);
            stay.extend(served.stays.then_some(served));
        }
    });
    let client = Client::builder().access_token("a-ready-token").base_url(base).build().expect("a client");
    (client, server)
}

fn check(response: Result<Response>, status: u16, attempts: u32) {
    let response = response.expect("an answer");
    assert_eq!((response.status(), response.attempts()), (status, attempts), "{response:?}");
}

/// Zeros that never end.
fn zeros() -> impl Read + Send {
    io::repeat(0)
}

#[test]
fn a_body_whose_length_is_known_is_sent_with_it_and_one_that_is_not_in_chunks() {
    let (client, server) = client_and([|served| {
        let head = served.head().to_ascii_lowercase();
        assert!(head.contains("\r\ncontent-length: 7\r\n") && head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        served.say(CONTINUE);
        assert_eq!(served.body(7), b"1234567");
        served.say(OK);
        let head = served.head().to_ascii_lowercase();
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
        served.say(CONTINUE);
        let body = served.chunked_body();
        assert_eq!((body.len(), body.iter().all(|byte| *byte == 0)), (100_000, true));
        served.say(OK);
        // A body of bytes that is small asks for nothing.
        let head = served.head().to_ascii_lowercase();
        assert!(!head.contains("expect"), "{head}");
        assert_eq!(served.body(3), b"abc");
        served.say(OK);
        let head = served.head().to_ascii_lowercase();
        assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
        served.say(CONTINUE);
        assert_eq!(served.body(1024 * 1024 + 1).len(), 1024 * 1024 + 1);
        served.say(OK);
    }]);
    check(client.request("PUT", "/").body_from(&b"1234567"[..], Some(7)).send(), 200, 1);
    check(client.request("PUT", "/").body_from(zeros().take(100_000), None).send(), 200, 1);
    check(client.request("PUT", "/").body(&b"abc"[..]).send(), 200, 1);
    check(client.request("PUT", "/").body(vec![0; 1024 * 1024 + 1]).send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn the_body_waits_for_the_server_whatever_else_it_says_before() {
    let (client, server) = client_and([|served| {
        served.head();
        served.say("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n");
        // The body would be there long before.
        served.reader.get_mut().set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
        let error = served.reader.fill_buf().map(<[u8]>::len).expect_err("nothing yet");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        served.reader.get_mut().set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        served.say("HTTP/1.1 100 ");
        served.say("Continue\r\nServer: x\r\nDate: today\r\n\r\n");
        assert_eq!(served.chunked_body(), b"1234567");
        served.say(OK);
        // The same connection serves the next.
        served.head();
        served.say(OK);
    }]);
    check(client.request("POST", "/").body_from(&b"1234567"[..], None).send(), 200, 1);
    check(client.request("GET", "/").send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn a_server_that_says_nothing_gets_the_body_after_a_second() {
    let (client, server) = client_and([|served| {
        served.head();
        let began = Instant::now();
        assert_eq!(served.chunked_body(), b"1234567");
        assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
        // Too late, and harmless, whatever a proxy has added.
        served.say("HTTP/1.1 100 Continue\r\nVia: 1.1 proxy\r\n\r\n");
        served.say(OK);
        served.head();
        // Unasked for, in pieces, and harmless too.
        for piece in
            ["HTTP/1.1 100 Continue\r\n\r", "\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1", ".1 100 \r\nA: b\r\n\r\n"]
        {
            served.say(piece);
            thread::sleep(Duration::from_millis(20));
        }
        served.say(OK);
    }]);
    check(client.request("POST", "/").body_from(&b"1234567"[..], None).send(), 200, 1);
    check(client.request("GET", "/").send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn p09_interim_answers_do_not_end_the_body_they_come_into() {
    const HEAD: usize = 100_000;
    let (client, server) = client_and([|served| {
        served.head();
        // Nothing in the second it is given, and then both ends speak at once.
        assert_eq!(served.body(HEAD).len(), HEAD);
        served.say("HTTP/1.1 100 Continue\r\nVia: 1.1 proxy\r\n\r\nHTTP/1.1 10");
        served.say("3 Early Hints\r\nLink: </style.css>\r\n\r\n");
        assert_eq!(served.body(HEAD).len(), HEAD);
        served.say("HTTP/1.1 102 Processing\r\n\r\n");
        assert_eq!(served.body(MANY as usize / 8 - 2 * HEAD).len(), MANY as usize / 8 - 2 * HEAD);
        served.say(OK);
        // Bytes that are small enough to be sent unasked are not; these are many, and unasked for.
        served.head();
        served.say("HTTP/1.1 102 Processing\r\n\r\n");
        assert_eq!(served.body(64 * 1024).len(), 64 * 1024);
        served.say(OK);
    }]);
    check(client.request("PUT", "/").body_from(zeros().take(MANY / 8), Some(MANY / 8)).send(), 200, 1);
    check(client.request("PUT", "/").body(vec![0; 64 * 1024]).send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn a_success_that_is_said_early_ends_no_body() {
    const BEGIN: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const END: &str = "2\r\nok\r\n0\r\n\r\n";
    let (client, server) = client_and([|served| {
        served.head();
        served.say(CONTINUE);
        served.body(1000);
        served.say(BEGIN);
        assert_eq!(served.body(MANY as usize / 16 - 1000).len(), MANY as usize / 16 - 1000);
        served.say(END);
        // Of bytes that nobody is asked for, it may come before the first.
        served.head();
        served.say(BEGIN);
        assert_eq!(served.body(1_000_000).len(), 1_000_000);
        served.say(END);
        served.head();
        served.say(OK);
    }]);
    let upload = client.request("POST", "/").body_from(zeros().take(MANY / 16), Some(MANY / 16));
    for response in [upload.send(), client.request("POST", "/").body(vec![0; 1_000_000]).send()] {
        assert_eq!(response.as_ref().expect("an answer").text().expect("ASCII"), "ok");
        check(response, 200, 1);
    }
    check(client.request("GET", "/").send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn p08_half_a_first_line_hides_no_cancel() {
    let (client, server) = client_and([|served| {
        served.head();
        served.say("HTTP/1.1 413 Content Too Large\r\n");
        served.rest();
    }]);
    let cancel = CancelToken::new();
    let canceller = thread::spawn({
        let cancel = cancel.clone();
        move || {
            thread::sleep(Duration::from_millis(200));
            cancel.cancel();
            Instant::now()
        }
    });
    let error =
        client.request("POST", "/").body_from(zeros(), Some(MANY)).cancel(&cancel).send().expect_err("no answer");
    assert_eq!(error.code(), ErrorCode::Cancelled, "{error}");
    // A busy wait would go on for what is left of the second.
    let since = canceller.join().expect("it cancels").elapsed();
    assert!(since < Duration::from_millis(500), "{since:?}");
    server.join().expect("the server's part");
}

#[test]
fn a_redirect_takes_a_body_along_only_from_its_beginning() {
    fn reads_and_redirects(served: &mut Served) {
        served.head();
        served.say(CONTINUE);
        assert_eq!(served.body(7), b"1234567");
        served.say("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
    }
    let (client, server) = client_and([reads_and_redirects]);
    check(client.request("GET", "/").body_from(&b"1234567"[..], Some(7)).send(), 302, 1);
    server.join().expect("the server's part");
    let path = std::env::temp_dir().join(format!("svctoken-redirected-{}", std::process::id()));
    std::fs::write(&path, "1234567").expect("a folder for temporary files");
    let (client, server) = client_and([|served| {
        reads_and_redirects(served);
        served.head();
        served.say(CONTINUE);
        assert_eq!(served.body(7), b"1234567");
        served.say(OK);
    }]);
    check(client.request("GET", "/").body_file(&path).send(), 200, 2);
    std::fs::remove_file(&path).expect("it was written");
    server.join().expect("the server's part");
}

#[test]
fn p09_an_interim_answer_without_an_end_breaks_the_request_off() {
    fn never_ends(served: &mut Served) {
        served.head();
        served.say(CONTINUE);
        served.reader.read_exact(&mut [0; 1000]).expect("the beginning of a body");
        served.say("HTTP/1.1 102 Processing\r\nA: ");
        served.say(&"b".repeat(20_000));
        served.rest();
    }
    let (client, server) = client_and([never_ends, never_ends]);
    for length in [Some(MANY), None] {
        let error = client.request("POST", "/").body_from(zeros(), length).send().expect_err("no answer");
        assert_eq!(error.code(), ErrorCode::BadAnswer, "{error}");
    }
    server.join().expect("the server's part");
}

#[test]
fn p09_what_comes_right_behind_the_permission_is_seen_before_the_body() {
    const PERMISSIONS: &str =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\nA: b\r\n\r\n";
    let (client, server) = client_and([
        |served| {
            served.head();
            served.say(PERMISSIONS);
            assert_eq!(served.body(7), b"1234567");
            served.say(OK);
            served.head();
            served.say(&[PERMISSIONS, TOO_LARGE].concat());
            assert_eq!(served.rest(), b"", "of a body that is not wanted nothing is sent");
        },
        |served| {
            served.head();
            served.say(OK);
        },
    ]);
    check(client.request("PUT", "/").body_from(&b"1234567"[..], Some(7)).send(), 200, 1);
    check(client.request("PUT", "/").body_from(zeros(), Some(MANY)).send(), 413, 1);
    check(client.request("GET", "/").send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn a_body_that_begins_like_an_interim_answer_is_a_body() {
    const BODY: &str = "HTTP/1.1 102 Processing\r\n\r\nis what it says";
    let (client, server) = client_and([|served| {
        for _ in 0..2 {
            served.head();
            served.say(&format!("HTTP/1.1 413 Content Too Large\r\nContent-Length: {}\r\n\r\n", BODY.len()));
            thread::sleep(Duration::from_millis(20));
            served.say(BODY);
        }
    }]);
    let responses =
        [client.request("GET", "/").send(), client.request("PUT", "/").body_from(&b"1234567"[..], None).send()];
    for response in responses {
        assert_eq!(response.expect("an answer").text().expect("ASCII"), BODY);
    }
    server.join().expect("the server's part");
}

#[test]
fn a_server_that_was_silent_is_not_asked_again_by_the_next_try() {
    let (client, server) = client_and([
        |served| {
            let head = served.head().to_ascii_lowercase();
            assert!(head.contains("expect"), "{head}");
            assert_eq!(served.body(1024 * 1024 + 1).len(), 1024 * 1024 + 1);
            // And ends, so that the second is known of a call without an answer too.
        },
        |served| {
            let head = served.head().to_ascii_lowercase();
            assert!(!head.contains("expect"), "{head}");
            assert_eq!(served.body(1024 * 1024 + 1).len(), 1024 * 1024 + 1);
            served.say(OK);
        },
    ]);
    check(client.request("PUT", "/").body(vec![0; 1024 * 1024 + 1]).send(), 200, 2);
    server.join().expect("the server's part");
}

#[test]
fn p09_a_stream_that_nobody_was_asked_for_trusts_no_idle_connection() {
    let (client, server) = client_and([
        |served| {
            served.head();
            assert_eq!(served.body(7), b"1234567");
            served.say(OK);
            served.stays = true;
        },
        |served| {
            let head = served.head().to_ascii_lowercase();
            assert!(!head.contains("expect"), "{head}");
            assert_eq!(served.body(7), b"1234567");
            served.say(OK);
            served.head();
            served.say(OK);
        },
    ]);
    check(client.request("PUT", "/").body_from(&b"1234567"[..], Some(7)).send(), 200, 1);
    check(client.request("PUT", "/").body_from(&b"1234567"[..], Some(7)).send(), 200, 1);
    check(client.request("GET", "/").send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn a_server_that_knows_no_expectations_gets_the_request_without() {
    const FAILED: &str = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    let (client, server) = client_and([
        |served| {
            served.head();
            served.say(FAILED);
            assert_eq!(served.rest(), b"");
        },
        |served| {
            let head = served.head().to_ascii_lowercase();
            assert!(!head.contains("expect"), "{head}");
            assert_eq!(served.body(7), b"1234567");
            // What is no answer to an expectation is the answer.
            served.say(FAILED);
        },
    ]);
    check(client.request("POST", "/").body_from(&b"1234567"[..], Some(7)).max_attempts(1).send(), 417, 2);
    server.join().expect("the server's part");
}

#[test]
fn p09_an_answer_before_the_body_ends_it_and_its_connection_serves_no_other() {
    let (client, server) = client_and([
        |served| {
            served.head();
            served.say(TOO_LARGE);
            assert_eq!(served.rest(), b"", "of a body that is not wanted nothing is sent");
        },
        |served| {
            served.head();
            served.say(CONTINUE);
            served.body(100_000);
            served.say(TOO_LARGE);
            // It reads no more.
            served.stays = true;
        },
        |served| {
            served.head();
            served.say(CONTINUE);
            served.body(100_000);
            served.say(TOO_LARGE);
            // With bytes unread, its end is a reset.
        },
        |served| {
            served.head();
            served.say(OK);
        },
    ]);
    for _ in 0..3 {
        check(client.request("POST", "/").body_from(zeros(), Some(MANY)).send(), 413, 1);
    }
    check(client.request("GET", "/").send(), 200, 1);
    server.join().expect("the server's part");
}

#[test]
fn p09_what_was_not_begun_or_can_go_back_is_tried_again_and_nothing_else() {
    const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    fn refuses(served: &mut Served) {
        served.head();
        served.say(BUSY);
    }
    fn refuses_late(served: &mut Served) {
        served.head();
        served.say(CONTINUE);
        served.body(7);
        served.say(BUSY);
    }
    fn takes(served: &mut Served) {
        served.head();
        served.say(CONTINUE);
        assert_eq!(served.body(7), b"1234567");
        served.say(OK);
    }
    let (client, server) = client_and([refuses, takes]);
    check(client.request("POST", "/").body_from(&b"1234567"[..], Some(7)).send(), 200, 2);
    server.join().expect("the server's part");

    let (client, server) = client_and([refuses_late]);
    check(client.request("POST", "/").body_from(&b"1234567"[..], Some(7)).send(), 429, 1);
    server.join().expect("the server's part");

    let path = std::env::temp_dir().join(format!("svctoken-upload-{}", std::process::id()));
    std::fs::write(&path, "1234567").expect("a folder for temporary files");
    let (client, server) = client_and([refuses_late, takes]);
    check(client.request("POST", "/").body_file(&path).send(), 200, 2);
    std::fs::remove_file(&path).expect("it was there");
    server.join().expect("the server's part");

    let error = client.request("POST", "/").body_file(&path).send().expect_err("the file is gone");
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.what().contains(&path.display().to_string()), "{error}");
}

#[test]
fn a_body_that_fails_or_has_another_length_breaks_the_request_off() {
    fn sees_a_part(served: &mut Served) {
        served.head();
        served.say(CONTINUE);
        let rest = served.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "the body looks whole");
        assert!(rest.len() < 20, "{rest:?}");
    }
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("no more paper"))
        }
    }
    let (client, server) = client_and([sees_a_part; 3]);
    let request = || client.request("POST", "/").idempotent(true);
    for (error, expected) in [
        (request().body_from((&b"1234567"[..]).chain(Failing), None).send(), "could not be read: no more paper"),
        (request().body_from(&b"1234567"[..], Some(9)).send(), "ended after 7 of its 9 bytes"),
        (request().body_from(&b"1234567"[..], Some(5)).send(), "has more than its 5 bytes"),
    ] {
        let error = error.expect_err("no request");
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.what().ends_with(expected), "{error}");
    }
    server.join().expect("the server's part");
}

/// A source that says when it has given many bytes.
struct Telling {
    count: u64,
    told: Option<Sender<()>>,
}

fn telling() -> (Telling, Receiver<()>) {
    let (told, hears) = channel();
    (Telling { count: 0, told: Some(told) }, hears)
}

impl Read for Telling {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.count += buffer.len() as u64;
        if self.count > 1024 * 1024 {
            drop(self.told.take());
        }
        Ok(buffer.len())
    }
}

#[test]
fn p08_a_cancel_and_the_timeout_end_a_body_that_nobody_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    // Wants both bodies, and reads none.
    let server = thread::spawn(move || {
        [(); 2].map(|()| {
            let (socket, _) = listener.accept().expect("a client");
            let mut served = Served { reader: BufReader::new(socket), stays: true };
            served.head();
            served.say(CONTINUE);
            served
        })
    });
    let client = Client::builder().access_token("a-ready-token").base_url(base).build().expect("a client");
    let cancel = CancelToken::new();
    let canceller = cancel.clone();
    let (source, hears) = telling();
    let other = thread::spawn(move || {
        // The end of the channel.
        let _ = hears.recv_timeout(Duration::from_secs(20));
        canceller.cancel();
        Instant::now()
    });
    let error = client.request("POST", "/").body_from(source, None).cancel(&cancel).send().expect_err("cancelled");
    assert_eq!(error.code(), ErrorCode::Cancelled);
    let took = other.join().expect("no panic").elapsed();
    assert!(took < Duration::from_millis(100), "{took:?}");

    let (source, _hears) = telling();
    let began = Instant::now();
    let request = client.request("POST", "/").body_from(source, None).timeout(Duration::from_millis(400));
    let error = request.send().expect_err("too late");
    assert_eq!(error.code(), ErrorCode::Timeout);
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    drop(server.join().expect("the server's part"));
}
