//! Processes whose server is known by its issuer: what one of them was told, the others need not ask.

use serde_json::{Value, json};

use crate::child::Child;
use crate::machine::{Machine, tell};
use crate::shared::all_get;

const METADATA: &str = "/realms/demo/.well-known/openid-configuration";

struct Realm {
    machine: Machine,
    issuer: String,
}

impl Realm {
    fn new(settings: &Value) -> Realm {
        let machine = Machine::new(settings);
        let issuer = format!("{}/realms/demo", machine.space.http());
        Realm { machine, issuer }
    }

    fn options(&self) -> [(&str, &str); 4] {
        let secret = "app-secret-app-secret-app-secret";
        [("client_id", "app"), ("client_secret", secret), ("token_url", ""), ("issuer", &self.issuer)]
    }

    fn child(&self) -> Child {
        self.machine.child(&self.options())
    }

    /// How often metadata and tokens were asked for.
    fn asked(&self) -> (u64, u64) {
        let report = self.machine.space.report();
        let count = |name: &str| report[name].as_u64().expect("a number");
        (count("metadata_requests"), count("token_requests"))
    }
}

#[test]
fn a_second_process_asks_for_neither_endpoints_nor_token() {
    let realm = Realm::new(&json!({}));
    let token = realm.child().token();
    assert_eq!(realm.child().token(), token);
    assert_eq!(realm.asked(), (1, 1));
    let mut later = realm.child();
    later.ask("advance 3700");
    assert_ne!(later.token(), token, "it has ended");
    assert_eq!(realm.asked(), (1, 2), "the endpoints are the same");
    later.ask("advance 86400");
    later.token();
    assert_eq!(realm.asked(), (2, 3), "a day later they are asked for again");
}

#[test]
fn p01_a_herd_asks_for_one_token_and_few_of_it_for_the_endpoints() {
    let realm = Realm::new(&json!({}));
    let mut children = realm.machine.children(100, &realm.options());
    all_get(&mut children);
    let (metadata, tokens) = realm.asked();
    assert_eq!(tokens, 1);
    assert!((1..=50).contains(&metadata), "{metadata} of 100 asked");
    tell(&format!("100 processes at once: {metadata} asked for the endpoints, {tokens} for a token"));
}

#[test]
fn nobody_waits_for_a_process_that_waits_for_the_endpoints() {
    let held = json!({ "rules": [{ "path": METADATA, "nth": [1], "do": { "hold": "gate" } }] });
    let realm = Realm::new(&held);
    let mut first = realm.child();
    first.say("get");
    realm.machine.await_held("gate");
    let token = realm.child().token();
    realm.machine.space.release("gate");
    assert_eq!(first.hear_token(), token);
    assert_eq!(realm.asked(), (2, 1));
}

#[test]
fn p09_what_is_wrong_with_the_endpoints_is_told_to_all() {
    let realm = Realm::new(&json!({ "realms": { "demo": { "metadata": { "token_endpoint": null } } } }));
    assert_eq!(realm.child().ask("get"), "error bad_answer");
    assert_eq!(realm.child().ask("get"), "error bad_answer");
    assert_eq!(realm.asked(), (1, 0));
    let mut cleared = realm.child();
    assert_eq!(cleared.ask("clear"), "done");
    assert_eq!(cleared.ask("get"), "error bad_answer");
    assert_eq!(realm.asked(), (2, 0));
}

#[test]
fn who_forgets_what_was_cached_asks_for_the_endpoints_again() {
    let realm = Realm::new(&json!({}));
    let mut child = realm.child();
    child.token();
    assert_eq!(child.ask("clear"), "done");
    child.token();
    assert_eq!(realm.asked(), (2, 2));
}
