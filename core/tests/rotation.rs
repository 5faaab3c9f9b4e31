//! Secrets that change while a program runs: no call fails that a patient person would not expect to, token requests are
//! bounded, and nothing is restarted (P10).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use svctoken::{CallOptions, Client, ClientBuilder, Environment, Error, ErrorCode};
use svctoken_sandbox::{Sandbox, Space, Waited};

const ID: &str = "mdb_sa_id_0123456789abcdef01234567";
const OLD: &str = "mdb_sa_sk_old-old-old-old-old-old-old";
const NEW: &str = "mdb_sa_sk_new-new-new-new-new-new-new";
const THIRD: &str = "mdb_sa_sk_third-third-third-third";
const LIMIT: Duration = Duration::from_secs(30);

/// A server, a folder, and the clock, which is the whole process's.
struct World {
    _clock: MutexGuard<'static, ()>,
    _sandbox: Sandbox,
    space: Arc<Space>,
    folder: PathBuf,
}

impl World {
    fn new(secrets: [&str; 2]) -> World {
        static CLOCK: Mutex<()> = Mutex::new(());
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let sandbox = Sandbox::start();
        let space = sandbox.create_space(&json!({})).expect("known settings");
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("svctoken-rotation-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let world = World { _clock: clock, _sandbox: sandbox, space, folder };
        world.server_takes(secrets);
        world
    }

    fn server_takes(&self, [secret, secret_2]: [&str; 2]) {
        let clients = json!([{"id": ID, "secret": secret, "secret_2": secret_2}]);
        self.space.patch(&json!({ "clients": clients })).expect("known settings");
    }

    /// Replaces the file, as a careful program does.
    fn write(&self, secret: &str) {
        let next = self.folder.join("next");
        fs::write(&next, format!("{secret}\n")).expect("a file");
        fs::rename(next, self.file()).expect("a file");
    }

    fn file(&self) -> PathBuf {
        self.folder.join("secret")
    }

    fn advance(&self, seconds: u64) {
        self.space.advance(Duration::from_secs(seconds));
        svctoken::testing::advance_clock(Duration::from_secs(seconds));
    }

    fn client(&self, with: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let ours = |name: &str| name.starts_with("SVCTOKEN_") || name.starts_with("MONGODB_");
        let builder =
            Client::builder().environment(Environment::from_pairs(environment.filter(|(name, _)| !ours(name))));
        with(builder.client_id(ID).base_url(self.space.http()).cache("memory")).atlas().expect("valid options")
    }

    fn with_file(&self) -> Client {
        self.client(|builder| builder.client_secret_file(text(&self.file())))
    }

    fn with_command(&self) -> Client {
        self.client(|builder| builder.client_secret_command(["cat".to_owned(), text(&self.file())]))
    }

    fn with_callback(&self) -> Client {
        let file = self.file();
        self.client(|builder| {
            builder.client_secret_callback(move || fs::read_to_string(&file).map(|text| text.trim_end().to_owned()))
        })
    }

    fn count(&self, counter: &str) -> u64 {
        self.space.report()[counter].as_u64().expect("a counter")
    }

    fn wait_for(&self, counter: &str, count: u64) {
        let until = json!({ counter: count });
        let Value::Object(until) = until else { unreachable!("an object was written in the line above") };
        self.space.wait(&until, LIMIT).expect("a counter");
        assert!(self.count(counter) >= count, "{counter}");
    }

    fn issued(&self, token: &str) -> bool {
        self.space.issued(token).is_some()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// 64 threads that never stop asking.
struct Callers {
    stop: Arc<AtomicBool>,
    rounds: Vec<Arc<AtomicU64>>,
    failed: Arc<Mutex<Vec<Error>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Callers {
    fn start(client: &Client) -> Callers {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let rounds: Vec<Arc<AtomicU64>> = (0..64).map(|_| Arc::default()).collect();
        let threads = rounds.iter().map(|round| {
            let (client, stop, failed, round) = (client.clone(), stop.clone(), failed.clone(), round.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = client.get_token() {
                        failed.lock().expect("no panic").push(error);
                    }
                    round.fetch_add(1, Ordering::Relaxed);
                    // 64 threads on two cores leave the others little.
                    thread::sleep(Duration::from_millis(1));
                }
            })
        });
        let threads = threads.collect();
        Callers { stop, rounds, failed, threads }
    }

    /// Waits until each has begun and ended a call from now on.
    fn round(&self) {
        let before: Vec<u64> = self.rounds.iter().map(|round| round.load(Ordering::Relaxed)).collect();
        let until = Instant::now() + LIMIT;
        while self.rounds.iter().zip(&before).any(|(round, before)| round.load(Ordering::Relaxed) < before + 2) {
            assert!(Instant::now() < until, "a caller is stuck");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn take_failures(&self) -> Vec<Error> {
        std::mem::take(&mut self.failed.lock().expect("no panic"))
    }

    fn end(self) -> Vec<Error> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        std::mem::take(&mut self.failed.lock().expect("no panic"))
    }
}

#[test]
fn p10_sixty_four_callers_go_over_to_a_changed_file_with_one_request() {
    let world = World::new([OLD, NEW]);
    world.write(OLD);
    let client = world.with_file();
    let callers = Callers::start(&client);
    callers.round();
    assert_eq!(world.count("token_requests"), 1);
    world.write(NEW);
    world.server_takes([NEW, NEW]);
    callers.round();
    assert_eq!(world.count("token_requests"), 1, "the living token outlives the rotation");
    world.advance(3700);
    world.wait_for("mints", 2);
    callers.round();
    assert!(callers.end().is_empty());
    assert_eq!(world.count("token_requests"), 2, "the old secret was not tried any more");
    assert!(world.issued(client.get_token().expect("a token").as_str()));
    assert_eq!(client.stats().token_requests, 2, "and it counts as before");
}

#[test]
fn p10_while_the_old_secret_is_refused_a_command_is_asked_once_more_and_no_caller_fails() {
    for slow in [World::with_command, World::with_callback] {
        let world = World::new([OLD, OLD]);
        world.write(OLD);
        let client = slow(&world);
        let callers = Callers::start(&client);
        callers.round();
        world.write(NEW);
        world.server_takes([NEW, NEW]);
        world.advance(3700);
        world.wait_for("mints", 2);
        callers.round();
        let failed = callers.end();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(world.count("token_requests"), 3, "one with each secret, and one that was refused");
    }
}

#[test]
fn p10_where_all_secrets_are_refused_the_first_right_one_is_found() {
    for source in [World::with_file, World::with_command, World::with_callback] {
        let world = World::new([OLD, OLD]);
        world.write(OLD);
        let client = source(&world);
        client.get_token().expect("a token");
        world.server_takes([THIRD, THIRD]);
        world.write(NEW);
        world.advance(3700);
        let callers = Callers::start(&client);
        callers.round();
        let failed = callers.take_failures();
        assert!(failed.iter().all(|error| error.code() == ErrorCode::ClientRefused), "{failed:?}");
        assert!(!failed.is_empty());
        let requests = world.count("token_requests");
        assert!(requests <= 3, "one with each secret, not {requests}");
        world.write(THIRD);
        // A command is asked again after 10 s; the memory of the refusal is longer.
        world.advance(11);
        world.wait_for("mints", 2);
        callers.round();
        callers.take_failures();
        callers.round();
        let failed = callers.end();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(world.count("token_requests"), requests + 1);
    }
}

#[test]
fn p10_a_stale_token_is_served_until_the_next_secret_has_brought_one() {
    let world = World::new([OLD, OLD]);
    world.write(OLD);
    let client = world.with_command();
    let first = client.get_token().expect("a token").as_str().to_owned();
    world.server_takes([NEW, NEW]);
    world.write(NEW);
    world.advance(3400);
    // It finds the old secret refused, and does not wait for what follows.
    assert_eq!(client.get_token().expect("it lives").as_str(), first);
    world.wait_for("mints", 2);
    let until = Instant::now() + LIMIT;
    while client.get_token().expect("never an error").as_str() == first {
        assert!(Instant::now() < until, "the client stays with the old secret");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(world.count("token_requests"), 3);
    assert_eq!(client.stats().token_requests, 3);
}

#[test]
fn p10_who_comes_when_the_old_token_has_ended_waits_for_what_the_next_secret_brings() {
    let world = World::new([OLD, NEW]);
    world.write(OLD);
    let client = world.with_file();
    let first = client.get_token().expect("a token").as_str().to_owned();
    world.write(NEW);
    let held = json!({ "rules": [{ "path": "/api/oauth/token", "do": { "hold": "gate" } }] });
    world.space.patch(&held).expect("known settings");
    world.advance(3400);
    assert_eq!(client.get_token().expect("it lives").as_str(), first);
    world.wait_for("token_requests", 2);
    world.advance(300);
    let late = thread::spawn({
        let client = client.clone();
        move || client.get_token().map(|token| token.as_str().to_owned())
    });
    let third = json!({ "token_requests": 3 });
    let waited = world.space.wait(third.as_object().expect("an object"), Duration::from_millis(500));
    assert!(!matches!(waited, Ok(Waited::Reached(_))), "a token was requested beside the one that is on its way");
    world.space.release("gate");
    assert_ne!(late.join().expect("no panic").expect("a token"), first);
    assert_eq!(world.count("token_requests"), 2);
}

#[test]
fn p04_a_wrong_secret_in_the_file_takes_the_living_token_from_nobody() {
    let world = World::new([OLD, OLD]);
    world.write(OLD);
    let client = world.with_file();
    let first = client.get_token().expect("a token").as_str().to_owned();
    world.write("half a sec");
    world.advance(3400);
    for _ in 0..3 {
        assert_eq!(client.get_token().expect("it lives").as_str(), first);
    }
    world.wait_for("token_requests", 2);
    let until = Instant::now() + LIMIT;
    // The secret that is right brings the next token, whatever the file holds.
    while client.get_token().expect("never an error").as_str() == first {
        assert!(Instant::now() < until, "the right secret is not used any more");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(world.count("token_requests"), 3);
    assert_eq!(world.count("mints"), 2);
}

#[test]
fn p10_a_refused_token_waits_for_the_next_secret() {
    let world = World::new([OLD, OLD]);
    world.write(OLD);
    let client = world.with_callback();
    let send = || client.request("GET", "/echo").send().expect("an answer");
    assert_eq!(send().status(), 200);
    world.server_takes([NEW, NEW]);
    world.write(NEW);
    world.space.revoke_tokens();
    world.advance(10);
    assert_eq!(send().status(), 200, "the old secret is refused with the old token, and the next one serves");
    assert_eq!(world.count("token_requests"), 3);
}

#[test]
fn p10_the_second_secret_is_tried_when_the_first_is_refused_and_kept_while_it_works() {
    let world = World::new([NEW, NEW]);
    let client = world.client(|builder| builder.client_secret(OLD).client_secret_2(NEW));
    let callers = Callers::start(&client);
    callers.round();
    assert_eq!(world.count("token_requests"), 2);
    for rounds in 1..4 {
        world.advance(3700);
        world.wait_for("mints", 1 + rounds);
        callers.round();
        assert_eq!(world.count("token_requests"), 2 + rounds, "the first is not tried again");
    }
    // And back, when the second is refused.
    world.server_takes([OLD, OLD]);
    world.advance(3700);
    world.wait_for("mints", 5);
    callers.round();
    let failed = callers.end();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(world.count("token_requests"), 7);
}

#[test]
fn p10_while_both_secrets_are_refused_each_is_tried_once_and_then_the_right_one_found() {
    let world = World::new([THIRD, THIRD]);
    let client = world.client(|builder| builder.client_secret(OLD).client_secret_2(NEW));
    let callers = Callers::start(&client);
    callers.round();
    assert_eq!(world.count("token_requests"), 2);
    let failed = callers.take_failures();
    assert!(!failed.is_empty() && failed.iter().all(|error| error.code() == ErrorCode::ClientRefused), "{failed:?}");
    world.server_takes([OLD, OLD]);
    world.advance(31);
    world.wait_for("mints", 1);
    callers.round();
    callers.take_failures();
    callers.round();
    let failed = callers.end();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(world.count("token_requests") <= 4);
}

#[test]
fn p09_a_function_that_hangs_keeps_nobody_beyond_his_time_and_is_called_once() {
    let world = World::new([OLD, OLD]);
    let (release, gate) = mpsc::channel::<()>();
    let (gate, calls) = (Mutex::new(gate), Arc::new(AtomicU32::new(0)));
    let called = calls.clone();
    let client = world.client(|builder| {
        builder.client_secret_callback(move || {
            called.fetch_add(1, Ordering::Relaxed);
            let _ = gate.lock().expect("no panic").recv_timeout(LIMIT);
            Ok::<_, String>(OLD.into())
        })
    });
    let options = CallOptions { timeout: Some(Duration::from_millis(50)), ..CallOptions::default() };
    for _ in 0..3 {
        let error = client.get_token_with(&options).expect_err("it hangs");
        assert_eq!(error.code(), ErrorCode::Timeout);
        assert!(error.what().contains("client_secret_callback"), "{error}");
    }
    release.send(()).expect("the function waits");
    client.get_token().expect("a token");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn p13_a_function_that_calls_its_own_client_or_panics_ends_at_once() {
    let world = World::new([OLD, OLD]);
    let own: Arc<Mutex<Option<Client>>> = Arc::default();
    let of_function = own.clone();
    let client = world.client(|builder| {
        builder.client_secret_callback(move || {
            let client = of_function.lock().expect("no panic").clone().expect("set before the first call");
            client.get_token().map(|token| token.as_str().to_owned())
        })
    });
    *own.lock().expect("no panic") = Some(client.clone());
    let error = client.get_token().expect_err("it would wait for itself");
    assert_eq!(error.code(), ErrorCode::CredentialUnavailable);
    assert!(error.what().contains("calls the client"), "{error}");
    *own.lock().expect("no panic") = None;

    let panicking =
        world.client(|builder| builder.client_secret_callback(|| -> Result<String, String> { panic!("a bug") }));
    assert_eq!(panicking.get_token().expect_err("a bug").code(), ErrorCode::Panic);
}

#[test]
fn p13_a_command_that_fails_is_an_error_that_passes_when_it_works() {
    let world = World::new([OLD, OLD]);
    let client = world.with_command();
    let error = client.get_token().expect_err("there is no file");
    assert_eq!(error.code(), ErrorCode::CredentialUnavailable);
    assert!(
        error.what().contains("client_secret_command \"cat\"") && error.what().contains("exited with 1"),
        "{error}"
    );
    world.write(OLD);
    let error = client.get_token().expect_err("not asked again at once");
    assert!(error.retry_after().is_some_and(|time| time <= Duration::from_secs(1)), "{error:?}");
    world.advance(2);
    client.get_token().expect("a token");
    world.write("mdb_sa_sk_••••1234");
    world.server_takes([NEW, NEW]);
    world.advance(3700);
    let error = client.get_token().expect_err("the old one is refused, the new one none");
    assert_eq!(error.code(), ErrorCode::CredentialUnavailable);
    assert!(error.what().contains("client_secret_command") && error.what().contains("masked"), "{error}");
    assert!(error.what().contains("refuses the present one"), "{error}");
}
