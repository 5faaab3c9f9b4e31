//! Downloads: what is Rust's own.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use svctoken::{Client, ErrorCode};
use svctoken_sandbox::{Sandbox, Space};

const CREDENTIAL: [(&str, &str); 2] = [
    ("MONGODB_ATLAS_CLIENT_ID", "mdb_sa_id_0123456789abcdef01234567"),
    ("MONGODB_ATLAS_CLIENT_SECRET", "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox"),
];

/// Removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("svctoken-downloads-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a folder for temporary files");
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn client(space: &Space) -> Client {
    let [(_, id), (_, secret)] = CREDENTIAL;
    let builder = Client::builder().base_url(space.http()).client_id(id).client_secret(secret).cache("memory");
    builder.atlas().expect("a client")
}

#[test]
fn p08_break_ends_a_download_and_leaves_nothing() {
    let sandbox = Sandbox::start();
    let space = sandbox.create_space(&json!({})).expect("a space");
    let folder = Folder::new("break");
    let mut told = Vec::new();
    let client = client(&space);
    let request = client.request("GET", "/bytes/1000").on_progress(|received, total| {
        told.push((received, total));
        if received == 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let error = request.download(folder.0.join("file")).expect_err("ended");
    assert_eq!(error.code(), ErrorCode::Cancelled);
    assert_eq!(told, [(0, Some(1000)), (1000, Some(1000))]);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn a_name_of_any_length_has_a_temporary_beside_it() {
    let sandbox = Sandbox::start();
    let space = sandbox.create_space(&json!({})).expect("a space");
    let folder = Folder::new("long");
    let name = "é".repeat(127);
    client(&space).request("GET", "/bytes/10").download(folder.0.join(&name)).expect("an answer");
    assert_eq!(folder.names(), [name]);
    let too_long = client(&space).request("GET", "/bytes/10").download(folder.0.join("x".repeat(256)));
    assert_eq!(too_long.expect_err("no such name").code(), ErrorCode::Internal);
    assert_eq!(folder.names().len(), 1);
}

#[test]
fn the_example_shows_its_progress() {
    let sandbox = Sandbox::start();
    let space = sandbox.create_space(&json!({})).expect("a space");
    let folder = Folder::new("example");
    let file = folder.0.join("file");
    let tests = std::env::current_exe().expect("this program");
    let example = tests.ancestors().nth(2).expect("the build's folder").join("examples/download");
    // Cargo builds it for all tests together, and not for one alone.
    let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--locked", "--example", "download"]).status();
    assert!(built.expect("cargo").success());
    for (path, works) in [("/bytes/2000000", true), ("/api/atlas/v2/nothing", false)] {
        let mut command = Command::new(&example);
        command.arg(path).arg(&file).envs(CREDENTIAL).env("MONGODB_ATLAS_BASE_URL", space.http());
        let ended = command.env("SVCTOKEN_CACHE", "memory").output().expect("the example");
        let text = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.success(), works, "{text}");
        assert!(text.contains(if works { "100.0 %        2.0 MB" } else { "404" }), "{text}");
        assert_eq!(fs::metadata(&file).expect("the file").len(), 2_000_000);
    }
}
