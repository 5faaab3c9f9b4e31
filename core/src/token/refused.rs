//! What a refusal by an API does to the token, and to the next ones.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::token::flight::Progress;
use crate::token::governor::Hold;
use crate::token::life::State;
use crate::token::live::{LiveToken, Token};
use crate::token::{Slot, lock};

/// So long after it was minted the refusal of a successor tells that the token is not the problem.
const YOUNG_SUCCESSOR: Duration = Duration::from_secs(60);

/// What became of a refused token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It will be replaced.
    Condemned,
    /// A hold was opened, or made longer.
    HoldOpened(Duration),
    /// It was known, or the token is another by now.
    NoNews,
}

impl Slot {
    /// Condemns the token if it is the current one: it is to be replaced, and served until then. In a hold, none is.
    pub(crate) fn condemn(&self, text: &str) -> Refusal {
        let progress = self.progress();
        let progress = lock(&progress);
        let current = self.current.load();
        let now = clock::now();
        let alive = current.life.state(now) != State::Ended;
        let held = progress.hold.is_some_and(|hold| hold.is_on(now));
        if held || !alive || current.life.is_condemned() || !current.is(text) {
            return Refusal::NoNews;
        }
        self.current.store(Arc::new(current.with_life(current.life.condemned())));
        self.counters.condemned_token();
        Refusal::Condemned
    }

    /// As [`condemn`](Slot::condemn), for those who send the token themselves, and of whom it is not known whether
    /// they were ever accepted: the refusal of a successor so young is the second in a row, and opens a hold.
    pub(crate) fn invalidate(&self, text: &str) -> Refusal {
        let current = self.current.load();
        let young = clock::now().since(current.life.begin) < YOUNG_SUCCESSOR;
        if current.successor && young && current.is(text) {
            return self.hold(&Token(current));
        }
        self.condemn(text)
    }

    /// A fresh token was refused even so: a newer one would fare no better, and minting is held for a while.
    pub(crate) fn hold(&self, token: &Token) -> Refusal {
        self.open_hold(&mut lock(&self.progress()), &token.0)
    }

    pub(super) fn open_hold(&self, progress: &mut Progress, token: &LiveToken) -> Refusal {
        // Its refusal was our own doing, and tells nothing about the next token.
        if progress.revoked == Some(token.generation) {
            return Refusal::NoNews;
        }
        let lifetime = token.life.ends.since(token.life.begin);
        let hold = Hold::after(progress.hold, token.generation, lifetime, clock::now());
        if progress.hold == Some(hold) {
            return Refusal::NoNews;
        }
        progress.hold = Some(hold);
        Refusal::HoldOpened(hold.length())
    }

    pub(crate) fn current_hold(&self) -> Option<Hold> {
        lock(&self.progress()).hold
    }

    /// The successor of a condemned token was accepted: the token was the problem after all. True if that ends a hold.
    pub(crate) fn accepted(&self, token: &Token) -> bool {
        let progress = self.progress();
        let mut progress = lock(&progress);
        let was_held = progress.hold.take().is_some();
        let current = self.current.load();
        if current.generation == token.generation() && current.successor {
            self.current.store(Arc::new(LiveToken { successor: false, ..current.with_life(current.life) }));
        }
        was_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::identity::Identity;
    use crate::crypto;
    use crate::token::tests::{HOUR, granted};

    #[test]
    fn p03_a_token_is_condemned_once_and_only_by_its_own_text() {
        let slot = Slot::of(Identity::of_bytes(crypto::sha256(b"condemned")));
        slot.adopt(&mut Progress::default(), granted("first", HOUR), clock::now());
        assert!(slot.condemn("another") == Refusal::NoNews && slot.fresh().is_some());
        assert!(slot.condemn("first") == Refusal::Condemned && slot.fresh().is_none());
        assert_eq!(slot.condemn("first"), Refusal::NoNews, "the second caller that saw the 401 changes nothing");
        slot.adopt(&mut Progress::default(), granted("second", HOUR), clock::now());
        assert!(slot.condemn("first") == Refusal::NoNews && slot.fresh().is_some(), "its successor is not condemned");
    }

    #[test]
    fn p03_in_a_hold_nothing_is_condemned_and_an_accepted_successor_ends_it() {
        let slot = Slot::of(Identity::of_bytes(crypto::sha256(b"held")));
        slot.adopt(&mut Progress::default(), granted("fresh", HOUR), clock::now());
        let fresh = slot.fresh().expect("adopted");
        assert_eq!(slot.hold(&fresh), Refusal::HoldOpened(Duration::from_secs(60)));
        assert_eq!(slot.condemn("fresh"), Refusal::NoNews);
        assert!(slot.fresh().is_some(), "in a hold a 401 condemns nothing");
        slot.accepted(&fresh);
        assert_eq!(slot.condemn("fresh"), Refusal::Condemned, "the hold has ended");
    }
}
