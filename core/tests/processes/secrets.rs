//! Secrets that change while several processes run.

use std::fs;

use serde_json::{Value, json};

use crate::machine::Machine;

const OLD: &str = "mdb_sa_sk_old-old-old-old-old-old-old";
const NEW: &str = "mdb_sa_sk_new-new-new-new-new-new-new";

fn server_that_takes(secret: &str) -> Value {
    json!({ "expires_in": 60, "clients": [{ "id": "mdb_sa_id_0123456789abcdef01234567", "secret": secret }] })
}

#[test]
fn p10_while_the_second_secret_works_the_next_processes_do_not_try_the_first() {
    let machine = Machine::new(&server_that_takes(NEW));
    let options = [("client_secret", OLD), ("client_secret_2", NEW)];
    let token = machine.child(&options).token();
    assert_eq!(machine.token_requests(), 2);
    let mut second = machine.child(&options);
    assert_eq!(second.token(), token, "before one is requested it is looked for one of either");
    assert_eq!(machine.token_requests(), 2);
    // Each has a clock of its own, by which the token has ended.
    for (requests, seconds) in [(3, 100), (4, 3000)] {
        let mut later = machine.child(&options);
        assert_eq!(later.ask(&format!("advance {seconds}")), "advanced");
        later.token();
        assert_eq!(machine.token_requests(), requests, "only the second secret was used");
    }
    // The administrator has put the first one right, and told nobody.
    machine.space.patch(&server_that_takes(OLD)).expect("known settings");
    let mut after = machine.child(&options);
    assert_eq!(after.ask("advance 3100"), "advanced");
    after.token();
    assert_eq!(machine.token_requests(), 6, "the second was refused, and so the first was thought of again");
}

#[test]
fn p01_processes_that_read_another_secret_share_one_token_of_it_too() {
    let machine = Machine::new(&server_that_takes(OLD));
    let file = machine.folder.join("secret");
    let command = format!("cat {}", file.display());
    fs::write(&file, OLD).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let by_file = [("client_secret", ""), ("client_secret_file", path)];
    let by_command = [("client_secret", ""), ("client_secret_command", command.as_str())];
    let mut children = machine.children(3, &by_file);
    children.extend(machine.children(3, &by_command));
    let first = children[0].token();
    assert!(children.iter_mut().all(|child| child.token() == first));
    assert_eq!(machine.token_requests(), 1);
    fs::write(&file, NEW).expect("a file");
    machine.space.patch(&server_that_takes(NEW)).expect("known settings");
    for child in &mut children {
        assert_eq!(child.ask("advance 100"), "advanced");
    }
    for child in &mut children {
        child.say("get");
    }
    let tokens: Vec<String> = children.iter().map(|child| child.hear_token()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != first), "{tokens:?}");
    // Those with a command asked it after one of them had been refused; that was told to the others.
    let requests = machine.token_requests();
    assert!((2..=3).contains(&requests), "{requests}");
}
