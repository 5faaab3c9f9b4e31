//! Requests to an API that fails in every way: what may do its work twice is sent once, what may not is tried as often and
//! as long as allowed, and everything that was sent is counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Client;
use crate::error::{Error, ErrorCode, Stage};
use crate::http::{Answer, HeaderMap, HeaderValue, Outgoing};
use crate::response::Response;
use crate::simulation::servers::{awake, builder, new_client_id, sleep};
use crate::simulation::{Random, Server, World, for_seeds};
use crate::wait::Wait;

const SECOND: Duration = Duration::from_secs(1);
/// What rounding may cost.
const TOLERANCE: Duration = Duration::from_millis(2);

/// What an API does with one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Play {
    /// There is no connection, and nothing of the request leaves.
    Unreachable,
    /// The connection breaks when the request was read, and perhaps obeyed.
    Lose,
    /// With a Retry-After, in seconds.
    Status(u16, Option<u64>),
}

impl Play {
    fn random(random: &mut Random) -> Play {
        let retry_after = random.pick(&[None, None, Some(0), Some(2), Some(30), Some(900)]);
        match random.below(10) {
            0..=3 => Play::Status(random.pick(&[200, 201, 404, 500, 425]), None),
            4 => Play::Unreachable,
            5 => Play::Lose,
            6 => Play::Status(429, retry_after),
            7 => Play::Status(401, None),
            _ => Play::Status(random.pick(&[408, 502, 503, 504]), retry_after),
        }
    }

    /// Whether the server may have done what it was asked for.
    fn may_have_obeyed(self) -> bool {
        !matches!(self, Play::Unreachable | Play::Status(401 | 429, _))
    }

    fn is_tried_again(self, repeatable: bool) -> bool {
        match self {
            Play::Unreachable | Play::Status(429, _) => true,
            Play::Lose | Play::Status(408 | 502 | 503 | 504, _) => repeatable,
            Play::Status(..) => false,
        }
    }

    fn retry_after(self) -> Duration {
        match self {
            Play::Status(_, Some(seconds)) => Duration::from_secs(seconds),
            _ => Duration::ZERO,
        }
    }
}

/// One request as the API saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    began: Duration,
    ended: Duration,
    /// `None`: its caller left before it was answered.
    play: Option<Play>,
}

struct Books {
    random: Random,
    latency: Duration,
    seen: HashMap<String, Vec<Seen>>,
    tokens: u64,
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(books: &Arc<Mutex<Books>>) -> Server {
    let books = books.clone();
    Box::new(move |outgoing: &Outgoing<'_>, wait: &Wait| {
        if outgoing.url.path_and_query == "/token" {
            let mut books = lock(&books);
            books.tokens += 1;
            let body = format!(r#"{{"access_token": "token-{}", "expires_in": 3600}}"#, books.tokens);
            return Ok(Answer::whole(200, HeaderMap::new(), body.into_bytes()));
        }
        let began = awake();
        let (latency, play) = {
            let mut books = lock(&books);
            let limit = books.latency;
            (books.random.time(limit), Play::random(&mut books.random))
        };
        let slept = wait.sleep(latency);
        let seen = Seen { began, ended: awake(), play: slept.is_ok().then_some(play) };
        lock(&books).seen.entry(outgoing.url.path_and_query.clone()).or_default().push(seen);
        slept.map_err(|stop| stop.into_error(Stage::Receiving, "reading"))?;
        match play {
            Play::Unreachable => Err(Error::new(ErrorCode::ConnectFailed, Stage::Connecting, "nobody is there")),
            Play::Lose => Err(Error::new(ErrorCode::ConnectionLost, Stage::Receiving, "the connection broke")),
            Play::Status(status, retry_after) => {
                let mut headers = HeaderMap::new();
                if let Some(seconds) = retry_after {
                    headers.insert("retry-after", HeaderValue::from(seconds));
                }
                Ok(Answer::whole(status, headers, Vec::new()))
            }
        }
    })
}

/// What a caller asked for.
#[derive(Clone, Debug)]
struct Call {
    path: String,
    method: &'static str,
    idempotent: bool,
    most: u64,
    timeout: Duration,
}

impl Call {
    fn random(path: String, random: &mut Random) -> Call {
        Call {
            path,
            method: random.pick(&["GET", "PUT", "DELETE", "POST", "PATCH"]),
            idempotent: random.percent(30),
            most: random.pick(&[1, 3, 10]),
            timeout: random.pick(&[SECOND * 2, SECOND * 60, SECOND * 300]),
        }
    }

    fn is_repeatable(&self) -> bool {
        self.idempotent || !matches!(self.method, "POST" | "PATCH")
    }

    fn send(&self, client: &Client) -> Result<Response, Error> {
        let request = client.request(self.method, self.path.as_str()).timeout(self.timeout);
        request.max_attempts(self.most).idempotent(self.idempotent).send()
    }

    fn judge(&self, began: Duration, outcome: &Result<Response, Error>, seen: &[Seen]) {
        let told = |what: &str| format!("{what}: {self:?} of {began:?} came to {outcome:?} by {seen:#?}");
        let elapsed = awake() - began;
        assert!(elapsed <= self.timeout + TOLERANCE, "{}", told("it lasted too long"));
        if !self.is_repeatable() {
            let obeyed = |seen: &&Seen| seen.play.is_none_or(Play::may_have_obeyed);
            assert!(seen.iter().filter(obeyed).count() <= 1, "{}", told("it may have been obeyed twice"));
        }
        let refused = |seen: &Seen| matches!(seen.play, Some(Play::Status(401, _)));
        let tries = seen.len() - seen.iter().rev().skip(1).filter(|seen| refused(seen)).count();
        assert!(tries as u64 <= self.most, "{}", told("it was tried too often"));
        for pair in seen.windows(2) {
            let play = pair[0].play.expect("who leaves sends no more");
            let pause = pair[1].began.saturating_sub(pair[0].ended);
            assert!(
                play.is_tried_again(self.is_repeatable()) || refused(&pair[0]),
                "{}",
                told("it was tried for nothing")
            );
            assert!(pause + TOLERANCE >= play.retry_after(), "{}", told("Retry-After was not obeyed"));
        }
        let Some(last) = seen.last() else { panic!("{}", told("it was never sent")) };
        match (outcome, last.play) {
            (Ok(response), Some(Play::Status(status, _))) => {
                assert_eq!(response.status(), status, "{}", told("another answer"));
                assert_eq!(response.attempts() as usize, seen.len(), "{}", told("another count"));
            }
            (Err(error), Some(Play::Unreachable)) => assert_eq!(error.code(), ErrorCode::ConnectFailed),
            (Err(error), Some(Play::Lose)) => assert_eq!(error.code(), ErrorCode::ConnectionLost),
            (Err(error), None) => assert_eq!(error.code(), ErrorCode::Timeout),
            _ => panic!("{}", told("another end")),
        }
        if let Some(play) = last.play.filter(|play| play.is_tried_again(self.is_repeatable()))
            && (tries as u64) < self.most
        {
            // The longest pause that would have been drawn did not fit.
            let backoff = (SECOND / 2 * 2u32.pow(tries as u32 - 1)).min(SECOND * 10);
            let left = (began + self.timeout).saturating_sub(last.ended);
            assert!(left <= backoff.max(play.retry_after()) + TOLERANCE, "{}", told("it was given up too soon"));
        }
    }
}

/// One world: how many requests were sent for how many calls.
fn run(seed: u64) -> (u64, u64) {
    let mut random = Random::new(!seed);
    let latency = random.pick(&[SECOND / 100, SECOND, SECOND * 20]);
    let random_of_books = Random::new(random.next());
    let books = Arc::new(Mutex::new(Books { random: random_of_books, latency, seen: HashMap::new(), tokens: 0 }));
    let (stats, calls) = World::run(seed, serve(&books), |world| {
        let client = builder(&new_client_id()).build().expect("valid");
        for caller in 0..3 {
            let (client, books, mut random) = (client.clone(), books.clone(), Random::new(random.next()));
            world.spawn(move || {
                for number in 0..10 {
                    sleep(random.time(SECOND * 30));
                    let call = Call::random(format!("/{caller}/{number}"), &mut random);
                    let began = awake();
                    let outcome = call.send(&client);
                    let seen = lock(&books).seen.get(&call.path).cloned().unwrap_or_default();
                    call.judge(began, &outcome, &seen);
                }
            });
        }
        world.settle(true);
        (client.stats(), 30)
    });
    let sent = lock(&books).seen.values().map(|seen| seen.len() as u64).sum();
    assert_eq!(stats.requests, calls);
    assert_eq!(stats.requests + stats.retries + stats.resends, sent, "every request that was sent is counted");
    (calls, sent)
}

#[test]
fn p09_whatever_an_api_does_no_work_is_done_twice_and_none_given_up_too_soon() {
    let (mut calls, mut sent) = (0, 0);
    let worlds = for_seeds(200, |seed| {
        let counts = run(seed);
        (calls, sent) = (calls + counts.0, sent + counts.1);
    });
    println!("{worlds} worlds, {calls} calls, {sent} requests");
    assert!(worlds < 100 || sent > calls + calls / 4, "{sent} requests for {calls} calls");
}
