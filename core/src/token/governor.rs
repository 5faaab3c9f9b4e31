//! When to try again after a failure. Pure: times and chances come in, decisions go out.

use std::cmp::{max, min};
use std::time::Duration;

use crate::clock::BootTime;
use crate::error::Error;
use crate::grant::{Failure, FailureClass};

const FIRST_MEMORY: Duration = Duration::from_secs(30);
const LONGEST_MEMORY: Duration = Duration::from_secs(300);
/// Until a token is known to end, the server is asked again after this.
const LIMIT_MEMORY: Duration = Duration::from_secs(60);
const SHORTEST_COOL_DOWN: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

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
    let ceiling = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2u32.saturating_pow(attempts.saturating_sub(1)));
    let pause = max(ceiling.mul_f64(fraction), failure.error.retry_after().unwrap_or_default());
    (pause < left).then_some(pause)
}

/// A failed flight, remembered.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    error: Error,
    until: BootTime,
    /// How many flights have failed in a row.
    times: u32,
}

impl Remembered {
    /// After a flight failed at `now`; `before` is what was remembered until then, `alive` whether a living token is
    /// served meanwhile. `fraction` is the jitter (0 to 1).
    ///
    /// Without a living token a transient failure is forgotten at once, unless the server asked for time: the next
    /// caller may find the network mended.
    pub(crate) fn after(
        failure: &Failure,
        before: Option<&Remembered>,
        alive: bool,
        now: BootTime,
        fraction: f64,
    ) -> Remembered {
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        let doubled = min(LONGEST_MEMORY, FIRST_MEMORY * 2u32.saturating_pow((times - 1).min(10)));
        let asked = failure.error.retry_after().map(|asked| asked.clamp(SHORTEST_COOL_DOWN, LONGEST_MEMORY));
        let memory = match failure.class {
            FailureClass::Refused => doubled,
            FailureClass::Wrong => FIRST_MEMORY,
            FailureClass::Limit => asked.unwrap_or(LIMIT_MEMORY),
            FailureClass::Transient => asked.unwrap_or_default(),
        };
        let memory = if alive { max(memory, doubled.mul_f64(0.9 + 0.2 * fraction)) } else { memory };
        Remembered { error: failure.error.clone(), until: now + memory, times }
    }

    /// The error for a caller at `now`, with the time left; `None` when it is time to try again.
    pub(crate) fn error_at(&self, now: BootTime) -> Option<Error> {
        if now >= self.until {
            return None;
        }
        // The server's own wish is the truer one where it is longer than what we remember.
        let left = max(self.until.since(now), self.error.retry_after().unwrap_or_default());
        Some(self.error.clone().with_retry_after(Some(left)))
    }

    #[cfg(test)]
    fn length(&self, now: BootTime) -> Duration {
        self.until.since(now)
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
        let mut before = None;
        let mut lengths = Vec::new();
        for _ in 0..6 {
            let now_remembered = Remembered::after(&refused, before.as_ref(), false, NOW, 0.5);
            lengths.push(now_remembered.length(NOW).as_secs());
            before = Some(now_remembered);
        }
        assert_eq!(lengths, [30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn p04_a_failed_refresh_is_remembered_while_a_token_lives() {
        let transient = failure(FailureClass::Transient, None);
        let alive = Remembered::after(&transient, None, true, NOW, 0.5);
        assert_eq!(alive.length(NOW), SECOND * 30);
        let none = Remembered::after(&transient, None, false, NOW, 0.5);
        assert!(none.error_at(NOW).is_none(), "without a token the next caller tries");
    }

    #[test]
    fn p09_a_cool_down_is_clamped_and_the_true_wish_told() {
        let long = Remembered::after(&failure(FailureClass::Transient, Some(9999)), None, false, NOW, 0.5);
        assert_eq!(long.length(NOW), SECOND * 300);
        let told = long.error_at(NOW).expect("remembered").retry_after();
        assert_eq!(told, Some(SECOND * 9999));
        let short = Remembered::after(&failure(FailureClass::Transient, Some(0)), None, false, NOW, 0.5);
        assert_eq!(short.length(NOW), SECOND);
    }
}
