//! When to try again after a failure. Pure: times and chances come in, decisions go out.

use std::cmp::{max, min};
use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::BootTime;
use crate::error::Error;
use crate::grant::{Failure, FailureClass};
use crate::retry;

const FIRST_MEMORY: Duration = Duration::from_secs(30);
const LONGEST_MEMORY: Duration = Duration::from_secs(300);
/// Until a token is known to end, the server is asked again after this.
const LIMIT_MEMORY: Duration = Duration::from_secs(60);
const SHORTEST_COOL_DOWN: Duration = Duration::from_secs(1);
const FIRST_HOLD: Duration = Duration::from_secs(60);
/// A minute, and what a request may take to reach the server, which counts it then.
pub(crate) const BUDGET_WINDOW: Duration = Duration::from_secs(62);

/// How long to wait before attempt number `attempts` + 1 of one flight; `None`: do not try again.
///
/// Exponential with full jitter (`fraction`, 0 to 1), and never sooner than the server asked for.
pub(crate) fn next_attempt(
    failure: &Failure,
    attempts: u32,
    most: u32,
    left: Duration,
    fraction: f64,
) -> Option<Duration> {
    if failure.class != FailureClass::Transient || attempts >= most {
        return None;
    }
    let pause = max(retry::backoff(attempts, fraction), failure.error.retry_after().unwrap_or_default());
    (pause < left).then_some(pause)
}

/// Why no token request is sent now.
#[derive(Clone, Debug)]
pub(crate) struct NotYet {
    pub(crate) error: Error,
    /// The time after which a caller who can wait so long may try.
    pub(crate) worth_waiting: Option<Duration>,
}

/// A failed flight, remembered.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) error: Error,
    pub(crate) class: FailureClass,
    pub(crate) until: BootTime,
    /// While a token lives, the server is left alone for longer.
    pub(crate) until_with_token: BootTime,
    /// How many flights have failed in a row.
    pub(crate) times: u32,
}

impl Remembered {
    /// After a flight failed at `now`; `before` is what was remembered until then, `first_end` how long until the first
    /// token of the account that is known here ends and makes room for another. `fraction` is the jitter (0 to 1).
    ///
    /// Without a living token a transient failure is forgotten at once, unless the server asked for time: the next
    /// caller may find the network mended.
    pub(crate) fn after(
        failure: &Failure,
        before: Option<&Remembered>,
        first_end: Option<Duration>,
        now: BootTime,
        fraction: f64,
    ) -> Remembered {
        let times = match before {
            // Its request left before that was known: flights of several scopes that fail together are one failure.
            Some(before) if now < before.until => before.times,
            Some(before) => before.times.saturating_add(1),
            None => 1,
        };
        let doubled = min(LONGEST_MEMORY, FIRST_MEMORY * 2u32.saturating_pow((times - 1).min(10)));
        let asked = failure.error.retry_after().map(|asked| asked.clamp(SHORTEST_COOL_DOWN, LONGEST_MEMORY));
        let memory = match failure.class {
            FailureClass::Refused => doubled,
            FailureClass::Wrong => FIRST_MEMORY,
            FailureClass::Limit => {
                asked.or(first_end).map_or(LIMIT_MEMORY, |time| time.clamp(SHORTEST_COOL_DOWN, LIMIT_MEMORY))
            }
            FailureClass::Transient => asked.unwrap_or_default(),
        };
        let with_token = max(memory, doubled.mul_f64(0.9 + 0.2 * fraction));
        Remembered {
            error: failure.error.clone(),
            class: failure.class,
            until: now + memory,
            until_with_token: now + with_token,
            times,
        }
    }

    /// Something that is over after `pause`: a flight that tries again then, a budget that is used up until then.
    pub(crate) fn pause(error: Error, pause: Duration, now: BootTime) -> Remembered {
        let until = now + pause;
        Remembered { error, class: FailureClass::Transient, until, until_with_token: until, times: 1 }
    }

    /// This, or what was remembered `before` where that lasts longer: a flight may end with an older failure than
    /// another did.
    pub(crate) fn or_longer(self, before: Option<Remembered>) -> Remembered {
        let Some(before) = before else { return self };
        let until_with_token = max(self.until_with_token, before.until_with_token);
        let longer = if before.until > self.until { before } else { self };
        Remembered { until_with_token, ..longer }
    }

    /// Whether it is the server that asked for time, and not we who concluded that trying again is of no use.
    pub(crate) fn is_the_servers_wish(&self) -> bool {
        matches!(self.class, FailureClass::Limit | FailureClass::Transient) && self.error.retry_after().is_some()
    }

    /// Whether it is the credential that the server refused.
    pub(crate) fn is_refusal(&self) -> bool {
        self.class == FailureClass::Refused
    }

    /// What a caller at `now` is told, who has a living token or not; `None` when it is time to try again.
    pub(crate) fn at(&self, now: BootTime, alive: bool) -> Option<NotYet> {
        let until = if alive { self.until_with_token } else { self.until };
        if now >= until {
            return None;
        }
        let left = until.since(now);
        // The server's own wish is the truer one where it is longer than what we remember.
        let told = max(left, self.error.retry_after().unwrap_or_default());
        Some(NotYet {
            error: self.error.clone().with_retry_after(Some(told)),
            // Waiting mends neither a wrong credential nor a wrong request.
            worth_waiting: matches!(self.class, FailureClass::Limit | FailureClass::Transient).then_some(left),
        })
    }

    /// How much longer a caller who has a living token or not is told of it.
    #[cfg(test)]
    pub(crate) fn left(&self, now: BootTime, alive: bool) -> Duration {
        if alive { self.until_with_token.since(now) } else { self.until.since(now) }
    }
}

/// While an API refuses fresh tokens too, the token is not the problem, and none is condemned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) until: BootTime,
    pub(crate) length: Duration,
    /// The token whose refusal opened it: its other refusals are the same news.
    pub(crate) generation: u64,
}

impl Hold {
    /// After the fresh token number `generation`, of that lifetime, was refused at `now`.
    pub(crate) fn after(before: Option<Hold>, generation: u64, lifetime: Duration, now: BootTime) -> Hold {
        let length = match before {
            Some(hold) if hold.generation == generation || now < hold.until => return hold,
            Some(hold) => hold.length * 2,
            None => FIRST_HOLD,
        };
        let length = min(length, max(lifetime, FIRST_HOLD));
        Hold { until: now + length, length, generation }
    }

    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    pub(crate) fn is_on(&self, now: BootTime) -> bool {
        now < self.until
    }
}

/// The token requests of one account in the last minute, and the ends of its tokens.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sent: VecDeque<BootTime>,
    ends: Vec<BootTime>,
}

impl Ledger {
    /// Enters a token request that leaves at `now`; or tells how long it has to wait for the budget.
    pub(crate) fn enter(&mut self, budget: u32, now: BootTime) -> Result<(), Duration> {
        while self.sent.front().is_some_and(|sent| now.since(*sent) >= BUDGET_WINDOW) {
            self.sent.pop_front();
        }
        if self.sent.len() >= budget as usize {
            let place = self.sent.len() - budget as usize;
            return Err((self.sent[place] + BUDGET_WINDOW).since(now));
        }
        self.sent.push_back(now);
        Ok(())
    }

    /// The times entered, for what is kept outside this process.
    pub(crate) fn entries(&self) -> impl Iterator<Item = BootTime> {
        self.sent.iter().copied()
    }

    /// From times read elsewhere. Those that cannot be right are ignored: in the future, or more than the budget.
    pub(crate) fn of_entries(entries: impl Iterator<Item = BootTime>, budget: u32, now: BootTime) -> Ledger {
        let mut sent: Vec<BootTime> = entries.filter(|sent| *sent <= now).collect();
        sent.sort();
        let first = sent.len().saturating_sub(budget as usize);
        Ledger { sent: sent.split_off(first).into(), ends: Vec::new() }
    }

    /// Takes back the request entered last.
    pub(crate) fn withdraw(&mut self) {
        self.sent.pop_back();
    }

    /// Notes when a token ends.
    pub(crate) fn token_granted(&mut self, ends: BootTime, now: BootTime) {
        self.ends.retain(|end| *end > now);
        self.ends.push(ends);
    }

    /// How long until the first living token known ends.
    pub(crate) fn first_end(&self, now: BootTime) -> Option<Duration> {
        self.ends.iter().filter(|end| **end > now).min().map(|end| end.since(now))
    }

    /// Whether forgetting it would lose anything.
    pub(crate) fn is_in_use(&self, now: BootTime) -> bool {
        self.sent.back().is_some_and(|sent| now.since(*sent) < BUDGET_WINDOW) || self.first_end(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorCode, Stage};

    const NOW: BootTime = BootTime::ZERO;
    const SECOND: Duration = Duration::from_secs(1);

    fn failure(class: FailureClass, retry_after: Option<u64>) -> Failure {
        let error = Error::new(ErrorCode::ServerUnavailable, Stage::TokenAnswer, "x");
        Failure { class, error: error.with_retry_after(retry_after.map(Duration::from_secs)) }
    }

    #[test]
    fn p09_only_transient_failures_are_tried_again_and_within_the_time_left() {
        let next = |class, attempts, left| next_attempt(&failure(class, None), attempts, 3, left, 1.0);
        assert_eq!(next(FailureClass::Transient, 1, SECOND * 60), Some(SECOND / 2));
        assert_eq!(next(FailureClass::Transient, 2, SECOND * 60), Some(SECOND));
        assert_eq!(next(FailureClass::Transient, 3, SECOND * 60), None);
        assert_eq!(next(FailureClass::Transient, 1, SECOND / 4), None);
        for class in [FailureClass::Refused, FailureClass::Wrong, FailureClass::Limit] {
            assert_eq!(next(class, 1, SECOND * 60), None);
        }
    }

    #[test]
    fn p09_retry_after_is_obeyed_or_the_attempt_given_up() {
        let next = |seconds| next_attempt(&failure(FailureClass::Transient, Some(seconds)), 1, 3, SECOND * 10, 0.0);
        assert_eq!(next(3), Some(SECOND * 3));
        assert_eq!(next(30), None);
    }

    #[test]
    fn p09_a_refusal_is_remembered_longer_each_time_up_to_five_minutes() {
        let refused = failure(FailureClass::Refused, None);
        let (mut now, mut before) = (NOW, None);
        let mut lengths = Vec::new();
        for _ in 0..6 {
            let remembered = Remembered::after(&refused, before.as_ref(), None, now, 0.5);
            let length = remembered.left(now, false);
            lengths.push(length.as_secs());
            (now, before) = (now + length, Some(remembered));
        }
        assert_eq!(lengths, [30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn p04_a_failed_refresh_is_remembered_while_a_token_lives() {
        let transient = failure(FailureClass::Transient, None);
        let remembered = Remembered::after(&transient, None, None, NOW, 0.5);
        assert!(remembered.at(NOW + SECOND * 29, true).is_some() && remembered.at(NOW + SECOND * 30, true).is_none());
        assert!(remembered.at(NOW, false).is_none(), "without a token the next caller tries");
    }

    #[test]
    fn p09_a_cool_down_is_clamped_and_the_true_wish_told() {
        let long = Remembered::after(&failure(FailureClass::Transient, Some(9999)), None, None, NOW, 0.5);
        assert_eq!(long.left(NOW, false), SECOND * 300);
        let told = long.at(NOW, false).expect("remembered").error.retry_after();
        assert_eq!(told, Some(SECOND * 9999));
        let short = Remembered::after(&failure(FailureClass::Transient, Some(0)), None, None, NOW, 0.5);
        assert_eq!(short.left(NOW, false), SECOND);
    }

    #[test]
    fn p09_failures_of_flights_that_were_under_way_together_count_once() {
        let refused = failure(FailureClass::Refused, None);
        let first = Remembered::after(&refused, None, None, NOW, 0.5);
        let second = Remembered::after(&refused, Some(&first), None, NOW + SECOND, 0.5);
        assert_eq!(second.left(NOW + SECOND, false), SECOND * 30);
        let third = Remembered::after(&refused, Some(&second), None, NOW + SECOND * 31, 0.5);
        assert_eq!(third.left(NOW + SECOND * 31, false), SECOND * 60);
    }

    #[test]
    fn p09_a_shorter_wish_does_not_call_off_a_longer_one() {
        let long = Remembered::after(&failure(FailureClass::Transient, Some(900)), None, None, NOW, 0.5);
        let short = failure(FailureClass::Transient, Some(0));
        let short = Remembered::after(&short, Some(&long), None, NOW + SECOND, 0.5).or_longer(Some(long));
        assert_eq!(short.left(NOW, false), SECOND * 300);
        let told = short.at(NOW, false).expect("remembered").error.retry_after();
        assert_eq!(told, Some(SECOND * 900), "and its own words are told");
    }

    #[test]
    fn only_what_waiting_can_mend_is_worth_waiting_for() {
        let worth = |class, retry_after| {
            let remembered = Remembered::after(&failure(class, retry_after), None, None, NOW, 0.5);
            remembered.at(NOW, false).expect("remembered").worth_waiting
        };
        assert_eq!(worth(FailureClass::Limit, None), Some(SECOND * 60));
        assert_eq!(worth(FailureClass::Transient, Some(5)), Some(SECOND * 5));
        assert_eq!(worth(FailureClass::Refused, None), None);
        assert_eq!(worth(FailureClass::Wrong, None), None);
    }

    #[test]
    fn p02_at_the_token_limit_the_first_known_end_is_waited_for() {
        let limit = failure(FailureClass::Limit, None);
        assert_eq!(Remembered::after(&limit, None, Some(SECOND * 20), NOW, 0.5).left(NOW, false), SECOND * 20);
        assert_eq!(Remembered::after(&limit, None, Some(SECOND * 2000), NOW, 0.5).left(NOW, false), SECOND * 60);
    }

    #[test]
    fn p03_a_hold_doubles_at_each_repeat_up_to_the_lifetime() {
        let mut now = NOW;
        let mut hold = None;
        let mut lengths = Vec::new();
        for generation in 1..10 {
            let opened = Hold::after(hold, generation, SECOND * 3600, now);
            assert!(opened.is_on(now) && !opened.is_on(opened.until));
            lengths.push(opened.length.as_secs());
            now = opened.until;
            hold = Some(opened);
        }
        assert_eq!(lengths, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn p03_many_refusals_of_one_token_are_one() {
        let hold = Hold::after(None, 1, SECOND * 3600, NOW);
        let again = Hold::after(Some(hold), 1, SECOND * 3600, hold.until + SECOND);
        assert_eq!((again.length, again.until), (hold.length, hold.until));
        let meanwhile = Hold::after(Some(hold), 2, SECOND * 3600, NOW + SECOND);
        assert_eq!(meanwhile.length, hold.length, "a refusal within the hold tells nothing new");
    }

    #[test]
    fn p02_no_minute_holds_more_requests_than_the_budget() {
        let mut ledger = Ledger::default();
        let mut sent = Vec::new();
        let mut now = NOW;
        for step in 0..500u32 {
            match ledger.enter(10, now) {
                Ok(()) => sent.push(now),
                Err(wait) => {
                    assert!(wait > Duration::ZERO && wait <= BUDGET_WINDOW);
                    now = now + wait;
                    assert!(ledger.enter(10, now).is_ok(), "the time told is the time to wait");
                    sent.push(now);
                }
            }
            now = now + Duration::from_millis(u64::from(step * 37 % 900));
        }
        for window in sent.windows(11) {
            assert!(window[10].since(window[0]) >= SECOND * 60);
        }
    }
}
