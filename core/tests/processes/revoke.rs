//! What one process revokes or forgets, and what the others make of it.

use serde_json::json;

use crate::machine::Machine;

#[test]
fn p01_a_cleared_cache_is_empty_for_the_next_process_too() {
    let machine = Machine::new(&json!({}));
    let mut first = machine.child(&[]);
    let token = first.token();
    let mut second = machine.child(&[]);
    assert_eq!(second.token(), token);
    assert_eq!(first.ask("clear"), "done");
    let next = machine.child(&[]).token();
    assert_ne!(next, token);
    assert_eq!(first.token(), next, "one token for all who ask from now on");
    assert_eq!(second.token(), token, "who has a living token goes on with it");
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p09_a_cleared_cache_holds_no_failure_of_other_processes_either() {
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "nth": [1], "do": { "status": 401 } }]);
    let machine = Machine::new(&json!({ "rules": rules }));
    assert_eq!(machine.child(&[]).ask("get"), "error client_refused");
    let mut second = machine.child(&[]);
    assert_eq!(second.ask("get"), "error client_refused");
    assert_eq!(machine.token_requests(), 1);
    assert_eq!(second.ask("clear"), "done");
    second.token();
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p03_a_process_that_has_no_token_revokes_the_records_and_the_others_notice_by_their_401() {
    let machine = Machine::new(&json!({}));
    let mut holder = machine.child(&[]);
    let token = holder.token();
    let revoke = format!("{}/api/oauth/revoke", machine.space.http());
    let options = [("revocation_url", revoke.as_str())];
    assert_eq!(machine.child(&options).ask("revoke"), "true");
    assert_eq!(machine.child(&options).ask("revoke"), "false", "it has left the record");
    assert_eq!(machine.token_requests(), 1, "none was requested in order to be revoked");
    let next = machine.child(&[]).token();
    assert_ne!(next, token);
    // Its own is too fresh for another to be asked for at once, but the record has one.
    assert_eq!(holder.ask(&format!("invalidate {token}")), "false");
    assert_eq!(holder.token(), next);
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p01_a_token_that_another_process_has_put_into_the_record_stays_there() {
    let gate = json!({ "method": "POST", "path": "/api/oauth/revoke", "do": { "hold": "revoke" } });
    let machine = Machine::new(&json!({ "rules": [gate] }));
    let revoke = format!("{}/api/oauth/revoke", machine.space.http());
    let mut first = machine.child(&[("revocation_url", revoke.as_str())]);
    let token = first.token();
    first.say("revoke");
    machine.await_held("revoke");
    let mut second = machine.child(&[]);
    assert_eq!(second.token(), token);
    assert_eq!(second.ask(&format!("invalidate {token}")), "true");
    let next = second.token();
    machine.space.release("revoke");
    assert_eq!(first.hear(), "true");
    assert_eq!(machine.child(&[]).token(), next);
    assert_eq!(first.token(), next);
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn a_record_that_cannot_be_written_is_told_and_this_process_forgets_all_the_same() {
    let machine = Machine::new(&json!({}));
    let token = machine.child(&[]).token();
    let mut full = machine.child_with_full_disk();
    assert_eq!(full.token(), token);
    assert_eq!(full.ask("clear"), "error cache");
    assert_ne!(full.token(), token);
    assert_eq!(machine.token_requests(), 2);
}
