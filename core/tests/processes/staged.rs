//! What a machine meets and a test must stage: another boot, another time namespace, another user, a disk that is
//! really full or read-only. Staged in namespaces and users of the processes' own, for which a test must be root.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::child::Child;
use crate::machine::{Machine, tell};

const NOBODY: u32 = 65534;
/// Becomes that user, who need not be allowed to reach this program's folder.
const AS_NOBODY: &str = "exec 9<\"$0\"; exec setpriv --reuid 65534 --regid 65534 --clear-groups /proc/self/fd/9 \"$@\"";

/// In a mount namespace of its own, after these commands.
fn in_own_mounts(commands: &str) -> String {
    format!("exec unshare --mount sh -c '{commands} && exec \"$0\" \"$@\"' \"$0\" \"$@\"")
}

/// In that process's mount namespace.
fn beside(child: &Child) -> String {
    format!("exec nsenter --mount=/proc/{}/ns/mnt \"$0\" \"$@\"", child.id())
}

/// Whether this machine lets us stage that. A test that cannot says so; root's in CI fails.
pub(crate) fn can(before: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    let tried = Command::new("sh").args(["-c", &format!("{before}\nexec \"$0\" \"$@\""), "/bin/true"]).output();
    let can = root && tried.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        assert!(!(root && env::var("CI").is_ok_and(|value| value == "true")), "{before}: {tried:?}");
        tell(&format!("SKIPPED: this user cannot stage it: {before}"));
    }
    can
}

/// Gets a token of its own, whatever it has for a store, and is told once why it is not shared.
fn is_told_once(child: &mut Child) {
    let events = child.ask("events");
    assert_eq!(events.matches("cache_unavailable").count(), 1, "{events}");
}

fn mints_once_each(machine: &Machine, before: &str, options: &[(&str, &str)]) {
    for _ in 0..2 {
        let requests = machine.token_requests();
        let mut child = machine.child_after(before, options);
        assert_eq!(child.token(), child.token());
        is_told_once(&mut child);
        assert_eq!(machine.token_requests(), requests + 1);
    }
}

/// Two processes here and two there: each pair shares a token, and neither is offered the other's.
fn shares_nothing_with(machine: &Machine, before: &str) {
    let here = machine.child(&[]).token();
    let there = machine.child_after(before, &[]).token();
    assert_ne!(here, there);
    assert_eq!(machine.child(&[]).token(), here);
    let mut again = machine.child_after(before, &[]);
    assert_eq!(again.token(), there);
    assert!(!again.ask("events").contains("cache_unavailable"));
    assert_eq!(machine.token_requests(), 2);
    assert_eq!(fs::read_dir(machine.store()).expect("ours").count(), 2, "a folder each");
}

#[test]
fn p06_another_boots_record_is_not_taken() {
    let machine = Machine::new(&json!({}));
    let boot = machine.folder.join("boot_id");
    fs::write(&boot, "01234567-89ab-4cde-8f01-23456789abcd\n").expect("ours");
    let before = in_own_mounts(&format!("mount --bind {} /proc/sys/kernel/random/boot_id", boot.display()));
    if can(&before) {
        shares_nothing_with(&machine, &before);
    }
}

#[test]
fn p06_another_time_namespaces_record_is_not_taken() {
    let machine = Machine::new(&json!({}));
    // Its boot clock is ahead by half a token's life: each would take the other's tokens for living ones.
    let before = "exec unshare --time --boottime 1800 --fork --kill-child \"$0\" \"$@\"";
    if can(before) {
        shares_nothing_with(&machine, before);
    }
}

/// A store on a file system of its own, made in the mount namespace of the process that is returned.
fn on_own_file_system(machine: &Machine) -> Option<(Child, PathBuf)> {
    let store = machine.store();
    DirBuilder::new().mode(0o700).create(&store).expect("ours");
    let mount = format!("mount -t tmpfs -o size=64k,mode=700 none {}", store.display());
    let before = in_own_mounts(&mount);
    let child = can(&before).then(|| machine.child_after(&before, &[]))?;
    let seen_from_here = PathBuf::from(format!("/proc/{}/root{}", child.id(), store.display()));
    Some((child, seen_from_here))
}

#[test]
fn p15_on_a_disk_that_has_become_full_what_is_there_is_read_and_nobody_fails() {
    let machine = Machine::new(&json!({}));
    let Some((mut first, store)) = on_own_file_system(&machine) else { return };
    let token = first.token();
    let filler = store.join("filler");
    let filled = fs::write(&filler, vec![0; 1 << 20]);
    assert_eq!(filled.expect_err("it is that small").kind(), std::io::ErrorKind::StorageFull);
    let refuses = |child: &mut Child, requests: u64| {
        assert_eq!(child.token(), token, "read from the full disk");
        assert_eq!(child.ask(&format!("invalidate {token}")), "true");
        let next = child.token();
        assert_ne!(next, token);
        assert_eq!(machine.token_requests(), requests);
        next
    };
    for requests in 2..4 {
        let mut child = machine.child_after(&beside(&first), &[]);
        refuses(&mut child, requests);
        is_told_once(&mut child);
    }
    // Another identity, whose lock cannot be written either.
    let mut other = machine.child_after(&beside(&first), &[("scope", "other")]);
    assert_eq!(other.token(), other.token());
    is_told_once(&mut other);
    assert_eq!(machine.token_requests(), 4);
    let left: Vec<PathBuf> = fs::read_dir(&store)
        .expect("readable")
        .flat_map(|entry| fs::read_dir(entry.expect("readable").path()).into_iter().flatten())
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.to_string_lossy().contains(".tmp."))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    fs::remove_file(&filler).expect("ours");
    let next = refuses(&mut machine.child_after(&beside(&first), &[]), 5);
    assert_eq!(machine.child_after(&beside(&first), &[]).token(), next, "there is room again");
    assert_eq!(machine.token_requests(), 5);
}

#[test]
fn p15_a_file_system_that_has_become_read_only_is_read() {
    let machine = Machine::new(&json!({}));
    let Some((mut first, _)) = on_own_file_system(&machine) else { return };
    let token = first.token();
    let mounts = format!("--mount=/proc/{}/ns/mnt", first.id());
    let remount = ["mount", "-o", "remount,ro"];
    let remounted = Command::new("nsenter").arg(mounts).args(remount).arg(machine.store()).status();
    assert!(remounted.expect("nsenter runs").success());
    for requests in 2..4 {
        let mut child = machine.child_after(&beside(&first), &[]);
        assert_eq!(child.token(), token);
        assert_eq!(child.ask(&format!("invalidate {token}")), "true");
        assert_ne!(child.token(), token);
        is_told_once(&mut child);
        assert_eq!(machine.token_requests(), requests);
    }
}

/// A folder with this mode, of nobody's unless it is root's.
fn folder(machine: &Machine, name: &str, mode: u32, owner: Option<u32>) -> PathBuf {
    let folder = machine.folder.join(name);
    DirBuilder::new().mode(mode).create(&folder).expect("ours");
    chown(&folder, owner, owner).expect("root may");
    folder
}

fn cache(folder: &Path) -> String {
    format!("file:{}", folder.display())
}

#[test]
fn p15_a_user_who_is_not_root_uses_no_folder_that_is_read_only_or_anothers() {
    let machine = Machine::new(&json!({}));
    fs::set_permissions(&machine.folder, Permissions::from_mode(0o755)).expect("ours");
    if !can(AS_NOBODY) {
        return;
    }
    let read_only = folder(&machine, "read-only", 0o500, Some(NOBODY));
    mints_once_each(&machine, AS_NOBODY, &[("cache", &cache(&read_only))]);
    let roots = folder(&machine, "roots", 0o700, None);
    mints_once_each(&machine, AS_NOBODY, &[("cache", &cache(&roots))]);
    // One that could be made, but below a folder of another's.
    let open = folder(&machine, "open", 0o777, None);
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("ours");
    mints_once_each(&machine, AS_NOBODY, &[("cache", &cache(&open.join("below")))]);
    for unused in [&read_only, &roots, &open] {
        assert_eq!(fs::read_dir(unused).expect("root may").count(), 0, "{}", unused.display());
    }
}

#[test]
fn p15_a_user_who_is_not_root_reads_a_store_that_has_become_read_only() {
    let machine = Machine::new(&json!({}));
    fs::set_permissions(&machine.folder, Permissions::from_mode(0o755)).expect("ours");
    if !can(AS_NOBODY) {
        return;
    }
    let store = folder(&machine, "store", 0o700, Some(NOBODY));
    let child = || machine.child_after(AS_NOBODY, &[]);
    let token = child().token();
    assert_eq!(child().token(), token, "shared while it can be written");
    let of_boot = fs::read_dir(&store).expect("root may").next().expect("a folder").expect("readable").path();
    fs::set_permissions(&of_boot, Permissions::from_mode(0o500)).expect("root may");
    for requests in 2..4 {
        let mut child = child();
        assert_eq!(child.token(), token);
        assert_eq!(child.ask(&format!("invalidate {token}")), "true");
        assert_ne!(child.token(), token);
        is_told_once(&mut child);
        assert_eq!(machine.token_requests(), requests);
    }
    fs::set_permissions(&of_boot, Permissions::from_mode(0o700)).expect("root may");
}
