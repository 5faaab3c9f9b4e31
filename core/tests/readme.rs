//! The README's tables are the code's. `SVCTOKEN_UPDATE=1 cargo test -p svctoken --test readme` writes them anew.

use std::fs;
use std::path::Path;

use svctoken::{ErrorCode, OPTIONS, OptionKind};

fn options_table() -> String {
    let mut table = String::from("| option | kind | default | |\n|---|---|---|---|\n");
    for row in OPTIONS {
        let kind = match row.kind {
            OptionKind::Text => "text",
            OptionKind::Secret => "secret text",
            OptionKind::Duration => "time",
            OptionKind::Count => "count",
            OptionKind::Flag => "flag",
            OptionKind::List => "list",
            OptionKind::Pairs => "pairs",
            OptionKind::Callback => "function",
            _ => panic!("a kind the README has no word for: {:?}", row.kind),
        };
        table.push_str(&format!("| {} | {kind} | {} | {} |\n", row.name, row.default, row.doc));
    }
    table
}

fn errors_table() -> String {
    let mut table = String::from("| | name | what it means | what to do |\n|---|---|---|---|\n| 0 | ok | | |\n");
    for code in ErrorCode::ALL {
        table.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            code.number(),
            code.name(),
            code.meaning(),
            code.next_step()
        ));
    }
    table
}

#[test]
fn the_readmes_tables_are_the_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).expect("the README");
    let mut expected = readme.clone();
    for (name, table) in [("options", options_table()), ("errors", errors_table())] {
        let begin = format!("<!-- {name}: written by the test in core/tests/readme.rs -->\n");
        let (before, rest) = expected.split_once(&begin).expect(name);
        let (_, after) = rest.split_once(&format!("<!-- end of {name} -->")).expect(name);
        expected = format!("{before}{begin}{table}<!-- end of {name} -->{after}");
    }
    if std::env::var_os("SVCTOKEN_UPDATE").is_some() {
        fs::write(&path, &expected).expect("writable");
    } else {
        assert!(readme == expected, "the README's tables are stale: run this test with SVCTOKEN_UPDATE=1");
    }
}
