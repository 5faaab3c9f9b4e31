//! One flight's work: token requests until a token, an end of patience, or a reason to give up.

use std::cmp::min;
use std::time::Duration;

use crate::clock::{self, BootTime};
use crate::config::settings::GrantSettings;
use crate::crypto;
use crate::error::{Error, ErrorCode, Stage};
use crate::grant::assertion::CLOCKS_MAY_DIFFER;
use crate::grant::{self, Failure, FailureClass, Granted, TokenRequest};
use crate::http::{HttpClient, date};
use crate::log::Reason;
use crate::stats::TokenCounters;
use crate::token::discovery::Resolved;
use crate::token::exchange::{as_read, failure_of_network, send, stamp};
use crate::token::governor::{NotYet, Remembered};
use crate::token::record::Found;
use crate::token::server_clock::ServerClock;
use crate::token::shared::{InHand, Turn};
use crate::token::{LOOK_AGAIN, Minting, governor};
use crate::wait::Wait;

/// What came of a flight that did not fail.
pub(crate) enum Minted {
    /// A token, and the moment from which its life counts.
    Token(Granted, BootTime),
    /// One that another process has minted.
    Found(Found),
    /// Another process is minting, and the caller is in no hurry.
    Elsewhere,
    /// Another process has failed, or the machine's budget is used up.
    NotYet(Remembered),
}

/// Requests a token, again where that may help, taking turns with the other processes of a store.
///
/// Without a store the first attempt is entered in the account's ledger by whoever started the flight.
pub(crate) fn mint(
    minting: &Minting,
    counters: &TokenCounters,
    reason: Reason,
    in_hand: InHand,
) -> Result<Minted, Failure> {
    let Minting { settings, shared, log, .. } = minting;
    // The flight is nobody's call: the client's timeout bounds how long it is tried again, and an attempt once begun
    // has its whole token_timeout. Otherwise a timeout shorter than the server's answer would never see a token.
    let trying = Wait::of("timeout", settings.retry_window);
    let discovering = || minting.resolve(&Wait::of("token_timeout", settings.token_timeout));
    let flight_began = clock::now();
    let mut attempts = 0;
    let known_clock = minting.account.server_clock();
    let mut corrected_clock = None;
    let mut suspected = None;
    let mut failed = None;
    loop {
        let (lock, resolved) = match turn(minting, &in_hand, &trying) {
            Turn::Ours(None) => (None, discovering()),
            // The lock is never held across discovery.
            Turn::Ours(Some(lock)) => match minting.resolved() {
                Some(resolved) => (Some(lock), resolved),
                None => continue,
            },
            Turn::Undiscovered => match discovering() {
                Ok(_) => continue,
                Err(failure) => (None, Err(failure)),
            },
            Turn::Found(found) => {
                log.token_found((found.begin + found.lifetime).since(clock::now()));
                return Ok(Minted::Found(found));
            }
            Turn::Elsewhere => return Ok(Minted::Elsewhere),
            Turn::NotYet(remembered) => match failed {
                None => return Ok(Minted::NotYet(remembered)),
                Some(failure) => {
                    let not_yet = remembered.at(clock::now(), in_hand.alive);
                    if !wait_a_little(not_yet.and_then(|not_yet| not_yet.worth_waiting), &trying) {
                        return Err(in_context(failure, settings, attempts));
                    }
                    failed = Some(failure);
                    continue;
                }
            },
        };
        if let (Some(failure), Ok(Resolved { token_url, .. })) = (&failed, &resolved)
            && failure.class != FailureClass::Transient
            && suspected.as_ref() == Some(token_url)
        {
            // It has not moved, and would answer the same.
            not_sent(minting);
            tell_others(minting, failure, None, crypto::random_fraction());
            return Err(in_context(failure.clone(), settings, attempts));
        }
        attempts += 1;
        let began = clock::now();
        let attempted = match &resolved {
            Ok(resolved) => {
                log.token_requested(&resolved.token_url.origin, reason, attempts);
                attempt(resolved, &minting.http, counters, corrected_clock.or(known_clock))
            }
            Err(failure) => {
                not_sent(minting);
                Err(failure.clone().into())
            }
        };
        let resolved = resolved.ok();
        let Failed { failure, other_clock } = match attempted {
            Ok(granted) => {
                if let Some(clock) = corrected_clock {
                    minting.account.keep_server_clock(clock);
                }
                let took = clock::now().since(began);
                let noted = resolved.as_ref().and_then(Resolved::noted);
                let token = shared.as_ref().zip(Found::of(&granted, began));
                let written = token.map_or(Ok(()), |(shared, token)| shared.granted(&token, noted));
                // The other processes must not wait for what a host does with its log.
                drop(lock);
                let origin = resolved.as_ref().map_or(settings.server.origin(), |resolved| &resolved.token_url.origin);
                log.token_received(origin, granted.lifetime.kept(), took);
                if let (Some(shared), Err(why)) = (shared, written) {
                    shared.complain(log, &why);
                }
                return Ok(Minted::Token(granted, began));
            }
            Err(failed) => failed,
        };
        let known = resolved.as_ref().and_then(|resolved| resolved.known.as_ref());
        let stale = known.filter(|known| known.read() < flight_began && may_have_moved(&failure));
        let look_again = stale.is_some() && suspected.is_none();
        if let (Some(known), true) = (stale, look_again) {
            minting.directory.distrust(known);
            suspected = resolved.as_ref().map(|resolved| resolved.token_url.clone());
        }
        let fraction = crypto::random_fraction();
        let pause = if other_clock.is_some() && corrected_clock.is_none() {
            corrected_clock = other_clock;
            Some(Duration::ZERO)
        } else if look_again && failure.class != FailureClass::Transient {
            Some(Duration::ZERO)
        } else {
            governor::next_attempt(&failure, attempts, settings.max_attempts, trying.remaining(), fraction)
        };
        // Before the lock is free, so that the next process reads it instead of trying the same.
        tell_others(minting, &failure, pause, fraction);
        drop(lock);
        log.token_request_failed(&failure.error, pause);
        let again = pause.is_some_and(|pause| trying.sleep(pause).is_ok())
            && (shared.is_some() || wait_for_budget(minting, &trying));
        if !again {
            return Err(in_context(failure, settings, attempts));
        }
        failed = Some(failure);
    }
}

/// Tells the other processes of a failed attempt, and when it is tried again, if it is.
fn tell_others(minting: &Minting, failure: &Failure, pause: Option<Duration>, fraction: f64) {
    if let Some(shared) = &minting.shared {
        shared.attempt_failed(failure, pause, minting.account.first_end(clock::now()), fraction);
    }
}

/// Takes an attempt that did not come to a token request out of the account's ledger; a store's has none yet.
fn not_sent(minting: &Minting) {
    if minting.shared.is_none() {
        minting.account.withdraw(&minting.settings);
    }
}

/// Whether it may be that the token endpoint is elsewhere by now.
fn may_have_moved(failure: &Failure) -> bool {
    use ErrorCode::{ConnectFailed, ResolveFailed, TlsFailed};
    matches!(failure.error.status(), Some(404 | 405))
        || matches!(failure.error.code(), ConnectFailed | ResolveFailed | TlsFailed)
}

/// Whose turn it is: ours where nobody shares; and where the store does not answer, each process keeps to the budget by
/// itself.
fn turn(minting: &Minting, in_hand: &InHand, trying: &Wait) -> Turn {
    let Minting { settings, directory, account, shared, log, .. } = minting;
    let Some(shared) = shared else { return Turn::Ours(None) };
    shared.take_turn(settings, directory, in_hand, trying, log).unwrap_or_else(|| {
        match account.enter(settings, in_hand.alive) {
            Ok(()) => Turn::Ours(None),
            Err(NotYet { error, worth_waiting }) => {
                Turn::NotYet(Remembered::pause(error, worth_waiting.unwrap_or_default(), clock::now()))
            }
        }
    })
}

/// Enters another attempt in the account's ledger, waiting for its turn if the time allows.
fn wait_for_budget(minting: &Minting, trying: &Wait) -> bool {
    loop {
        match minting.account.enter(&minting.settings, false) {
            Ok(()) => return true,
            Err(not_yet) if wait_a_little(not_yet.worth_waiting, trying) => {}
            Err(_) => return false,
        }
    }
}

/// Waits until it may be time to look again; false if the time does not allow it, or nothing is gained by waiting.
fn wait_a_little(worth_waiting: Option<Duration>, trying: &Wait) -> bool {
    match worth_waiting {
        Some(time) if time < trying.remaining() => trying.sleep(min(time, LOOK_AGAIN)).is_ok(),
        _ => false,
    }
}

fn in_context(failure: Failure, settings: &GrantSettings, attempts: u32) -> Failure {
    let mut doing = format!("requesting a token from {}", settings.server.origin());
    if attempts > 1 {
        doing.push_str(&format!(", {attempts} times"));
    }
    Failure { error: failure.error.while_doing(&doing), ..failure }
}

/// An attempt that brought no token.
struct Failed {
    failure: Failure,
    /// The server refused an assertion, and its clock differs from the one that the assertion was stamped by.
    other_clock: Option<ServerClock>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed { failure, other_clock: None }
    }
}

/// Sends one token request; an assertion in it is stamped by `clock`, ours if there is none.
fn attempt(
    resolved: &Resolved,
    http: &HttpClient,
    counters: &TokenCounters,
    clock: Option<ServerClock>,
) -> Result<Granted, Failed> {
    let Resolved { settings, token_url, .. } = resolved;
    let request = stamp(clock).and_then(|stamp| TokenRequest::build(settings, &stamp));
    let request = request.map_err(|error| Failure { class: FailureClass::Wrong, error })?;
    let wait = Wait::of("token_timeout", settings.token_timeout);
    counters.token_request();
    let answer = send(&request, token_url, settings, http, &wait).map_err(no_answer)?;
    let read = as_read(&answer, clock);
    grant::read_answer(&read, &request, settings).map_err(|failure| {
        let refused = failure.class == FailureClass::Refused && settings.credential.proof.assertion().is_some();
        let differs = read.clock_ahead.is_some_and(|ahead| ahead.unsigned_abs() > CLOCKS_MAY_DIFFER.as_secs());
        let other_clock = date(&answer.headers).filter(|_| refused && differs).map(ServerClock::of_date);
        Failed { failure, other_clock }
    })
}

fn no_answer(error: Error) -> Failure {
    if error.code() == ErrorCode::AnswerTooLarge {
        let error = Error::new(ErrorCode::BadTokenAnswer, Stage::Receiving, error.what());
        return Failure { class: FailureClass::Wrong, error };
    }
    failure_of_network(error)
}
