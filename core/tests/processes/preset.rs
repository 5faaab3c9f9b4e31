//! What the Atlas preset does without being told.

use crate::child::Child;
use crate::machine::Machine;
use serde_json::json;

/// A process whose environment speaks of Atlas and names the folder of caches, and that has these options.
fn atlas(machine: &Machine, options: &[(&str, &str)]) -> Child {
    let environment = [
        ("XDG_CACHE_HOME", machine.folder.display().to_string()),
        ("MONGODB_ATLAS_CLIENT_ID", "mdb_sa_id_0123456789abcdef01234567".into()),
        ("MONGODB_ATLAS_CLIENT_SECRET", "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox".into()),
        ("MONGODB_ATLAS_BASE_URL", machine.space.http().into()),
    ];
    let exports = environment.map(|(name, value)| format!("export {name}='{value}'"));
    Child::start(&exports.join("\n"), options)
}

#[test]
fn p01_processes_of_atlas_share_one_token_without_being_told() {
    let machine = Machine::new(&json!({}));
    let token = atlas(&machine, &[]).token();
    assert_eq!(atlas(&machine, &[]).token(), token);
    assert_eq!(machine.token_requests(), 1);
    assert!(machine.folder.join("svctoken").is_dir());
}

#[test]
fn processes_of_atlas_share_nothing_where_memory_is_asked_for() {
    let machine = Machine::new(&json!({}));
    let memory = [("cache", "memory")];
    let token = atlas(&machine, &memory).token();
    assert_ne!(atlas(&machine, &memory).token(), token);
    assert_eq!(machine.token_requests(), 2);
    assert!(!machine.folder.join("svctoken").exists());
}
