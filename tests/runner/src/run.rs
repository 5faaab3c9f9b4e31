//! One scenario in one language: a fresh driver against a fresh space.

use crate::driver::{Answer, Driver};
use crate::expectation::{compare, shorten};
use crate::files;
use crate::leak::Secrets;
use crate::line::{encode, pair};
use crate::sandbox::{Sandbox, Space};
use crate::scenario::{Action, Call, Expect, FOREIGN, Scenario, Start, Step};
use crate::variables::Variables;
use serde_json::{Map, Value, json};
use std::cmp::min;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

/// The sandbox's default Atlas client.
const ATLAS_CLIENT: (&str, &str) =
    ("mdb_sa_id_0123456789abcdef01234567", "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox");
/// The sandbox's default Keycloak client, in realm `demo`.
const KEYCLOAK_CLIENT: (&str, &str) = ("app", "app-secret-app-secret-app-secret");

/// How long events may be on their way.
const EVENTS_LIMIT: Duration = Duration::from_secs(5);

/// What is the same for all scenarios.
#[derive(Debug)]
pub struct Setting<'a> {
    /// Where spaces are made.
    pub sandbox: &'a Sandbox,
    /// Variables.
    pub variables: Variables,
    /// The option `cache` of clients that are not told otherwise.
    pub cache: Option<String>,
    /// Whether drivers show all that a program might print, to be searched for secrets.
    pub loud: bool,
}

/// What was searched for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Searched {
    /// Bytes of output.
    pub bytes: usize,
    /// Secrets.
    pub secrets: usize,
}

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
    secrets: Secrets,
    cache: Option<String>,
    loud: bool,
    /// Clients that were made.
    clients: BTreeSet<&'a str>,
    /// Every event so far, of all clients, to be searched for secrets when all are known.
    events: Vec<Map<String, Value>>,
    deadline: Instant,
}

/// Runs a scenario. `folder` is new and empty, and the scenario's own.
pub fn run(
    scenario: &Scenario,
    language: &str,
    command_line: &str,
    setting: &Setting<'_>,
    folder: &Path,
) -> Result<Searched, Box<Failure>> {
    let deadline = Instant::now() + scenario.time_limit;
    let mut run = Run::prepare(scenario, language, command_line, setting, folder, deadline)
        .map_err(|what| Box::new(Failure { step: None, what, stderr: String::new(), report: String::new() }))?;
    let (step, what) = match run.steps() {
        Ok(()) => match run.end() {
            Ok(searched) => return Ok(searched),
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
        setting: &Setting<'_>,
        folder: &Path,
        deadline: Instant,
    ) -> Result<Self, String> {
        for (name, text) in &scenario.files {
            std::fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        let mut variables = setting.variables.clone();
        variables.set("dir", folder.display().to_string());
        variables.set("client_id", ATLAS_CLIENT.0);
        variables.set("client_secret", ATLAS_CLIENT.1);
        let space = setting.sandbox.space(&variables.value(&scenario.sandbox)?, deadline)?;
        variables.set("base", if scenario.tls { &space.https } else { &space.http });
        for (name, origin) in [("http", &space.http), ("https", &space.https)] {
            variables.set(name, origin);
            let port = origin.rsplit(':').next().unwrap_or_default();
            variables.set(&format!("{name}_port"), port);
        }
        variables.set("proxy", space.proxy.as_str());
        let mut secrets = Secrets::default();
        for public in [ATLAS_CLIENT.0, &space.http, &space.https, &folder.display().to_string()] {
            secrets.add_public(public);
        }
        let driver = Driver::start(command_line, folder, setting.loud)?;
        Ok(Self {
            scenario,
            language,
            driver,
            space,
            variables,
            calls: HashMap::new(),
            started: 0,
            secrets,
            cache: setting.cache.clone(),
            loud: setting.loud,
            clients: BTreeSet::new(),
            events: Vec::new(),
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
                if answer.outcome == "ok" {
                    self.clients.insert(id);
                }
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
            Action::ClearCache { client, expect } => {
                let answer = self.ask(&["clear_cache".to_owned(), encode(client.as_bytes())])?;
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
            Action::Events { client, expect } => self.expect_events(client, expect),
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
            Action::ExpectFiles { report } => {
                let folder = self.variables.text("${dir}")?;
                compare("files", &self.variables.value(report)?, Some(&files::report(folder.as_ref())?))
            }
            Action::Write { file, text } => self.write(file, text.as_deref()),
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
        let of_keycloak = matches!(constructor, "keycloak" | "issuer");
        let (client_id, client_secret) = if of_keycloak { KEYCLOAK_CLIENT } else { ATLAS_CLIENT };
        let mut options = match constructor {
            "atlas" => json!({"base_url": base}),
            "plain" => json!({"base_url": base, "token_url": format!("{base}/api/oauth/token")}),
            "keycloak" => json!({"server_url": base, "realm": "demo"}),
            "issuer" => json!({"issuer": format!("{base}/realms/demo"), "base_url": base}),
            "from_env" => json!({}),
            _ => return Err(format!("unknown constructor {constructor}")),
        };
        if constructor != "from_env" {
            options["client_id"] = client_id.into();
            options["client_secret"] = client_secret.into();
        }
        if let Some(cache) = &self.cache {
            options["cache"] = cache.as_str().into();
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
            if name.ends_with("_SECRET") || name.ends_with("_SECRET_2") || name.ends_with("_ACCESS_TOKEN") {
                self.secrets.add(&value);
            } else if name.to_uppercase().ends_with("_PROXY") {
                self.add_proxy(&value);
            } else if name.ends_with("_KEY") {
                self.secrets.add_key(&value);
            } else if name.ends_with("_KEY_FILE") {
                self.add_key_file(&value);
            }
            command.push(pair(&format!("env.{name}"), &value));
        }
        for (name, value) in options.as_object().into_iter().flatten() {
            match (name.split('!').next(), value.as_str()) {
                (Some("client_secret" | "client_secret_2" | "access_token"), Some(secret)) => self.secrets.add(secret),
                (Some("proxy"), Some(proxy)) => self.add_proxy(proxy),
                (Some("private_key"), Some(key)) => self.secrets.add_key(key),
                (Some("private_key_file" | "client_key_file"), Some(path)) => self.add_key_file(path),
                (Some("client_id"), Some(public)) => self.secrets.add_public(public),
                _ => {}
            }
            push_option(&mut command, name, value)?;
        }
        Ok(command)
    }

    /// A proxy's URL may hold a password, which is none of the library's to show.
    fn add_proxy(&mut self, url: &str) {
        let credential = url.rsplit_once('@').map(|(before, _)| before.rsplit('/').next().unwrap_or(before));
        if let Some((user, password)) = credential.and_then(|credential| credential.split_once(':')) {
            self.secrets.add(password);
            self.secrets.add(&format!("{user}:{password}"));
        }
    }

    /// A key that no client can read is a secret all the same; one that is not there is none.
    fn add_key_file(&mut self, path: &str) {
        if let Ok(text) = std::fs::read_to_string(path) {
            self.secrets.add_key(&text);
        }
    }

    /// Starts a call and returns the driver's name of it.
    fn start(&mut self, call: &Call) -> Result<String, String> {
        self.started += 1;
        let name = format!("call.{}", self.started);
        let mut command = vec![call.kind.to_owned(), name.clone(), encode(call.client.as_bytes())];
        for word in &call.target {
            command.push(encode(self.variables.text(word)?.as_bytes()));
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

    /// Replaces a secret file, as a careful program does, or removes it.
    fn write(&mut self, file: &str, text: Option<&str>) -> Result<(), String> {
        let path = self.variables.text(&format!("${{dir}}/{file}"))?;
        let failed = |error: std::io::Error| format!("{path}: {error}");
        let Some(text) = text else { return std::fs::remove_file(&path).map_err(failed) };
        let text = self.variables.text(text)?;
        text.lines().for_each(|line| self.secrets.add(line));
        let next = format!("{path}.next");
        std::fs::write(&next, text).and_then(|()| std::fs::rename(next, &path)).map_err(failed)
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

    /// Takes events until as many have come as are expected: some come from a thread that nobody waits for.
    fn expect_events(&mut self, client: &str, expect: &Value) -> Result<(), String> {
        let pattern = self.variables.value(expect)?;
        let until = min(self.deadline, Instant::now() + EVENTS_LIMIT);
        let mut events = Vec::new();
        loop {
            events.extend(self.take_events(client)?.into_iter().map(Value::Object));
            let actual = Value::Array(events.clone());
            let outcome = compare("events", &pattern, Some(&actual));
            let all_came = pattern.as_array().is_some_and(|pattern| events.len() >= pattern.len());
            if outcome.is_ok() || all_came || Instant::now() >= until {
                return outcome.map_err(|error| format!("{error}, in {actual}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn take_events(&mut self, client: &str) -> Result<Vec<Map<String, Value>>, String> {
        let answer = self.ask(&["events".to_owned(), encode(client.as_bytes())])?;
        if answer.outcome != "ok" {
            return Err(format!("events are answered by {}", answer.outcome));
        }
        let events = events_of(&answer)?;
        self.events.extend(events.iter().cloned());
        Ok(events)
    }

    /// No event of any client shows a secret, whether the scenario looked at it or not.
    fn check_events(&mut self) -> Result<(), String> {
        for client in std::mem::take(&mut self.clients) {
            self.take_events(client)?;
        }
        self.events.iter().try_for_each(|event| self.check_secrets("a log event", event))
    }

    fn ask(&mut self, command: &[String]) -> Result<Answer, String> {
        let answer = self.driver.ask(command, self.deadline)?;
        match answer.outcome.as_str() {
            "ok" | "error" | "foreign" => Ok(answer),
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
        let only = expect.only.iter().filter(|(language, _)| language == self.language).flat_map(|(_, fields)| fields);
        let (foreign, only): (Vec<_>, Vec<_>) = only.partition(|(field, _)| field == FOREIGN);
        if let [(_, text)] = foreign[..] {
            if answer.outcome != "foreign" {
                return Err(format!("expected what is not svctoken's, got {}", got()));
            }
            return compare("message", text, fields.get("message"));
        }
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
        for (field, pattern) in expect.fields.iter().chain(only) {
            compare(field, &self.variables.value(pattern)?, fields.get(field))
                .map_err(|error| format!("{error}, in {}", got()))?;
        }
        if let Some(token) = fields.get("token").and_then(Value::as_str) {
            self.secrets.add(token);
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

    /// Ends the driver, and searches what it said with all the secrets that are known by then.
    fn end(&mut self) -> Result<Searched, String> {
        self.secrets.add_carried(&self.space.report(self.deadline)?);
        self.check_events()?;
        self.driver.quit(self.deadline)?;
        let stderr = self.driver.stderr();
        if self.loud && stderr.is_empty() {
            return Err("the driver is to be loud, and its standard error is empty".to_owned());
        }
        self.check_leak("the standard error", &stderr)?;
        Ok(Searched { bytes: stderr.len(), secrets: self.secrets.count() })
    }

    fn check_leak(&self, place: &str, text: &str) -> Result<(), String> {
        let Some(part) = self.secrets.find_in(text) else { return Ok(()) };
        let line = text.lines().find(|line| line.contains(&part)).unwrap_or(text);
        Err(format!("{place} shows {part:?}, a part of a secret: {}", shorten(line)))
    }
}

/// The events in an answer, from fields such as `0.name`. Times become numbers; all else is text in every language.
fn events_of(answer: &Answer) -> Result<Vec<Map<String, Value>>, String> {
    let mut events: Vec<Map<String, Value>> = Vec::new();
    for (field, value) in &answer.fields {
        let wrong = || format!("{field:?} is no field of an event that comes now");
        let (number, key) = field.split_once('.').ok_or_else(wrong)?;
        let number: usize = number.parse().map_err(|_| wrong())?;
        if number == events.len() {
            events.push(Map::new());
        }
        if number + 1 != events.len() {
            return Err(wrong());
        }
        let time = || value.as_str().and_then(|text| text.parse::<u64>().ok()).map(Value::from);
        let value = if key.ends_with("_ms") { time().ok_or_else(wrong)? } else { value.clone() };
        events[number].insert(key.to_owned(), value);
    }
    for event in &events {
        let mut keys = event.keys().map(String::as_str);
        if [keys.next(), keys.next(), keys.next()] != [Some("severity"), Some("name"), Some("message")] {
            return Err(format!(
                "an event begins with severity, name and message, unlike {}",
                Value::Object(event.clone())
            ));
        }
    }
    Ok(events)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: Value) -> Result<Vec<Map<String, Value>>, String> {
        let Value::Object(fields) = fields else { panic!("a test gives an object") };
        events_of(&Answer { outcome: "ok".to_owned(), fields })
    }

    #[test]
    fn events_are_read_from_numbered_fields() {
        assert_eq!(read(json!({})), Ok(Vec::new()));
        let first = ["0.severity", "0.name", "0.message"].map(|key| (key.to_owned(), json!("x")));
        let with = |key: &str, value: &str| {
            let mut fields: Map<String, Value> = first.clone().into_iter().collect();
            fields.insert(key.to_owned(), value.into());
            read(Value::Object(fields))
        };
        let event = json!({"severity": "x", "name": "x", "message": "x", "took_ms": 5});
        assert_eq!(with("0.took_ms", "5"), Ok(vec![event.as_object().expect("an object").clone()]));
        for (key, value) in
            [("0.took_ms", "5.0"), ("1.reason", "x"), ("2.severity", "x"), ("reason", "x"), ("x.y", "x")]
        {
            assert!(with(key, value).is_err(), "{key}={value}");
        }
    }
}
