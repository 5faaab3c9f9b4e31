//! Waiting for a token: any number of callers of a client wait on one thread, each with its own deadline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use svctoken::{CallOptions, CancelToken, Client, ErrorCode};

use crate::call::{Outcome, Shared, TOKEN_WAITS, start};
use crate::client::TokenFacts;
use crate::error::{Failure, caught};

/// The callers of one client that wait for its token.
pub(crate) struct TokenWait {
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiters: Vec<Waiter>,
    /// The wait in progress.
    current: Option<Current>,
}

pub(crate) struct Waiter {
    pub(crate) call: u32,
    pub(crate) calls: Arc<Shared>,
    pub(crate) began: Instant,
    pub(crate) timeout: Duration,
}

impl Waiter {
    fn deadline(&self) -> Instant {
        self.began + self.timeout
    }
}

/// A wait as the core knows it, with the earliest of the deadlines.
#[derive(Clone)]
struct Current {
    /// Ends it when another wait is due.
    cancel: CancelToken,
    began: Instant,
    timeout: Duration,
}

impl Current {
    fn of(waiter: &Waiter) -> Current {
        Current { cancel: CancelToken::new(), began: waiter.began, timeout: waiter.timeout }
    }

    fn deadline(&self) -> Instant {
        self.began + self.timeout
    }
}

impl TokenWait {
    pub(crate) fn new(client: Client) -> TokenWait {
        TokenWait { client, state: Mutex::default() }
    }

    /// Whether a caller waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.lock().current.is_some()
    }

    /// Adds a caller, whose call is settled with the token or an error.
    pub(crate) fn join(self: &Arc<TokenWait>, waiter: Waiter) -> Result<(), Failure> {
        let mut state = self.lock();
        if let Some(current) = &state.current {
            if waiter.deadline() < current.deadline() {
                current.cancel.cancel();
            }
        } else {
            let wait = self.clone();
            start(&TOKEN_WAITS, waiter.deadline(), move || wait.serve())?;
            state.current = Some(Current::of(&waiter));
        }
        state.waiters.push(waiter);
        Ok(())
    }

    /// Takes a caller away; the wait ends with its last.
    pub(crate) fn leave(&self, call: u32, calls: &Weak<Shared>) {
        let mut state = self.lock();
        state.waiters.retain(|waiter| waiter.call != call || Arc::as_ptr(&waiter.calls) != calls.as_ptr());
        if let (true, Some(current)) = (state.waiters.is_empty(), &state.current) {
            current.cancel.cancel();
        }
    }

    fn serve(&self) {
        while let Some(current) = self.next_wait() {
            let options = CallOptions {
                timeout: Some(current.timeout),
                began: Some(current.began),
                cancel: Some(current.cancel.clone()),
                interrupt: None,
            };
            let outcome = caught(|| Ok(TokenFacts::of(&self.client.get_token_with(&options)?)));
            let ended = self.ended(&outcome, &current);
            for waiter in ended {
                waiter.calls.settle(waiter.call, outcome.clone().map(Outcome::Token));
            }
        }
    }

    /// The wait that is due; `None` if nobody waits.
    fn next_wait(&self) -> Option<Current> {
        let mut state = self.lock();
        let current = state.waiters.iter().min_by_key(|waiter| waiter.deadline()).map(Current::of);
        state.current = current;
        state.current.clone()
    }

    /// The callers whom this outcome concerns.
    fn ended(&self, outcome: &Result<TokenFacts, Failure>, current: &Current) -> Vec<Waiter> {
        let mut state = self.lock();
        let is = |code: ErrorCode| outcome.as_ref().is_err_and(|failure| failure.code() == code);
        if is(ErrorCode::Cancelled) && current.cancel.is_cancelled() {
            return Vec::new();
        }
        let now = Instant::now();
        let (late, early) = std::mem::take(&mut state.waiters).into_iter().partition(|waiter| waiter.deadline() <= now);
        let late: Vec<Waiter> = late;
        // A deadline that ran out is its owner's alone; the token request's own time-out is everybody's.
        if is(ErrorCode::Timeout) && !late.is_empty() {
            state.waiters = early;
            return late;
        }
        let all = late.into_iter().chain(early);
        // Who has no time to wait as long as the error says is told at once; those who have it go on waiting.
        match outcome.as_ref().err().and_then(Failure::retry_after).and_then(|pause| now.checked_add(pause)) {
            Some(again) if current.deadline() <= again => {
                let (hasty, patient) = all.partition(|waiter| waiter.deadline() <= again);
                state.waiters = patient;
                hasty
            }
            _ => all.collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
