//! Answers that are cut at every byte, by an end or a reset: what may be repeated succeeds, what may not is sent once.

#[path = "raw_server/request.rs"]
mod request;

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use request::next_head;
use rustix::net::sockopt::set_socket_linger;
use svctoken::{Client, ErrorCode, Response, Result};

const BODY: &str = "hello world";
/// How an answer says where it ends.
const FRAMINGS: [&str; 2] = ["length", "chunks"];
const ENDS: [&str; 2] = ["end", "reset"];
/// As many positions are tried at once.
const AT_ONCE: usize = 24;

fn answer(framing: &str) -> Vec<u8> {
    let framed = match framing {
        "length" => format!("Content-Length: {}\r\n\r\n{BODY}", BODY.len()),
        _ => format!("Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n6\r\n{}\r\n0\r\n\r\n", &BODY[..5], &BODY[5..]),
    };
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framed}").into_bytes()
}

/// The first request for `/FRAMING/END/POSITION/…` gets so much of its answer and then the end; every other the whole.
struct Server {
    origin: String,
    /// Requests read to their end, by path.
    seen: Arc<Mutex<HashMap<String, u32>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::<Mutex<HashMap<String, u32>>>::default();
        let counted = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                thread::spawn(move || serve(stream, &counted));
            }
        });
        Server { origin, seen }
    }

    fn seen(&self, path: &str) -> u32 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied().unwrap_or(0)
    }
}

fn serve(stream: TcpStream, seen: &Mutex<HashMap<String, u32>>) {
    // One descriptor only: a reset is what the last one's close becomes.
    let mut reader = BufReader::new(&stream);
    while let Some(head) = next_head(&mut reader) {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let times = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let times = seen.entry(path.clone()).or_default();
            *times += 1;
            *times
        };
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let whole = answer(parts[0]);
        let cut = parts.get(2).and_then(|position| position.parse().ok()).unwrap_or(whole.len());
        if times > 1 || cut == whole.len() {
            // The client may be gone.
            let _ = (&stream).write_all(&whole);
            continue;
        }
        let _ = (&stream).write_all(&whole[..cut]);
        if parts[1] == "reset" {
            set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
        }
        return;
    }
}

/// Tries every position of every kind of answer; returns how many there were.
fn at_every_position(test: impl Fn(&Client, &Server, &str, bool) + Sync) -> usize {
    let server = Server::start();
    let cases: Vec<(&str, &str, usize)> = FRAMINGS
        .into_iter()
        .flat_map(|framing| ENDS.into_iter().map(move |end| (framing, end)))
        .flat_map(|(framing, end)| (0..answer(framing).len()).map(move |position| (framing, end, position)))
        .collect();
    let left = Mutex::new(cases.clone());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                // Every thread has a pool of its own, so that it knows which connection is used again.
                let client = Client::builder().access_token("ready").base_url(&server.origin).timeout(TIME);
                let client = client.build().expect("valid options");
                loop {
                    let Some((framing, end, position)) = left.lock().expect("no panic holds it").pop() else { return };
                    // The empty line behind the last chunk tells nothing that is not known before it.
                    let last_chunk = framing == "chunks" && position + 2 == answer(framing).len();
                    let is_whole = last_chunk && end == "end";
                    for connection in ["new", "reused"] {
                        if connection == "reused" {
                            let whole = client.request("GET", format!("/{framing}")).send().expect("a whole answer");
                            assert_eq!(whole.body(), BODY.as_bytes());
                        }
                        test(&client, &server, &format!("/{framing}/{end}/{position}/{connection}"), is_whole);
                    }
                }
            });
        }
    });
    cases.len()
}

const TIME: Duration = Duration::from_secs(20);

fn check_whole(response: &Result<Response>, attempts: u32, path: &str) {
    let response = response.as_ref().unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!((response.body(), response.attempts()), (BODY.as_bytes(), attempts), "{path}");
}

#[test]
fn p09_a_get_survives_a_cut_at_every_byte() {
    let began = Instant::now();
    let count = at_every_position(|client, server, path, is_whole| {
        let attempts = if is_whole { 1 } else { 2 };
        check_whole(&client.request("GET", path).send(), attempts, path);
        assert_eq!(server.seen(path), attempts, "{path}");
    });
    println!("{count} positions, twice each, in {:?}", began.elapsed());
}

#[test]
fn p09_a_post_is_never_sent_twice_wherever_its_answer_is_cut() {
    let began = Instant::now();
    let count = at_every_position(|client, server, path, is_whole| {
        let sent = client.request("POST", path).body(b"once only".as_slice()).send();
        match is_whole {
            true => check_whole(&sent, 1, path),
            false => {
                let error = sent.map(|_| ()).expect_err(path);
                assert_eq!(error.code(), ErrorCode::ConnectionLost, "{path}: {error}");
            }
        }
        assert_eq!(server.seen(path), 1, "{path}");
    });
    println!("{count} positions, twice each, in {:?}", began.elapsed());
}

#[test]
fn p09_a_post_that_may_be_repeated_is() {
    at_every_position(|client, server, path, is_whole| {
        let attempts = if is_whole { 1 } else { 2 };
        check_whole(&client.request("POST", path).body(b"again".as_slice()).idempotent(true).send(), attempts, path);
        assert_eq!(server.seen(path), attempts, "{path}");
    });
}
