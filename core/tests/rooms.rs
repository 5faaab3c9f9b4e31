//! The code map of the README: a room imports only from rooms below it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the top; rooms of one line may import from each other only where the line says so.
const LINES: [&[&str]; 9] = [
    &["client", "request"],
    &["pages"],
    &["response", "redirect"],
    &["token"],
    &["retry"],
    &["store", "grant", "http"],
    &["net", "config"],
    &["wait", "registry", "background", "log", "stats"],
    &["clock", "fork", "crypto", "secret", "error"],
];
/// Inside a line: who may import whom.
const BESIDE: [(&str, &str); 2] = [("client", "request"), ("request", "client")];
/// Test worlds, and what a user's tests call, stand outside.
const OUTSIDE: [&str; 3] = ["simulation", "testing", "lib"];

fn line_of(room: &str) -> Option<usize> {
    LINES.iter().position(|line| line.contains(&room))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the sources").map(|entry| entry.expect("the sources").path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn a_room_imports_only_from_rooms_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for path in files(&source) {
        let inside = path.strip_prefix(&source).expect("below the sources");
        let room = inside.iter().next().and_then(|name| Path::new(name).file_stem()).and_then(|stem| stem.to_str());
        let room = room.expect("UTF-8");
        if OUTSIDE.contains(&room) {
            continue;
        }
        let line = line_of(room).unwrap_or_else(|| panic!("{room} has no line here, and perhaps none in the README"));
        let text = fs::read_to_string(&path).expect("UTF-8");
        // Tests may look anywhere.
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        if inside.file_stem().is_some_and(|stem| stem == "tests" || stem == "properties") {
            continue;
        }
        for import in text.lines().filter_map(|line| line.trim().strip_prefix("use crate::")) {
            let other = import.split([':', ';', ' ', '{']).next().unwrap_or_default();
            let Some(others_line) = line_of(other) else { continue };
            let beside = BESIDE.contains(&(room, other));
            assert!(
                other == room || others_line > line || (others_line == line && beside),
                "{} imports {other}, which is not below {room}",
                inside.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} imports were seen");
}
