//! What must hold of a life, a memory, a hold and a ledger whatever comes, over random numbers.

use std::cmp::max;
use std::time::Duration;

use crate::clock::BootTime;
use crate::error::{Error, ErrorCode, Stage};
use crate::grant::{Failure, FailureClass};
use crate::simulation::{Random, for_seeds};
use crate::token::governor::{Hold, Ledger, Remembered, next_attempt};
use crate::token::life::{Life, State};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const CLASSES: [FailureClass; 4] =
    [FailureClass::Refused, FailureClass::Wrong, FailureClass::Limit, FailureClass::Transient];

fn moment(random: &mut Random) -> BootTime {
    BootTime::ZERO + random.time(DAY * 1000)
}

fn failure(class: FailureClass, random: &mut Random) -> Failure {
    let retry_after = random.percent(50).then(|| SECOND * random.pick(&[0, 1, 7, 60, 300, 301, u32::MAX]));
    let error = Error::new(ErrorCode::ServerUnavailable, Stage::TokenAnswer, "x").with_retry_after(retry_after);
    Failure { class, error }
}

fn rank(state: State) -> u32 {
    match state {
        State::Fresh => 0,
        State::Stale => 1,
        State::Ending => 2,
        State::Ended => 3,
    }
}

#[test]
fn p05_a_life_goes_forward_and_ends_when_it_ends_whatever_becomes_of_it() {
    for_seeds(2000, |seed| {
        let random = &mut Random::new(seed);
        let begin = moment(random);
        let lifetime = random.time(DAY * 30);
        let mut life = Life::new(begin, lifetime, random.fraction());
        let ends = begin + lifetime;
        let fresh = life.fresh_until.since(begin);
        assert!(fresh >= lifetime.mul_f64(0.7799) && fresh <= lifetime, "{lifetime:?}: fresh for {fresh:?}");
        assert!(lifetime - fresh <= SECOND * 330);
        for _ in 0..4 {
            let mut before = 0;
            for step in 0..=50 {
                let now = begin + lifetime * step / 50;
                let state = life.state(now);
                assert!(rank(state) >= before, "{life:?} grew younger");
                assert_eq!(state == State::Ended, now >= ends, "{life:?}");
                assert!(!life.is_condemned() || rank(state) >= rank(State::Ending));
                before = rank(state);
            }
            let now = begin + lifetime.mul_f64(random.fraction());
            life = match random.below(3) {
                0 => life.condemned(),
                1 => life.redrawn(random.fraction()),
                _ => life.postponed(now),
            };
            assert!(life.is_condemned() || life.state(begin) == State::Fresh);
            assert_eq!((life.begin, life.ends), (begin, ends));
        }
    });
}

#[test]
fn p09_a_pause_is_within_what_server_and_caller_ask_for() {
    for_seeds(2000, |seed| {
        let random = &mut Random::new(seed);
        let failure = failure(random.pick(&CLASSES), random);
        let most = random.below(10) as u32 + 1;
        let mut left = random.time(SECOND * 600);
        let mut attempts = 1;
        while let Some(pause) = next_attempt(&failure, attempts, most, left, random.fraction()) {
            let asked = failure.error.retry_after().unwrap_or_default();
            assert_eq!(failure.class, FailureClass::Transient);
            assert!(asked <= pause && pause <= max(asked, SECOND * 10) && pause < left, "{pause:?} of {left:?}");
            left -= pause;
            attempts += 1;
        }
        assert!(attempts <= most);
    });
}

#[test]
fn p09_a_memory_ends_and_a_day_of_failures_costs_few_flights() {
    for_seeds(200, |seed| {
        let random = &mut Random::new(seed);
        let class = random.pick(&CLASSES);
        let alive = random.percent(50);
        let mut now = moment(random);
        let end = now + DAY / 24;
        let mut before = None;
        let mut flights = 0;
        while now < end {
            let failure = failure(class, random);
            let first_end = random.percent(50).then(|| random.time(DAY));
            let memory = Remembered::after(&failure, before.as_ref(), first_end, now, random.fraction());
            flights += 1;
            let left = memory.left(now, alive);
            assert!(left <= memory.left(now, true) && left <= SECOND * 330);
            assert!(memory.at(now + left, alive).is_none(), "it ends when it ends");
            if let Some(told) = memory.at(now, alive) {
                let asked = failure.error.retry_after().unwrap_or_default();
                assert_eq!(told.error.retry_after(), Some(max(left, asked)));
                let mendable = matches!(class, FailureClass::Limit | FailureClass::Transient);
                assert_eq!(told.worth_waiting, mendable.then_some(left));
            }
            // Callers come at their own pace, and the next failure is another.
            now = now + left + random.time(SECOND);
            before = Some(memory);
        }
        let most = match (class, alive) {
            (_, true) => 3600 / 270 + 5,
            (FailureClass::Refused, false) => 3600 / 300 + 5,
            (FailureClass::Wrong, false) => 3600 / 30 + 1,
            (FailureClass::Limit, false) => 3600 + 1,
            // Without a token, and with a server that asks for no time, as many as callers come.
            (FailureClass::Transient, false) => u32::MAX,
        };
        assert!(flights <= most, "{flights} flights in an hour of {class:?}, with a token: {alive}");
    });
}

#[test]
fn p03_holds_grow_to_a_life_and_a_day_of_refusals_opens_few() {
    for_seeds(200, |seed| {
        let random = &mut Random::new(seed);
        let lifetime = random.time(DAY / 4);
        let mut now = moment(random);
        let end = now + DAY;
        let mut hold: Option<Hold> = None;
        let (mut opened, mut longest) = (0, Duration::ZERO);
        let mut generation = 1;
        while now < end {
            let next = Hold::after(hold, generation, lifetime, now);
            if Some(next) != hold {
                opened += 1;
                assert!(hold.is_none_or(|hold| !hold.is_on(now)), "a hold was opened in a hold");
                assert!(next.length() >= longest && next.length() <= max(lifetime, SECOND * 60));
                assert!(next.is_on(now) && !next.is_on(now + next.length()));
                longest = next.length();
            }
            hold = Some(next);
            now = now + random.time(SECOND * 600);
            generation += u64::from(random.percent(80));
        }
        let most = DAY.as_secs() / max(lifetime, SECOND * 60).as_secs() + 10;
        assert!(opened <= most, "{opened} holds in a day with tokens of {lifetime:?}");
    });
}

#[test]
fn p02_no_minute_holds_more_requests_than_the_budget_whoever_asks() {
    for_seeds(500, |seed| {
        let random = &mut Random::new(seed);
        let budget = random.below(12) as u32 + 1;
        let mut ledger = Ledger::default();
        let mut now = moment(random);
        let mut sent = Vec::new();
        let mut ends: Vec<BootTime> = Vec::new();
        for _ in 0..200 {
            match ledger.enter(budget, now) {
                Ok(()) => sent.push(now),
                Err(wait) => {
                    assert!(wait > Duration::ZERO && wait <= SECOND * 62);
                    assert!(
                        ledger.enter(budget, now + wait.mul_f64(0.99)).is_err(),
                        "nobody waits longer than need be"
                    );
                    assert!(ledger.enter(budget, now + wait).is_ok(), "the time told is the time to wait");
                    now = now + wait;
                    sent.push(now);
                }
            }
            if random.percent(50) {
                let token_ends = now + random.time(SECOND * 3600);
                ledger.token_granted(token_ends, now);
                ends.push(token_ends);
            }
            now = now + random.time(SECOND * 20);
            let first = ends.iter().filter(|end| **end > now).min().map(|end| end.since(now));
            assert_eq!(ledger.first_end(now), first);
            let recent = sent.last().is_some_and(|sent| now.since(*sent) < SECOND * 60);
            assert_eq!(ledger.is_in_use(now), recent || first.is_some());
        }
        for window in sent.windows(budget as usize + 1) {
            assert!(window[budget as usize].since(window[0]) >= SECOND * 60);
        }
    });
}
