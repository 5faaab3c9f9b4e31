//! What hours and days cost, in simulated time: the README's figures.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::error::ErrorCode;
use crate::simulation::World;
use crate::simulation::servers::{Issued, Play, Servers, awake, builder, new_client_id, sleep};
use crate::wait::CallOptions;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const LATENCY: Duration = Duration::from_millis(100);

static WRITING: Mutex<()> = Mutex::new(());

/// The README's row about `what` must have these figures. SVCTOKEN_UPDATE=1 writes them anew.
fn in_readme(what: &str, figures: &str) {
    let begin = format!("| {what} | ");
    let row = format!("{begin}{figures} |");
    println!("{row}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let readme = fs::read_to_string(&path).expect("the README");
    let found = readme.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row {begin}"));
    if std::env::var_os("SVCTOKEN_UPDATE").is_some() {
        fs::write(&path, readme.replace(found, &row)).expect("writable");
    } else {
        assert_eq!(found, row, "the README's figures are stale: run this test with SVCTOKEN_UPDATE=1");
    }
}

/// Calls every `pause` until the world is `end` old.
fn poll(pause: Duration, end: Duration, mut call: impl FnMut()) {
    while awake() < end {
        call();
        sleep(pause);
    }
}

fn granting(lifetime: Duration, latency: Duration) -> impl FnMut() -> (Duration, Play) + Send + 'static {
    move || (latency, Play::Grant(Some(lifetime)))
}

fn accepting(_: &Issued) -> (Duration, u16) {
    (Duration::ZERO, 200)
}

/// Token requests in an hour of calls, ten a second.
fn an_hour_of(lifetime: Duration) -> usize {
    let servers = Servers::new(granting(lifetime, LATENCY), accepting);
    World::run(1, servers.serve(), |_| {
        let client = builder(&new_client_id()).build().expect("valid options");
        poll(SECOND / 10, HOUR, || assert!(client.get_token().is_ok()));
    });
    servers.books().requests.len()
}

#[test]
fn p05_tokens_of_every_lifetime_are_reused() {
    let counts = [5, 60, 300, 3600].map(|seconds| an_hour_of(Duration::from_secs(seconds)));
    for (count, ideal) in counts.iter().zip([720.0, 60.0, 12.0, 1.0]) {
        // A token is used for at least 78 % of its life.
        assert!(*count as f64 <= ideal / 0.78 + 1.0, "{count} token requests where {ideal} would do");
    }
    let [a, b, c, d] = counts;
    in_readme(
        "tokens of 5 s, 60 s, 300 s, 3600 s, an hour of calls",
        &format!("{a}, {b}, {c}, {d} token requests (720, 60, 12, 1 if every token were used to its last second)"),
    );
}

#[test]
fn p09_a_slow_server_loses_no_token_to_impatient_callers() {
    let servers = Servers::new(granting(SECOND * 300, SECOND * 2), |_| (LATENCY, 200));
    let used = Arc::new(Mutex::new(HashSet::new()));
    let last_timeout = Arc::new(Mutex::new(Duration::ZERO));
    World::run(1, servers.serve(), |world| {
        let client = builder(&new_client_id()).build().expect("valid options");
        for caller in 0..20 {
            let (client, used, last_timeout) = (client.clone(), used.clone(), last_timeout.clone());
            let options = CallOptions { timeout: Some(SECOND), ..CallOptions::default() };
            world.spawn(move || {
                poll(SECOND, HOUR, || {
                    let result = match caller % 2 {
                        0 => client.get_token_with(&options).map(|token| Some(token.as_str().to_string())),
                        _ => client.request("GET", "/resource").timeout(SECOND).send().map(|_| None),
                    };
                    match result {
                        Ok(token) => used.lock().expect("no panic holds it").extend(token),
                        Err(error) => {
                            assert_eq!(error.code(), ErrorCode::Timeout);
                            *last_timeout.lock().expect("no panic holds it") = awake();
                        }
                    }
                });
            });
        }
    });
    let books = servers.books();
    let used = used.lock().expect("no panic holds it").len();
    assert_eq!((used, books.tokens.len()), (books.requests.len(), books.requests.len()));
    // The world begins at 1 s.
    let last_timeout = *last_timeout.lock().expect("no panic holds it");
    assert!(last_timeout > SECOND && last_timeout < SECOND * 3, "a call timed out at {last_timeout:?}");
    in_readme(
        "a server that takes 2 s, tokens of 300 s, an hour of 20 callers with 1 s of `timeout`",
        &format!("{used} token requests, every token used; calls time out in the first 2 s and never again"),
    );
}

/// Token requests of callers who each send a request a second for `time`, tokens living an hour.
fn requests_refused(
    callers: u32,
    time: Duration,
    api: impl FnMut(&Issued) -> (Duration, u16) + Send + 'static,
) -> usize {
    let servers = Servers::new(granting(HOUR, LATENCY), api);
    World::run(1, servers.serve(), |world| {
        let client = builder(&new_client_id()).build().expect("valid options");
        for _ in 0..callers {
            let client = client.clone();
            world.spawn(move || poll(SECOND, time, || drop(client.request("GET", "/resource").send())));
        }
    });
    servers.books().requests.len()
}

fn refusing(_: &Issued) -> (Duration, u16) {
    (Duration::ZERO, 401)
}

#[test]
fn p03_a_project_that_answers_every_token_with_401_costs_few() {
    let hour = requests_refused(10, HOUR, refusing);
    let day = requests_refused(1, HOUR * 24, refusing);
    // The holds grow from a minute to a life of a token; afterwards each ends with one token, and each life with one.
    assert!(hour <= 7 && day <= 6 + 24 + 27, "{hour} in an hour, {day} in a day");
    in_readme(
        "an API that answers every token with 401, a call a second, tokens of an hour",
        &format!("{hour} token requests in the first hour, {day} in a day"),
    );
}

#[test]
fn p03_a_server_that_revokes_every_token_costs_one_in_five_seconds() {
    let revoked = |token: &Issued| clock::now().since(token.begin) >= SECOND * 5;
    let count = requests_refused(10, HOUR, move |token| (Duration::ZERO, if revoked(token) { 401 } else { 200 }));
    // The bound: no token younger than 5 s is condemned.
    assert!((100..=720).contains(&count), "{count} in an hour");
    in_readme(
        "an API that accepts every token for its first 5 s only, an hour of 10 calls a second",
        &format!("{count} token requests (at most one in 5 s)"),
    );
}

/// What became of the calls of one caller a second while the server answered 503 from the 30th to the 90th minute.
#[derive(Default)]
struct Outage {
    served: u32,
    recovered_after: Duration,
    /// In the outage, and as many of them as came while the token lived.
    token_requests: usize,
    with_token: usize,
}

fn outage(budget: Option<u64>) -> Outage {
    let (begin, end) = (HOUR / 2, HOUR * 3 / 2);
    let plan = move || match (begin..end).contains(&awake()) {
        true => (LATENCY, Play::Unavailable(503, None)),
        false => (LATENCY, Play::Grant(Some(HOUR))),
    };
    let servers = Servers::new(plan, accepting);
    let mut outage = Outage::default();
    World::run(1, servers.serve(), |_| {
        let builder = builder(&new_client_id());
        let builder = match budget {
            Some(budget) => builder.mint_budget(budget),
            None => builder,
        };
        let client = builder.build().expect("valid options");
        poll(SECOND, end + SECOND * 90, || {
            let served = client.get_token().is_ok();
            match (begin..end).contains(&awake()) {
                true if served => outage.served += 1,
                true => {}
                false if served && awake() > end && outage.recovered_after.is_zero() => {
                    outage.recovered_after = awake() - end;
                }
                false => assert!(served || outage.recovered_after.is_zero(), "an error while the server was well"),
            }
            if served && awake() < end {
                outage.with_token = servers.books().requests.len() - 1;
            }
        });
    });
    outage.token_requests = servers.books().requests.len() - 2;
    outage
}

#[test]
fn p04_an_outage_is_felt_when_the_token_ends_and_not_before() {
    let [free, budgeted] = [None, Some(10)].map(outage);
    for outage in [&free, &budgeted] {
        // The token was minted in the first second and serves until its last; one call then waits for the next in vain.
        assert!(outage.served >= 1790, "only {} calls were served", outage.served);
        assert!(outage.with_token <= 4 * 3, "{} token requests while a token lived", outage.with_token);
        assert!(outage.recovered_after < SECOND * 2, "served again after {:?}", outage.recovered_after);
    }
    // Half an hour without a token: three requests and two pauses of half a second and less, of a second and less.
    assert!(free.token_requests <= 3 * 1800, "{}", free.token_requests);
    assert!(budgeted.token_requests <= 10 * 31 + 12, "{}", budgeted.token_requests);
    in_readme(
        "a server that answers 503 for an hour, half of it after the token's end, a call a second",
        &format!(
            "every call is served until the token ends ({} token requests), and again within 2 s of the server's \
             return; between, {} token requests, {} with a budget of 10 a minute",
            free.with_token,
            free.token_requests - free.with_token,
            budgeted.token_requests - budgeted.with_token
        ),
    );
}
