//! One token for the machine, or for the fleet: processes read one record, and take turns to mint it.
//!
//! The protocol: memory, record, lock, record again, failure and ledger, intent, mint, write, unlock. The lock is held
//! across one attempt, never across a pause. Nobody who waits depends on the holder's goodwill: a holder that died has
//! lost the lock, and one that sleeps is passed by on a second lock. A store that does not answer fails nobody.

use std::cmp::min;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{self, BootTime};
use crate::config::identity::Identity;
use crate::config::settings::GrantSettings;
use crate::crypto::{hex, random_fraction, sha256};
use crate::grant::Failure;
use crate::log::Log;
use crate::secret::Secret;
use crate::store::seal::Sealer;
use crate::store::{Content, Kept, LONGEST, Lock, SHORTEST, Store, Tried, Which};
use crate::token::LOOK_AGAIN;
use crate::token::account::budget_used_up;
use crate::token::discovery::Directory;
use crate::token::governor::{BUDGET_WINDOW, Hold, Ledger, NotYet, Remembered};
use crate::token::record::{Found, Noted, Record};
use crate::wait::Wait;

/// What a holder of the lock is given beyond the time it said.
const GRACE: Duration = Duration::from_secs(1);
/// How long what a call does not wait for may take.
const ASIDE: Duration = Duration::from_secs(2);

/// An identity's part in a store.
pub(crate) struct Shared {
    /// The same for all secrets of a client.
    store: Arc<Store>,
    sealer: Sealer,
    /// Of the account: other identities of it enter their token requests there too.
    ledger: String,
    /// It was said that the store cannot be used, and it could not be since.
    complained: AtomicBool,
}

/// What the caller of a flight has already.
#[derive(Clone, Debug)]
pub(crate) struct InHand {
    /// When its token was minted; an older one is never adopted.
    pub(crate) begin: BootTime,
    /// Its token, or an empty text: the same is not adopted again, however its age is told.
    pub(crate) text: Secret,
    pub(crate) alive: bool,
    /// It can wait for another process's token as well as fetch one.
    pub(crate) in_no_hurry: bool,
}

impl InHand {
    fn is_older_than(&self, found: &Found) -> bool {
        found.begin > self.begin && found.text.reveal() != self.text.reveal()
    }
}

/// Whose turn it is to mint.
pub(crate) enum Turn {
    /// Ours, under the lock if there are locks.
    Ours(Option<Lock>),
    /// Another process has minted.
    Found(Found),
    /// Another process is minting, and the caller is in no hurry.
    Elsewhere,
    /// Another process has failed, or the budget of all is used up.
    NotYet(Remembered),
    /// It is not known yet where to mint, and the lock is free again.
    Undiscovered,
}

impl Shared {
    pub(crate) fn new(store: Arc<Store>, settings: &GrantSettings, identity: Identity) -> Shared {
        let sealer = Sealer::new(&settings.credential.stable_bytes(), identity.as_bytes());
        let account = format!("{}\n{}", settings.server.name(), settings.credential.client_id);
        let ledger = format!("{}.ledger", hex(&sha256(account.as_bytes())[..16]));
        Shared { store, sealer, ledger, complained: AtomicBool::new(false) }
    }

    /// Whether asking it takes a network.
    pub(crate) fn is_remote(&self) -> bool {
        self.store.is_remote()
    }

    /// The record; an empty one if there is none that we can read. The error says why the store cannot be used.
    pub(crate) fn read(&self, wait: &Wait) -> Result<Record, String> {
        let kept = self.store.read(self.name(), wait)?;
        Ok(kept.and_then(|kept| self.open_record(&kept)).unwrap_or_default())
    }

    /// A token of the record that is alive and later than the one in hand.
    pub(crate) fn find(&self, record: &Record, in_hand: &InHand) -> Option<Found> {
        record.token.clone().filter(|token| in_hand.is_older_than(token) && token.is_alive(clock::now()))
    }

    /// Says that the store cannot be used: once, until it could be again.
    pub(crate) fn complain(&self, log: &Log, why: &str) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            log.cache_unavailable(why);
        }
    }

    /// Waits for our turn to mint, or for what makes that needless; `None` where the store cannot be used, and each
    /// process is on its own.
    pub(crate) fn take_turn(
        &self,
        settings: &GrantSettings,
        directory: &Directory,
        in_hand: &InHand,
        trying: &Wait,
        log: &Log,
    ) -> Option<Turn> {
        match self.wait_for_turn(settings, directory, in_hand, trying) {
            Ok(turn) => Some(turn),
            Err(why) => {
                self.complain(log, &why);
                // A Redis may answer again before the token ends; else each of a fleet would mint at once.
                (in_hand.in_no_hurry && self.is_remote()).then_some(Turn::Elsewhere)
            }
        }
    }

    fn wait_for_turn(
        &self,
        settings: &GrantSettings,
        directory: &Directory,
        in_hand: &InHand,
        trying: &Wait,
    ) -> Result<Turn, String> {
        let under_lock = || self.under_lock(settings, directory, in_hand, trying);
        let [mut poll, longest_poll] = self.store.polling();
        let mut holders = Holders::default();
        loop {
            match self.try_lock(settings, &mut holders, trying)? {
                Tried::Locked(lock) => match under_lock()? {
                    None => return Ok(Turn::Ours(Some(lock))),
                    Some(Turn::NotYet(failure)) => {
                        drop(lock);
                        match failure.at(clock::now(), in_hand.alive) {
                            Some(NotYet { worth_waiting: Some(time), .. })
                                if !in_hand.alive && time < LOOK_AGAIN && time < trying.remaining() =>
                            {
                                if trying.sleep(time).is_err() {
                                    return Ok(Turn::NotYet(failure));
                                }
                            }
                            _ => return Ok(Turn::NotYet(failure)),
                        }
                        continue;
                    }
                    Some(turn) => return Ok(turn),
                },
                Tried::Busy(_) if in_hand.in_no_hurry => return Ok(Turn::Elsewhere),
                Tried::Busy(_) => {}
                // Without locks the record is shared all the same.
                Tried::Unsupported => {
                    return Ok(under_lock()?.unwrap_or(Turn::Ours(None)));
                }
            }
            if let Some(found) = self.find(&self.read(trying)?, in_hand) {
                return Ok(Turn::Found(found));
            }
            if trying.sleep(poll.mul_f64(0.5 + 0.5 * random_fraction())).is_err() {
                let error = lock_held_too_long(settings);
                return Ok(Turn::NotYet(Remembered::pause(error, Duration::ZERO, clock::now())));
            }
            poll = min(poll * 2, longest_poll);
        }
    }

    /// Tries to become the one who mints: with one lock, while nobody who has time left holds the other.
    fn try_lock(&self, settings: &GrantSettings, holders: &mut Holders, wait: &Wait) -> Result<Tried, String> {
        let try_lock = |which| self.store.try_lock(self.name(), which, settings.token_timeout, wait);
        let tried = try_lock(Which::First)?;
        match tried {
            Tried::Locked(_) => {}
            Tried::Busy(until) if holders.first.is_late(until, settings) => {}
            Tried::Busy(_) | Tried::Unsupported => return Ok(tried),
        }
        // Kept until the end: who takes the first says until when before the second is free, and who takes the second
        // looks at the first again.
        let (mut lock, _second) = match (tried, try_lock(Which::Second)?) {
            (Tried::Locked(first), Tried::Locked(second)) => (first, Some(second)),
            (Tried::Locked(first), Tried::Busy(until)) if holders.second.is_late(until, settings) => (first, None),
            (Tried::Busy(_), Tried::Locked(second)) => match try_lock(Which::First)? {
                Tried::Locked(first) => (first, Some(second)),
                Tried::Busy(until) if holders.first.is_late(until, settings) => (second, None),
                other => return Ok(other),
            },
            (_, Tried::Locked(_)) => return Ok(Tried::Unsupported),
            (_, other) => return Ok(other),
        };
        lock.say_until(clock::now() + settings.token_timeout);
        Ok(Tried::Locked(lock))
    }

    /// What the record and the ledger say to a holder of the lock; `None`: mint.
    fn under_lock(
        &self,
        settings: &GrantSettings,
        directory: &Directory,
        in_hand: &InHand,
        wait: &Wait,
    ) -> Result<Option<Turn>, String> {
        let record = self.read(wait)?;
        if let Some(found) = self.find(&record, in_hand) {
            return Ok(Some(Turn::Found(found)));
        }
        let now = clock::now();
        let failure = record.failure.as_ref().filter(|failure| failure.at(now, in_hand.alive).is_some());
        if let Some(failure) = failure {
            return Ok(Some(Turn::NotYet(failure.clone())));
        }
        // Asked without the lock; in a herd, most find in the record what the first of them was told.
        if !directory.is_known_with(&record) {
            return Ok(Some(Turn::Undiscovered));
        }
        let Some(budget) = settings.mint_budget else { return Ok(None) };
        let delay = self.enter_ledger(budget, now, wait)?;
        Ok(delay.map(|delay| Turn::NotYet(Remembered::pause(budget_used_up(budget, delay), delay, now))))
    }

    /// Enters a token request that is about to leave, or tells how long it has to wait for the budget; a ledger that
    /// cannot be had in a folder delays nobody.
    fn enter_ledger(&self, budget: u32, now: BootTime, wait: &Wait) -> Result<Option<Duration>, String> {
        let store = match &*self.store {
            Store::File(store) => store,
            Store::Redis(store) => return store.enter(&self.ledger, budget, BUDGET_WINDOW, wait),
        };
        let entered = store.change(&self.ledger, |text| {
            let entries = text.lines().filter_map(|line| line.parse().ok()).map(BootTime::from_nanoseconds);
            let mut ledger = Ledger::of_entries(entries, budget, now);
            let entered = ledger.enter(budget, now);
            let lines = ledger.entries().map(|entry| format!("{}\n", entry.as_nanoseconds())).collect();
            (lines, entered)
        });
        Ok(entered.and_then(Result::err))
    }

    /// Puts a token into the record, and what is known of the server, unless a later one is there; the failure before it
    /// is forgotten. The error says why the others will not find it.
    pub(crate) fn granted(&self, token: &Found, noted: Option<&Noted>) -> Result<(), String> {
        let written = self.update(|present| {
            let Record { token: before, hold, failure: _, metadata } = present;
            let now = clock::now();
            let before = before.filter(|before| before.begin <= now);
            // Whoever was stopped in between: the later mint wins.
            if before.as_ref().is_some_and(|before| before.begin > token.begin) {
                return None;
            }
            // A server that hands out the same token again is believed its first end.
            let same = |before: &Found| before.text.reveal() == token.text.reveal() && before.is_alive(now);
            let token = before.filter(same).unwrap_or_else(|| token.clone());
            Some(Record { token: Some(token), hold, failure: None, metadata: later(metadata, noted) })
        });
        self.store.sweep();
        self.complained.fetch_and(written.is_err(), Ordering::Relaxed);
        written.map_err(not_written)
    }

    /// Tells the others of a failed attempt, and until when to leave the server alone; the token stays. `pause`: it is
    /// tried again then. `first_end`: how long until a token of the account ends that is known here.
    pub(crate) fn attempt_failed(
        &self,
        failure: &Failure,
        pause: Option<Duration>,
        first_end: Option<Duration>,
        fraction: f64,
    ) {
        // A full or read-only disk costs the others a mint, and us nothing.
        let _ = self.update(|record| {
            let now = clock::now();
            let remembered = match pause {
                Some(pause) => Remembered::pause(failure.error.clone(), pause, now),
                None => Remembered::after(failure, record.failure.as_ref(), first_end, now, fraction),
            };
            Some(Record { failure: Some(remembered), ..record })
        });
    }

    /// Tells the others what the server says of itself.
    pub(crate) fn discovered(&self, noted: &Noted) {
        // Where that fails, they ask too.
        let _ = self.update(|record| {
            let metadata = later(record.metadata, Some(noted));
            Some(Record { metadata, ..record })
        });
    }

    /// Tells the others of a hold, or of its end.
    pub(crate) fn held(&self, hold: Option<Hold>) {
        let _ = self.update(|record| Some(Record { hold, ..record }));
    }

    /// Tells the others that the server refuses this secret, and `until` when to believe that.
    pub(crate) fn refused(&self, refusal: &Remembered, until: BootTime) {
        let failure = Remembered { until, until_with_token: until, ..refusal.clone() };
        let _ = self.update(|record| Some(Record { failure: Some(failure.clone()), ..record }));
    }

    /// Drops from the record that the server refuses this secret.
    pub(crate) fn forget_refusal(&self) {
        let _ = self.update(|record| {
            let is_refused = record.failure.as_ref().is_some_and(Remembered::is_refusal);
            is_refused.then(|| Record { failure: None, ..record })
        });
    }

    /// Drops this token from the record, if it is the one there. The error says why others may still find it.
    pub(crate) fn drop_token(&self, text: &str) -> Result<(), String> {
        self.update(|record| {
            let holds_it = record.token.as_ref().is_some_and(|token| token.text.reveal() == text);
            holds_it.then(|| Record { token: None, ..record })
        })
        .map_err(not_written)
    }

    /// Drops all that the record holds but what the server asked for. The error says why others may still find it.
    pub(crate) fn clear(&self) -> Result<(), String> {
        self.update(|Record { token, hold, failure, metadata }| {
            let is_empty = token.is_none() && hold.is_none() && failure.is_none() && metadata.is_none();
            let failure = failure.filter(Remembered::is_the_servers_wish);
            (!is_empty).then(|| Record { failure, ..Record::default() })
        })
        .map_err(not_written)
    }

    /// Replaces the record by what `next` makes of it, unless that is `None`.
    fn update(&self, mut next: impl FnMut(Record) -> Option<Record>) -> Result<(), String> {
        let wait = Wait::of("cache", ASIDE);
        self.store.update(self.name(), &wait, |present| {
            let record = next(present.and_then(|kept| self.open_record(kept)).unwrap_or_default())?;
            let now = clock::now();
            let kept_for = record.lasts(now).clamp(SHORTEST, LONGEST);
            let bytes = self.sealer.seal(&record.to_bytes(self.store.epoch(now), kept_for))?;
            Some(Content { bytes, kept_for })
        })
    }

    fn open_record(&self, kept: &Kept) -> Option<Record> {
        Record::from_bytes(&self.sealer.open(&kept.bytes)?, |kept_for| kept.epoch(kept_for))
    }

    fn name(&self) -> &str {
        self.sealer.name().as_str()
    }
}

fn later(present: Option<Noted>, noted: Option<&Noted>) -> Option<Noted> {
    match (present, noted) {
        (Some(present), Some(noted)) if present.read < noted.read => Some(noted.clone()),
        (present, noted) => present.or_else(|| noted.cloned()),
    }
}

fn not_written(why: String) -> String {
    format!("the token's record cannot be written: {why}")
}

/// What a process that waits knows of who holds the locks.
#[derive(Default)]
struct Holders {
    first: Holder,
    second: Holder,
}

/// Until when it said it would be done, and since when we know that.
#[derive(Default)]
struct Holder(Option<(Option<BootTime>, Instant)>);

impl Holder {
    /// Whether its time is over: as it said just now, or the time of an attempt since we first saw it.
    fn is_late(&mut self, until: Option<BootTime>, settings: &GrantSettings) -> bool {
        let (_, since) = match self.0 {
            // Told over a network, the same moment is never quite the same.
            Some(known) if is_about(known.0, until) => known,
            _ => *self.0.insert((until, Instant::now())),
        };
        let over = match until {
            Some(until) => clock::now() > until + GRACE,
            None => since.elapsed() > settings.token_timeout + GRACE,
        };
        over && since.elapsed() > GRACE
    }
}

fn is_about(one: Option<BootTime>, other: Option<BootTime>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.since(other) + other.since(one) < GRACE,
        (one, other) => one == other,
    }
}

fn lock_held_too_long(settings: &GrantSettings) -> crate::Error {
    let what = format!("another process holds the lock of the token of {} for too long", settings.server.origin());
    crate::Error::new(crate::ErrorCode::Timeout, crate::Stage::Waiting, what)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::ClientBuilder;
    use crate::config::environment::Environment;
    use crate::config::preset::Preset;
    use crate::config::settings::TokenSource;
    use crate::crypto::random_bytes;
    use crate::log::{Log, LogEvent};
    use crate::store::file::FileStore;
    use crate::token::{Refusal, Slot};

    /// A store of its own, removed at the end, and the identity that uses it.
    struct Place {
        folder: PathBuf,
        shared: Shared,
        identity: Identity,
    }

    impl Place {
        fn new(client_id: &str) -> Place {
            let builder = ClientBuilder::new().client_id(client_id).client_secret("a secret of good length");
            let config = builder.token_url("https://a.example/token").config;
            let settings = Preset::Plain.resolve(config, &Environment::from_pairs([("", "")])).expect("valid");
            let TokenSource::Grant(grant) = &settings.tokens else { panic!("no ready token was given") };
            let unique: [u8; 8] = random_bytes().expect("randomness");
            let folder = std::env::temp_dir().join(format!("svctoken-shared-{}", hex(&unique)));
            let identity = Identity::of(grant);
            let store = Arc::new(Store::File(FileStore::open(&folder).expect("usable")));
            Place { shared: Shared::new(store, grant, identity), folder, identity }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.folder).expect("ours");
        }
    }

    fn found(text: &str, begin: BootTime) -> Found {
        Found {
            text: Secret::new(text.into()),
            refresh_token: None,
            scope: None,
            begin,
            lifetime: Duration::from_secs(3600),
        }
    }

    #[test]
    fn a_token_handed_out_again_keeps_its_first_end_for_all_processes() {
        let place = Place::new("handed out again");
        let begin = clock::now();
        let later = begin + Duration::from_nanos(1);
        let wait = Wait::of("cache", ASIDE);
        let begin_of_record = || place.shared.read(&wait).expect("usable").token.map(|token| token.begin);
        place.shared.granted(&found("first", begin), None).expect("writable");
        place.shared.granted(&found("first", later), None).expect("writable");
        assert_eq!(begin_of_record(), Some(begin));
        place.shared.granted(&found("second", later), None).expect("writable");
        assert_eq!(begin_of_record(), Some(later));
    }

    #[test]
    fn a_log_hook_may_call_the_client_whose_token_was_found() {
        let place = Place::new("hook");
        place.shared.granted(&found("elsewhere", clock::now()), None).expect("writable");
        let slot = Slot::of(place.identity);
        let (called, ended) = channel();
        let slot_of_hook = slot.clone();
        let hook = move |_: &LogEvent| called.send(slot_of_hook.condemn("another")).expect("the test waits");
        let wait = Wait::of("timeout", Duration::from_secs(10));
        std::thread::spawn(move || slot.look(&place.shared, &Log::new(Some(Arc::new(hook))), &wait));
        let refusal = ended.recv_timeout(Duration::from_secs(10)).expect("the hook waits for a lock of its caller");
        assert_eq!(refusal, Refusal::NoNews);
    }
}
