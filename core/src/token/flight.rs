//! A flight: one mint on its own short-lived thread, for which any number of callers wait and which none of them can
//! harm by leaving. A token request that has left the machine is read to its end, and its token kept.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::background;
use crate::clock;
use crate::config::settings::GrantSettings;
use crate::crypto;
use crate::error::{Error, ErrorCode, Stage};
use crate::fork::Owned;
use crate::grant::{Failure, FailureClass};
use crate::http::HttpClient;
use crate::log::{Log, Reason};
use crate::token::account::Account;
use crate::token::discovery::Directory;
use crate::token::governor::{Hold, NotYet, Remembered};
use crate::token::mint::Minted;
use crate::token::shared::{InHand, Shared};
use crate::token::{LiveToken, Slot, lock, mint};
use crate::wait::{Event, Stop, Wait};

/// What a flight needs to mint.
#[derive(Clone)]
pub(crate) struct Minting {
    pub(crate) settings: Arc<GrantSettings>,
    pub(crate) directory: Directory,
    pub(crate) http: Arc<Owned<HttpClient>>,
    pub(crate) account: Arc<Account>,
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) log: Log,
}

/// What goes on for an identity in this process.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) flight: Option<Arc<Flight>>,
    pub(crate) failure: Option<Remembered>,
    pub(crate) hold: Option<Hold>,
    /// The generation of the token that was revoked last.
    pub(crate) revoked: Option<u64>,
}

pub(crate) struct Flight {
    done: Option<Event>,
    outcome: OnceLock<Outcome>,
}

/// What a flight ends with.
pub(crate) type Outcome = std::result::Result<Arc<LiveToken>, NoToken>;

/// Why a flight brought no token.
#[derive(Clone, Debug)]
pub(crate) struct NoToken {
    pub(crate) error: Error,
    /// The time after which another may bring one.
    pub(crate) worth_waiting: Option<Duration>,
    /// It had no turn to send a token request.
    pub(crate) sent_nothing: bool,
}

impl Flight {
    /// Starts a mint. The caller holds the lock on the slot's progress, and so is the only one.
    pub(crate) fn start(
        slot: &Arc<Slot>,
        minting: &Minting,
        reason: Reason,
        in_hand: InHand,
    ) -> io::Result<Arc<Flight>> {
        let flight = Arc::new(Flight { done: Event::new(), outcome: OnceLock::new() });
        let (slot, minting, landing) = (slot.clone(), minting.clone(), flight.clone());
        background::spawn("svctoken-mint", move || {
            FETCHED_HERE.set(Arc::as_ptr(&slot));
            let minted = catch_unwind(AssertUnwindSafe(|| mint::mint(&minting, &slot.counters, reason, in_hand)));
            let outcome = slot.land(minted.unwrap_or_else(|_| Err(panicked())), &minting);
            let _ = landing.outcome.set(outcome);
            if let Some(done) = &landing.done {
                done.set();
            }
        })?;
        Ok(flight)
    }

    /// Waits for the outcome, at most `patience`; `None` when patience ran out first.
    pub(crate) fn wait(&self, wait: &Wait, patience: Option<Duration>) -> std::result::Result<Option<Outcome>, Stop> {
        let patient = match patience {
            Some(patience) => wait.limited(PATIENCE, patience),
            None => wait.clone(),
        };
        match patient.until_set(self.done.as_ref(), &self.outcome) {
            Ok(outcome) => Ok(Some(outcome.clone())),
            Err(Stop::TimedOut(limit)) if limit.option == PATIENCE => Ok(None),
            Err(stop) => Err(stop),
        }
    }
}

thread_local! {
    /// The slot whose token this thread fetches, if it is a flight's.
    static FETCHED_HERE: Cell<*const Slot> = const { Cell::new(std::ptr::null()) };
}

/// How long a caller with a good token leaves it to another process before it looks again.
const ELSEWHERE_PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: &str = "patience";

impl Slot {
    /// Whether this thread fetches the slot's token, and would wait for itself.
    pub(crate) fn is_fetched_here(&self) -> bool {
        std::ptr::eq(FETCHED_HERE.get(), self)
    }

    /// Ends the flight in the slot's books: the next caller finds the token, or the failure remembered. All under one
    /// lock, so that nobody joins a flight whose token was condemned already.
    fn land(&self, minted: std::result::Result<Minted, Failure>, minting: &Minting) -> Outcome {
        let progress = self.progress();
        let mut progress = lock(&progress);
        progress.flight = None;
        let before = progress.failure.take();
        let Minting { settings, account, .. } = minting;
        let failure = match minted {
            Ok(Minted::Found(found)) => {
                account.granted(settings, found.begin + found.lifetime);
                return Ok(self.put(&found).unwrap_or_else(|| self.current.load_full()));
            }
            Ok(Minted::Elsewhere) => {
                // For a moment: it is another process that brings the token.
                let error = Error::new(ErrorCode::Internal, Stage::Waiting, "another process fetches the token");
                progress.failure = Some(Remembered::pause(error, ELSEWHERE_PAUSE, clock::now()));
                return Ok(self.current.load_full());
            }
            Ok(Minted::NotYet(remembered)) => {
                let NotYet { error, worth_waiting } = remembered.at(clock::now(), false).unwrap_or_else(|| {
                    // Over by now.
                    NotYet { error: remembered.error.clone(), worth_waiting: Some(Duration::ZERO) }
                });
                progress.failure = Some(remembered);
                return Err(NoToken { error, worth_waiting, sent_nothing: true });
            }
            Ok(Minted::Token(granted, began)) => {
                self.counters.token_received();
                let token = self.adopt(&mut progress, granted, began);
                account.granted(settings, token.life.ends);
                return Ok(token);
            }
            Err(failure) => failure,
        };
        self.counters.failed_refresh();
        let now = clock::now();
        let chance = crypto::random_fraction();
        let remembered = match account.failed(settings, &failure, now, chance) {
            Some(remembered) => remembered,
            None => progress.failure.insert(Remembered::after(&failure, before.as_ref(), None, now, chance)).clone(),
        };
        let not_yet = remembered.at(now, false).unwrap_or(NotYet { error: failure.error, worth_waiting: None });
        // A flight that failed otherwise has been tried again already, as often and as long as that may help.
        let worth_waiting = not_yet.worth_waiting.filter(|_| failure.class == FailureClass::Limit);
        Err(NoToken { error: not_yet.error, worth_waiting, sent_nothing: false })
    }
}

fn panicked() -> Failure {
    let error = Error::new(ErrorCode::Panic, Stage::TokenAnswer, "svctoken panicked while it requested a token");
    Failure { class: FailureClass::Transient, error }
}
