//! This program, run again as a process that does what it is told line by line.

use std::env;
use std::io::{BufRead, BufReader, Write, stdin};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::time::{ClockId, clock_gettime};
use svctoken::{Client, LogEvent};

const IS_CHILD: &str = "SVCTOKEN_TEST_CHILD";
/// Longer than anything takes here, on a machine that does much else.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// Between the calls of a process that keeps getting tokens.
const PACE: Duration = Duration::from_millis(10);

/// Killed when dropped, stopped or not.
pub(crate) struct Child {
    process: process::Child,
    answers: Receiver<String>,
}

impl Child {
    /// Starts a process whose client has these options, after the shell has done what is to be done `before`.
    pub(crate) fn start(before: &str, options: &[(&str, &str)]) -> Child {
        let child = Child::begin(before, options);
        assert_eq!(child.hear(), "ready");
        child
    }

    /// As [`start`](Child::start), without waiting until it is ready.
    pub(crate) fn begin(before: &str, options: &[(&str, &str)]) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before}\nexec \"$0\" \"$@\"")]).arg(env::current_exe().expect("a program"));
        command.args(["--exact", "child::obeys", "--nocapture"]).env(IS_CHILD, "1");
        for (name, value) in options {
            command.env(format!("SVCTOKEN_{}", name.to_uppercase()), value);
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("this program runs");
        let (sender, answers) = channel();
        let output = BufReader::new(process.stderr.take().expect("piped"));
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Child { process, answers }
    }

    pub(crate) fn say(&mut self, command: &str) {
        writeln!(self.process.stdin.as_mut().expect("piped"), "{command}").expect("it listens");
    }

    pub(crate) fn hear(&self) -> String {
        self.answers.recv_timeout(TIME_LIMIT).expect("an answer in time")
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.say(command);
        self.hear()
    }

    /// The token it gets.
    pub(crate) fn token(&mut self) -> String {
        self.say("get");
        self.hear_token()
    }

    pub(crate) fn hear_token(&self) -> String {
        let answer = self.hear();
        answer.strip_prefix("token ").unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Kills it, and gives all that it has said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
        // Ends with its output.
        self.answers.iter().collect()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).expect("process ids are that small");
        kill(Pid::from_raw(id), signal).expect("it is ours");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The clock of this machine's processes.
pub(crate) fn boot_clock() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().expect("after the start"), time.tv_nsec.try_into().expect("below a second"))
}

#[test]
fn obeys() {
    if env::var_os(IS_CHILD).is_none() {
        return;
    }
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    let hook = move |event: &LogEvent| heard.lock().expect("no panic").push(event.name());
    let client = Client::builder().on_log(Arc::new(hook)).from_env().expect("valid options");
    eprintln!("ready");
    for line in stdin().lines().map_while(Result::ok) {
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let done = match command {
            "get" => client.get_token().map(|token| format!("token {}", token.as_str())),
            "left" => client.get_token().map(|token| token.expires_in().as_secs().to_string()),
            "invalidate" => Ok(client.invalidate_token(argument).to_string()),
            "revoke" => client.revoke().map(|revoked| revoked.to_string()),
            "clear" => client.clear_cache().map(|()| "done".to_owned()),
            "request" => client.request("GET", argument).send().map(|answer| answer.status().to_string()),
            "keep-getting" => loop {
                // Before the call, so that what it returns was alive then or later.
                let asked = boot_clock().as_nanos();
                let told = match client.get_token() {
                    Ok(token) => format!("token {asked} {}", token.as_str()),
                    Err(error) => format!("error {error}"),
                };
                // The full stop tells a line from the part of one that a process said when it was killed.
                eprintln!("{told} .");
                thread::sleep(PACE);
            },
            "advance" => {
                svctoken::testing::advance_clock(Duration::from_secs(argument.parse().expect("seconds")));
                Ok("advanced".into())
            }
            "events" => Ok(events.lock().expect("no panic").join(" ")),
            _ => panic!("{command} is no command"),
        };
        eprintln!("{}", done.unwrap_or_else(|error| format!("error {}", error.code().name())));
    }
}
