//! A store that cannot be used, or in which somebody had a hand: never an error to the caller, never a wrong token.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::child::Child;
use crate::machine::Machine;

/// Two processes get tokens all the same, each its own, and are told why.
fn is_not_used(machine: &Machine, folder: &Path) {
    let cache = format!("file:{}", folder.display());
    for _ in 0..2 {
        let before = machine.token_requests();
        let mut child = machine.child(&[("cache", &cache)]);
        child.token();
        child.token();
        let events = child.ask("events");
        assert_eq!(events.matches("cache_unavailable").count(), 1, "{}: {events}", folder.display());
        assert_eq!(machine.token_requests(), before + 1);
    }
}

fn mints_for_itself_and_says_so(child: &mut Child) {
    assert_eq!(child.token(), child.token());
    let events = child.ask("events");
    assert_eq!(events.matches("cache_unavailable").count(), 1, "{events}");
}

/// The next process mints once more, and those after it share that token.
fn costs_one_mint(machine: &Machine, what: &str) {
    let before = machine.token_requests();
    let token = machine.child(&[]).token();
    assert_eq!(machine.token_requests(), before + 1, "{what}");
    assert_eq!(machine.child(&[]).token(), token, "{what}: the store is mended");
    assert_eq!(machine.token_requests(), before + 1, "{what}");
}

#[test]
fn p15_a_folder_that_others_can_touch_or_that_cannot_be_made_is_not_used() {
    let machine = Machine::new(&json!({}));
    let open = machine.folder.join("open");
    DirBuilder::new().mode(0o755).create(&open).expect("ours");
    fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("ours");
    is_not_used(&machine, &open);
    let private = machine.folder.join("private");
    DirBuilder::new().mode(0o700).create(&private).expect("ours");
    let link = machine.folder.join("link");
    symlink(&private, &link).expect("ours");
    is_not_used(&machine, &link);
    let file = machine.folder.join("file");
    File::create(&file).expect("ours");
    is_not_used(&machine, &file);
    is_not_used(&machine, Path::new("/proc/svctoken"));
    assert_eq!(fs::read_dir(&open).expect("ours").count() + fs::read_dir(&private).expect("ours").count(), 0);
}

#[test]
fn p15_another_users_folder_is_not_used() {
    let machine = Machine::new(&json!({}));
    let folder = machine.folder.join("theirs");
    DirBuilder::new().mode(0o700).create(&folder).expect("ours");
    match chown(&folder, Some(65534), None) {
        Ok(()) => is_not_used(&machine, &folder),
        // Only root can give a folder away; what everybody has that is another user's is this.
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            is_not_used(&machine, Path::new("/root"));
        }
    }
}

#[test]
fn p15_a_record_cut_or_changed_anywhere_costs_one_mint() {
    let machine = Machine::new(&json!({}));
    machine.child(&[]).token();
    let record = machine.record();
    let length = fs::read(&record).expect("ours").len();
    for position in [0, 17, 18, 49, 50, length / 2, length - 17, length - 1] {
        let mut content = fs::read(&record).expect("ours");
        content[position] ^= 1;
        fs::write(&record, &content).expect("ours");
        costs_one_mint(&machine, &format!("byte {position} of {length}"));
    }
    for kept in [0, 10, 40, length / 2, length - 1] {
        let content = fs::read(&record).expect("ours");
        fs::write(&record, &content[..kept]).expect("ours");
        costs_one_mint(&machine, &format!("the first {kept} of {length} bytes"));
    }
    fs::write(&record, vec![b'x'; 1 << 20]).expect("ours");
    costs_one_mint(&machine, "a large file");
}

#[test]
fn p15_a_record_of_another_format_costs_one_mint_and_one_beside_it_is_left_alone() {
    let machine = Machine::new(&json!({}));
    machine.child(&[]).token();
    let record = machine.record();
    let content = fs::read(&record).expect("ours");
    let format = b"svctoken record 1\n";
    assert!(content.starts_with(format));
    for other in [b"svctoken record 2\n".as_slice(), b"svctoken record 10\n", b""] {
        fs::write(&record, [other, &content[format.len()..]].concat()).expect("ours");
        costs_one_mint(&machine, &String::from_utf8_lossy(other));
        assert!(fs::read(&record).expect("ours").starts_with(format));
    }
    // Of a program that knows another version, whose names are others.
    let theirs = record.with_file_name("0123456789abcdef0123456789abcdef");
    fs::write(&theirs, b"svctoken record 2\nwhatever").expect("ours");
    fs::set_permissions(&theirs, Permissions::from_mode(0o600)).expect("ours");
    fs::remove_file(&record).expect("ours");
    costs_one_mint(&machine, "a record that is gone");
    assert_eq!(fs::read(&theirs).expect("ours"), b"svctoken record 2\nwhatever");
}

/// What a guess at it could be tested against is not there: neither the secret nor a hash that costs nothing, in names
/// or files. (That records are named and sealed by the stretched one is shown where that is done.)
#[test]
fn p15_a_weak_secret_leaves_no_trace_that_a_guess_can_be_tested_against() {
    const ID: &str = "weak-client";
    let secrets = ["4711", "1174"];
    let machine = Machine::new(&json!({ "clients": [{ "id": ID, "secret": secrets[0], "secret_2": secrets[1] }] }));
    for secret in secrets {
        machine.child(&[("client_id", ID), ("client_secret", secret), ("mint_budget", "10")]).token();
    }
    assert_eq!(
        (machine.files("").len(), machine.files("ledger").len()),
        (2, 1),
        "the ledger is not named by the secret"
    );
    let stored: Vec<Vec<u8>> = machine
        .all_files()
        .iter()
        .map(|path| [path.to_string_lossy().as_bytes(), b"\n", &fs::read(path).expect("ours")].concat())
        .collect();
    let has = |sought: &[u8]| stored.iter().any(|bytes| bytes.windows(sought.len()).any(|window| window == sought));
    for secret in secrets {
        for said in [secret.to_owned(), format!("{ID}:{secret}"), format!("{ID}{secret}"), format!("{ID}\n{secret}")] {
            for algorithm in [&ring::digest::SHA256, &ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &ring::digest::SHA512] {
                let hash = ring::digest::digest(algorithm, said.as_bytes());
                let hash = &hash.as_ref()[..16];
                let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(!has(hash) && !has(digits.as_bytes()), "{said} by {algorithm:?}");
            }
        }
        assert!(!has(format!("{ID}:{secret}").as_bytes()));
    }
}

#[test]
fn p15_a_record_that_others_can_read_or_that_is_a_link_costs_one_mint() {
    let machine = Machine::new(&json!({}));
    machine.child(&[]).token();
    let record = machine.record();
    fs::set_permissions(&record, Permissions::from_mode(0o644)).expect("ours");
    costs_one_mint(&machine, "mode 0644");
    assert_eq!(fs::metadata(&record).expect("ours").permissions().mode() & 0o777, 0o600);
    let elsewhere = machine.folder.join("elsewhere");
    fs::rename(&record, &elsewhere).expect("ours");
    symlink(&elsewhere, &record).expect("ours");
    let content = fs::read(&elsewhere).expect("ours");
    costs_one_mint(&machine, "a link");
    assert!(fs::read(&elsewhere).expect("ours") == content, "nothing is written through a link");
    assert!(fs::symlink_metadata(&record).expect("ours").is_file());
}

#[test]
fn p15_where_nothing_can_be_written_each_process_mints_once() {
    let machine = Machine::new(&json!({}));
    machine.child(&[]).token();
    let spoil: Vec<PathBuf> = [machine.files(""), machine.files("lock"), machine.files("ledger")].concat();
    for path in &spoil {
        fs::remove_file(path).expect("ours");
        fs::create_dir(path).expect("ours");
    }
    for expected in 2..4 {
        mints_for_itself_and_says_so(&mut machine.child(&[]));
        assert_eq!(machine.token_requests(), expected);
    }
}

#[test]
fn p15_on_a_full_disk_each_process_mints_once_and_what_was_there_is_still_read() {
    let machine = Machine::new(&json!({}));
    for expected in 1..3 {
        mints_for_itself_and_says_so(&mut machine.child_with_full_disk());
        assert_eq!(machine.token_requests(), expected);
    }
    let left = machine.all_files();
    assert!(left.iter().all(|path| !path.to_string_lossy().contains(".tmp.")), "{left:?}");
    let token = machine.child(&[]).token();
    assert_eq!(machine.child_with_full_disk().token(), token);
    assert_eq!(machine.token_requests(), 3);
}

#[test]
fn p15_a_record_of_another_identity_is_nobodys() {
    let machine = Machine::new(&json!({}));
    let first = machine.child(&[]).token();
    let record = machine.record();
    let other = machine.child(&[("scope", "other")]).token();
    assert_ne!(first, other);
    let records = machine.files("");
    let theirs = records.iter().find(|path| **path != record).expect("a second record");
    fs::rename(theirs, &record).expect("ours");
    let token = machine.child(&[]).token();
    assert!(token != other && token != first);
    assert_eq!(machine.token_requests(), 3);
    assert_eq!(machine.child(&[]).token(), token);
}

#[test]
fn p15_an_older_record_put_back_is_not_taken_for_a_newer_one() {
    let machine = Machine::new(&json!({}));
    let mut first = machine.child(&[]);
    let old = first.token();
    let record = machine.record();
    let content = fs::read(&record).expect("ours");
    assert_eq!(first.ask(&format!("invalidate {old}")), "true");
    let newer = first.token();
    let mut second = machine.child(&[]);
    assert_eq!(second.token(), newer);
    fs::write(&record, content).expect("ours");
    assert_eq!(second.ask(&format!("invalidate {newer}")), "true");
    let newest = second.token();
    assert!(newest != old && newest != newer);
    assert_eq!(machine.token_requests(), 3);
    assert_eq!(machine.child(&[]).token(), newest);
}

#[test]
fn p15_a_cache_that_is_cleared_while_programs_run_is_shared_again() {
    let machine = Machine::new(&json!({}));
    let mut child = machine.child(&[("mint_budget", "10")]);
    let token = child.token();
    fs::remove_dir_all(machine.store()).expect("ours");
    assert_eq!(child.token(), token);
    assert_eq!(child.ask(&format!("invalidate {token}")), "true");
    let next = child.token();
    assert_eq!(machine.child(&[]).token(), next);
    assert!(!child.ask("events").contains("cache_unavailable"));
    assert_eq!(machine.token_requests(), 2);
}

#[test]
fn p15_a_spoilt_ledger_delays_nobody() {
    let machine = Machine::new(&json!({}));
    let get = |scope: &str| {
        let token = machine.child(&[("scope", scope), ("mint_budget", "2"), ("timeout", "5")]).ask("get");
        assert!(token.starts_with("token "), "{scope}: {token}");
    };
    get("first");
    let ledger = machine.files("ledger").remove(0);
    let future = "9999999999999999999\n".repeat(50);
    let largest = format!("{}\n", u64::MAX).repeat(50);
    let spoilt: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("binary", b"\xff\xfe\0\0"),
        ("words", b"-1\nsoon\n1.5\n\n"),
        ("future", future.as_bytes()),
        ("largest", largest.as_bytes()),
        ("huge", &[b'1'; 200_000]),
    ];
    for (scope, content) in spoilt {
        fs::write(&ledger, content).expect("ours");
        get(scope);
    }
    assert!(fs::metadata(&ledger).expect("ours").len() < 1000, "it begins anew");
    fs::set_permissions(&ledger, Permissions::from_mode(0o666)).expect("ours");
    get("mode 0666");
}
