//! What the libraries show to linkers and loaders.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::header;
use crate::support::{MINUTES, NATIVE_STATIC_LIBS, libraries, root, succeed};

fn shared_library() -> String {
    libraries().join("libsvctoken.so").to_str().expect("UTF-8").into()
}

#[test]
fn the_exported_symbols_are_those_of_the_list_and_of_the_header() {
    let mut nm = Command::new("nm");
    nm.args(["-D", "--defined-only", "--format=just-symbols"]).arg(shared_library());
    let mut exported: Vec<String> = succeed(nm, MINUTES).lines().map(str::to_owned).collect();
    exported.sort();
    let list = root().join("ffi-c/exports.txt");
    if std::env::var_os("SVCTOKEN_UPDATE").is_some() {
        fs::write(&list, exported.join("\n") + "\n").expect("a writable folder");
    }
    let listed = fs::read_to_string(&list).expect("the list");
    assert!(
        listed.lines().eq(exported.iter()),
        "ffi-c/exports.txt is stale: SVCTOKEN_UPDATE=1 cargo test -p svctoken-c exports; look at the difference"
    );
    let header = header::generated();
    for symbol in &exported {
        assert!(header.contains(&format!("{symbol}(")), "{symbol} is exported and not in the header");
    }
}

#[test]
fn the_shared_library_has_its_soname_and_stays_loaded() {
    let mut readelf = Command::new("readelf");
    readelf.arg("--dynamic").arg(shared_library());
    let dynamic = succeed(readelf, MINUTES);
    let soname = format!("[libsvctoken.so.{}.{}]", env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    assert!(dynamic.lines().any(|line| line.contains("(SONAME)") && line.contains(&soname)), "{dynamic}");
    assert!(dynamic.lines().any(|line| line.contains("(FLAGS_1)") && line.contains("NODELETE")), "{dynamic}");
}

#[test]
fn the_static_link_line_is_what_rustc_says_everywhere_it_is_told() {
    libraries();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("inside the target folder");
    let mut cargo = Command::new("sh");
    // rustc tells on standard error.
    cargo.arg("-c").arg(r#"exec "$0" "$@" 2>&1"#).arg(env!("CARGO")).args(["rustc", "--locked", "--package"]);
    cargo.args(["svctoken-c", "--lib", "--target-dir"]).arg(target).args(["--", "--print", "native-static-libs"]);
    cargo.current_dir(root());
    let said = succeed(cargo, MINUTES);
    let told = said.lines().find_map(|line| line.trim().strip_prefix("note: native-static-libs: "));
    assert_eq!(told, Some(NATIVE_STATIC_LIBS), "{said}");
    for file in ["ffi-c/svctoken.pc", "ffi-c/README.md"] {
        let text = fs::read_to_string(root().join(file)).expect("a committed file");
        assert!(text.contains(NATIVE_STATIC_LIBS), "{file} has another static link line than {NATIVE_STATIC_LIBS}");
    }
}

#[test]
fn the_pkg_config_file_has_the_version() {
    let text = fs::read_to_string(root().join("ffi-c/svctoken.pc")).expect("the file");
    assert!(text.contains(&format!("\nVersion: {}\n", env!("CARGO_PKG_VERSION"))), "{text}");
}
