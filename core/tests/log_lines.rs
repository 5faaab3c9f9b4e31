//! P7 where the host logs everything: what our dependencies write to the `log` crate holds no secret.

use std::sync::Mutex;

use serde_json::json;
use svctoken::Client;
use svctoken_sandbox::Sandbox;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().expect("no panic while it is held").push(format!("{} {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn p07_no_log_line_at_any_level_holds_a_secret() {
    log::set_logger(&Keep).expect("the only logger");
    log::set_max_level(log::LevelFilter::Trace);
    let sandbox = Sandbox::start();
    let space = sandbox.create_space(&json!({})).expect("known settings");
    let ca_file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("log_lines_ca.pem");
    std::fs::write(&ca_file, sandbox.ca_pem()).expect("a folder of our own");
    let secret = "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox";
    let mut hidden = vec![secret.to_owned(), "private-value".to_owned(), "Basic ".to_owned(), "Bearer ".to_owned()];
    for (method, base) in [
        ("client_secret_basic", space.http()),
        ("client_secret_post", space.http()),
        ("client_secret_basic", space.https()),
    ] {
        let client = Client::builder()
            .environment(svctoken::Environment::from_pairs([("", "")]))
            .client_id("mdb_sa_id_0123456789abcdef01234567")
            .client_secret(secret)
            .auth_method(method)
            .ca_file(ca_file.to_string_lossy())
            .base_url(base)
            .atlas()
            .expect("valid options");
        for _ in 0..2 {
            let r = client.request("POST", "/echo").header("X-Private", "private-value").body(&b"private-value"[..]);
            // The sandbox refuses the credential in the form, as Atlas does; what counts is that it was sent.
            let sent = r.send();
            assert!(method == "client_secret_post" || sent.expect("an answer").status() == 200);
        }
        if let Ok(token) = client.get_token() {
            hidden.push(token.as_str().to_owned());
        }
    }
    let lines = LINES.lock().expect("no panic while it is held");
    assert!(lines.iter().any(|line| line.starts_with("ureq")), "the logger sees what ureq says");
    for line in lines.iter() {
        assert!(!hidden.iter().any(|secret| line.contains(secret.as_str())), "{line}");
    }
}
