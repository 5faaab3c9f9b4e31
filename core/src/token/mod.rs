//! One token for each identity of this process: kept, handed out without a lock, replaced in time.

mod account;
mod discovery;
mod errand;
mod exchange;
mod flight;
pub(crate) mod governor;
mod introspect;
mod life;
mod live;
mod mint;
#[cfg(test)]
mod properties;
mod record;
mod refused;
mod revoke;
mod secrets;
mod server_clock;
mod shared;

use std::cmp::min;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use crate::clock::{self, BootTime};
use crate::config::identity::Identity;
use crate::crypto;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::fork::PerProcess;
use crate::grant::{Granted, Lifetime};
use crate::log::{Log, Reason};
use crate::registry::Registry;
use crate::secret::Secret;
use crate::stats::TokenCounters;
use crate::token::flight::{Flight, NoToken, Progress};
use crate::token::governor::{NotYet, Remembered};
use crate::token::life::{Life, State};
use crate::token::record::Found;
use crate::wait::{Stop, Wait};

pub(crate) use account::Account;
pub(crate) use discovery::Directory;
pub(crate) use flight::Minting;
pub(crate) use governor::Hold;
use live::LiveToken;
pub use live::Token;
pub(crate) use refused::Refusal;
pub(crate) use secrets::{Secrets, Tools};
pub(crate) use shared::Shared;

/// How long the caller that starts a refresh waits for it while its token is still good.
const PATIENCE_WHEN_STALE: Duration = Duration::from_secs(3);
/// How often a caller that waits for its turn looks whether another has brought a token meanwhile.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Nobody told when a token that was given ends: only a refusal does.
const READY_TOKEN_LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// One identity's token in this process.
pub(crate) struct Slot {
    /// Read by every call; a forked child reads its parent's, which is right as long as it lives.
    current: ArcSwap<LiveToken>,
    progress: PerProcess<Mutex<Progress>>,
    pub(crate) counters: TokenCounters,
}

static SLOTS: Registry<Identity, Slot> = Registry::new();

impl Slot {
    /// The slot of an identity, shared by all its clients. A slot lives as long as its token or a client that uses it.
    pub(crate) fn of(identity: Identity) -> Arc<Slot> {
        SLOTS.get(
            identity,
            || Slot::with(LiveToken::none()),
            |slot| slot.current.load().life.state(clock::now()) != State::Ended,
        )
    }

    /// The token, if nothing is to be done about it: no lock, no allocation, no system call but the clock.
    pub(crate) fn fresh(&self) -> Option<Token> {
        let current = self.current.load();
        (clock::now() < current.life.fresh_until).then_some(Token(current))
    }

    /// The token as [`get`](Slot::get) returns it without waiting: fresh; stale while another fetches the next, as one
    /// does already if `refreshing`; alive while a failure to replace it is remembered.
    pub(crate) fn without_waiting(&self, refreshing: bool) -> Option<Token> {
        let progress = self.progress();
        let progress = lock(&progress);
        let now = clock::now();
        let current = self.current.load();
        let flying = progress.flight.is_some();
        let state = current.life.state(now);
        let failed = progress.failure.as_ref().and_then(|failure| failure.at(now, state != State::Ended));
        let refused = !flying && failed.is_some();
        let served = match state {
            State::Fresh => true,
            State::Stale => flying || refused || refreshing,
            State::Ending => refused,
            State::Ended => false,
        };
        served.then_some(Token(current))
    }

    /// The token if it lives and nobody has refused it, however near its end is.
    pub(crate) fn living(&self) -> Option<Token> {
        let current = self.current.load();
        let alive = current.life.state(clock::now()) != State::Ended;
        (alive && !current.life.is_condemned()).then_some(Token(current))
    }

    /// Whether there is a token, even a condemned one.
    pub(crate) fn is_alive(&self) -> bool {
        self.current.load().life.state(clock::now()) != State::Ended
    }

    /// The refusal of the credential that another process told, while it is remembered.
    pub(crate) fn refusal(&self) -> Option<Remembered> {
        let now = clock::now();
        let progress = self.progress();
        let progress = lock(&progress);
        progress.failure.clone().filter(|failure| failure.is_refusal() && failure.at(now, true).is_some())
    }

    pub(crate) fn forget_refusal(&self) {
        let progress = self.progress();
        let mut progress = lock(&progress);
        progress.failure = progress.failure.take().filter(|failure| !failure.is_refusal());
    }

    /// A slot of its own for a token that was given: it is used until it is refused, and nobody shares it.
    pub(crate) fn ready(token: &Secret) -> Arc<Slot> {
        let granted = Granted {
            access_token: token.clone(),
            refresh_token: None,
            scope: None,
            lifetime: Lifetime::Lasts(READY_TOKEN_LIFETIME),
        };
        let life = Life::new(BootTime::ZERO, READY_TOKEN_LIFETIME, 0.5);
        Arc::new(Slot::with(LiveToken::new(granted, life)))
    }

    fn with(token: LiveToken) -> Slot {
        Slot { current: ArcSwap::from_pointee(token), progress: PerProcess::new(), counters: TokenCounters::default() }
    }

    /// The token that was given, or why it is no longer.
    pub(crate) fn get_ready(&self) -> Result<Token> {
        self.fresh().ok_or_else(|| {
            let what = "the ready access_token was refused, and there is no credential to request another with";
            Error::new(ErrorCode::CredentialUnavailable, Stage::Waiting, what)
                .with_next_step("Give a new access_token, or client_id and client_secret instead.")
        })
    }

    /// The token, waiting for one where that is due.
    pub(crate) fn get(self: &Arc<Slot>, minting: &Minting, wait: &Wait) -> Result<Token> {
        let mut discarded = false;
        let mut delayed = false;
        loop {
            let doing = || format!("waiting for a token from {}", minting.settings.server.origin());
            let progress = self.progress();
            let now = clock::now();
            let current = self.current.load();
            let state = current.life.state(now);
            if state == State::Fresh {
                return Ok(Token(current));
            }
            if let Some(shared) = &minting.shared
                && self.look(shared, &minting.log, wait)
            {
                continue;
            }
            wait.check().map_err(|stop| stop.into_error(Stage::Waiting, &doing()))?;
            let (flight, joined) = match self.join(&progress, &current, minting, now) {
                Joined::Flight { flight, joined } => (flight, joined),
                Joined::LookAgain => continue,
                Joined::NotYet(_) if state != State::Ended => return Ok(Token(current)),
                Joined::NotYet(NotYet { worth_waiting: Some(time), error }) if time < wait.remaining() => {
                    if !std::mem::replace(&mut delayed, true) {
                        minting.log.token_delayed(&error, time);
                    }
                    wait.sleep(min(time, LOOK_AGAIN)).map_err(|stop| stop.into_error(Stage::Waiting, &doing()))?;
                    continue;
                }
                Joined::NotYet(NotYet { error, .. }) => return Err(error),
            };
            if self.is_fetched_here() {
                let what = "a log hook calls the client whose token its own thread is fetching";
                let error = Error::argument(what).with_next_step("Call it from another thread, after the hook.");
                return if state == State::Ended { Err(error) } else { Ok(Token(current)) };
            }
            // So that the living token can still be used should the flight stall.
            let half_of_what_is_left = min(current.life.ends.since(now), wait.remaining()) / 2;
            let patience = match state {
                State::Stale if joined => return Ok(Token(current)),
                State::Stale => Some(min(PATIENCE_WHEN_STALE, half_of_what_is_left)),
                State::Ending if !current.life.is_condemned() => Some(half_of_what_is_left),
                // Who comes with a refused token, or none, has no use for what is here.
                State::Ending | State::Fresh | State::Ended => None,
            };
            let waiting_from = clock::now();
            let waited = flight.wait(wait, patience);
            if !matches!(waited, Ok(Some(Err(NoToken { sent_nothing: true, .. })))) {
                minting.log.token_waited(clock::now().since(waiting_from));
            }
            if let Ok(Some(Ok(token))) = &waited {
                let ended = token.life != Life::NONE && token.life.state(clock::now()) == State::Ended;
                if !ended || discarded {
                    return Ok(Token(Guard::from(token.clone())));
                }
                // The machine slept over the token's whole life. Once more; but a server whose tokens end before they
                // arrive is not asked for ever.
                discarded = true;
            }
            if let Err(Stop::Cancelled) = waited {
                return Err(Stop::Cancelled.into_error(Stage::Waiting, &doing()));
            }
            // Whatever went wrong, a token that lives is better than an error.
            let latest = self.current.load();
            let left = latest.life.ends.since(clock::now());
            if left > Duration::ZERO {
                if let Ok(Some(Err(_))) = waited {
                    minting.log.token_kept(left);
                }
                return Ok(Token(latest));
            }
            match waited {
                // Room for a token, or in the budget, will be there before this caller's time is over: round again, to
                // wait for it.
                Ok(Some(Err(NoToken { worth_waiting: Some(time), .. }))) if time < wait.remaining() => {}
                Ok(Some(Err(no_token))) => return Err(no_token.error),
                Err(stop) => return Err(stop.into_error(Stage::Waiting, &doing())),
                // The token ended while this thread slept, or its patience outlived it.
                Ok(_) => {}
            }
        }
    }

    /// Looks into the record for what other processes have done: adopts a later token, and a hold. True if a token was
    /// adopted.
    pub(crate) fn look(&self, shared: &Shared, log: &Log, wait: &Wait) -> bool {
        let record = match shared.read(wait) {
            Ok(record) => record,
            Err(why) => {
                shared.complain(log, &why);
                return false;
            }
        };
        let progress = self.progress();
        let mut progress = lock(&progress);
        if let Some(hold) = record.hold
            && progress.hold.is_none_or(|ours| ours.until < hold.until)
        {
            progress.hold = Some(hold);
        }
        let in_hand = self.current.load().in_hand(clock::now());
        let Some(found) = shared.find(&record, &in_hand) else { return false };
        let Some(token) = self.put(&found) else { return false };
        // A hook may call the client, which wants the lock.
        drop(progress);
        log.token_found(token.life.ends.since(clock::now()));
        true
    }

    /// Puts a token of the record in place of an earlier one. `None` if the present one is not earlier: it may have
    /// been dropped since the record was read.
    fn put(&self, found: &Found) -> Option<Arc<LiveToken>> {
        let current = self.current.load();
        if found.begin <= current.life.begin || (current.dropped.is_some() && current.is(found.text.reveal())) {
            return None;
        }
        let life = Life::new(found.begin, found.lifetime, crypto::random_fraction());
        let successor = current.life.is_condemned();
        let token = Arc::new(LiveToken { successor, ..LiveToken::new(found.granted(), life) });
        self.current.store(token.clone());
        Some(token)
    }

    fn progress(&self) -> Arc<crate::fork::Owned<Mutex<Progress>>> {
        self.progress.get(|| {
            // In a forked child: drawn again, so that the children of one parent do not all come at once.
            let current = self.current.load();
            if current.life.ends > BootTime::ZERO && !current.life.is_condemned() {
                let life = current.life.redrawn(crypto::random_fraction());
                self.current.compare_and_swap(&*current, Arc::new(current.with_life(life)));
            }
            Mutex::default()
        })
    }

    fn join(
        self: &Arc<Slot>,
        progress: &Mutex<Progress>,
        current: &Guard<Arc<LiveToken>>,
        minting: &Minting,
        now: BootTime,
    ) -> Joined {
        let state = current.life.state(now);
        let mut progress = lock(progress);
        if !Arc::ptr_eq(&self.current.load(), current) {
            return Joined::LookAgain;
        }
        if let Some(flight) = &progress.flight {
            return Joined::Flight { flight: flight.clone(), joined: true };
        }
        let alive = state != State::Ended;
        let remembered = progress.failure.as_ref().and_then(|failure| failure.at(now, alive));
        // Processes that share a store share its ledger, and enter their requests there under the lock.
        let of_account = || match minting.shared {
            Some(_) => minting.account.remembered(&minting.settings, alive),
            None => minting.account.enter(&minting.settings, alive).err(),
        };
        if let Some(not_yet) = remembered.or_else(of_account) {
            return Joined::NotYet(not_yet);
        }
        match Flight::start(self, minting, reason(state, current), current.in_hand(now)) {
            Ok(flight) => {
                progress.flight = Some(flight.clone());
                Joined::Flight { flight, joined: false }
            }
            Err(error) => {
                if minting.shared.is_none() {
                    minting.account.withdraw(&minting.settings);
                }
                let what = format!("no thread for the token request: {error}");
                let error = Error::new(ErrorCode::Internal, Stage::Waiting, what);
                Joined::NotYet(NotYet { error, worth_waiting: None })
            }
        }
    }

    /// Puts a granted token in place and returns it.
    fn adopt(&self, progress: &mut Progress, granted: Granted, began: BootTime) -> Arc<LiveToken> {
        let lifetime = match granted.lifetime {
            Lifetime::Lasts(lifetime) => lifetime,
            Lifetime::Unusable => return Arc::new(LiveToken::new(granted, Life::NONE)),
        };
        let current = self.current.load();
        let now = clock::now();
        let condemned = current.life.is_condemned();
        let same = current.is(granted.access_token.reveal());
        if same && current.dropped.is_some_and(|dropped| began <= dropped.at) {
            // It was on its way here when it was revoked.
            return Guard::into_inner(current);
        }
        let token = if same && current.life.state(now) != State::Ended {
            // The server has no other: the token it gave in place of a refused one is that same.
            if condemned {
                self.open_hold(progress, &current);
            }
            Arc::new(current.with_life(current.life.postponed(now)))
        } else {
            let life = Life::new(began, lifetime, crypto::random_fraction());
            Arc::new(LiveToken { successor: condemned, ..LiveToken::new(granted, life) })
        };
        // One that ended on its way serves those who wait for it, and must not displace one that lives.
        if token.life.state(now) != State::Ended {
            self.current.store(token.clone());
        }
        token
    }
}

/// What a caller who has no fresh token found.
enum Joined {
    Flight {
        flight: Arc<Flight>,
        joined: bool,
    },
    /// The last attempt failed a short while ago, or the budget is used up.
    NotYet(NotYet),
    /// Another token is there by now.
    LookAgain,
}

fn reason(state: State, current: &LiveToken) -> Reason {
    match state {
        State::Ended => Reason::NoToken,
        _ if current.life.is_condemned() => Reason::Refused,
        State::Ending => Reason::Ending,
        State::Fresh | State::Stale => Reason::Stale,
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    #[cfg(test)]
    crate::simulation::preempt();
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const HOUR: Lifetime = Lifetime::Lasts(Duration::from_secs(3600));

    pub(super) fn granted(text: &str, lifetime: Lifetime) -> Granted {
        Granted { access_token: Secret::new(text.into()), refresh_token: None, scope: None, lifetime }
    }

    #[test]
    fn a_slot_is_kept_by_its_clients_or_its_token_and_by_nothing_else() {
        let identity = |name: &str| Identity::of_bytes(crypto::sha256(name.as_bytes()));
        let held = Slot::of(identity("held by a client"));
        let living = Arc::downgrade(&Slot::of(identity("with a living token")));
        living.upgrade().expect("just made").adopt(&mut Progress::default(), granted("t", HOUR), clock::now());
        let left = Arc::downgrade(&Slot::of(identity("left alone")));
        // Some of them share the part of the registry that is looked through when it changes.
        for next in 0..2000 {
            Slot::of(identity(&format!("the next: {next}")));
        }
        assert!(Arc::ptr_eq(&held, &Slot::of(identity("held by a client"))));
        assert!(living.upgrade().is_some());
        assert!(left.upgrade().is_none());
    }

    #[test]
    fn p04_a_token_that_ended_on_its_way_displaces_none_that_lives() {
        let slot = Slot::of(Identity::of_bytes(crypto::sha256(b"late")));
        let began = clock::now();
        slot.adopt(&mut Progress::default(), granted("living", Lifetime::Lasts(Duration::from_secs(3600))), began);
        slot.adopt(&mut Progress::default(), granted("late", Lifetime::Lasts(Duration::from_nanos(1))), began);
        assert_eq!(slot.fresh().expect("it lives").as_str(), "living");
    }

    #[test]
    fn p05_a_token_of_no_lifetime_is_never_kept() {
        let slot = Slot::of(Identity::of_bytes(crypto::sha256(b"unusable")));
        let token = slot.adopt(&mut Progress::default(), granted("now or never", Lifetime::Unusable), clock::now());
        assert_eq!(token.text.reveal(), "now or never");
        assert!(slot.fresh().is_none());
    }

    #[test]
    fn p05_a_forked_child_draws_its_window_again_and_no_other_moment() {
        let slot = Slot::of(Identity::of_bytes(crypto::sha256(b"forked")));
        slot.adopt(&mut Progress::default(), granted("the parent's", HOUR), clock::now());
        let before = slot.current.load().life;
        // As in a child, which has none of its own yet.
        slot.progress();
        let after = slot.current.load().life;
        assert_ne!(after.fresh_until, before.fresh_until);
        assert_eq!((after.begin, after.ends), (before.begin, before.ends));
        slot.progress();
        assert_eq!(slot.current.load().life, after, "once");

        let slot = Slot::of(Identity::of_bytes(crypto::sha256(b"forked when condemned")));
        slot.adopt(&mut Progress::default(), granted("refused", HOUR), clock::now());
        let current = slot.current.load_full();
        slot.current.store(Arc::new(current.with_life(current.life.condemned())));
        slot.progress();
        assert!(slot.current.load().life.is_condemned());
    }
}
