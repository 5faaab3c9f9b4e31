//! What clients of two scopes of one account must remember of failures: the least that must pass before a token request.

use std::cmp::min;
use std::time::Duration;

use crate::clock::{self, BootTime};
use crate::error::ErrorCode;

const SECOND: Duration = Duration::from_secs(1);
/// Lengths drawn with jitter are rounded on their way.
pub(super) const TOLERANCE: Duration = Duration::from_micros(1);

/// What is remembered, as the log events tell it.
#[derive(Default)]
pub(super) struct Model {
    /// Failures that concern one scope, by scope.
    failed: [Option<Failed>; 2],
    /// Those that concern the credential, and the account.
    refused: Option<Failed>,
    cool_down: Vec<Failed>,
    /// Whose flight has begun and not ended, by scope.
    flying: [bool; 2],
    /// From when to when a 401 condemns nothing, unless a successor was accepted since; by scope.
    pub(super) hold: [Option<(BootTime, BootTime)>; 2],
    pub(super) accepted_before_hold: [u64; 2],
}

impl Model {
    pub(super) fn flight_began(&mut self, scope: usize) {
        // Without a word about its end the one before was called off, and what became of its failure is not known.
        if std::mem::replace(&mut self.flying[scope], true) {
            self.failed[scope] = None;
        }
    }

    pub(super) fn flight_failed(&mut self, scope: usize, error: ErrorCode, retry_after: Option<Duration>) {
        self.flying[scope] = false;
        let own = self.failed[scope].take();
        let is_of_account = error == ErrorCode::TokenLimit || retry_after.is_some();
        let before = match error {
            ErrorCode::ClientRefused => self.refused.as_ref(),
            _ if is_of_account => self.cool_down.iter().max_by_key(|failed| failed.in_a_row),
            _ => own.as_ref(),
        };
        let in_a_row = before.map_or(1, |before| before.in_a_row + u32::from(!before.may_run()));
        let failed = Failed { scope, at: clock::now(), error, retry_after, in_a_row };
        match error {
            ErrorCode::ClientRefused => self.refused = Some(failed),
            _ if is_of_account => self.cool_down.push(failed),
            _ => self.failed[scope] = Some(failed),
        }
    }

    pub(super) fn flight_succeeded(&mut self, scope: usize) {
        self.flying[scope] = false;
        self.failed[scope] = None;
        // What still runs came after this request had left, and is the newer word.
        let stays = |failed: &Failed| !failed.least_left(false).is_zero() && !failed.is_moot(scope);
        self.refused.take_if(|failed| !stays(failed));
        self.cool_down.retain(stays);
    }

    /// What forbids a token request now; a second attempt of a flight only the account's.
    pub(super) fn forbids(&self, scope: usize, alive: bool, attempt: u64) -> Option<&Failed> {
        let own = self.failed[scope].iter().filter(|_| attempt == 1);
        let mut all = own.chain(&self.refused).chain(&self.cool_down);
        all.find(|failed| failed.least_left(alive) > TOLERANCE && !failed.is_moot(scope))
    }
}

/// A flight that failed.
#[derive(Debug)]
pub(super) struct Failed {
    scope: usize,
    at: BootTime,
    error: ErrorCode,
    retry_after: Option<Duration>,
    in_a_row: u32,
}

impl Failed {
    /// Another scope's flight ended in this same moment, and which is the later word cannot be told from the events.
    fn is_moot(&self, scope: usize) -> bool {
        self.scope != scope && self.at == clock::now()
    }

    /// Whether its memory may still run, so that another failure is the same news.
    fn may_run(&self) -> bool {
        self.error == ErrorCode::TokenLimit || !self.least_left(false).is_zero()
    }

    /// The least time until the next flight.
    fn least_left(&self, alive: bool) -> Duration {
        let doubled = min(SECOND * 300, SECOND * 30 * 2u32.pow(min(self.in_a_row - 1, 5)));
        let asked = self.retry_after.map(|asked| asked.clamp(SECOND, SECOND * 300));
        let pause = match self.error {
            ErrorCode::ClientRefused => doubled,
            ErrorCode::OauthError => SECOND * 30,
            ErrorCode::TokenLimit => SECOND,
            _ => asked.unwrap_or_default(),
        };
        let pause = if alive { pause.max(doubled.mul_f64(0.9)) } else { pause };
        pause.saturating_sub(clock::now().since(self.at))
    }
}
