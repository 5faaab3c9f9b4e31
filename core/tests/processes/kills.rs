//! Processes that are killed at any moment, and begin anew.

use std::collections::HashMap;
use std::env;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::child::{Child, boot_clock};
use crate::machine::{Machine, tell};

const PROCESSES: usize = 20;
const LIFETIME: Duration = Duration::from_secs(2);
/// From 80 % of its life on a token is replaced, give or take a tenth of the rest.
const SHORTEST_STEP: Duration = Duration::from_millis(1560);
/// How long the server takes: so large a part of a token's life is a good time to be killed in.
const SERVER_TAKES_MS: u64 = 400;
const CLIENTS: [&str; 2] = ["first", "second"];
const SECRETS: [&str; 2] = ["first-first-first-first-first", "second-second-second-second"];

/// Chance that can be had again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's constants; the low bits are the poor ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// What the processes have told.
struct Told<'a> {
    machine: &'a Machine,
    calls: u64,
    /// By token: the client it is of.
    tokens: HashMap<String, usize>,
}

impl Told<'_> {
    /// Every token is one that the server has issued, for this client, and was alive when it was handed out.
    fn check(&mut self, client: usize, lines: Vec<String>) {
        for line in lines {
            let Some(line) = line.strip_suffix(" .") else { continue };
            let (asked, token) = line
                .strip_prefix("token ")
                .and_then(|told| told.split_once(' '))
                .unwrap_or_else(|| panic!("a process got {line}"));
            let asked = Duration::from_nanos(asked.parse().expect("a time"));
            let issued =
                self.machine.space.issued(token).unwrap_or_else(|| panic!("{token} is no token of the server"));
            assert_eq!(issued.client, CLIENTS[client], "a token of another identity");
            // A millisecond, because the server's clock counts whole ones.
            let end = boot_clock() - issued.age + LIFETIME + Duration::from_millis(1);
            assert!(asked < end, "a token was handed out {:?} after its end", asked - end);
            self.calls += 1;
            self.tokens.insert(token.to_owned(), client);
        }
    }
}

fn begin(machine: &Machine, client: usize) -> Child {
    let mut child = machine.beginning_child(&[("client_id", CLIENTS[client]), ("client_secret", SECRETS[client])]);
    child.say("keep-getting");
    child
}

fn temporaries(machine: &Machine) -> usize {
    machine.all_files().iter().filter(|path| path.to_string_lossy().contains(".tmp.")).count()
}

fn set_back(path: &Path, by: Duration) {
    let file = OpenOptions::new().write(true).open(path).expect("ours");
    file.set_modified(SystemTime::now() - by).expect("ours");
}

/// For `SVCTOKEN_KILL_SECONDS`, 10 unless it says otherwise; `SVCTOKEN_SEED` shows a failure's kills again, as far as
/// the machine lets it.
#[test]
fn p15_processes_that_are_killed_at_any_moment_leave_no_wrong_token_and_cost_one_mint_at_most() {
    let seconds = number("SVCTOKEN_KILL_SECONDS").unwrap_or(10);
    let seed = number("SVCTOKEN_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    tell(&format!("SVCTOKEN_SEED={seed}"));
    let mut chance = Chance(seed);
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "do": { "delay_ms": SERVER_TAKES_MS } }]);
    let clients: Vec<Value> =
        CLIENTS.iter().zip(SECRETS).map(|(id, secret)| json!({ "id": id, "secret": secret })).collect();
    let machine = Machine::new(&json!({ "clients": clients, "expires_in": LIFETIME.as_secs(), "rules": rules }));
    let mut told = Told { machine: &machine, calls: 0, tokens: HashMap::new() };
    let began = Instant::now();
    let mut children: Vec<Child> = (0..PROCESSES).map(|index| begin(&machine, index % CLIENTS.len())).collect();
    let mut kills = 0_u64;
    while began.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(chance.below(30)));
        let index = chance.below(PROCESSES as u64) as usize;
        let client = index % CLIENTS.len();
        let killed = std::mem::replace(&mut children[index], begin(&machine, client));
        told.check(client, killed.kill());
        kills += 1;
    }
    let took = began.elapsed();
    // Until here each may have been killed; now they come to an end of what they do.
    for (index, child) in children.into_iter().enumerate() {
        told.check(index % CLIENTS.len(), child.kill());
    }
    let last_kills = PROCESSES as u64;
    let left = temporaries(&machine);
    let report = machine.space.report();
    let requests = report["token_requests"].as_u64().expect("a number");
    let log = report["log"].as_array().expect("a list");
    assert!(log.len() < 1000, "a longer log would be cut");
    let unanswered = log.iter().filter(|entry| entry["status"] == 0).count() as u64;
    let shared = told.tokens.len() as u64;
    tell(&format!(
        "{PROCESSES} processes for {seconds} s: {kills} kills, {} calls, {requests} token requests, {shared} tokens \
         shared, {unanswered} holders killed before their answer, {} after it, {left} temporaries left",
        told.calls,
        requests.saturating_sub(shared + unanswered),
    ));
    assert!(told.calls > kills, "most processes got a token");
    // Each token replaces one that was there for its time, and every other request is one whose sender was killed
    // before it could tell: nobody mints beside anybody.
    let steps = took.as_nanos() / SHORTEST_STEP.as_nanos() + 2;
    for (client, name) in CLIENTS.iter().enumerate() {
        let tokens = told.tokens.values().filter(|owner| **owner == client).count();
        assert!(tokens as u128 <= steps, "{tokens} tokens of {name} in {took:?}");
    }
    assert!(requests <= shared + unanswered + 2 + (kills + last_kills) / 50, "requests that no kill accounts for");
    // A temporary is there for well under a millisecond.
    assert!(left as u64 <= 1 + kills / 50, "{left} temporaries");
    // What is left goes with the next token, once it is old.
    let record = machine.files("").remove(0);
    File::create(format!("{}.tmp.0000000000000000", record.display())).expect("ours");
    for path in machine.all_files().iter().filter(|path| path.to_string_lossy().contains(".tmp.")) {
        set_back(path, Duration::from_secs(2 * 3600));
    }
    let mut child = machine.child(&[("client_id", CLIENTS[0]), ("client_secret", SECRETS[0])]);
    // However young this machine is.
    child.ask("advance 7200");
    child.token();
    assert_eq!(temporaries(&machine), 0);
}

/// Every identity of a month is gone but the one in use.
#[test]
fn p15_a_folder_does_not_grow_for_ever() {
    const MONTH_AND_MORE: Duration = Duration::from_secs(40 * 24 * 3600);
    let machine = Machine::new(&json!({}));
    for scope in 0..5 {
        machine.child(&[("scope", &scope.to_string()), ("mint_budget", "10")]).token();
    }
    assert_eq!(machine.files("").len(), 5);
    for path in machine.all_files() {
        set_back(&path, MONTH_AND_MORE);
    }
    let mut child = machine.child(&[("scope", "another")]);
    child.ask(&format!("advance {}", MONTH_AND_MORE.as_secs()));
    child.token();
    // The record of the one that is in use, its two locks, and its writers'.
    let left = machine.all_files();
    assert_eq!((left.len(), machine.files("").len()), (4, 1), "{left:?}");
}
