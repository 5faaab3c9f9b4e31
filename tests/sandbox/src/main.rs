//! `svctoken-sandbox [--ca-file PATH]`: prints where the admin API is and the CA as one line of JSON, and ends when
//! its standard input does, so that it never outlives the program that started it.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use svctoken_sandbox::Sandbox;

const USAGE: &str = "usage: svctoken-sandbox [--ca-file PATH]";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let ca_file = match (arguments.next(), arguments.next(), arguments.next()) {
        (None, None, None) => None,
        (Some(flag), Some(path), None) if flag == "--ca-file" => Some(path),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let sandbox = Sandbox::start();
    if let Some(path) = ca_file
        && let Err(error) = std::fs::write(&path, sandbox.ca_pem())
    {
        eprintln!("svctoken-sandbox: cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    let line = serde_json::json!({ "admin": sandbox.admin(), "ca_pem": sandbox.ca_pem() });
    let mut stdout = io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        return ExitCode::FAILURE;
    }
    wait_for_end_of_input();
    ExitCode::SUCCESS
}

fn wait_for_end_of_input() {
    let mut ignored = [0; 1024];
    let mut stdin = io::stdin().lock();
    loop {
        match stdin.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
