//! A machine of its own for each test: a server and a folder.

use std::fs::{self, DirBuilder};
use std::io::{Write, stderr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use svctoken_sandbox::{Sandbox, Space, Waited};

use crate::child::Child;

/// Tells a figure; not by a macro, whose output is shown of failed tests only.
pub(crate) fn tell(figure: &str) {
    writeln!(stderr(), "{figure}").expect("stderr");
}

pub(crate) struct Machine {
    pub(crate) sandbox: Sandbox,
    pub(crate) space: Arc<Space>,
    pub(crate) folder: PathBuf,
}

impl Machine {
    /// With a server of these settings.
    pub(crate) fn new(settings: &Value) -> Machine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("svctoken-machine-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder).expect("a temporary folder");
        let sandbox = Sandbox::start();
        let space = sandbox.create_space(settings).expect("known settings");
        Machine { sandbox, space, folder }
    }

    /// Where the store is, unless a test says otherwise.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    pub(crate) fn all_files(&self) -> Vec<PathBuf> {
        entries(&entries(&self.store()).pop().expect("a folder of this boot"))
    }

    /// The files of the store whose names end so; records' have no ending.
    pub(crate) fn files(&self, ending: &str) -> Vec<PathBuf> {
        self.all_files().into_iter().filter(|path| path.extension().unwrap_or_default() == ending).collect()
    }

    /// The only record.
    pub(crate) fn record(&self) -> PathBuf {
        let mut records = self.files("");
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    pub(crate) fn child(&self, options: &[(&str, &str)]) -> Child {
        self.child_after("", options)
    }

    /// One that can write no file.
    pub(crate) fn child_with_full_disk(&self) -> Child {
        self.child_after("trap '' XFSZ; ulimit -f 0", &[])
    }

    /// One that is started after the shell has done what is to be done `before`.
    pub(crate) fn child_after(&self, before: &str, options: &[(&str, &str)]) -> Child {
        self.with_options(options, |options| Child::start(before, options))
    }

    /// One that perhaps is not ready yet.
    pub(crate) fn beginning_child(&self, options: &[(&str, &str)]) -> Child {
        self.with_options(options, |options| Child::begin("", options))
    }

    fn with_options(&self, options: &[(&str, &str)], start: impl FnOnce(&[(&str, &str)]) -> Child) -> Child {
        let cache = format!("file:{}", self.store().display());
        let token_url = format!("{}/api/oauth/token", self.space.http());
        let given = [
            ("client_id", "mdb_sa_id_0123456789abcdef01234567"),
            ("client_secret", "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox"),
            ("base_url", self.space.http()),
            ("token_url", &token_url),
            ("cache", &cache),
        ];
        start(&[&given, options].concat())
    }

    pub(crate) fn children(&self, count: usize, options: &[(&str, &str)]) -> Vec<Child> {
        (0..count).map(|_| self.child(options)).collect()
    }

    pub(crate) fn token_requests(&self) -> u64 {
        self.space.report()["token_requests"].as_u64().expect("a number")
    }

    /// Whether so many token requests arrive within that time.
    pub(crate) fn token_requests_reach(&self, count: u64, within: Duration) -> bool {
        let until = json!({ "token_requests": count });
        let waited = self.space.wait(until.as_object().expect("an object"), within).expect("a known counter");
        matches!(waited, Waited::Reached(_))
    }

    /// Waits for a request at that gate.
    pub(crate) fn await_held(&self, gate: &str) {
        let until = json!({ "held": { gate: 1 } });
        let within = Duration::from_secs(40);
        let waited = self.space.wait(until.as_object().expect("an object"), within).expect("a known counter");
        assert!(matches!(waited, Waited::Reached(_)), "nothing waits at {gate}");
    }

    pub(crate) fn await_token_requests(&self, count: u64) {
        assert!(self.token_requests_reach(count, Duration::from_secs(40)), "{} of {count}", self.token_requests());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).expect("ours");
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()).collect()
}
