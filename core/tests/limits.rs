//! A process that has no descriptor or no memory for a thread left. Each test runs this program again, as the limits are
//! the whole process's.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use svctoken::{CancelToken, Client, ErrorCode};

const LIMITED: &str = "SVCTOKEN_TEST_LIMITED";

/// Whether this is the limited process; else runs it and waits for it.
fn limited(test: &str) -> bool {
    if env::var_os(LIMITED).is_some() {
        return true;
    }
    let status = Command::new("sh")
        .args(["-c", r#"ulimit -n 100 && exec timeout 60 "$0" --exact "$1" --nocapture"#])
        .arg(env::current_exe().expect("a program"))
        .arg(test)
        .env(LIMITED, "1")
        .status()
        .expect("a shell");
    assert!(status.success(), "{test} failed with few descriptors");
    false
}

/// Opens files until there are no descriptors left but `spare`.
fn exhaust(spare: usize) -> Vec<File> {
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - spare);
    files
}

/// Grants a token, answers requests, and lets those of `/stall` wait.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let origin = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = [0; 4096];
                while let Ok(1..) = stream.read(&mut head) {
                    let body = r#"{"access_token":"t","expires_in":3600}"#;
                    if !head.starts_with(b"GET /stall") {
                        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    }
                }
            });
        }
    });
    origin
}

fn client(origin: &str) -> Client {
    let builder = Client::builder().client_id("id").client_secret("s3cret-s3cret").token_url(format!("{origin}/token"));
    builder.base_url(origin).max_attempts(1).build().expect("valid options")
}

#[test]
fn p13_no_descriptor_left_is_called_that_and_mended_when_there_are_some() {
    if !limited("p13_no_descriptor_left_is_called_that_and_mended_when_there_are_some") {
        return;
    }
    let client = client(&server());
    let files = exhaust(0);
    let error = client.get_token().expect_err("no descriptor");
    drop(files);
    assert_eq!(error.code(), ErrorCode::Internal, "{error}");
    assert!(error.next_step().contains("descriptors"), "{error}");
    client.get_token().expect("a token as soon as there are descriptors");
}

#[test]
fn authorities_that_could_not_be_read_are_not_taken_for_none() {
    if !limited("authorities_that_could_not_be_read_are_not_taken_for_none") {
        return;
    }
    // Nobody accepts; the kernel connects all the same.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    let client = Client::builder().access_token("ready").base_url(url).timeout(Duration::from_millis(500));
    let client = client.build().expect("valid options");
    // The one for the socket.
    let files = exhaust(1);
    let error = client.request("GET", "/").send().map(|_| ()).expect_err("no descriptor for the authorities' file");
    drop(files);
    assert_eq!(error.code(), ErrorCode::Internal, "{error}");
    let error = client.request("GET", "/").send().map(|_| ()).expect_err("nobody answers");
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
}

#[test]
fn p08_a_cancel_without_a_descriptor_ends_the_wait() {
    if !limited("p08_a_cancel_without_a_descriptor_ends_the_wait") {
        return;
    }
    let client = client(&server());
    assert_eq!(client.request("GET", "/").send().expect("a connection for the pool").status(), 200);
    let _files = exhaust(0);
    let cancel = CancelToken::new();
    let took = thread::scope(|scope| {
        let waiting = scope.spawn(|| client.request("GET", "/stall").cancel(&cancel).send().map(|_| ()));
        thread::sleep(Duration::from_millis(100));
        let began = Instant::now();
        cancel.cancel();
        assert_eq!(waiting.join().expect("no panic").expect_err("cancelled").code(), ErrorCode::Cancelled);
        began.elapsed()
    });
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn p08_nothing_is_left_open_by_failing_calls_and_dropped_clients() {
    if !limited("p08_nothing_is_left_open_by_failing_calls_and_dropped_clients") {
        return;
    }
    let origin = server();
    let open = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let before = open();
    for _ in 0..200 {
        let client = client(&origin);
        client.get_token().expect("a token");
        let stalled = client.request("GET", "/stall").timeout(Duration::from_millis(5)).cancel(&CancelToken::new());
        stalled.send().map(|_| ()).expect_err("a stall");
        assert_eq!(client.request("GET", "/").send().expect("an answer").status(), 200);
    }
    // The server's side ends when it sees ours do.
    let deadline = Instant::now() + Duration::from_secs(10);
    while open() > before {
        assert!(Instant::now() < deadline, "{} descriptors instead of {before}", open());
        thread::yield_now();
    }
}

/// Bounds this process's address space at what it has, or ends the bound.
fn bound_memory(bound: bool) {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .expect("Linux")
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("a number of pages");
    let limit = if bound { pages * 4096 + 1024 * 1024 } else { RLIM_INFINITY };
    setrlimit(Resource::RLIMIT_AS, limit, RLIM_INFINITY).expect("a limit below the hard one");
}

#[test]
fn p02_a_token_request_that_could_not_start_uses_up_no_budget() {
    if !limited("p02_a_token_request_that_could_not_start_uses_up_no_budget") {
        return;
    }
    let origin = server();
    let builder = Client::builder().client_id("id").client_secret("s3cret-s3cret").token_url(format!("{origin}/token"));
    let client = builder.mint_budget(1).timeout(Duration::from_secs(5)).build().expect("valid options");
    bound_memory(true);
    let error = client.get_token().map(|_| ());
    bound_memory(false);
    let error = error.expect_err("no thread");
    assert_eq!(error.code(), ErrorCode::Internal, "{error}");
    client.get_token().expect("a token as soon as there is memory");
}
