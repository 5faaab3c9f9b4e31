//! Servers that break the rules, and callers that give too much: nothing hangs, panics, or is taken for what it is not.

mod raw_server;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use raw_server::server;
use serde_json::json;
use svctoken::{CancelToken, Client, ClientBuilder, ErrorCode};
use svctoken_sandbox::Sandbox;

fn say(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    // The client may be gone, which is what some of these tests are about.
    let _ = stream.write_all(bytes.as_ref());
}

/// A client with a ready token, so that only the API is in play.
fn client(origin: &str) -> Client {
    Client::builder().access_token("ready").base_url(origin).build().expect("valid options")
}

fn with_credential(origin: &str) -> ClientBuilder {
    Client::builder().client_id("id").client_secret("s3cret-s3cret").token_url(format!("{origin}/token"))
}

#[test]
fn p09_a_server_that_never_stops_sending_is_left_at_the_deadline() {
    let (origin, _) = server(|_, stream| {
        say(stream, "HTTP/1.1 200 OK\r\n\r\n");
        let much = vec![b'x'; 1 << 20];
        while stream.write_all(&much).is_ok() {}
    });
    let began = Instant::now();
    let request = client(&origin)
        .request("GET", "/")
        .timeout(Duration::from_millis(300))
        .max_response_bytes(u64::MAX)
        .send()
        .map(|_| ());
    assert_eq!(request.expect_err("endless").code(), ErrorCode::Timeout);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn p09_a_cancel_ends_a_download_that_never_pauses() {
    let (origin, _) = server(|_, stream| {
        say(stream, "HTTP/1.1 200 OK\r\n\r\n");
        let much = vec![b'x'; 1 << 20];
        while stream.write_all(&much).is_ok() {}
    });
    let cancel = CancelToken::new();
    let client = client(&origin);
    let request = client.request("GET", "/").cancel(&cancel).max_response_bytes(u64::MAX);
    let code = thread::scope(|scope| {
        let waiting = scope.spawn(|| request.send().map(|_| ()).expect_err("endless").code());
        thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        waiting.join().expect("no panic")
    });
    assert_eq!(code, ErrorCode::Cancelled);
}

#[test]
fn an_answer_to_head_has_no_body_whatever_its_headers_promise() {
    for encoding in ["Content-Encoding: gzip\r\n", ""] {
        let (origin, connections) = server(move |_, stream| {
            say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n{encoding}\r\n"));
        });
        let client = client(&origin);
        for _ in 0..2 {
            let r = client.request("HEAD", "/").send().expect("an answer");
            assert_eq!((r.status(), r.body().len()), (200, 0));
            assert_eq!(r.header("content-length").as_deref(), Some("99999999999"));
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn an_answer_of_no_content_may_be_said_to_be_gzip() {
    for status in ["204 No Content", "304 Not Modified"] {
        let (origin, _) = server(move |_, stream| {
            say(stream, format!("HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\n\r\n"));
        });
        let r = client(&origin).request("GET", "/").send().expect(status);
        assert!(r.body().is_empty());
    }
    for empty in ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let (origin, _) = server(move |_, stream| {
            say(stream, format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n{empty}"));
        });
        let r = client(&origin).request("GET", "/").send().expect("empty");
        assert!(r.body().is_empty());
    }
}

#[test]
fn a_promised_length_is_not_believed_before_it_comes() {
    let (origin, _) = server(|_, stream| {
        say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\nshort", i64::MAX));
        let _ = stream.shutdown(Shutdown::Write);
    });
    let error = client(&origin).request("GET", "/").max_response_bytes(u64::MAX).send().map(|_| ()).expect_err("cut");
    assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
}

#[test]
fn more_headers_than_a_request_can_have_are_refused() {
    let (origin, _) = server(|_, stream| say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let client = client(&origin);
    let request = (0..40_000).fold(client.request("GET", "/"), |request, i| request.header(format!("x-{i}"), "v"));
    let error = request.send().map(|_| ()).expect_err("too many");
    assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
}

#[test]
fn a_long_url_and_long_headers_are_sent_or_blamed_on_the_caller() {
    let (origin, _) = server(|_, stream| say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let client = client(&origin);
    for length in [8_000, 15_000, 17_000, 40_000, 70_000] {
        for (what, sent) in [
            ("url", client.request("GET", "/").query("q", "x".repeat(length)).send()),
            ("header", client.request("GET", "/").header("X-Long", "x".repeat(length)).send()),
        ] {
            match sent {
                Ok(r) => assert_eq!(r.status(), 200),
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::InvalidArgument, "{what} {length}: {:.300}", error.to_string());
                    assert!(error.to_string().len() < 1000, "{what} {length}: {} bytes", error.to_string().len());
                    assert!(length > 16_000, "{what} {length}");
                }
            }
        }
    }
}

#[test]
fn the_longest_token_there_may_be_can_be_sent() {
    let token = "t".repeat(16 * 1024);
    let answer = format!(r#"{{"access_token":"{token}","expires_in":3600}}"#);
    let (origin, _) = server(move |head, stream| {
        let body = if head.starts_with("POST /token") { answer.as_str() } else { "ok" };
        say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    });
    let client = with_credential(&origin).base_url(&origin).build().expect("valid");
    assert_eq!(client.get_token().expect("a token").as_str().len(), 16 * 1024);
    assert_eq!(client.request("GET", "/").send().expect("an answer").status(), 200);
}

#[test]
fn a_long_secret_can_be_sent() {
    let (origin, _) = server(move |_, stream| {
        let body = r#"{"access_token":"t","expires_in":3600}"#;
        say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    });
    for method in ["client_secret_basic", "client_secret_post"] {
        let client =
            with_credential(&origin).auth_method(method).client_secret("s".repeat(10_000)).build().expect("valid");
        client.get_token().expect("a token");
    }
}

#[test]
fn get_and_delete_may_have_a_body() {
    let (origin, _) = server(|head, stream| {
        let status = if head.contains("content-length: 4\r\n") { "200 OK" } else { "400 No Body" };
        say(stream, format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
    });
    let client = client(&origin);
    for method in ["GET", "DELETE", "POST", "PUT", "PATCH", "OPTIONS", "PROPFIND"] {
        let r = client.request(method, "/").body(&b"body"[..]).send();
        assert_eq!(r.map(|r| r.status()).map_err(|error| error.to_string()), Ok(200), "{method}");
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let (origin, _) = server(|_, stream| {
        say(stream, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let client = client(&origin);
    for _ in 0..2 {
        let r = client.request("GET", "/").send().expect("an answer");
        assert_eq!((r.status(), r.body()), (200, &b"ok"[..]));
    }
}

#[test]
fn two_lengths_close_the_connection_even_if_the_first_is_zero() {
    for lengths in [
        "Content-Length: 0\r\nContent-Length: 9",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Encoding: gzip\r\nContent-Length: 0\r\nContent-Length: 9",
        "Content-Encoding: gzip\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    ] {
        let (origin, connections) = server(move |head, stream| {
            if head.starts_with("GET /two") {
                say(stream, format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n"));
            } else {
                say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let client = client(&origin);
        let error =
            client.request("GET", "/two").timeout(Duration::from_secs(2)).send().map(|_| ()).expect_err(lengths);
        assert_eq!(error.code(), ErrorCode::BadAnswer, "{error}");
        assert_eq!(client.request("GET", "/next").send().expect("an answer").status(), 200);
        assert_eq!(connections.load(Ordering::SeqCst), 2, "{lengths}");
    }
}

#[test]
fn p09_a_stall_within_gzip_is_a_timeout_and_a_cut_a_lost_connection() {
    let compressed: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for (cut, code) in [(false, ErrorCode::Timeout), (true, ErrorCode::ConnectionLost)] {
        let (origin, _) = server(move |_, stream| {
            say(stream, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n");
            say(stream, compressed);
            if cut {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        let error = client(&origin)
            .request("GET", "/")
            .timeout(Duration::from_millis(300))
            .send()
            .map(|_| ())
            .expect_err("cut");
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn bytes_after_an_answer_are_never_the_next_answer() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let (origin, connections) = server(|head, stream| {
        let path = head.split(' ').nth(1).expect("a path");
        let [framing, over] = path.split('/').skip(1).collect::<Vec<_>>().try_into().expect("two segments");
        let answer = match framing {
            "length" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()),
            "chunks" => {
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{path}\r\n0\r\n\r\n", path.len())
            }
            _ => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        };
        // In one write: what comes after the next question was asked is beyond any client of HTTP/1.1.
        say(stream, answer + &EVIL[..over.parse().expect("a number")]);
    });
    let client = client(&origin);
    let mut count = 0;
    for framing in ["length", "chunks", "none"] {
        for over in 1..=EVIL.len() {
            let path = format!("/{framing}/{over}");
            let r = client.request("GET", &*path).send().expect("an answer");
            let expected = if framing == "none" { (204, "") } else { (200, &*path) };
            assert_eq!((r.status(), &*r.text().expect("text")), expected);
            count += 1;
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), count);
}

#[test]
fn limits_of_nothing_are_refused() {
    for (builder, named) in [
        (with_credential("https://a.example").mint_budget(0), "mint_budget"),
        (with_credential("https://a.example").max_response_bytes(0), "max_response_bytes"),
    ] {
        let error = builder.build().map(|_| ()).expect_err(named);
        assert!(error.code() == ErrorCode::InvalidConfiguration && error.what().contains(named), "{error}");
    }
}

#[test]
fn an_absurd_token_type_is_not_repeated_at_length() {
    let (origin, _) = server(|_, stream| {
        let body = format!(r#"{{"access_token":"t","token_type":"{}"}}"#, "y".repeat(100_000));
        say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    });
    let client = with_credential(&origin).build().expect("valid");
    let error = client.get_token().map(|_| ()).expect_err("no Bearer");
    assert!(error.to_string().len() < 1000, "{} bytes", error.to_string().len());
}

#[test]
fn p08_many_identities_are_made_in_time() {
    let began = Instant::now();
    let clients: Vec<Client> = (0..5000)
        .map(|i| with_credential("https://a.example").client_id(format!("id-{i}")).build().expect("valid"))
        .collect();
    println!("{} clients: {:?}", clients.len(), began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Hands on what goes between a client and the TLS server at that port; with `cut`, all but the server's last word, its
/// close_notify: an alert in a record of TLS 1.3 has 19 bytes.
fn tls_proxy(port: u16, cut: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own_port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut server = TcpStream::connect(("127.0.0.1", port)).expect("the sandbox listens");
            let (mut from, mut to) =
                (client.try_clone().expect("a descriptor"), server.try_clone().expect("a descriptor"));
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let mut head = [0; 5];
            while server.read_exact(&mut head).is_ok() {
                let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
                server.read_exact(&mut record).expect("a whole record");
                if cut && record.len() == 19 {
                    break;
                }
                say(&mut client, [&head[..], &record].concat());
            }
            let _ = client.shutdown(Shutdown::Both);
        }
    });
    own_port
}

#[test]
fn an_answer_that_only_the_connections_end_ends_may_not_be_cut_over_tls() {
    let sandbox = Sandbox::start();
    let rules = json!([{"path": "/echo", "do": {"body": "part of a longer text", "http_1_0": true}}]);
    let space = sandbox.create_space(&json!({ "rules": rules })).expect("known settings");
    let ca_file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile_ca.pem");
    std::fs::write(&ca_file, sandbox.ca_pem()).expect("a folder of our own");
    let (host, port) = space.https().rsplit_once(':').expect("a port");
    let port = port.trim_end_matches('/').parse().expect("a number");
    let ask = |cut: bool| {
        let base_url = format!("{host}:{}", tls_proxy(port, cut));
        let client = Client::builder().access_token("ready").base_url(base_url).ca_file(ca_file.to_string_lossy());
        client.build().expect("valid options").request("GET", "/echo").send().map(|r| r.body().len())
    };
    assert_eq!(ask(false).map_err(|error| error.to_string()), Ok(21));
    assert_eq!(ask(true).expect_err("cut").code(), ErrorCode::ConnectionLost);
}

#[test]
fn a_gzip_body_is_decoded_no_further_than_the_limit() {
    let (origin, _) = server(|_, stream| {
        say(stream, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
        let mut endless = flate2::write::GzEncoder::new(stream, flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        while endless.write_all(&zeros).is_ok() {}
    });
    let request =
        client(&origin).request("GET", "/").timeout(Duration::from_secs(5)).max_response_bytes(1 << 20).send();
    assert_eq!(request.map(|_| ()).expect_err("endless").code(), ErrorCode::AnswerTooLarge);
}

#[test]
fn p09_a_call_made_by_the_hosts_check_leaves_the_outer_call_its_own_deadline() {
    let inner_was_asked = OnceLock::new();
    let (origin, _) = server(move |head, stream| {
        if head.starts_with("GET /inner") {
            inner_was_asked.get_or_init(|| ());
        }
        inner_was_asked.wait();
        // The outer call waits for one byte more.
        let length = if head.starts_with("GET /inner") { 2 } else { 3 };
        say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok"));
    });
    let client = client(&origin);
    let (inner, asked) = (client.clone(), AtomicUsize::new(0));
    let check = move || {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            let r = inner.request("GET", "/inner").timeout(Duration::from_secs(10)).send();
            assert_eq!(r.expect("an answer").status(), 200);
        }
        false
    };
    let began = Instant::now();
    let outer = client.request("GET", "/outer").interrupt(Arc::new(check)).timeout(Duration::from_millis(700)).send();
    assert_eq!(outer.map(|_| ()).expect_err("a stall").code(), ErrorCode::Timeout);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn p07_an_origin_is_scheme_host_and_port() {
    let builder = Client::builder().access_token("ready").base_url("https://127.0.0.1:1");
    let client = builder.allowed_origins(["https://localhost:2"]).build().expect("valid options");
    let code = |url: &str| client.request("GET", url).send().map(|_| ()).expect_err("no such server").code();
    for other in [
        "http://127.0.0.1:1/",
        "https://127.0.0.1:2/",
        "https://127.0.0.1/",
        "https://127.0.0.11:1/",
        "https://localhost:1/",
        "https://localhost/",
        "http://localhost:2/",
        "https://x.localhost:2/",
    ] {
        assert_eq!(code(other), ErrorCode::OriginRefused, "{other}");
    }
    for own in ["https://127.0.0.1:1/", "https://localhost:2/x", "HTTPS://LocalHost:2/", "/x"] {
        assert_eq!(code(own), ErrorCode::ConnectFailed, "{own}");
    }
}
