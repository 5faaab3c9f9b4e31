//! One token for the machine, whatever becomes of the process whose turn it is.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::child::Child;
use crate::machine::Machine;

/// Holds the token requests of these numbers until the gate is released.
pub(crate) fn gates(gates: &[(u64, &str)]) -> Value {
    let rules = gates.iter().map(
        |(nth, gate)| json!({ "method": "POST", "path": "/api/oauth/token", "nth": [nth], "do": { "hold": gate } }),
    );
    json!({ "rules": rules.collect::<Vec<_>>() })
}

pub(crate) fn all_get(children: &mut [Child]) -> String {
    children.iter_mut().for_each(|child| child.say("get"));
    same_token(children)
}

pub(crate) fn same_token(children: &[Child]) -> String {
    let tokens: Vec<String> = children.iter().map(Child::hear_token).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    tokens[0].clone()
}

#[test]
fn p01_when_the_one_who_mints_is_killed_another_takes_over_at_once() {
    let machine = Machine::new(&gates(&[(1, "first")]));
    let mut others = machine.children(5, &[]);
    let mut holder = machine.child(&[]);
    holder.say("get");
    machine.await_token_requests(1);
    others.iter_mut().for_each(|child| child.say("get"));
    let wait = Duration::from_millis(300);
    assert!(!machine.token_requests_reach(2, wait), "nobody mints beside a holder that has time left");
    let began = Instant::now();
    drop(holder);
    same_token(&others);
    assert!(began.elapsed() < Duration::from_secs(8), "token_timeout is 15 s: {:?}", began.elapsed());
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p01_a_stopped_holder_is_passed_by_and_overwrites_nothing_when_it_goes_on() {
    let machine = Machine::new(&gates(&[(1, "first")]));
    let options = [("token_timeout", "1.5")];
    let mut others = machine.children(100, &options);
    let mut holder = machine.child(&options);
    holder.say("get");
    machine.await_token_requests(1);
    holder.signal(Signal::SIGSTOP);
    let began = Instant::now();
    let token = all_get(&mut others);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(machine.token_requests(), 2);
    machine.space.release("first");
    holder.signal(Signal::SIGCONT);
    holder.token();
    assert_eq!(machine.child(&options).token(), token, "the later token stays in the record");
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p01_a_holder_that_goes_on_frees_nobody_from_waiting_for_the_one_who_passed_it_by() {
    let machine = Machine::new(&gates(&[(1, "first"), (2, "second")]));
    let options = [("token_timeout", "1.5"), ("max_attempts", "1")];
    let patient = [("token_timeout", "15")];
    let mut holder = machine.child(&options);
    let (mut second, mut third) = (machine.child(&patient), machine.child(&patient));
    holder.say("get");
    machine.await_token_requests(1);
    holder.signal(Signal::SIGSTOP);
    second.say("get");
    machine.await_token_requests(2);
    holder.signal(Signal::SIGCONT);
    assert_eq!(holder.hear(), "error timeout");
    // Finds the first lock free.
    third.say("get");
    let wait = Duration::from_millis(500);
    assert!(!machine.token_requests_reach(3, wait), "the second process is minting");
    machine.space.release("second");
    assert_eq!(second.hear_token(), third.hear_token());
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p01_at_the_moment_of_expiry_one_asks_for_the_next_token() {
    let machine = Machine::new(&json!({ "expires_in": 6 }));
    let mut children = machine.children(10, &[]);
    let first = all_get(&mut children);
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "do": { "delay_ms": 500 } }]);
    machine.space.patch(&json!({ "expires_in": 3600, "rules": rules })).expect("known settings");
    // What is waited for is the end of the token's life.
    thread::sleep(Duration::from_secs(6));
    assert_ne!(all_get(&mut children), first);
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p02_those_who_meet_a_busy_server_wait_together() {
    let busy = json!({ "status": 429, "headers": [["Retry-After", "2"]] });
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "nth": [1], "do": busy }]);
    let machine = Machine::new(&json!({ "rules": rules }));
    let mut children = machine.children(10, &[]);
    let began = Instant::now();
    all_get(&mut children);
    assert!(began.elapsed() >= Duration::from_secs(2), "the server asked for 2 s: {:?}", began.elapsed());
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p02_scopes_of_one_account_share_its_budget_in_all_processes() {
    let machine = Machine::new(&json!({}));
    let get = |scope| {
        let options = [("scope", scope), ("mint_budget", "2"), ("timeout", "2")];
        machine.child(&options).ask("get")
    };
    assert!(get("a").starts_with("token "));
    assert!(get("b").starts_with("token "));
    assert_eq!(get("c"), "error rate_limited");
    assert!(get("b").starts_with("token "), "a token that is there costs nothing");
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p03_a_hold_is_every_processs() {
    let machine = Machine::new(&json!({}));
    let mut first = machine.child(&[]);
    let refused = first.token();
    assert_eq!(first.ask(&format!("invalidate {refused}")), "true");
    let successor = first.token();
    assert_ne!(successor, refused);
    assert_eq!(first.ask(&format!("invalidate {successor}")), "false", "opens a hold");
    let mut second = machine.child(&[]);
    assert_eq!(second.token(), successor);
    assert_eq!(second.ask(&format!("invalidate {successor}")), "false", "in a hold nothing is condemned");
    assert_eq!(second.token(), successor);
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p03_a_token_refused_in_all_processes_is_replaced_once() {
    let machine = Machine::new(&json!({}));
    let mut children = machine.children(10, &[]);
    all_get(&mut children);
    // A token younger than that is taken for one that is not known everywhere yet.
    thread::sleep(Duration::from_millis(5100));
    machine.space.revoke_tokens();
    children.iter_mut().for_each(|child| child.say("request /echo"));
    for child in &children {
        assert_eq!(child.hear(), "200");
    }
    all_get(&mut children);
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p03_a_project_that_none_may_see_costs_no_token_for_each_process() {
    let machine = Machine::new(&json!({}));
    let mut children = machine.children(10, &[]);
    all_get(&mut children);
    thread::sleep(Duration::from_millis(5100));
    children.iter_mut().for_each(|child| child.say("request /api/atlas/v2/not-a-member"));
    for child in &children {
        assert_eq!(child.hear(), "401");
    }
    assert_eq!(machine.token_requests(), 2);
}
