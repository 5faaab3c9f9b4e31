//! What a log hook may do.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::json;
use svctoken::{Client, Environment, ErrorCode, LogEvent};
use svctoken_sandbox::Sandbox;

#[test]
fn p08_a_hook_that_calls_its_own_client_is_told_at_once_and_harms_nobody() {
    let sandbox = Sandbox::start();
    let space = sandbox.create_space(&json!({})).expect("known settings");
    let own: Arc<OnceLock<Client>> = Arc::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (client_of_hook, told_to_hook) = (own.clone(), told.clone());
    let hook = move |event: &LogEvent| {
        if event.name() == "token_requested" {
            let client = client_of_hook.get().expect("set before the first call");
            told_to_hook.lock().expect("no panic").push(client.get_token().map(|_| ()).map_err(|error| error.code()));
        }
    };
    let client = Client::builder()
        .environment(Environment::from_pairs([("", "")]))
        .client_id("mdb_sa_id_0123456789abcdef01234567")
        .client_secret("mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox")
        .base_url(space.http())
        .on_log(Arc::new(hook))
        .atlas()
        .expect("valid options");
    own.set(client.clone()).expect("empty");
    let began = Instant::now();
    client.get_token().expect("a token");
    assert!(began.elapsed() < Duration::from_secs(10), "the hook waited for itself");
    assert_eq!(*told.lock().expect("no panic"), [Err(ErrorCode::InvalidArgument)]);
}
