//! One version, in every manifest a user sees.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_manifest_has_the_version_of_the_workspace() {
    let version = env!("CARGO_PKG_VERSION");
    for manifest in ["core", "ffi-c", "py", "node"] {
        assert!(read(&format!("{manifest}/Cargo.toml")).contains("version.workspace = true"), "{manifest}");
    }
    for path in ["node/package.json", "node/package-lock.json"] {
        let json: serde_json::Value = serde_json::from_str(&read(path)).expect("JSON");
        assert_eq!(json["version"], version, "{path}");
    }
    assert!(read("py/pyproject.toml").contains("dynamic = [\"version\"]"), "maturin takes it from Cargo");
    assert!(read("include/svctoken.h").contains(&format!("#define SVCTOKEN_VERSION \"{version}\"")));
    assert!(read("ffi-c/svctoken.pc").contains(version), "ffi-c/svctoken.pc");
}
