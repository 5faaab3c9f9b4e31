//! Idle connections whose other end has forgotten them, and does not say so before the next request.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use svctoken::Client;

const IDLE: usize = 6;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn read_head(reader: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).expect("a head in time") > 0, "the head has no end");
    }
}

/// Answers one request of each connection; the first ones only when all have theirs, and end at their second.
fn serve(listener: &TcpListener) {
    let all_are_open = Arc::new(Barrier::new(IDLE));
    for number in 0..=IDLE {
        let (socket, _) = listener.accept().expect("a client");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let all_are_open = all_are_open.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(socket);
            read_head(&mut reader);
            if number < IDLE {
                all_are_open.wait();
            }
            reader.get_mut().write_all(OK.as_bytes()).expect("the client is there");
            read_head(&mut reader);
        });
    }
}

#[test]
fn p09_however_many_are_dead_they_cost_one_try() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let server = thread::spawn(move || serve(&listener));
    let client = Client::builder().access_token("a-ready-token").base_url(base).build().expect("a client");
    thread::scope(|scope| {
        for _ in 0..IDLE {
            scope.spawn(|| client.request("GET", "/").send().expect("an answer"));
        }
    });
    let response = client.request("GET", "/").max_attempts(2).send().expect("an answer over a new connection");
    assert_eq!(response.attempts(), 2);
    server.join().expect("the server");
}
