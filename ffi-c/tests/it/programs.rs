//! C and C++ programs that use the library as its users do, against the sandbox.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use svctoken_core::OPTIONS;
use svctoken_sandbox::{Sandbox, Space, Waited};

use crate::support::{
    self, MINUTES, SECONDS, command, finish, run, sanitized_program, shared_program, signal, succeed,
};

const CREDENTIAL: [(&str, &str); 2] = [
    ("MONGODB_ATLAS_CLIENT_ID", "mdb_sa_id_0123456789abcdef01234567"),
    ("MONGODB_ATLAS_CLIENT_SECRET", "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox"),
];

/// A command with what an Atlas program reads from its environment.
fn atlas(program: impl AsRef<std::ffi::OsStr>, base_url: &str) -> Command {
    let mut command = command(program, &CREDENTIAL);
    command.env("MONGODB_ATLAS_BASE_URL", base_url);
    command
}

fn space(sandbox: &Sandbox, settings: Value) -> Arc<Space> {
    sandbox.create_space(&settings).expect("valid settings")
}

/// What the first two token requests of `errors.c` are answered.
fn refusals() -> Value {
    let limited = json!({"error": "rate_limited", "error_description": "too many"}).to_string();
    json!({"rules": [
        {"path": "/api/oauth/token", "nth": [1], "do": {"status": 429, "headers": [["Retry-After", "7"]], "body": limited}},
        {"path": "/api/oauth/token", "times": 1, "do": {"status": 401, "body": "{\"error\":\"invalid_client\"}"}},
    ]})
}

/// What the first token request of `log.c` is answered.
fn one_failure() -> Value {
    json!({"rules": [{"path": "/api/oauth/token", "nth": [1], "do": {"status": 503}}]})
}

#[test]
fn the_header_is_c99_and_cpp_without_a_warning() {
    let header = support::root().join("include/svctoken.h");
    for (compiler, language, standard) in
        [("gcc", "c", "c99"), ("gcc", "c", "c17"), ("g++", "c++", "c++11"), ("g++", "c++", "c++20")]
    {
        let mut check = Command::new(compiler);
        check.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", language]);
        check.arg(format!("-std={standard}")).arg("-include").arg(&header).arg("/dev/null");
        succeed(check, MINUTES);
    }
}

#[test]
fn null_is_harmless_everywhere() {
    let said = succeed(command(shared_program("nulls.c"), &[]), SECONDS);
    assert_eq!(said, format!("setters={}\n", OPTIONS.len()));
}

#[test]
fn a_program_gets_tokens_and_makes_requests() {
    let sandbox = Sandbox::start();
    let space = space(&sandbox, json!({}));
    succeed(atlas(shared_program("happy.c"), space.http()), SECONDS);
    assert_eq!(space.report()["mints"], 3);
}

#[test]
fn p13_an_error_has_its_facts() {
    let sandbox = Sandbox::start();
    let space = space(&sandbox, refusals());
    succeed(command(shared_program("errors.c"), &[("BASE_URL", space.http())]), SECONDS);
}

#[test]
fn every_member_of_the_cpp_header_works() {
    let sandbox = Sandbox::start();
    succeed(atlas(shared_program("members.cpp"), space(&sandbox, json!({})).http()), SECONDS);
}

#[test]
fn log_events_come_in_order_and_their_user_data_is_released_once() {
    let sandbox = Sandbox::start();
    succeed(atlas(shared_program("log.c"), space(&sandbox, one_failure()).http()), SECONDS);
}

#[test]
fn a_fresh_token_is_copied_without_an_allocation() {
    let sandbox = Sandbox::start();
    succeed(atlas(shared_program("fresh.c"), space(&sandbox, json!({})).http()), SECONDS);
}

#[test]
fn p08_a_signal_handler_ends_a_wait_within_100_ms() {
    let sandbox = Sandbox::start();
    let space = space(&sandbox, json!({"rules": [{"path": "/api/oauth/token", "do": {"hold": "gate"}}]}));
    let mut program = atlas(shared_program("interrupt.c"), space.http());
    let child = program.stdout(Stdio::piped()).spawn().expect("a program that was just compiled");
    let held = json!({"held": {"gate": 1}});
    let waited = space.wait(held.as_object().expect("an object"), SECONDS).expect("a known counter");
    let id = child.id().to_string();
    if !matches!(waited, Waited::Reached(_)) {
        signal("KILL", &id);
        panic!("no token request came");
    }
    signal("INT", &id);
    let output = finish(child, SECONDS);
    let said = String::from_utf8(output.stdout).expect("ASCII");
    assert!(output.status.success(), "{}", output.status);
    let milliseconds = said.trim().strip_prefix("milliseconds=").and_then(|number| number.parse::<u64>().ok());
    assert!(milliseconds.expect("a number") <= 100, "{said}");
}

#[test]
fn p08_a_reset_upload_does_not_end_a_program_by_sigpipe() {
    let sandbox = Sandbox::start();
    let space = space(&sandbox, json!({}));
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let origin = format!("http://{}", listener.local_addr().expect("bound"));
    // Bytes left unread when a socket is closed make the system answer with a reset.
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the program's connection");
        stream.read_exact(&mut [0; 1024]).expect("the beginning of an upload");
    });
    let mut program = atlas(shared_program("sigpipe.c"), space.http());
    program.env("RESETTING", &origin);
    succeed(program, SECONDS);
    server.join().expect("an upload came");
}

/// Runs the fork test; 0 of at least 1,000 answers may be another's.
fn fork_under_load(origin: fn(&Space) -> &str, tls: bool) {
    let sandbox = Sandbox::start();
    let space = space(&sandbox, json!({"rules": [{"path": "/echo/warm", "do": {"hold": "warm"}}]}));
    let mut program = atlas(shared_program("fork.c"), origin(&space));
    if tls {
        let ca_file = support::scratch().join("fork-ca.pem");
        std::fs::write(&ca_file, sandbox.ca_pem()).expect("a writable target folder");
        program.env("CA_FILE", ca_file);
    }
    let warming = space.clone();
    let releaser = std::thread::spawn(move || {
        let all = json!({"held": {"warm": 12}});
        let waited = warming.wait(all.as_object().expect("an object"), SECONDS).expect("a known counter");
        warming.release("warm");
        matches!(waited, Waited::Reached(_))
    });
    let said = succeed(program, MINUTES);
    assert!(releaser.join().expect("no panic"), "the client did not open 12 connections");
    let asked = said.trim().strip_prefix("failed_children=0 wrong=0 asked=").and_then(|number| number.parse().ok());
    assert!(asked.is_some_and(|asked: u64| asked >= 1000), "{said}");
    // Whoever found the token in memory used it: no child fetched one of its own.
    assert_eq!(space.report()["mints"], 1);
}

#[test]
fn p08_forked_children_read_their_own_answers_over_http() {
    fork_under_load(Space::http, false);
}

#[test]
fn p08_forked_children_read_their_own_answers_over_tls() {
    fork_under_load(Space::https, true);
}

#[test]
fn address_and_undefined_behaviour_sanitizers_find_nothing() {
    let sandbox = Sandbox::start();
    succeed(command(sanitized_program("nulls.c"), &[]), MINUTES);
    succeed(atlas(sanitized_program("happy.c"), space(&sandbox, json!({})).http()), MINUTES);
    let refusing = space(&sandbox, refusals());
    succeed(command(sanitized_program("errors.c"), &[("BASE_URL", refusing.http())]), MINUTES);
    succeed(atlas(sanitized_program("log.c"), space(&sandbox, one_failure()).http()), MINUTES);
    succeed(atlas(sanitized_program("members.cpp"), space(&sandbox, json!({})).http()), MINUTES);
    let mut wrong = command(sanitized_program("wrong.c"), &[]);
    wrong.arg("use after free");
    let said = run(wrong, MINUTES).stderr;
    assert!(String::from_utf8_lossy(&said).contains("heap-use-after-free"), "the sanitizer overlooks a use after free");
}

#[test]
fn valgrind_finds_neither_leak_nor_wrong_access() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "valgrind must be there where CI is set");
        eprintln!("SKIPPED: there is no valgrind here");
        return;
    }
    let sandbox = Sandbox::start();
    succeed(under_valgrind(command("valgrind", &[]), "nulls.c"), MINUTES);
    succeed(under_valgrind(atlas("valgrind", space(&sandbox, json!({})).http()), "happy.c"), MINUTES);
    succeed(under_valgrind(atlas("valgrind", space(&sandbox, one_failure()).http()), "log.c"), MINUTES);
    let refusing = space(&sandbox, refusals());
    succeed(under_valgrind(command("valgrind", &[("BASE_URL", refusing.http())]), "errors.c"), MINUTES);
    let wrong = run(under_valgrind(command("valgrind", &[]), "wrong.c"), MINUTES);
    assert_eq!(wrong.status.code(), Some(9), "valgrind overlooks a leak");
}

fn under_valgrind(mut valgrind: Command, source: &str) -> Command {
    // What the process keeps for its life (the token, the trust store) is reachable from statics by pointers into the
    // middle of blocks, which valgrind calls possibly lost.
    valgrind.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
    valgrind.arg("--error-exitcode=9").arg(shared_program(source));
    valgrind
}

#[test]
fn both_quick_starts_of_the_readme_work() {
    let readme = std::fs::read_to_string(support::root().join("ffi-c/README.md")).expect("the README");
    let sandbox = Sandbox::start();
    let space = space(&sandbox, json!({}));
    for (language, name) in [("c", "quick_start.c"), ("cpp", "quick_start.cpp")] {
        let (_, rest) = readme.split_once(&format!("```{language}\n")).expect("a quick start");
        let (source, _) = rest.split_once("```").expect("a fence that ends");
        let path = support::scratch().join(name);
        std::fs::write(&path, source).expect("a writable target folder");
        let said = succeed(atlas(shared_program(path), space.http()), SECONDS);
        assert!(said.starts_with("200 ") && said.contains("\"totalCount\":3"), "{said}");
    }
}
