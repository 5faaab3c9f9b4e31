//! Many processes of all languages that share one token, in the file store as clients of Atlas do without being told, or
//! on a Redis: how often do they ask for it?
//!
//! Arguments: the folder of the programs, then `LANGUAGE=COMMAND` for each driver, then how many processes are at it at
//! once, how often that is repeated, and how many short programs come one after another.

mod crowd;
mod queue;
mod redis;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use svctoken_runner::driver::{Answer, Driver};
use svctoken_runner::line::pair;
use svctoken_runner::sandbox::{Sandbox, Space};

const CLIENT_ID: &str = "mdb_sa_id_0123456789abcdef01234567";
pub(crate) const CLIENT_SECRET: &str = "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox";
/// Starting hundreds of interpreters takes its time on a small machine.
const TIME_LIMIT: Duration = Duration::from_secs(280);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut number = || arguments.pop().and_then(|text| text.parse::<usize>().ok());
    let (Some(programs), Some(repetitions), Some(processes)) = (number(), number(), number()) else {
        eprintln!("svctoken-herd FOLDER LANGUAGE=COMMAND… PROCESSES REPETITIONS PROGRAMS");
        return ExitCode::from(2);
    };
    let folder = PathBuf::from(arguments.remove(0));
    let drivers: Vec<String> = arguments
        .iter()
        .filter_map(|argument| argument.split_once('='))
        .map(|(_, command)| command.to_owned())
        .collect();
    let mut tally = Tally::default();
    for herd in crowd::HERDS {
        for repetition in 1..=repetitions {
            let about = format!("{}, {processes} processes, repetition {repetition} of {repetitions}", herd.about);
            tally.run(&about, &folder, &drivers, None, &herd.settings(), |place| crowd::run(herd, place, processes));
        }
    }
    for queue in queue::QUEUES.iter().filter(|_| programs > 0) {
        let about = format!("{}, {programs} programs", queue.about);
        tally.run(&about, &folder, &drivers, None, &json!({}), |place| queue::run(queue, place, programs));
    }
    tally.run_on_redis(&folder, &drivers, processes);
    println!("herd: {} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// The first situation once more, with a Redis for a store.
    fn run_on_redis(&mut self, programs: &Path, drivers: &[String], processes: usize) {
        let herd = &crowd::HERDS[0];
        let about = format!("{}, on a Redis, {processes} processes", herd.about);
        let redis = match redis::Redis::start() {
            Ok(Some(redis)) => redis,
            Ok(None) if std::env::var_os("CI").is_none() => {
                self.skipped += 1;
                return println!("SKIPPED {about}: neither valkey-server nor redis-server is installed");
            }
            Ok(None) => {
                self.failed += 1;
                return println!("FAILED  {about}: CI needs valkey-server or redis-server");
            }
            Err(error) => {
                self.failed += 1;
                return println!("FAILED  {about}: {error}");
            }
        };
        self.run(&about, programs, drivers, Some(&redis.url), &herd.settings(), |place| {
            crowd::run(herd, place, processes)
        });
    }

    /// Runs one situation in a place of its own, and says what it was and what it cost.
    fn run(
        &mut self,
        about: &str,
        programs: &Path,
        drivers: &[String],
        cache: Option<&str>,
        settings: &Value,
        situation: impl FnOnce(&Place<'_>) -> Result<u64, String>,
    ) {
        let began = Instant::now();
        let outcome = Place::with(programs, drivers, cache, settings, situation);
        let took = began.elapsed().as_secs_f64();
        match outcome {
            Ok(requests) => {
                self.passed += 1;
                println!("{about}: {requests} token request(s), {took:.1} s");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED  {about}, after {took:.1} s: {error}");
            }
        }
    }
}

/// A server and a folder of one situation's own.
pub(crate) struct Place<'a> {
    drivers: &'a [String],
    /// The option of that name; `None`: as clients of Atlas do without being told.
    cache: Option<&'a str>,
    space: Space,
    folder: PathBuf,
    deadline: Instant,
}

impl Place<'_> {
    fn with<T>(
        programs: &Path,
        drivers: &[String],
        cache: Option<&str>,
        settings: &Value,
        situation: impl FnOnce(&Place<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let folder = std::env::temp_dir().join(format!("svctoken-herd-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + TIME_LIMIT;
        let result = Sandbox::start(&programs.join("svctoken-sandbox"), &folder.join("ca.pem")).and_then(|sandbox| {
            let space = sandbox.space(settings, deadline)?;
            situation(&Place { drivers, cache, space, folder: folder.clone(), deadline })
        });
        std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
        result
    }

    /// Starts a process, in the languages by turns.
    pub(crate) fn start(&self, index: usize) -> Result<Process<'_>, String> {
        let driver = Driver::start(&self.drivers[index % self.drivers.len()], &self.folder, false)?;
        Ok(Process { driver, place: self })
    }

    pub(crate) fn token_requests(&self) -> Result<u64, String> {
        let report = self.space.report(self.deadline)?;
        report["token_requests"].as_u64().ok_or_else(|| "the report has no number of token requests".to_owned())
    }

    pub(crate) fn expect_token_requests(&self, expected: u64) -> Result<(), String> {
        match self.token_requests()? {
            count if count == expected => Ok(()),
            count => Err(format!("{count} token requests instead of {expected}")),
        }
    }
}

/// A driver with a client of the place.
pub(crate) struct Process<'a> {
    driver: Driver,
    place: &'a Place<'a>,
}

impl Process<'_> {
    pub(crate) fn make_client(&mut self, secret: &str) -> Result<(), String> {
        let options = [
            ("constructor", "atlas"),
            ("base_url", &self.place.space.http),
            ("client_id", CLIENT_ID),
            ("client_secret", secret),
        ];
        let options = options.into_iter().chain(self.place.cache.map(|cache| ("cache", cache)));
        let options = options.map(|(name, value)| pair(name, value)).collect();
        self.expect_ok(&[vec!["client".to_owned(), "a".to_owned()], options].concat())
    }

    /// Gives a command that is answered at once.
    pub(crate) fn tell(&mut self, words: &[&str]) -> Result<(), String> {
        self.expect_ok(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn expect_ok(&mut self, command: &[String]) -> Result<(), String> {
        let answer = self.driver.ask(command, self.place.deadline)?;
        if answer.outcome == "ok" {
            Ok(())
        } else {
            Err(format!("{command:?}: {} {:?}", answer.outcome, answer.fields))
        }
    }

    /// The result of a call.
    pub(crate) fn wait(&mut self, call: &str) -> Result<Answer, String> {
        self.driver.ask(&["wait".to_owned(), call.to_owned()], self.place.deadline)
    }

    pub(crate) fn quit(mut self) -> Result<(), String> {
        self.driver.quit(self.place.deadline)
    }
}
