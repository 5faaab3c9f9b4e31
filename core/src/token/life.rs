//! When a token is fresh, stale, ending and ended. Pure: times come in, answers go out.

use std::cmp::min;
use std::time::Duration;

use crate::clock::BootTime;

const LONGEST_ADVISORY: Duration = Duration::from_secs(300);
const LONGEST_MANDATORY: Duration = Duration::from_secs(30);

/// How long a server that hands out the same token until its end is left alone.
const SAME_TOKEN_PAUSE: Duration = Duration::from_secs(30);

/// A token's age in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is to be done.
    Fresh,
    /// Good, and time for one caller to fetch the next.
    Stale,
    /// So near its end that callers wait for the next.
    Ending,
    /// There is none, or no longer.
    Ended,
}

/// The moments at which a token's state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) begin: BootTime,
    /// The one moment the fast path compares with.
    pub(crate) fresh_until: BootTime,
    ending_from: BootTime,
    pub(crate) ends: BootTime,
}

impl Life {
    /// Of a token that never was.
    pub(crate) const NONE: Life = Life {
        begin: BootTime::NEVER,
        fresh_until: BootTime::NEVER,
        ending_from: BootTime::NEVER,
        ends: BootTime::NEVER,
    };

    /// Of a token that lives `lifetime` from `begin`; `fraction` (0 to 1) draws the advisory window within ±10 %, so
    /// that processes do not all come at once.
    ///
    /// Both windows are shares of the lifetime: a window fixed in seconds would be longer than a short life, and every
    /// call would mint.
    pub(crate) fn new(begin: BootTime, lifetime: Duration, fraction: f64) -> Life {
        let advisory = min(LONGEST_ADVISORY, lifetime / 5).mul_f64(0.9 + 0.2 * fraction);
        let mandatory = min(LONGEST_MANDATORY, lifetime / 20);
        Life {
            begin,
            fresh_until: begin + lifetime.saturating_sub(advisory),
            ending_from: begin + lifetime.saturating_sub(mandatory),
            ends: begin + lifetime,
        }
    }

    /// The same life with its advisory window drawn anew.
    pub(crate) fn redrawn(self, fraction: f64) -> Life {
        Life::new(self.begin, self.ends.since(self.begin), fraction)
    }

    /// The life of a token that a server refused: to be replaced at once, and kept until then.
    pub(crate) fn condemned(self) -> Life {
        Life { fresh_until: BootTime::NEVER, ending_from: BootTime::NEVER, ..self }
    }

    /// The life of a token that the server handed out again before its end: asked for again only after a while, and
    /// its first end believed.
    pub(crate) fn postponed(self, now: BootTime) -> Life {
        Life { fresh_until: min(now + SAME_TOKEN_PAUSE, self.ends), ending_from: self.ends, ..self }
    }

    /// The life of a token that is over before its time. Only tokens that began later than `begin` may follow it.
    pub(crate) fn dropped(begin: BootTime) -> Life {
        Life { begin, ..Life::NONE }
    }

    pub(crate) fn state(&self, now: BootTime) -> State {
        if now < self.fresh_until {
            State::Fresh
        } else if now < self.ending_from {
            State::Stale
        } else if now < self.ends {
            State::Ending
        } else {
            State::Ended
        }
    }

    pub(crate) fn is_condemned(&self) -> bool {
        self.ends > BootTime::NEVER && self.fresh_until == BootTime::NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The states of a token at each of the given seconds of its life.
    fn states(lifetime: u32, seconds: &[f64]) -> Vec<State> {
        let begin = BootTime::ZERO + SECOND * 1000;
        let life = Life::new(begin, SECOND * lifetime, 0.5);
        seconds.iter().map(|second| life.state(begin + Duration::from_secs_f64(*second))).collect()
    }

    #[test]
    fn p05_windows_are_shares_of_the_lifetime() {
        use State::{Ended, Ending, Fresh, Stale};
        assert_eq!(
            states(3600, &[0.0, 3299.0, 3301.0, 3569.0, 3571.0, 3600.0]),
            [Fresh, Fresh, Stale, Stale, Ending, Ended]
        );
        assert_eq!(states(300, &[239.0, 241.0, 284.0, 286.0, 300.0]), [Fresh, Stale, Stale, Ending, Ended]);
        assert_eq!(states(60, &[47.0, 49.0, 56.0, 58.0, 60.0]), [Fresh, Stale, Stale, Ending, Ended]);
        assert_eq!(states(1, &[0.79, 0.81, 0.96, 1.0]), [Fresh, Stale, Ending, Ended]);
    }

    #[test]
    fn p05_jitter_stays_within_a_tenth_of_the_window_and_of_the_life() {
        let fresh = |fraction| Life::new(BootTime::ZERO, SECOND * 3600, fraction).fresh_until;
        assert_eq!(fresh(0.0), BootTime::ZERO + SECOND * 3330);
        assert_eq!(fresh(1.0), BootTime::ZERO + SECOND * 3270);
        let again = Life::new(BootTime::ZERO, SECOND * 3600, 0.0).redrawn(1.0);
        assert_eq!(again, Life::new(BootTime::ZERO, SECOND * 3600, 1.0));
    }

    #[test]
    fn a_token_handed_out_again_keeps_its_first_end_and_is_asked_for_less_often() {
        let life = Life::new(BootTime::ZERO, SECOND * 100, 0.5);
        let now = BootTime::ZERO + SECOND * 85;
        let again = life.postponed(now);
        assert_eq!((again.state(now), again.ends), (State::Fresh, life.ends));
        assert_eq!(life.postponed(BootTime::ZERO + SECOND * 50).state(BootTime::ZERO + SECOND * 81), State::Stale);
        assert_eq!(again.state(life.ends), State::Ended);
    }

    #[test]
    fn p03_a_condemned_token_is_replaced_but_lives_to_its_end() {
        let begin = BootTime::ZERO + SECOND;
        let life = Life::new(begin, SECOND * 100, 0.5);
        assert!(!life.is_condemned() && life.condemned().is_condemned() && !Life::NONE.is_condemned());
        assert_eq!(life.condemned().state(begin), State::Ending);
        assert_eq!(life.condemned().state(begin + SECOND * 100), State::Ended);
    }
}
