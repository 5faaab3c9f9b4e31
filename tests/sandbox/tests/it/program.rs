use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

use crate::support::{Connection, LIMIT};

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_svctoken-sandbox"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The exit code, or the end of the test: the child is killed when it does not end by itself.
fn exit_code(child: Child) -> Option<i32> {
    let (sender, receiver) = mpsc::channel();
    let id = child.id();
    thread::spawn(move || {
        let mut child = child;
        sender.send(child.wait().unwrap().code())
    });
    receiver.recv_timeout(LIMIT).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("the program did not end");
    })
}

#[test]
fn prints_one_line_serves_and_ends_with_its_standard_input() {
    let mut program = start(&[]);
    let mut stdout = BufReader::new(program.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    assert!(started["ca_pem"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"), "{started}");

    let mut admin = Connection::plain(started["admin"].as_str().unwrap());
    let space = admin.exchange("POST", "/spaces", &[], b"").json();
    assert_eq!(Connection::plain(space["http"].as_str().unwrap()).ask_token().status, 200);

    drop(program.stdin.take());
    assert_eq!(exit_code(program), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn writes_the_ca_where_it_is_told() {
    let path = std::env::temp_dir().join(format!("svctoken-sandbox-ca-{}.pem", std::process::id()));
    let mut program = start(&["--ca-file", path.to_str().unwrap()]);
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    drop(program.stdin.take());
    assert_eq!(exit_code(program), Some(0));
    let started: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(started["ca_pem"], written);
}

#[test]
fn refuses_arguments_it_does_not_know() {
    for arguments in [&["--help"][..], &["--ca-file"], &["--ca-file", "a", "b"]] {
        let mut program = start(arguments);
        let mut complaint = String::new();
        program.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert!(complaint.starts_with("usage: "), "{complaint}");
        assert_eq!(exit_code(program), Some(2));
    }
}
