//! Whether and when a request is tried again. Pure: what happened, times and chances come in, decisions go out.

use std::cmp::{max, min};
use std::time::Duration;

use crate::error::{ErrorCode, Stage};
use crate::http::{Answer, Broken, retry_after};

const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// How long to wait after try number `tries`: exponential with full jitter (`fraction`, 0 to 1).
pub(crate) fn backoff(tries: u32, fraction: f64) -> Duration {
    min(LONGEST_BACKOFF, FIRST_BACKOFF * 2u32.saturating_pow(tries.saturating_sub(1))).mul_f64(fraction)
}

/// How a request is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How often it is tried in all, the first try included.
    pub(crate) most: u32,
    /// To do it twice is as good as once.
    pub(crate) repeatable: bool,
}

/// What the network did to a try, as far as the next one is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Another try would not help, or might do harm.
    Final,
    /// Again, after a pause that the server may have named.
    Again(Option<Duration>),
    /// The server had closed an idle connection while the request was on its way: another is as good as new.
    AtOnce,
}

impl Policy {
    /// How long to wait before the next try, after `tries` of them and with `left` of the call's time; `None`: what has
    /// happened is the caller's to see. `fraction` is drawn only where there is a next try: it costs a system call.
    pub(crate) fn pause(
        self,
        happened: &Result<Answer, Broken>,
        tries: u32,
        left: Duration,
        fraction: impl FnOnce() -> f64,
    ) -> Option<Duration> {
        if tries >= self.most {
            return None;
        }
        let pause = match self.verdict(happened) {
            Verdict::Final => return None,
            Verdict::AtOnce => Duration::ZERO,
            Verdict::Again(asked) => max(backoff(tries, fraction()), asked.unwrap_or_default()),
        };
        (pause < left).then_some(pause)
    }

    fn verdict(self, happened: &Result<Answer, Broken>) -> Verdict {
        let broken = match happened {
            Ok(answer) => {
                return match answer.status {
                    429 => Verdict::Again(retry_after(&answer.headers)),
                    408 | 502 | 503 | 504 if self.repeatable => Verdict::Again(retry_after(&answer.headers)),
                    _ => Verdict::Final,
                };
            }
            Err(broken) => broken,
        };
        let (error, progress) = (&broken.error, broken.progress);
        let connecting = matches!(error.stage(), Stage::Resolving | Stage::Connecting | Stage::Tls);
        match error.code() {
            ErrorCode::ResolveFailed | ErrorCode::ConnectFailed => Verdict::Again(None),
            // Of connect_timeout; where it was the call's own, there is no time left.
            ErrorCode::Timeout if connecting => Verdict::Again(None),
            // Before its answer no byte of the request has left.
            ErrorCode::TlsFailed | ErrorCode::ProxyFailed if error.may_pass() => Verdict::Again(None),
            ErrorCode::ConnectionLost if progress.left && !self.repeatable => Verdict::Final,
            ErrorCode::ConnectionLost if progress.reused && !progress.answered => Verdict::AtOnce,
            ErrorCode::ConnectionLost => Verdict::Again(None),
            _ => Verdict::Final,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::http::{HeaderMap, HeaderValue, Progress};

    const SECOND: Duration = Duration::from_secs(1);
    const ONCE: Policy = Policy { most: 3, repeatable: false };
    const REPEATABLE: Policy = Policy { most: 3, repeatable: true };

    fn answer(status: u16, retry_after: Option<&'static str>) -> Result<Answer, Broken> {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert("retry-after", HeaderValue::from_static(text));
        }
        Ok(Answer::whole(status, headers, Vec::new()))
    }

    fn broken(code: ErrorCode, stage: Stage, progress: Progress) -> Result<Answer, Broken> {
        Err(Broken { error: Error::new(code, stage, "x"), progress })
    }

    fn every_progress() -> impl Iterator<Item = Progress> {
        (0..8).map(|bits| Progress { reused: bits & 1 != 0, left: bits & 2 != 0, answered: bits & 4 != 0 })
    }

    #[test]
    fn p09_of_all_statuses_only_these_are_tried_again() {
        for status in 100..1000 {
            let again = |policy: Policy| policy.pause(&answer(status, None), 1, SECOND * 60, || 1.0).is_some();
            assert_eq!(again(REPEATABLE), [408, 429, 502, 503, 504].contains(&status), "{status}");
            assert_eq!(again(ONCE), status == 429, "{status}");
        }
    }

    #[test]
    fn chance_is_asked_only_where_there_is_a_next_try() {
        let asked = || panic!("a system call for nothing");
        assert_eq!(REPEATABLE.pause(&answer(200, None), 1, SECOND * 60, asked), None);
        assert_eq!(REPEATABLE.pause(&answer(503, None), 3, SECOND * 60, asked), None, "the last try");
    }

    #[test]
    fn p09_what_left_and_may_not_be_repeated_is_final_whatever_else_happened() {
        for code in ErrorCode::ALL {
            for stage in Stage::ALL {
                for progress in every_progress() {
                    let happened = broken(*code, stage, progress);
                    let never_connected = matches!(code, ErrorCode::ResolveFailed | ErrorCode::ConnectFailed)
                        || (*code == ErrorCode::Timeout
                            && [Stage::Resolving, Stage::Connecting, Stage::Tls].contains(&stage));
                    let lost = *code == ErrorCode::ConnectionLost;
                    let context = format!("{code:?} at {stage:?}, {progress:?}");
                    assert_eq!(
                        ONCE.pause(&happened, 1, SECOND * 60, || 1.0).is_some(),
                        never_connected || (lost && !progress.left),
                        "{context}"
                    );
                    assert_eq!(
                        REPEATABLE.pause(&happened, 1, SECOND * 60, || 1.0).is_some(),
                        never_connected || lost,
                        "{context}"
                    );
                }
            }
        }
    }

    #[test]
    fn only_a_handshake_that_was_cut_and_a_proxy_that_may_recover_are_tried_again() {
        let progress = Progress::default();
        for (code, stage) in [(ErrorCode::TlsFailed, Stage::Tls), (ErrorCode::ProxyFailed, Stage::Connecting)] {
            let refused = Error::new(code, stage, "x");
            for (error, again) in [(refused.clone(), false), (refused.that_may_pass(), true)] {
                let happened = Err(Broken { error, progress });
                assert_eq!(ONCE.pause(&happened, 1, SECOND * 60, || 1.0).is_some(), again, "{code:?}");
            }
        }
    }

    #[test]
    fn a_closed_idle_connection_is_replaced_at_once_and_nothing_else_is() {
        for progress in every_progress() {
            let lost = broken(ErrorCode::ConnectionLost, Stage::Receiving, progress);
            let pause = REPEATABLE.pause(&lost, 1, SECOND * 60, || 1.0);
            let at_once = progress.reused && !progress.answered;
            assert_eq!(pause, Some(if at_once { Duration::ZERO } else { SECOND / 2 }), "{progress:?}");
        }
    }

    #[test]
    fn p09_tries_are_counted_and_never_outlast_the_call() {
        let happened = answer(503, None);
        for most in 1..=10 {
            for tries in 1..=12 {
                let pause = Policy { most, repeatable: true }.pause(&happened, tries, SECOND * 60, || 1.0);
                assert_eq!(pause.is_some(), tries < most, "{tries} of {most}");
            }
        }
        for left in [0, 499, 500] {
            let pause = REPEATABLE.pause(&happened, 1, Duration::from_millis(left), || 1.0);
            assert_eq!(pause, None, "{left} ms left");
        }
        assert_eq!(REPEATABLE.pause(&happened, 1, Duration::from_millis(501), || 1.0), Some(SECOND / 2));
        let over =
            broken(ErrorCode::ConnectionLost, Stage::Receiving, Progress { reused: true, ..Progress::default() });
        assert_eq!(REPEATABLE.pause(&over, 1, Duration::ZERO, || 0.0), None, "no time, no try at once either");
    }

    #[test]
    fn p09_retry_after_is_waited_for_in_full_or_not_at_all() {
        for (status, policy) in [(429, ONCE), (503, REPEATABLE)] {
            let pause = |text, left| policy.pause(&answer(status, Some(text)), 1, SECOND * left, || 1.0);
            assert_eq!(pause("7", 60), Some(SECOND * 7));
            assert_eq!(pause("0", 60), Some(SECOND / 2), "jitter all the same");
            assert_eq!(pause("60", 60), None, "the answer at once");
            assert_eq!(pause("99999999999999999999", 60), None);
            assert_eq!(pause("soon", 60), Some(SECOND / 2), "unreadable is as if it were not there");
        }
    }

    #[test]
    fn pauses_double_up_to_ten_seconds_and_are_spread_from_zero() {
        let longest: Vec<u128> = (1..=7).map(|tries| backoff(tries, 1.0).as_millis()).collect();
        assert_eq!(longest, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(backoff(3, 0.0), Duration::ZERO);
        assert_eq!(backoff(3, 0.25), SECOND / 2);
        assert_eq!(backoff(u32::MAX, 1.0), SECOND * 10);
    }
}
