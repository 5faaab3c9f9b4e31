//! One scenario in one language: a fresh driver against a fresh space.

use crate::driver::{Answer, Driver};
use crate::expectation::{compare, shorten};
use crate::line::{encode, pair};
use crate::sandbox::{Sandbox, Space};
use crate::scenario::{Action, Call, Expect, Scenario, Start, Step};
use crate::variables::Variables;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The sandbox's default Atlas client.
const ATLAS_CLIENT: (&str, &str) =
    ("mdb_sa_id_0123456789abcdef01234567", "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox");
/// The sandbox's default Keycloak client, in realm `demo`.
const KEYCLOAK_CLIENT: (&str, &str) = ("app", "app-secret-app-secret-app-secret");

/// Texts shorter than this are too common to be called a leaked secret.
const SHORTEST_SECRET: usize = 8;

/// How many of the last requests are shown when a scenario fails.
const SHOWN_REQUESTS: usize = 40;

/// Why a scenario failed, with what helps to see why.
#[derive(Debug)]
pub struct Failure {
    /// The step's number and text; `None` when no step was to blame.
    pub step: Option<(usize, String)>,
    /// Expected and got.
    pub what: String,
    /// The driver's standard error.
    pub stderr: String,
    /// The sandbox's report.
    pub report: String,
}

struct Run<'a> {
    scenario: &'a Scenario,
    language: &'a str,
    driver: Driver,
    space: Space,
    variables: Variables,
    /// Started calls: the driver's names of those that go by one name here.
    calls: HashMap<&'a str, Vec<String>>,
    /// How many calls were started: a driver wants a new name for each.
    started: usize,
    /// What no error, description or log may show.
    secrets: Vec<String>,
    deadline: Instant,
}

/// Runs a scenario. `given` holds the variables that are the same for all; `folder` is new and empty, and the scenario's own.
pub fn run(
    scenario: &Scenario,
    language: &str,
    command_line: &str,
    sandbox: &Sandbox,
    given: &Variables,
    folder: &Path,
) -> Result<(), Box<Failure>> {
    let deadline = Instant::now() + scenario.time_limit;
    let mut run = Run::prepare(scenario, language, command_line, sandbox, given, folder, deadline)
        .map_err(|what| Box::new(Failure { step: None, what, stderr: String::new(), report: String::new() }))?;
    let (step, what) = match run.steps() {
        Ok(()) => match run.driver.quit(deadline).and_then(|()| run.check_stderr()) {
            Ok(()) => return Ok(()),
            Err(what) => (None, what),
        },
        Err((step, what)) => (Some(step), what),
    };
    let report =
        run.space.report(Instant::now() + Duration::from_secs(5)).map_or_else(|error| error, |report| outline(&report));
    Err(Box::new(Failure { step, what, stderr: run.driver.stderr(), report }))
}

impl<'a> Run<'a> {
    fn prepare(
        scenario: &'a Scenario,
        language: &'a str,
        command_line: &str,
        sandbox: &Sandbox,
        given: &Variables,
        folder: &Path,
        deadline: Instant,
    ) -> Result<Self, String> {
        for (name, text) in &scenario.files {
            std::fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        let mut variables = given.clone();
        variables.set("dir", folder.display().to_string());
        variables.set("client_id", ATLAS_CLIENT.0);
        variables.set("client_secret", ATLAS_CLIENT.1);
        let space = sandbox.space(&variables.value(&scenario.sandbox)?, deadline)?;
        variables.set("base", if scenario.tls { &space.https } else { &space.http });
        for (name, origin) in [("http", &space.http), ("https", &space.https)] {
            variables.set(name, origin);
            let port = origin.rsplit(':').next().unwrap_or_default();
            variables.set(&format!("{name}_port"), port);
        }
        let driver = Driver::start(command_line, folder)?;
        Ok(Self {
            scenario,
            language,
            driver,
            space,
            variables,
            calls: HashMap::new(),
            started: 0,
            secrets: Vec::new(),
            deadline,
        })
    }

    fn steps(&mut self) -> Result<(), ((usize, String), String)> {
        let scenario = self.scenario;
        self.steps_in_order(&scenario.steps)
    }

    fn steps_in_order(&mut self, steps: &'a [Step]) -> Result<(), ((usize, String), String)> {
        steps
            .iter()
            .try_for_each(|step| self.step(&step.action).map_err(|what| ((step.number, step.text.clone()), what)))
    }

    fn step(&mut self, action: &'a Action) -> Result<(), String> {
        match action {
            Action::Client { id, constructor, options, env, expect } => {
                let command = self.client(id, constructor, options, env)?;
                let answer = self.ask(&command)?;
                self.judge(&answer, expect)
            }
            Action::Call { call, start: Start::AndWait(expect) } => {
                let until = Instant::now() + Duration::from_millis(call.for_ms.unwrap_or_default());
                loop {
                    let name = self.start(call)?;
                    let answer = self.ask(&["wait".to_owned(), name])?;
                    self.judge(&answer, expect)?;
                    if Instant::now() >= until {
                        return Ok(());
                    }
                }
            }
            Action::Call { call, start: Start::As(name, count) } => {
                let names = (0..*count).map(|_| self.start(call)).collect::<Result<Vec<_>, _>>()?;
                self.calls.insert(name, names);
                Ok(())
            }
            Action::Wait { call, same, expect } => self.wait(call, same, expect),
            Action::Cancel { call } => {
                let names = self.calls[call.as_str()].clone();
                names.into_iter().try_for_each(|name| self.ask_ok(&["cancel".to_owned(), name]))
            }
            Action::InvalidateToken { client, token, expect } => {
                let token = self.variables.text(token)?;
                let answer =
                    self.ask(&["invalidate_token".to_owned(), encode(client.as_bytes()), encode(token.as_bytes())])?;
                self.judge(&answer, expect)
            }
            Action::Stats { client, expect } => {
                let mut answer = self.ask(&["stats".to_owned(), encode(client.as_bytes())])?;
                for value in answer.fields.values_mut() {
                    let number = value.as_str().and_then(|text| text.parse::<u64>().ok());
                    *value = number.map(Value::from).ok_or_else(|| format!("a counter is {value}"))?;
                }
                self.judge(&answer, expect)
            }
            Action::Describe { client, expect } => {
                let answer = self.ask(&["describe".to_owned(), encode(client.as_bytes())])?;
                self.check_secrets("describe", &answer.fields)?;
                self.judge(&answer, expect)
            }
            Action::Close { client } => self.ask_ok(&["close".to_owned(), encode(client.as_bytes())]),
            Action::Advance { ms, library, sandbox } => {
                if *sandbox {
                    self.space.command("advance", &json!({"ms": ms}), self.deadline)?;
                }
                if *library { self.ask_ok(&["advance".to_owned(), ms.to_string()]) } else { Ok(()) }
            }
            Action::Await { counters } => self.space.wait(counters, self.deadline),
            Action::Release { hold } => self.space.command("release", &json!({"hold": hold}), self.deadline),
            Action::Settings { settings } => self.space.change(&self.variables.value(settings)?, self.deadline),
            Action::Command { name } => self.space.command(name, &json!({}), self.deadline),
            Action::ExpectSandbox { report } => {
                let pattern = self.variables.value(report)?;
                compare("sandbox", &pattern, Some(&self.space.report(self.deadline)?))
            }
            Action::Repeat { times, steps } => (1..=*times).try_for_each(|round| {
                self.steps_in_order(steps)
                    .map_err(|((number, text), what)| format!("round {round}, step {number} {text}: {what}"))
            }),
        }
    }

    /// The command that makes a client: the scenario's options over the constructor's defaults.
    fn client(
        &mut self,
        id: &str,
        constructor: &str,
        given: &Map<String, Value>,
        env: &[(String, String)],
    ) -> Result<Vec<String>, String> {
        let base = self.variables.text("${base}")?;
        let (client_id, client_secret) = if constructor == "keycloak" { KEYCLOAK_CLIENT } else { ATLAS_CLIENT };
        let mut options = match constructor {
            "atlas" => json!({"base_url": base}),
            "plain" => json!({"base_url": base, "token_url": format!("{base}/api/oauth/token")}),
            "keycloak" => json!({"server_url": base, "realm": "demo"}),
            "from_env" => json!({}),
            _ => return Err(format!("unknown constructor {constructor}")),
        };
        if constructor != "from_env" {
            options["client_id"] = client_id.into();
            options["client_secret"] = client_secret.into();
        }
        if self.scenario.tls {
            options["ca_file"] = self.variables.text("${ca_file}")?.into();
        }
        for (name, value) in given {
            options[name.split('!').next().unwrap_or_default()] = Value::Null;
            options[name] = self.variables.value(value)?;
        }
        let mut command = vec!["client".to_owned(), encode(id.as_bytes()), pair("constructor", constructor)];
        for (name, value) in env {
            let value = self.variables.text(value)?;
            if name.ends_with("_SECRET") || name.ends_with("_TOKEN") {
                self.secrets.push(value.clone());
            }
            command.push(pair(&format!("env.{name}"), &value));
        }
        for (name, value) in options.as_object().into_iter().flatten() {
            let is_secret = name.starts_with("client_secret") && !name.contains("_file") || name == "access_token";
            if let (true, Some(secret)) = (is_secret, value.as_str()) {
                self.secrets.push(secret.to_owned());
            }
            push_option(&mut command, name, value)?;
        }
        Ok(command)
    }

    /// Starts a call and returns the driver's name of it.
    fn start(&mut self, call: &Call) -> Result<String, String> {
        self.started += 1;
        let name = format!("call.{}", self.started);
        let mut command = vec![call.kind.to_owned(), name.clone(), encode(call.client.as_bytes())];
        if let Some((method, url)) = &call.target {
            command.push(encode(self.variables.text(method)?.as_bytes()));
            command.push(encode(self.variables.text(url)?.as_bytes()));
        }
        for (name, value) in &call.options {
            let value = self.variables.value(value)?;
            match name.as_str() {
                "json" => command.push(pair("json", &value.to_string())),
                "query" => push_option(&mut command, "query", &value)?,
                _ => push_option(&mut command, name, &value)?,
            }
        }
        self.ask_ok(&command)?;
        Ok(name)
    }

    /// Waits for every call of that name; each has to meet the expectation.
    fn wait(&mut self, call: &str, same: &[String], expect: &Expect) -> Result<(), String> {
        let mut first: Option<Answer> = None;
        for (index, name) in self.calls[call].clone().into_iter().enumerate() {
            let answer = self.ask(&["wait".to_owned(), name])?;
            let name = format!("{call}.{}", index + 1);
            self.judge(&answer, expect).map_err(|error| format!("call {name}: {error}"))?;
            if let Some(first) = &first {
                for field in same {
                    compare(&format!("call {name}: {field}"), &first.fields[field], answer.fields.get(field))?;
                }
            } else {
                if let Some(field) = same.iter().find(|field| !answer.fields.contains_key(*field)) {
                    return Err(format!("call {name} has no {field}"));
                }
                first = Some(answer);
            }
        }
        Ok(())
    }

    fn ask(&mut self, command: &[String]) -> Result<Answer, String> {
        let answer = self.driver.ask(command, self.deadline)?;
        match answer.outcome.as_str() {
            "ok" | "error" => Ok(answer),
            outcome => Err(format!("the driver answers {outcome} {}", Value::Object(answer.fields))),
        }
    }

    fn ask_ok(&mut self, command: &[String]) -> Result<(), String> {
        let answer = self.ask(command)?;
        self.judge(&answer, &Expect::default())
    }

    fn judge(&mut self, answer: &Answer, expect: &Expect) -> Result<(), String> {
        let fields = &answer.fields;
        let got = || format!("{} {}", answer.outcome, shorten(&Value::Object(fields.clone()).to_string()));
        match &expect.error {
            None if answer.outcome != "ok" => return Err(format!("expected ok, got {}", got())),
            None => {}
            Some((code, name)) => {
                let right = answer.outcome == "error"
                    && fields.get("code") == Some(&json!(code))
                    && fields.get("name") == Some(&json!(name));
                if !right {
                    return Err(format!("expected error {code} {name}, got {}", got()));
                }
                compare("message", &json!({"$length": {"$at_least": 1}}), fields.get("message"))?;
                self.check_secrets("the error", fields)?;
            }
        }
        let only = expect.only.iter().filter(|(language, _)| language == self.language).flat_map(|(_, fields)| fields);
        for (field, pattern) in expect.fields.iter().chain(only) {
            compare(field, &self.variables.value(pattern)?, fields.get(field))
                .map_err(|error| format!("{error}, in {}", got()))?;
        }
        if let Some(token) = fields.get("token").and_then(Value::as_str) {
            self.secrets.push(token.to_owned());
        }
        for (field, variable) in &expect.save {
            let value = fields.get(field).ok_or_else(|| format!("there is no {field} to save in {}", got()))?;
            self.variables.set(variable, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        Ok(())
    }

    fn check_secrets(&self, place: &str, fields: &Map<String, Value>) -> Result<(), String> {
        fields.values().filter_map(Value::as_str).try_for_each(|text| self.check_leak(place, text))
    }

    fn check_stderr(&mut self) -> Result<(), String> {
        let stderr = self.driver.stderr();
        self.check_leak("the standard error", &stderr)
    }

    fn check_leak(&self, place: &str, text: &str) -> Result<(), String> {
        let leaked =
            self.secrets.iter().any(|secret| secret.len() >= SHORTEST_SECRET && text.contains(secret.as_str()));
        if leaked { Err(format!("{place} shows a secret: {}", shorten(text))) } else { Ok(()) }
    }
}

/// Writes an option as the fields of the protocol: null is left out, lists repeat, members become `name.member`.
fn push_option(command: &mut Vec<String>, name: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => {}
        // The value of a bytes option need not be UTF-8, so scenarios write it percent-encoded.
        Value::String(text) if name.ends_with("!bytes") => command.push(format!("{}={text}", encode(name.as_bytes()))),
        Value::String(text) => command.push(pair(name, text)),
        Value::Bool(_) | Value::Number(_) => command.push(pair(name, &value.to_string())),
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Array(_) | Value::Object(_) => {
                        return Err(format!("{name} is nested too deeply"));
                    }
                    _ => push_option(command, name, item)?,
                }
            }
        }
        Value::Object(members) => {
            for (member, item) in members {
                push_option(command, &format!("{name}.{member}"), item)?;
            }
        }
    }
    Ok(())
}

/// A sandbox report for people: the counters, then one line for each of the last requests, without headers and token texts.
fn outline(report: &Value) -> String {
    let mut report = report.clone();
    let log = report.as_object_mut().and_then(|members| members.shift_remove("log")).unwrap_or_default();
    let mut text = report.to_string();
    let log = log.as_array().map(Vec::as_slice).unwrap_or_default();
    for entry in &log[log.len().saturating_sub(SHOWN_REQUESTS)..] {
        let word = |key: &str| entry[key].as_str().unwrap_or_default();
        text.push_str(&format!(
            "\n    {} on connection {}{}: {} {} {} {} -> {}, token {}",
            entry["n"],
            entry["connection"],
            if entry["tls"] == true { " (tls)" } else { "" },
            word("method"),
            word("path"),
            word("query"),
            shorten(word("body")),
            entry["status"],
            entry["token"],
        ));
    }
    text
}
