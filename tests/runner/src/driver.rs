//! A driver process (tests/drivers/README.md): one command line out, one answer line back, all within a deadline.

use crate::line;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Number, Value};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How much of a driver's standard error is kept: the end, and of one that is loud all there may be.
const STDERR_LIMIT: usize = 16 * 1024;
const LOUD_LIMIT: usize = 64 * 1024 * 1024;

/// Fields of answers that are numbers; everything else is text.
const NUMBERS: [&str; 10] = [
    "code",
    "status",
    "attempts",
    "count",
    "received",
    "retry_after_ms",
    "expires_in_ms",
    "elapsed_ms",
    "streamed",
    "growth_kib",
];

/// A running driver, killed on drop if it still runs.
#[derive(Debug)]
pub struct Driver {
    process: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<Vec<u8>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Disconnected once standard error has ended.
    stderr_end: Receiver<()>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// `ok`, `error`, or what a driver says when something is wrong with the test itself.
    pub outcome: String,
    /// The fields, headers gathered under `headers`; numbers are numbers, and `json` is the body if it parses.
    pub fields: Map<String, Value>,
}

impl Driver {
    /// Starts a driver; `command_line` is split at spaces. `folder` becomes its cache folder, so that a token kept in
    /// files never outlives its scenario, and no proxy of this machine is used. A `loud` one shows on its standard error
    /// all that a program might print.
    pub fn start(command_line: &str, folder: &Path, loud: bool) -> Result<Self, String> {
        let mut words = command_line.split_whitespace();
        let program = words.next().ok_or("the driver's command line is empty")?;
        let mut command = Command::new(program);
        command.args(words).env("XDG_CACHE_HOME", folder.join("cache"));
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        if loud {
            command.env("SVCTOKEN_DRIVER_LOUD", "1");
        }
        let limit = if loud { LOUD_LIMIT } else { STDERR_LIMIT };
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the driver {program} does not start: {error}"))?;
        let stdout = process.stdout.take().expect("the output is piped");
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for answer in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        let mut pipe = process.stderr.take().expect("the standard error is piped");
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&stderr);
        let (stderr_open, stderr_end) = channel();
        std::thread::spawn(move || {
            let _stderr_open: Sender<()> = stderr_open;
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let mut kept = kept.lock().expect("nothing panics while it holds this lock");
                kept.extend_from_slice(&buffer[..length]);
                let excess = kept.len().saturating_sub(limit);
                kept.drain(..excess);
            }
        });
        let stdin = process.stdin.take();
        Ok(Self { process, stdin, answers, stderr, stderr_end })
    }

    /// Sends a command and waits for its answer. Fields that are `key=value` come encoded from [`line::pair`].
    pub fn ask(&mut self, fields: &[String], deadline: Instant) -> Result<Answer, String> {
        let command = fields.join("\t");
        let stdin = self.stdin.as_mut().ok_or("the driver was told to end")?;
        // One write, because an unbuffered pipe would otherwise show the driver half a line.
        stdin
            .write_all(format!("{command}\n").as_bytes())
            .map_err(|error| format!("the driver takes no more commands ({error}); the next one was {command:?}"))?;
        match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => read_answer(&answer).ok_or_else(|| {
                format!(
                    "the answer to {command:?} is not a line of the protocol: {:?}",
                    String::from_utf8_lossy(&answer)
                )
            }),
            Err(RecvTimeoutError::Timeout) => Err(format!("time limit reached, awaiting the answer to {command:?}")),
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("the driver ended ({}) instead of answering {command:?}", self.status()))
            }
        }
    }

    /// Says `quit` and wants exit code 0 before the deadline: a library that keeps its host alive fails here.
    pub fn quit(&mut self, deadline: Instant) -> Result<(), String> {
        let answer = self.ask(&["quit".to_owned()], deadline)?;
        if answer.outcome != "ok" {
            return Err(format!("quit is answered by {}", answer.outcome));
        }
        match self.exit(deadline) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the driver ended with {status}")),
            None => Err("time limit reached, awaiting the driver's end after quit".to_owned()),
        }
    }

    /// The driver's standard error, whole once the process has ended.
    pub fn stderr(&mut self) -> String {
        self.kill();
        // A process that the driver left behind may hold the pipe open for ever.
        let _ = self.stderr_end.recv_timeout(Duration::from_secs(1));
        let kept = self.stderr.lock().expect("nothing panics while it holds this lock");
        String::from_utf8_lossy(&kept).into_owned()
    }

    fn status(&mut self) -> String {
        match self.exit(Instant::now() + Duration::from_secs(1)) {
            Some(status) => status.to_string(),
            None => "its output is closed, it still runs".to_owned(),
        }
    }

    /// std cannot wait for a process with a limit, so this looks again and again.
    fn exit(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn kill(&mut self) {
        drop(self.stdin.take());
        // Both fail only when the process has ended already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = text.split('\t');
    let outcome = parts.next()?.to_owned();
    let mut fields = Map::new();
    let mut headers = Map::new();
    for part in parts {
        let (key, value) = line::split_pair(part)?;
        if key == "body" {
            fields.insert("body_sha256".to_owned(), sha256(&value).into());
            fields.insert("body_length".to_owned(), value.len().into());
        }
        let value = String::from_utf8_lossy(&value).into_owned();
        if let Some(name) = key.strip_prefix("header.") {
            let joined = match headers.get(name).and_then(Value::as_str) {
                Some(earlier) => format!("{earlier}, {value}"),
                None => value,
            };
            headers.insert(name.to_owned(), joined.into());
        } else {
            if key == "body"
                && let Ok(json) = serde_json::from_str(&value)
            {
                fields.insert("json".to_owned(), json);
            }
            let value = if NUMBERS.contains(&key.as_str()) {
                number(&value)?
            } else if key == "result" {
                Value::Bool(value.parse().ok()?)
            } else {
                Value::String(value)
            };
            fields.insert(key, value);
        }
    }
    if !headers.is_empty() {
        fields.insert("headers".to_owned(), headers.into());
    }
    matches!(outcome.as_str(), "ok" | "error" | "broken" | "foreign").then_some(Answer { outcome, fields })
}

fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<u64>().ok().map(Number::from);
    whole.or_else(|| Number::from_f64(text.parse().ok()?)).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_read_into_typed_fields() {
        let line = b"ok\tstatus=200\telapsed_ms=1.5\tbody=%7B%22a%22:1%7D\theader.a=1\theader.a=2\theader.b=x%3D";
        let answer = read_answer(line).expect("the line is sound");
        assert_eq!(answer.outcome, "ok");
        let expected = json!({
            "status": 200,
            "elapsed_ms": 1.5,
            "json": {"a": 1},
            "body": "{\"a\":1}",
            "body_length": 7,
            "body_sha256": "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
            "headers": {"a": "1, 2", "b": "x="},
        });
        assert_eq!(Value::Object(answer.fields), expected);
        assert!(read_answer(b"okay").is_none());
        assert!(read_answer(b"ok\tx").is_none());
        assert!(read_answer(b"ok\tstatus=x").is_none());
    }
}
