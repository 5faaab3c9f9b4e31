//! `svctoken-bench`: svctoken beside what its users would take instead. tests/bench/README.md says how to read it.
//!
//! `svctoken-bench measure FOLDER` measures, and with words after it only the contests whose titles have one of them; `svctoken-bench WHAT [--once]` is the contestant in Rust.

mod contest;
mod native;
mod table;

use std::process::ExitCode;

use contest::Place;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["measure", folder, only @ ..] => measure(folder, only),
        [what] => native::contestant(what, false),
        [what, "--once"] => native::contestant(what, true),
        _ => Err("svctoken-bench measure FOLDER [WORD…]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("svctoken-bench: {error}");
            ExitCode::from(1)
        }
    }
}

/// Missed targets are told, and no failure: a machine that does much else misses some.
fn measure(folder: &str, only: &[&str]) -> Result<(), String> {
    let place = Place::new(folder)?;
    let mut missed = 0;
    let asked = |contest: &&contest::Contest| only.is_empty() || only.iter().any(|word| contest.title.contains(word));
    for contest in table::CONTESTS.iter().filter(asked) {
        missed += contest.hold(&place)?;
    }
    println!("{missed} targets were not met");
    Ok(())
}
