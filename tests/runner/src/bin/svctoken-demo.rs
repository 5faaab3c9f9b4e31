//! `make demo`: the README's five quick starts against a sandbox with Atlas's true limits, and what it counted.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use svctoken_runner::quick_start::{Build, Program, Run};
use svctoken_runner::sandbox::{Sandbox, Space};

const CLIENT_ID: &str = "mdb_sa_id_0123456789abcdef01234567";
const CLIENT_SECRET: &str = "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox";
const PROJECTS: u64 = 3;

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("svctoken-demo: {error}");
            ExitCode::from(1)
        }
    }
}

fn demo() -> Result<(), String> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [python, node_package, folder] = arguments.as_slice() else {
        return Err("it wants three paths: a Python with the package, the npm package, an empty folder".into());
    };
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let libraries = program.parent().ok_or("this program has no folder")?.to_path_buf();
    let build = Build {
        libraries: libraries.clone(),
        python: python.clone(),
        node_package: node_package.clone(),
        folder: folder.clone(),
    };
    let programs = build.programs(Path::new("README.md"))?;
    let sandbox = Sandbox::start(&libraries.join("svctoken-sandbox"), &folder.join("ca.pem"))?;
    println!("The five programs of the README, each a process of its own, against a sandbox of MongoDB Atlas");
    println!("with its true limits (10 token requests a minute, 100 living tokens).\n");
    println!("With SVCTOKEN_CACHE=memory, so that each has a token of its own:\n");
    all(&programs, &sandbox, folder, Some("memory"), programs.len())?;
    println!("\nAs they are, so that all share one:\n");
    all(&programs, &sandbox, folder, None, 1)?;
    println!("\nquick starts: {} passed, 0 failed, 0 skipped", 2 * programs.len());
    Ok(())
}

/// Runs every program once and prints a line for each, and what the sandbox counted.
fn all(
    programs: &[Program],
    sandbox: &Sandbox,
    caches: &Path,
    cache: Option<&str>,
    token_requests: usize,
) -> Result<(), String> {
    let settings = json!({ "mints_per_minute": 10, "living_tokens": 100, "projects": PROJECTS });
    let space = sandbox.space(&settings, soon())?;
    println!("{:<10}{:<14}{:<10}time", "language", "token", "projects");
    for program in programs {
        let run = program.run(&space.http, CLIENT_ID, CLIENT_SECRET, caches, cache)?;
        let projects = projects(program, &run)?;
        let token = last_token(&space)?;
        println!("{:<10}{token:<14}{projects:<10}{:.2} s", program.language, run.took.as_secs_f64());
    }
    report(&space, programs.len(), token_requests)
}

/// Every program prints the status and either the answer or its `totalCount`.
fn projects(program: &Program, run: &Run) -> Result<u64, String> {
    let wrong = || format!("{} printed {:?} instead of 200 and the projects", program.language, run.output);
    let (status, rest) = run.output.trim().split_once(' ').ok_or_else(wrong)?;
    let count = match serde_json::from_str(rest).map_err(|_| wrong())? {
        Value::Number(count) => count.as_u64(),
        answer => answer["totalCount"].as_u64(),
    };
    match (status, count) {
        ("200", Some(PROJECTS)) => Ok(PROJECTS),
        _ => Err(wrong()),
    }
}

/// The end of the token that the newest request came with, as the server saw it.
fn last_token(space: &Space) -> Result<String, String> {
    let report = space.report(soon())?;
    let newest = report["log"].as_array().and_then(|log| log.last()).ok_or("the sandbox saw no request")?;
    let header = newest["headers"]["authorization"].as_str().and_then(|header| header.strip_prefix("Bearer "));
    let token = header.ok_or_else(|| format!("the newest request had no token: {newest}"))?;
    let end = token.char_indices().rev().nth(7).map_or(0, |(index, _)| index);
    Ok(format!("…{}", &token[end..]))
}

fn report(space: &Space, programs: usize, token_requests: usize) -> Result<(), String> {
    let report = space.report(soon())?;
    let count = |name: &str| report[name].as_u64().unwrap_or_default();
    println!(
        "\nThe sandbox counted: {} token requests, {} tokens alive at most, {} requests in all, {} connections.",
        count("token_requests"),
        count("max_living_tokens"),
        count("requests"),
        count("connections"),
    );
    let (token_requests, requests) = (token_requests as u64, (token_requests + programs) as u64);
    if count("token_requests") != token_requests || count("requests") != requests {
        return Err(format!("{token_requests} token requests and one request each were due: {report}"));
    }
    println!("{programs} languages, {programs} processes, token requests: {}", count("token_requests"));
    Ok(())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
