//! Many processes of all languages at once, sharing one token in the file store, as clients of Atlas do without being
//! told: how often do they ask for it?
//!
//! Arguments: the folder of the programs, then `LANGUAGE=COMMAND` for each driver, then the number of processes and of
//! repetitions.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use svctoken_runner::driver::Driver;
use svctoken_runner::line::pair;
use svctoken_runner::sandbox::{Sandbox, Space};

const CLIENT_ID: &str = "mdb_sa_id_0123456789abcdef01234567";
const CLIENT_SECRET: &str = "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox";
/// Starting hundreds of interpreters takes its time on a small machine.
const TIME_LIMIT: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers = (arguments.pop(), arguments.pop());
    let (Some(repetitions), Some(processes)) = (number(numbers.0), number(numbers.1)) else {
        eprintln!("svctoken-herd FOLDER LANGUAGE=COMMAND… PROCESSES REPETITIONS");
        return ExitCode::from(2);
    };
    let programs = arguments.remove(0);
    let drivers: Vec<(String, String)> = arguments
        .iter()
        .filter_map(|argument| argument.split_once('='))
        .map(|(language, command)| (language.to_owned(), command.to_owned()))
        .collect();
    let (mut passed, mut failed) = (0, 0);
    for herd in HERDS {
        for repetition in 1..=repetitions {
            let began = Instant::now();
            match once(herd, Path::new(&programs), &drivers, processes) {
                Ok(()) => passed += 1,
                Err(error) => {
                    failed += 1;
                    println!("FAILED  {}, repetition {repetition}: {error}", herd.about);
                }
            }
            println!("{}: {processes} processes in {:.1} s", herd.about, began.elapsed().as_secs_f64());
        }
    }
    println!("herd: {passed} passed, {failed} failed, 0 skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn number(text: Option<String>) -> Option<usize> {
    text?.parse().ok()
}

/// A situation that many processes meet at once.
struct Herd {
    about: &'static str,
    /// What the token endpoint does.
    rule: &'static str,
    secret: &'static str,
    /// What each process gets: no error, or this one.
    error: Option<&'static str>,
    token_requests: u64,
}

const HERDS: &[Herd] = &[
    Herd {
        about: "P1: a cold cache, and a server that takes 1 s",
        rule: r#"{"delay_ms": 1000}"#,
        secret: CLIENT_SECRET,
        error: None,
        token_requests: 1,
    },
    Herd {
        about: "P9: a wrong secret",
        rule: r#"{"delay_ms": 300}"#,
        secret: "mdb_sa_sk_wrongwrongwrongwrongwrongwrongwrong",
        error: Some("client_refused"),
        token_requests: 1,
    },
];

fn once(herd: &Herd, programs: &Path, drivers: &[(String, String)], processes: usize) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("svctoken-herd-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let result = in_folder(herd, programs, drivers, processes, &folder);
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    result
}

fn in_folder(
    herd: &Herd,
    programs: &Path,
    drivers: &[(String, String)],
    processes: usize,
    folder: &Path,
) -> Result<(), String> {
    let deadline = Instant::now() + TIME_LIMIT;
    let sandbox = Sandbox::start(&programs.join("svctoken-sandbox"), &folder.join("ca.pem"))?;
    let rule: Value = serde_json::from_str(herd.rule).map_err(|error| error.to_string())?;
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "do": rule }]);
    let space = sandbox.space(&json!({ "rules": rules }), deadline)?;
    let mut herded = Vec::new();
    for index in 0..processes {
        let (_, command) = &drivers[index % drivers.len()];
        herded.push(Driver::start(command, folder, false)?);
    }
    let client = [
        "client".to_owned(),
        "a".to_owned(),
        pair("constructor", "atlas"),
        pair("base_url", &space.http),
        pair("client_id", CLIENT_ID),
        pair("client_secret", herd.secret),
    ];
    // All are up before the first asks.
    for driver in &mut herded {
        expect_ok(driver, &client, deadline)?;
    }
    for driver in &mut herded {
        expect_ok(driver, &["get_token".to_owned(), "t".to_owned(), "a".to_owned()], deadline)?;
    }
    let mut tokens = Vec::new();
    for driver in &mut herded {
        let answer = driver.ask(&["wait".to_owned(), "t".to_owned()], deadline)?;
        let got = answer.fields.get("name").and_then(Value::as_str);
        if got != herd.error {
            return Err(format!(
                "a process got {got:?} instead of {:?}: {:?}",
                herd.error,
                answer.fields.get("message")
            ));
        }
        tokens.push(answer.fields.get("token").cloned());
    }
    for driver in &mut herded {
        driver.quit(deadline)?;
    }
    if tokens.iter().any(|token| *token != tokens[0]) {
        return Err("the processes have different tokens".to_owned());
    }
    check(&space, herd.token_requests, deadline)
}

fn check(space: &Space, expected: u64, deadline: Instant) -> Result<(), String> {
    let report = space.report(deadline)?;
    match report["token_requests"].as_u64() {
        Some(count) if count == expected => Ok(()),
        count => Err(format!("{count:?} token requests instead of {expected}")),
    }
}

fn expect_ok(driver: &mut Driver, command: &[String], deadline: Instant) -> Result<(), String> {
    let answer = driver.ask(command, deadline)?;
    if answer.outcome == "ok" { Ok(()) } else { Err(format!("{command:?}: {} {:?}", answer.outcome, answer.fields)) }
}
