//! Scenario files, read strictly: an unknown key, matcher, field or error is refused, so that no slip of the pen
//! turns an expectation into nothing. The format is described in tests/scenarios/README.md.

use crate::expectation;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

mod fields;
use fields::Fields;

/// The languages a driver may exist for.
pub const LANGUAGES: [&str; 5] = ["rust", "c", "cpp", "python", "node"];

const TIME_LIMIT: Duration = Duration::from_secs(20);

/// One scenario file.
#[derive(Debug)]
pub struct Scenario {
    /// From the file's name; unique.
    pub number: u32,
    /// The file's name without `.json`.
    pub name: String,
    /// What a user relies on.
    pub about: String,
    /// The promises it stands for, such as `P3`.
    pub promises: Vec<String>,
    /// The languages that can show it; all unless told.
    pub languages: Vec<String>,
    /// Why not all languages.
    pub why: Option<String>,
    /// Real time after which the driver is killed.
    pub time_limit: Duration,
    /// Settings of the sandbox space.
    pub sandbox: Value,
    /// Whether `${base}` is the space's https origin.
    pub tls: bool,
    /// Files written into `${dir}` first: name and text.
    pub files: Vec<(String, String)>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One step, with the number people count it by.
#[derive(Debug)]
pub struct Step {
    /// 1 for the first.
    pub number: usize,
    /// The step as it stands in the file.
    pub text: String,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are the keys of tests/scenarios/README.md")]
pub enum Action {
    Client { id: String, constructor: String, options: Map<String, Value>, env: Vec<(String, String)>, expect: Expect },
    Call { call: Call, start: Start },
    Wait { call: String, same: Vec<String>, expect: Expect },
    Cancel { call: String },
    InvalidateToken { client: String, token: String, expect: Expect },
    ClearCache { client: String, expect: Expect },
    Stats { client: String, expect: Expect },
    Describe { client: String, expect: Expect },
    Events { client: String, expect: Value },
    Close { client: String },
    Advance { ms: u64, library: bool, sandbox: bool },
    Await { counters: Value },
    Release { hold: String },
    Settings { settings: Value },
    Command { name: &'static str },
    ExpectSandbox { report: Value },
    ExpectFiles { report: Value },
    Repeat { times: u64, steps: Vec<Step> },
    Write { file: String, text: Option<String> },
}

/// A call of the library that a driver runs on a thread of its own.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are the keys of tests/scenarios/README.md")]
pub struct Call {
    pub kind: &'static str,
    pub client: String,
    /// Method and URL of a request; the URL of a list.
    pub target: Vec<String>,
    pub options: Map<String, Value>,
    /// Called again and again for this much real time, each time with the same expectation.
    pub for_ms: Option<u64>,
}

/// Whether a call step waits.
#[derive(Debug)]
pub enum Start {
    /// The call is waited for at once.
    AndWait(Expect),
    /// The call, or this many, go on under a name.
    As(String, usize),
}

/// The expected outcome of a call.
#[derive(Debug, Default)]
pub struct Expect {
    /// The error's code and name; `None`: it works.
    pub error: Option<(u16, String)>,
    /// Fields of the answer and their patterns.
    pub fields: Vec<(String, Value)>,
    /// More fields, for one language each.
    pub only: Vec<(String, Vec<(String, Value)>)>,
    /// Fields to keep: field and variable.
    pub save: Vec<(String, String)>,
}

/// In the expectation for one language: what was thrown is not svctoken's, and has this text.
pub const FOREIGN: &str = "foreign";
const TOKEN_FIELDS: &[&str] = &["token", "elapsed_ms"];
const TOKEN_INFO_FIELDS: &[&str] = &["token", "token_type", "scope", "expires_in_ms", "elapsed_ms"];
const REVOKE_FIELDS: &[&str] = &["result", "elapsed_ms"];
const INTROSPECT_FIELDS: &[&str] = &["body", "json", "elapsed_ms"];
const REQUEST_FIELDS: &[&str] = &[
    "status",
    "attempts",
    "url",
    "body",
    "body_length",
    "body_sha256",
    "text",
    "received",
    "json",
    "headers",
    "streamed",
    "matches",
    "growth_kib",
    "progress_first",
    "progress_last",
    "elapsed_ms",
];
const PAGES_FIELDS: &[&str] = &["count", "urls", "status", "body", "received", "json", "elapsed_ms"];
const ITEMS_FIELDS: &[&str] = &["count", "body", "json", "elapsed_ms"];
const ERROR_FIELDS: &[&str] = &[
    "message",
    "stage",
    "status",
    "oauth_error",
    "oauth_error_description",
    "api_error_code",
    "retry_after_ms",
    "class",
    "streamed",
    "matches",
    "growth_kib",
    "progress_first",
    "progress_last",
    "count",
    "elapsed_ms",
];

/// Reads every scenario of a folder, in the order of their numbers.
pub fn read_folder(folder: &Path) -> Result<Vec<Scenario>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut scenarios = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            scenarios.push(read_file(&path)?);
        }
    }
    scenarios.sort_by_key(|scenario| scenario.number);
    for pair in scenarios.windows(2) {
        if pair[0].number == pair[1].number {
            return Err(format!("{} and {} have one number", pair[0].name, pair[1].name));
        }
    }
    Ok(scenarios)
}

fn read_file(path: &Path) -> Result<Scenario, String> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a file name is not UTF-8")?.to_owned();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    parse(&name, &text).map_err(|error| format!("{name}: {error}"))
}

/// Reads one scenario; `name` is its file name without `.json`.
pub fn parse(name: &str, text: &str) -> Result<Scenario, String> {
    let number =
        name.split_once('-').and_then(|(number, _)| number.parse().ok()).ok_or("a file is named NN-name.json")?;
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut fields = Fields::of("the scenario", value)?;
    let about = fields.text("about")?;
    let promises = fields.optional_texts("promises")?;
    for promise in &promises {
        if !(1..=15).any(|number| *promise == format!("P{number}")) {
            return Err(format!("unknown promise {promise}"));
        }
    }
    let languages = fields.optional_texts("languages")?;
    if let Some(unknown) = languages.iter().find(|language| !LANGUAGES.contains(&language.as_str())) {
        return Err(format!("unknown language {unknown}"));
    }
    let why = fields.optional_text("why")?;
    if languages.is_empty() != why.is_none() {
        return Err("\"languages\" and \"why\" come together".to_owned());
    }
    let languages = if languages.is_empty() { LANGUAGES.map(str::to_owned).to_vec() } else { languages };
    let time_limit = fields.optional_number("time_limit_ms")?.map_or(TIME_LIMIT, Duration::from_millis);
    let sandbox = fields.optional_object("sandbox")?;
    let tls = fields.optional_flag("tls")?;
    let files = fields.optional_text_map("files")?;
    let Some(Value::Array(steps)) = fields.take("steps") else {
        return Err("\"steps\" is missing".to_owned());
    };
    fields.end()?;
    let steps = read_steps(steps)?;
    check_names(&steps)?;
    Ok(Scenario {
        number,
        name: name.to_owned(),
        about,
        promises,
        languages,
        why,
        time_limit,
        sandbox: Value::Object(sandbox),
        tls,
        files,
        steps,
    })
}

fn read_steps(steps: Vec<Value>) -> Result<Vec<Step>, String> {
    let read = |(index, value): (usize, Value)| {
        let text = value.to_string();
        let action = action(value).map_err(|error| format!("step {}: {error}", index + 1))?;
        Ok(Step { number: index + 1, text, action })
    };
    steps.into_iter().enumerate().map(read).collect()
}

fn action(value: Value) -> Result<Action, String> {
    let mut fields = Fields::of("a step", value)?;
    fields.optional_text("note")?;
    let verb = fields.verb()?;
    let action = match verb {
        "client" => Action::Client {
            id: fields.text(verb)?,
            constructor: fields.optional_text("constructor")?.unwrap_or_else(|| "atlas".to_owned()),
            options: fields.optional_object("options")?,
            env: fields.optional_text_map("env")?,
            expect: expect(&mut fields, &[])?,
        },
        "get_token" => call(&mut fields, verb, TOKEN_FIELDS)?,
        "get_token_info" => call(&mut fields, verb, TOKEN_INFO_FIELDS)?,
        "revoke" => call(&mut fields, verb, REVOKE_FIELDS)?,
        "introspect" => call(&mut fields, verb, INTROSPECT_FIELDS)?,
        "request" => call(&mut fields, verb, REQUEST_FIELDS)?,
        "pages" => call(&mut fields, verb, PAGES_FIELDS)?,
        "items" => call(&mut fields, verb, ITEMS_FIELDS)?,
        "wait" => Action::Wait {
            call: fields.text(verb)?,
            same: fields.optional_texts("same")?,
            expect: expect(
                &mut fields,
                &[TOKEN_FIELDS, TOKEN_INFO_FIELDS, REVOKE_FIELDS, REQUEST_FIELDS, PAGES_FIELDS].concat(),
            )?,
        },
        "cancel" => Action::Cancel { call: fields.text(verb)? },
        "invalidate_token" => Action::InvalidateToken {
            client: fields.text(verb)?,
            token: fields.text("token")?,
            expect: expect(&mut fields, &["result"])?,
        },
        "clear_cache" => Action::ClearCache { client: fields.text(verb)?, expect: expect(&mut fields, &[])? },
        "stats" => Action::Stats { client: fields.text(verb)?, expect: any_field_expect(&mut fields)? },
        "describe" => Action::Describe { client: fields.text(verb)?, expect: expect(&mut fields, &["text"])? },
        "events" => {
            let client = fields.text(verb)?;
            let expect = fields.take("expect").ok_or("\"events\" wants \"expect\"")?;
            let includes = expect.as_object().is_some_and(|members| members.contains_key("$includes"));
            if !expect.is_array() && !includes {
                return Err(format!("\"expect\" of events is an array or $includes, not {expect}"));
            }
            expectation::check(&expect)?;
            Action::Events { client, expect }
        }
        "close" => Action::Close { client: fields.text(verb)? },
        "advance_ms" => {
            let ms = fields.optional_number(verb)?.unwrap_or_default();
            match fields.optional_text("only")?.as_deref() {
                None => Action::Advance { ms, library: true, sandbox: true },
                Some("library") => Action::Advance { ms, library: true, sandbox: false },
                Some("sandbox") => Action::Advance { ms, library: false, sandbox: true },
                Some(other) => return Err(format!("\"only\" is library or sandbox, not {other}")),
            }
        }
        "await" => {
            let counters = Value::Object(fields.optional_object(verb)?);
            check_awaited(&counters)?;
            Action::Await { counters }
        }
        "release" => Action::Release { hold: fields.text(verb)? },
        "settings" => Action::Settings { settings: Value::Object(fields.optional_object(verb)?) },
        "sandbox" => {
            let name = fields.text(verb)?;
            let known = ["reset_connections", "close_connections", "revoke_tokens"];
            let name =
                known.into_iter().find(|known| *known == name).ok_or(format!("unknown sandbox command {name}"))?;
            Action::Command { name }
        }
        "expect_sandbox" => {
            let report = Value::Object(fields.optional_object(verb)?);
            expectation::check(&report)?;
            Action::ExpectSandbox { report }
        }
        "expect_files" => {
            let report = Value::Object(fields.optional_object(verb)?);
            expectation::check(&report)?;
            Action::ExpectFiles { report }
        }
        "repeat" => {
            let times = fields.optional_number(verb)?.unwrap_or_default();
            match fields.take("steps") {
                Some(Value::Array(steps)) if times > 0 => Action::Repeat { times, steps: read_steps(steps)? },
                _ => return Err("\"repeat\" is a number above 0 and wants \"steps\"".to_owned()),
            }
        }
        "write" => Action::Write { file: fields.text(verb)?, text: fields.optional_text("text")? },
        _ => return Err(format!("unknown step {verb}")),
    };
    fields.end()?;
    Ok(action)
}

fn call(fields: &mut Fields, kind: &'static str, known: &[&str]) -> Result<Action, String> {
    let client = fields.text(kind)?;
    let target = match kind {
        "request" => vec![fields.optional_text("method")?.unwrap_or_else(|| "GET".to_owned()), fields.text("url")?],
        "pages" | "items" => vec![fields.text("url")?],
        _ => Vec::new(),
    };
    let options = fields.optional_object("options")?;
    let for_ms = fields.optional_number("for_ms")?;
    let start = match fields.optional_text("start")? {
        Some(_) if for_ms.is_some() => return Err("\"for_ms\" and \"start\" do not go together".to_owned()),
        Some(name) => Start::As(name, fields.optional_number("count")?.map_or(1, |count| count as usize)),
        None => Start::AndWait(expect(fields, known)?),
    };
    Ok(Action::Call { call: Call { kind, client, target, options, for_ms }, start })
}

fn expect(fields: &mut Fields, known: &[&str]) -> Result<Expect, String> {
    let mut members = fields.optional_object("expect")?;
    let error = match members.shift_remove("error") {
        None => None,
        Some(Value::String(text)) => {
            let parts = text.split_once(' ').and_then(|(code, name)| Some((code.parse().ok()?, name.to_owned())));
            Some(parts.ok_or("\"error\" is written like \"20 timeout\"")?)
        }
        Some(_) => return Err("\"error\" is written like \"20 timeout\"".to_owned()),
    };
    let known = if error.is_some() { ERROR_FIELDS } else { known };
    let save = match members.shift_remove("save") {
        None => Vec::new(),
        Some(value) => fields::text_map("save", value)?,
    };
    if let Some((unknown, _)) = save.iter().find(|(field, _)| !known.contains(&field.as_str())) {
        return Err(format!("\"save\" of an unknown field {unknown}"));
    }
    let mut only = Vec::new();
    for language in LANGUAGES {
        if let Some(value) = members.shift_remove(language) {
            let Value::Object(members) = value else {
                return Err(format!("{language:?} is an object"));
            };
            only.push((language.to_owned(), patterns(members, &[known, &[FOREIGN]].concat())?));
        }
    }
    Ok(Expect { error, fields: patterns(members, known)?, only, save })
}

fn any_field_expect(fields: &mut Fields) -> Result<Expect, String> {
    let members = fields.optional_object("expect")?;
    let known: Vec<String> = members.keys().cloned().collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Ok(Expect { fields: patterns(members, &known)?, ..Expect::default() })
}

fn patterns(members: Map<String, Value>, known: &[&str]) -> Result<Vec<(String, Value)>, String> {
    for (field, pattern) in &members {
        if !known.contains(&field.as_str()) {
            return Err(format!("unknown field {field:?} in \"expect\""));
        }
        expectation::check(pattern)?;
    }
    Ok(members.into_iter().collect())
}

/// Every client and call is named before it is used, and no started call is forgotten.
fn check_names(steps: &[Step]) -> Result<(), String> {
    check_names_after(steps, &mut BTreeSet::new(), &mut BTreeSet::new())
}

/// The same, after steps that made these clients and started these calls.
fn check_names_after<'a>(
    steps: &'a [Step],
    clients: &mut BTreeSet<&'a str>,
    calls: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    let mut open = BTreeSet::new();
    for step in steps {
        // A call started in there is waited for in there: the next round starts it anew.
        if let Action::Repeat { steps, .. } = &step.action {
            check_names_after(steps, clients, calls).map_err(|error| format!("step {}: {error}", step.number))?;
            continue;
        }
        let (client, call) = match &step.action {
            Action::Client { id, .. } => {
                clients.insert(id.as_str());
                (None, None)
            }
            Action::Call { call, start } => {
                if let Start::As(name, _) = start {
                    if !calls.insert(name.as_str()) {
                        return Err(format!("step {}: a second call {name}", step.number));
                    }
                    open.insert(name.as_str());
                }
                (Some(&call.client), None)
            }
            Action::Wait { call, .. } => {
                open.remove(call.as_str());
                (None, Some(call))
            }
            Action::Cancel { call } => (None, Some(call)),
            Action::InvalidateToken { client, .. }
            | Action::ClearCache { client, .. }
            | Action::Stats { client, .. }
            | Action::Describe { client, .. }
            | Action::Events { client, .. }
            | Action::Close { client } => (Some(client), None),
            Action::Advance { .. }
            | Action::Await { .. }
            | Action::Release { .. }
            | Action::Settings { .. }
            | Action::Command { .. }
            | Action::Write { .. }
            | Action::ExpectSandbox { .. }
            | Action::ExpectFiles { .. }
            | Action::Repeat { .. } => (None, None),
        };
        if let Some(client) = client.filter(|client| !clients.contains(client.as_str())) {
            return Err(format!("step {}: unknown client {client}", step.number));
        }
        if let Some(call) = call.filter(|call| !calls.contains(call.as_str())) {
            return Err(format!("step {}: unknown call {call}", step.number));
        }
    }
    open.first().map_or(Ok(()), |call| Err(format!("nothing waits for the call {call}")))
}

/// A counter is waited for until it is that number or more, so that 0 would be waiting for nothing.
fn check_awaited(counters: &Value) -> Result<(), String> {
    match counters {
        Value::Object(members) => members.values().try_for_each(check_awaited),
        Value::Number(number) if number.as_u64() == Some(0) => {
            Err("\"await\" waits for 0, which is there at once".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_file_is_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let scenarios = read_folder(&folder).expect("every file parses and every number is unique");
        assert!(scenarios.len() >= 45, "only {} scenarios", scenarios.len());
    }

    fn error_of(text: &str) -> String {
        parse("01-x", text).expect_err("the scenario is wrong")
    }

    #[test]
    fn slips_of_the_pen_are_refused() {
        let step = |step: &str| format!(r#"{{"about": "x", "steps": [{{"client": "a"}}, {step}]}}"#);
        for (text, reason) in [
            (r#"{"about": "x", "steps": [], "tsl": true}"#.to_owned(), "tsl"),
            (r#"{"about": "x", "steps": [], "languages": ["c"]}"#.to_owned(), "why"),
            (r#"{"about": "x", "steps": [], "promises": ["P16"]}"#.to_owned(), "P16"),
            (step(r#"{"get_token": "b"}"#), "unknown client b"),
            (step(r#"{"get_token": "a", "exepct": {}}"#), "exepct"),
            (step(r#"{"get_token": "a", "expect": {"tokne": "x"}}"#), "tokne"),
            (step(r#"{"get_token": "a", "expect": {"token": {"$contain": "x"}}}"#), "$contain"),
            (step(r#"{"get_token": "a", "expect": {"error": "timeout"}}"#), "20 timeout"),
            (step(r#"{"get_token": "a", "expect": {"error": "20 timeout", "token": "x"}}"#), "token"),
            (step(r#"{"get_token": "a", "start": "t", "expect": {}}"#), "expect"),
            (step(r#"{"get_token": "a", "start": "t"}"#), "nothing waits"),
            (step(r#"{"wait": "t"}"#), "unknown call t"),
            (step(r#"{"sandbox": "explode"}"#), "explode"),
            (step(r#"{"await": {"requests": 0}}"#), "at once"),
            (step(r#"{"await": {"held": {"gate": 0}}}"#), "at once"),
            (step(r#"{"repeat": 2}"#), "steps"),
            (step(r#"{"repeat": 0, "steps": []}"#), "above 0"),
            (step(r#"{"repeat": 2, "steps": [{"get_token": "b"}]}"#), "unknown client b"),
            (step(r#"{"repeat": 2, "steps": [{"get_token": "a", "start": "t"}]}"#), "nothing waits"),
            (step(r#"{"get_token": "a", "request": "a"}"#), "request"),
            (step(r#"{"events": "a"}"#), "expect"),
            (step(r#"{"events": "a", "expect": {"name": "token_waited"}}"#), "array"),
            (step(r#"{"events": "b", "expect": []}"#), "unknown client b"),
        ] {
            let error = error_of(&text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
