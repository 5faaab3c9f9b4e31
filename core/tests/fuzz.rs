//! Answers spoilt at random: whatever a server sends, a call ends in its time and with an answer or an error, and the
//! next one is not answered by what was left. `SVCTOKEN_SEED` repeats a run.

mod raw_server;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use raw_server::server;
use svctoken::{Client, ErrorCode};

const CASES: u32 = 1500;

const TEMPLATES: [&[u8]; 10] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 27\r\nRetry-After: 1\r\n\r\n{\"error\":\"invalid_token\"}  ",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 429 Slow\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: x\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0",
    b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":3600.0}  ",
];

const PIECES: [&[u8]; 12] = [
    b"\r\n",
    b"\0",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"\xff\xfe",
    b"0\r\n\r\n",
    b"Retry-After: 18446744073709551615\r\n",
    b": \r\n",
    b" ",
];

/// Marsaglia's xorshift: enough to spoil bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn answer(&mut self) -> Vec<u8> {
        let mut bytes = TEMPLATES[self.below(TEMPLATES.len())].to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.remove(at)),
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        bytes
    }
}

/// Answers `/asked/N` by N, and everything else by what is in `spoilt`, and closes then.
fn answer(spoilt: &Mutex<Vec<u8>>, head: &str, stream: &mut TcpStream) {
    if let Some(number) = head.strip_prefix("GET /asked/").and_then(|rest| rest.split(' ').next()) {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{number}", number.len());
        return;
    }
    let _ = stream.write_all(&spoilt.lock().expect("no panic while it is held"));
    // Where the client was told to expect more, it learns now that there is none.
    let _ = stream.shutdown(std::net::Shutdown::Write);
}

#[test]
fn p13_no_answer_however_spoilt_hangs_panics_or_answers_for_another() {
    let seed = std::env::var("SVCTOKEN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64 | 1)
    });
    println!("SVCTOKEN_SEED={seed}");
    let mut random = Random(seed);
    let spoilt = Arc::new(Mutex::new(Vec::new()));
    let bytes_to_say = spoilt.clone();
    let (origin, _) = server(move |head, stream| answer(&bytes_to_say, head, stream));
    // A new one each time: a 401 uses a ready token up.
    let api =
        || Client::builder().access_token("ready").base_url(&origin).max_attempts(1).build().expect("valid options");
    for case in 0..CASES {
        let bytes = random.answer();
        *spoilt.lock().expect("no panic while it is held") = bytes.clone();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let began = Instant::now();
        match random.below(3) {
            0 => {
                let minting = Client::builder().client_id(format!("id-{case}")).client_secret("s3cret-s3cret");
                let minting = minting.token_url(format!("{origin}/token")).max_attempts(1).build().expect("valid");
                if let Err(error) = minting.get_token_with(&svctoken::CallOptions {
                    timeout: Some(Duration::from_secs(5)),
                    ..svctoken::CallOptions::default()
                }) {
                    assert!(![ErrorCode::Panic, ErrorCode::Timeout].contains(&error.code()), "{error}\n{shown:?}");
                    assert!(error.to_string().len() < 2000, "{error}");
                }
            }
            method => {
                let method = ["GET", "HEAD"][method - 1];
                let api = api();
                match api.request(method, "/spoilt").timeout(Duration::from_secs(5)).send() {
                    Ok(r) => {
                        let _ = (r.error(), r.json().is_ok(), r.headers().count());
                    }
                    Err(error) => {
                        assert_ne!(error.code(), ErrorCode::Timeout, "{error}\n{shown:?}");
                        assert!(error.to_string().len() < 2000, "{error}");
                    }
                }
                let path = format!("/asked/{case}");
                match api.request("GET", &*path).send() {
                    Ok(r) => assert_eq!(r.text().expect("text"), case.to_string(), "after {shown:?}"),
                    // The token was refused, or the end of a reusable connection came too late to be seen.
                    Err(error) => {
                        let fair = [ErrorCode::CredentialUnavailable, ErrorCode::ConnectionLost];
                        assert!(fair.contains(&error.code()), "{error}\n{shown:?}");
                    }
                }
            }
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{shown:?}");
    }
}
