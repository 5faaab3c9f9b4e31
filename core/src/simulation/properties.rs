//! Whole clients against a model of what must hold, over random schedules of callers with deadlines and cancels, odd
//! servers, revoked tokens and machines that sleep.

use std::cmp::min;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::Client;
use crate::clock::{self, BootTime};
use crate::error::{Error, ErrorCode};
use crate::log::LogEvent;
use crate::simulation::model::{Model, TOLERANCE};
use crate::simulation::servers::{Books, Issued, Play, Servers, awake, builder, new_client_id, sleep};
use crate::simulation::{Random, World, for_seeds};
use crate::wait::{CallOptions, CancelToken};

const SECOND: Duration = Duration::from_secs(1);

/// What differs from world to world.
#[derive(Clone, Debug)]
struct Setting {
    lifetimes: [Option<u64>; 2],
    latency: Duration,
    /// Between a caller's calls.
    pause: Duration,
    budget: Option<u64>,
    timeout: Duration,
    max_attempts: u64,
    callers: u64,
    grid: Duration,
    scopes: u64,
}

impl Setting {
    fn random(random: &mut Random) -> Setting {
        let lifetimes = [Some(1), Some(5), Some(60), Some(300), Some(3600), Some(3600), None];
        Setting {
            lifetimes: [random.pick(&lifetimes), random.pick(&lifetimes)],
            latency: random.pick(&[SECOND / 100, SECOND, SECOND * 20]),
            pause: random.pick(&[SECOND / 10, SECOND * 10, SECOND * 600]),
            budget: random.pick(&[None, None, Some(3), Some(10)]),
            timeout: random.pick(&[SECOND * 60, SECOND * 5]),
            max_attempts: random.pick(&[1, 3, 10]),
            callers: 1 + random.below(5),
            grid: random.pick(&[Duration::ZERO, SECOND / 10, SECOND]),
            scopes: 1 + random.below(2),
        }
    }
}

/// How the token endpoint is just now.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Odd,
    Down,
    Only(Play),
}

impl Mood {
    fn random(random: &mut Random) -> Mood {
        match random.below(8) {
            0..=2 => Mood::Well,
            3 => Mood::Odd,
            4 => Mood::Down,
            _ => Mood::Only(random.pick(&[
                Play::Refuse,
                Play::Wrong,
                Play::Limit,
                Play::Page,
                Play::Lose,
                Play::Unavailable(503, None),
                Play::Unavailable(429, Some(7)),
                Play::Unavailable(429, Some(900)),
                Play::Unavailable(503, Some(0)),
                Play::Same(SECOND * 60),
            ])),
        }
    }

    fn play(self, setting: &Setting, random: &mut Random) -> Play {
        let lifetime = random.pick(&setting.lifetimes).map(Duration::from_secs);
        match self {
            Mood::Well => Play::Grant(lifetime),
            Mood::Odd => match random.below(2) {
                0 => Play::Grant(lifetime),
                _ => Mood::random(random).play(setting, random),
            },
            Mood::Down => Play::Unavailable(503, None),
            Mood::Only(play) => play,
        }
    }
}

/// One world's clients and what is known about them.
struct Case {
    setting: Setting,
    servers: Arc<Servers>,
    model: Mutex<Model>,
    counts: Arc<Counts>,
}

/// How often a thing was met, over all worlds: a test that never meets it proves nothing about it.
#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    kept: AtomicU64,
    errors: AtomicU64,
    cancels: AtomicU64,
    timeouts: AtomicU64,
    token_requests: AtomicU64,
    condemned: AtomicU64,
    holds: AtomicU64,
    delayed: AtomicU64,
    unusable: AtomicU64,
    late: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

const SCOPES: [&str; 2] = ["a", "b"];

impl Case {
    fn client(self: &Arc<Case>, id: &str, scope: usize) -> Client {
        let (case, name) = (self.clone(), SCOPES[scope]);
        let builder = builder(id)
            .scope(name)
            .timeout(self.setting.timeout)
            .max_attempts(self.setting.max_attempts)
            .on_log(Arc::new(move |event| case.heard(scope, event)));
        let builder = match self.setting.budget {
            Some(budget) => builder.mint_budget(budget),
            None => builder,
        };
        builder.build().expect("valid options")
    }

    /// Follows the events of a scope, and judges those that must not be.
    fn heard(&self, scope: usize, event: &LogEvent) {
        let field = |name: &str| {
            event.fields().iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let now = clock::now();
        let mut model = self.model.lock().expect("no panic holds it");
        let mut books = self.servers.books();
        match event.name() {
            "token_requested" => {
                count(&self.counts.token_requests);
                let attempt: u64 = field("attempt").parse().expect("a number");
                if attempt > self.setting.max_attempts {
                    books.wrong(format!("attempt {attempt}"));
                }
                if attempt == 1 {
                    model.flight_began(scope);
                    self.judge_flight(scope, field("reason"), &mut books);
                }
                let alive = attempt == 1 && field("reason") != "no_token";
                if let Some(failed) = model.forbids(scope, alive, attempt) {
                    books.wrong(format!("attempt {attempt}, with a token: {alive}, after {failed:?}"));
                }
            }
            "token_received" => model.flight_succeeded(scope),
            "token_request_failed" if field("again_in_ms").is_empty() => {
                let error = *ErrorCode::ALL.iter().find(|code| code.name() == field("error")).expect("a known code");
                model.flight_failed(scope, error, books.retry_after.get(SCOPES[scope]).copied());
            }
            "token_condemned" => {
                count(&self.counts.condemned);
                let cleared = books.api_accepted > model.accepted_before_hold[scope];
                if model.hold[scope].is_some_and(|(from, until)| from < now && now < until) && !cleared {
                    books.wrong("a token was condemned in a hold".into());
                }
                let possible = possible(&books, SCOPES[scope]);
                if let [token] = &possible[..]
                    && token.condemned > 0
                {
                    books.wrong(format!("condemned twice: {token:?}"));
                }
                for token in possible {
                    books.by_text(&token.text).expect("it was issued").condemned += 1;
                }
            }
            "hold_opened" => {
                count(&self.counts.holds);
                let length = Duration::from_millis(field("hold_ms").parse().expect("a number"));
                model.hold[scope] = Some((now, now + length));
                model.accepted_before_hold[scope] = books.api_accepted;
            }
            "token_delayed" => count(&self.counts.delayed),
            "token_kept" => count(&self.counts.kept),
            _ => {}
        }
    }

    /// A flight must have a reason.
    fn judge_flight(&self, scope: usize, reason: &str, books: &mut Books) {
        let now = clock::now();
        // Flights do not overlap, so the last one's token is in place.
        let token = books.of(SCOPES[scope]).next_back().cloned();
        let passed = |token: &Issued| {
            let lifetime = token.lifetime.unwrap_or_default();
            let enough = lifetime.mul_f64(0.78).max(lifetime.saturating_sub(SECOND * 330));
            now.since(token.begin) >= enough || token.again.is_some_and(|again| now.since(again) >= SECOND * 30)
        };
        let justified = match (reason, &token) {
            ("no_token", token) => !token.as_ref().is_some_and(|token| token.lives(now)),
            ("stale" | "ending", Some(token)) => passed(token),
            ("refused", Some(token)) => token.condemned > 0,
            _ => false,
        };
        if !justified {
            books.wrong(format!("a token was requested because {reason}, with {token:?}"));
        }
    }

    /// One call for a token, and whether what came of it may be.
    fn get_token(&self, client: &Client, scope: usize, world: &Arc<World>, random: &mut Random) -> Option<String> {
        let timeout = random.time(SECOND * 40);
        let cancelled_after = random.percent(15).then(|| random.time(SECOND * 5));
        let cancel = CancelToken::new();
        if let Some(after) = cancelled_after {
            let cancel = cancel.clone();
            world.spawn(move || {
                sleep(after);
                cancel.cancel();
            });
        }
        let options = CallOptions { timeout: Some(timeout), cancel: Some(cancel), ..CallOptions::default() };
        let before = Before::now(&self.servers.books(), SCOPES[scope]);
        let got = client.get_token_with(&options);
        count(&self.counts.calls);
        let took = awake() - before.awake;
        let longest = cancelled_after.map_or(timeout, |after| min(after, timeout));
        let mut books = self.servers.books();
        if took > longest + TOLERANCE {
            books.wrong(format!("a call took {took:?}, longer than {longest:?}"));
        }
        match got {
            Ok(token) => {
                self.judge_token(token.as_str(), scope, &before, took, &mut books);
                Some(token.as_str().into())
            }
            Err(error) => {
                self.judge_error(&error, scope, &before, cancelled_after.is_some(), &mut books);
                None
            }
        }
    }

    fn judge_token(&self, text: &str, scope: usize, before: &Before, took: Duration, books: &mut Books) {
        let now = clock::now();
        let name = SCOPES[scope];
        let Some(index) = books.tokens.iter().rposition(|token| token.text == text) else {
            return books.wrong(format!("a token nobody issued: {text:?}"));
        };
        let token = books.tokens[index].clone();
        if token.scope != name {
            books.wrong(format!("a token of another scope: {token:?}"));
        }
        if !token.is_kept() {
            count(if token.late { &self.counts.late } else { &self.counts.unusable });
            // One that ended on its way is given to those only who met two in a row.
            let late = books.tokens.iter().filter(|other| other.late && other.answered >= before.awake).count();
            if token.answered < before.awake || (token.late && late < 2) {
                books.wrong(format!("a token that is not for this call: {token:?}"));
            }
        } else if !token.lives(now) {
            books.wrong(format!("a dead token was returned: {token:?}"));
        } else if before.current.is_some_and(|current| index < current) {
            books.wrong(format!("a token was returned that had a successor: {token:?}"));
        }
        // Whoever has a good token waits for the next 3 s at most, and not at all where another does.
        let Some(good) = before.current.map(|index| books.tokens[index].clone()) else { return };
        let is_ending = good.ends().since(now) <= min(SECOND * 30, good.ends().since(good.begin) / 20);
        let flight = before.flight && !books.ended.contains(&before.awake);
        let longest = if flight { Duration::ZERO } else { SECOND * 3 };
        if !is_ending && good.condemned == 0 && good.again.is_none() && took > longest + TOLERANCE {
            books.wrong(format!("a call waited {took:?} though its token was good: {good:?}"));
        }
    }

    fn judge_error(&self, error: &Error, scope: usize, before: &Before, cancels: bool, books: &mut Books) {
        match error.code() {
            ErrorCode::Cancelled if cancels => return count(&self.counts.cancels),
            ErrorCode::Timeout => count(&self.counts.timeouts),
            ErrorCode::Panic | ErrorCode::Internal | ErrorCode::Cancelled => books.wrong(error.to_string()),
            _ => count(&self.counts.errors),
        }
        if let Some(token) = books.current(SCOPES[scope]).filter(|token| token.lives(clock::now())) {
            let what = format!("an error though a token lives: {error}, {token:?}");
            books.wrong(what);
        }
        let slept = clock::now().since(before.now) > awake() - before.awake;
        // A condemned one is no use to those who saw it refused, and they wait for the next.
        let good = |token: &Issued| token.lives(before.now) && token.condemned == 0 && token.again.is_none();
        if let Some(index) = before.current.filter(|index| good(&books.tokens[*index]) && !slept) {
            let what = format!("an error to a caller who came while a token lived: {error}, {:?}", books.tokens[index]);
            books.wrong(what);
        }
    }

    fn invalidate(&self, client: &Client, scope: usize, text: &str) {
        let condemned = client.invalidate_token(text);
        let mut books = self.servers.books();
        if condemned && possible(&books, SCOPES[scope]).iter().all(|token| token.text != text) {
            books.wrong(format!("{text} was condemned, and is not the current token"));
        }
    }

    fn request(&self, client: &Client, random: &mut Random) {
        let answer = client.request("GET", "/resource").timeout(random.time(SECOND * 40)).send();
        match answer {
            Ok(answer) if answer.attempts() <= 3 => {}
            Ok(answer) => self.servers.books().wrong(format!("{} sends", answer.attempts())),
            Err(error) if [ErrorCode::Panic, ErrorCode::Internal, ErrorCode::Cancelled].contains(&error.code()) => {
                self.servers.books().wrong(error.to_string());
            }
            Err(_) => {}
        }
    }

    fn caller(self: &Arc<Case>, client: Client, scope: usize, world: &Arc<World>, mut random: Random) {
        let mut last = None;
        for _ in 0..10 + random.below(15) {
            sleep(random.time(self.setting.pause));
            match random.below(10) {
                0..6 => last = self.get_token(&client, scope, world, &mut random).or(last),
                6..9 => self.request(&client, &mut random),
                _ if random.percent(50) => self.invalidate(&client, scope, last.as_deref().unwrap_or("none")),
                _ => {
                    let tokens = self.servers.books().tokens.clone();
                    let any = tokens.get(random.below(tokens.len().max(1) as u64) as usize);
                    self.invalidate(&client, scope, any.map_or("none", |token| &token.text));
                }
            }
        }
    }
}

/// The tokens that may be current: what was answered in this same moment may or may not be known to others.
fn possible(books: &Books, scope: &str) -> Vec<Issued> {
    let now = awake();
    let just_now = books.of(scope).filter(|token| token.answered == now);
    books.current(scope).into_iter().chain(just_now).cloned().collect()
}

/// What was there when a call began.
struct Before {
    awake: Duration,
    now: BootTime,
    /// The index of the token that was current.
    current: Option<usize>,
    /// A token request was under way.
    flight: bool,
}

impl Before {
    fn now(books: &Books, scope: &str) -> Before {
        let text = books.current(scope).map(|token| token.text.clone());
        let current = text.and_then(|text| books.tokens.iter().rposition(|token| token.text == text));
        Before {
            awake: awake(),
            now: clock::now(),
            current,
            flight: books.under_way.iter().any(|other| other == scope),
        }
    }
}

/// What the servers are like just now.
struct Weather {
    random: Random,
    setting: Setting,
    mood: Mood,
    /// The API refuses every token, or those younger than this.
    forbidden: bool,
    lag: Duration,
}

impl Weather {
    fn change(&mut self) {
        let random = &mut self.random;
        match random.below(3) {
            0 => self.forbidden = random.percent(30),
            1 => self.lag = random.pick(&[Duration::ZERO, SECOND / 5, SECOND]),
            _ => self.mood = Mood::random(random),
        }
    }

    fn clear_up(&mut self) {
        (self.mood, self.forbidden, self.lag) = (Mood::Well, false, Duration::ZERO);
        (self.setting.lifetimes, self.setting.latency) = ([Some(3600); 2], SECOND / 100);
    }
}

/// One world; when its token requests came.
fn run(seed: u64, counts: &Arc<Counts>) -> Vec<BootTime> {
    let mut random = Random::new(!seed);
    let setting = Setting::random(&mut random);
    let mut random = random.on_grid(setting.grid);
    let weather = Arc::new(Mutex::new(Weather {
        random: Random::new(random.next()).on_grid(setting.grid),
        setting: setting.clone(),
        mood: Mood::Well,
        forbidden: false,
        lag: Duration::ZERO,
    }));
    let (token_weather, api_weather) = (weather.clone(), weather.clone());
    let servers = Servers::new(
        move || {
            let Weather { random, setting, mood, .. } = &mut *token_weather.lock().expect("no panic holds it");
            (random.time(setting.latency), mood.play(setting, random))
        },
        move |token| {
            let weather = api_weather.lock().expect("no panic holds it");
            let too_young = clock::now().since(token.begin) < weather.lag;
            (SECOND / 50, if weather.forbidden || too_young { 401 } else { 200 })
        },
    );
    let case = Arc::new(Case { setting, servers: servers.clone(), model: Mutex::default(), counts: counts.clone() });
    World::run(seed, servers.serve(), |world| {
        let id = new_client_id();
        let clients: Vec<Client> = (0..SCOPES.len()).map(|scope| case.client(&id, scope)).collect();
        for caller in 0..case.setting.callers {
            let scope = (caller % case.setting.scopes) as usize;
            let (case, client, world_of_caller) = (case.clone(), clients[scope].clone(), world.clone());
            let random = Random::new(random.next()).on_grid(case.setting.grid);
            world.spawn(move || case.caller(client, scope, &world_of_caller, random));
        }
        for _ in 0..20 {
            sleep(random.time(case.setting.pause * 4));
            match random.below(6) {
                0 => {
                    // Often enough in the middle of a token request.
                    for _ in 0..random.below(200) {
                        if servers.books().under_way.is_empty() {
                            sleep(SECOND / 10);
                        }
                    }
                    world.suspend(random.time(SECOND * 4000));
                }
                1 | 2 => {
                    let scope = SCOPES[random.below(2) as usize];
                    let text = servers.books().current(scope).map(|token| token.text.clone()).unwrap_or_default();
                    if let Some(token) = servers.books().by_text(&text) {
                        token.revoked = true;
                    }
                }
                _ => weather.lock().expect("no panic holds it").change(),
            }
        }
        weather.lock().expect("no panic holds it").clear_up();
        sleep(SECOND * 7300);
        for client in &clients {
            let token = client.get_token();
            assert!(token.is_ok(), "after two good hours: {token:?}");
            let answer = client.request("GET", "/resource").send();
            assert!(answer.as_ref().is_ok_and(|answer| answer.is_ok()), "after two good hours: {answer:?}");
        }
    });
    let books = servers.books();
    if let Some(budget) = case.setting.budget {
        for window in books.requests.windows(budget as usize + 1) {
            let length = window[budget as usize].since(window[0]);
            assert!(length >= SECOND * 60, "{} requests in {length:?}", window.len());
        }
    }
    assert!(books.wrongs.is_empty(), "{:#?}\n{:#?}", case.setting, books.wrongs);
    books.requests.clone()
}

#[test]
fn clients_keep_their_promises_whatever_happens() {
    let counts = Arc::new(Counts::default());
    let worlds = for_seeds(150, |seed| drop(run(seed, &counts)));
    println!("{counts:?}");
    if worlds >= 100 {
        let Counts { kept, errors, cancels, timeouts, condemned, holds, delayed, unusable, .. } = &*counts;
        for counter in [kept, errors, cancels, timeouts, condemned, holds, delayed, unusable] {
            assert!(counter.load(Ordering::Relaxed) > 0, "something was never met: {counts:?}");
        }
    }
}

#[test]
fn a_seed_shows_the_same_world_again() {
    let counts = Arc::new(Counts::default());
    for_seeds(5, |seed| assert_eq!(run(seed, &counts), run(seed, &counts)));
}
