//! The sandbox program and its admin API (tests/sandbox/README.md): a few lines of HTTP over std.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// A running sandbox; it ends with this value, because its standard input ends.
#[derive(Debug)]
pub struct Sandbox {
    process: Child,
    admin: SocketAddr,
}

/// One space of the sandbox: a server of its own for one scenario. Deleted on drop, with its connections.
#[derive(Debug)]
pub struct Space {
    admin: SocketAddr,
    name: String,
    /// The origin of its plain listener.
    pub http: String,
    /// The origin of its TLS listener.
    pub https: String,
    /// Host and port of its proxy.
    pub proxy: String,
}

impl Sandbox {
    /// Starts the program, which writes its CA to `ca_file`.
    pub fn start(program: &Path, ca_file: &Path) -> Result<Self, String> {
        let process = Command::new(program)
            .arg("--ca-file")
            .arg(ca_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the sandbox {} does not start: {error}", program.display()))?;
        // From here on the process is ended whatever fails.
        let mut sandbox = Self { process, admin: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = sandbox.first_line()?;
        let ready: Value =
            serde_json::from_str(&line).map_err(|error| format!("the sandbox says {line:?}: {error}"))?;
        let admin =
            ready["admin"].as_str().and_then(|url| url.strip_prefix("http://")).and_then(|url| url.parse().ok());
        sandbox.admin = admin.ok_or_else(|| format!("the sandbox gives no admin address: {line}"))?;
        Ok(sandbox)
    }

    /// Reads on a thread, because a pipe has no read timeout.
    fn first_line(&mut self) -> Result<String, String> {
        let stdout = self.process.stdout.take().expect("the output is piped");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line).map(|_| line);
            // Nobody listens any more once the time limit is reached.
            let _ = sender.send(read);
        });
        match receiver.recv_timeout(Duration::from_secs(20)) {
            Ok(line) => line.map_err(|error| format!("the sandbox says nothing: {error}")),
            Err(_) => Err("time limit reached, awaiting the sandbox's first line".to_owned()),
        }
    }

    /// Makes a space with these settings.
    pub fn space(&self, settings: &Value, deadline: Instant) -> Result<Space, String> {
        let (status, answer) = exchange(self.admin, "POST", "/spaces", settings, deadline)?;
        let text = |key: &str| answer[key].as_str().map(str::to_owned);
        match (status, text("space"), text("http"), text("https"), text("proxy")) {
            (200, Some(name), Some(http), Some(https), Some(proxy)) => {
                Ok(Space { admin: self.admin, name, http, https, proxy })
            }
            _ => Err(format!("the sandbox refuses the space: {status} {answer}")),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        eprintln!("the sandbox does not end at the end of its input, and is killed");
        // Both fail only when the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Space {
    /// What the space has counted and seen. The headers in its log become objects, repeated values joined by `, `.
    pub fn report(&self, deadline: Instant) -> Result<Value, String> {
        let mut report = self.call("GET", "", &Value::Null, deadline)?;
        let logs = ["log", "proxy_log"].map(|log| report[log].as_array().cloned());
        for (log, entries) in ["log", "proxy_log"].into_iter().zip(logs) {
            report[log] = entries.into_iter().flatten().map(with_headers_as_object).collect();
        }
        Ok(report)
    }

    /// Replaces some settings.
    pub fn change(&self, settings: &Value, deadline: Instant) -> Result<(), String> {
        self.call("PATCH", "", settings, deadline).map(drop)
    }

    /// Gives one of the commands `release`, `advance`, `reset_connections`, `close_connections`, `revoke_tokens`.
    pub fn command(&self, name: &str, arguments: &Value, deadline: Instant) -> Result<(), String> {
        self.call("POST", &format!("/{name}"), arguments, deadline).map(drop)
    }

    /// Waits until the counters are reached.
    pub fn wait(&self, counters: &Value, deadline: Instant) -> Result<(), String> {
        let mut arguments = counters.clone();
        // The sandbox gives up first, because its answer then tells how far the counters came.
        let limit = remaining(deadline).saturating_sub(Duration::from_millis(300));
        arguments["timeout_ms"] = json!(limit.as_millis() as u64);
        self.call("POST", "/wait", &arguments, deadline).map(drop)
    }

    fn call(&self, method: &str, command: &str, body: &Value, deadline: Instant) -> Result<Value, String> {
        let path = format!("/spaces/{}{command}", self.name);
        match exchange(self.admin, method, &path, body, deadline)? {
            (200..=299, answer) => Ok(answer),
            (408, _) => Err(format!("the sandbox waited in vain for {body}")),
            (status, answer) => Err(format!("the sandbox refuses {method} {path} {body}: {status} {answer}")),
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        if let Err(error) = exchange(self.admin, "DELETE", &format!("/spaces/{}", self.name), &Value::Null, deadline) {
            eprintln!("the space {} was not deleted: {error}", self.name);
        }
    }
}

fn with_headers_as_object(mut entry: Value) -> Value {
    let mut headers = serde_json::Map::new();
    for header in entry["headers"].as_array().into_iter().flatten() {
        let (name, value) = (header[0].as_str().unwrap_or_default(), header[1].as_str().unwrap_or_default());
        let joined = match headers.get(name).and_then(Value::as_str) {
            Some(earlier) => format!("{earlier}, {value}"),
            None => value.to_owned(),
        };
        headers.insert(name.to_owned(), joined.into());
    }
    entry["headers"] = Value::Object(headers);
    entry
}

/// What is left of a time limit, never zero, because a socket refuses a zero timeout.
fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// One request on a connection of its own, read to its end.
fn exchange(
    admin: SocketAddr,
    method: &str,
    path: &str,
    body: &Value,
    deadline: Instant,
) -> Result<(u16, Value), String> {
    let failed = |error: std::io::Error| format!("{method} {path} of the sandbox: {error}");
    let mut stream = TcpStream::connect_timeout(&admin, remaining(deadline)).map_err(failed)?;
    stream.set_read_timeout(Some(remaining(deadline))).map_err(failed)?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("the sandbox answers {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("the sandbox answers {head:?}"))?;
    let body = if body.trim().is_empty() { Ok(Value::Null) } else { serde_json::from_str(body) };
    Ok((status, body.map_err(|error| format!("the sandbox answers {answer:?}: {error}"))?))
}
