//! One token for the machine: processes read one record, and take turns to mint it.
//!
//! The protocol: memory, record, lock, record again, failure and ledger, intent, mint, write, unlock. The lock is held
//! across one attempt, never across a pause. Nobody who waits depends on the holder's goodwill: a holder that died has
//! lost the lock, and one that sleeps is passed by on a second lock.

use std::cmp::min;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::clock::{self, BootTime};
use crate::config::identity::Identity;
use crate::config::settings::GrantSettings;
use crate::crypto::{hex, random_fraction, sha256};
use crate::grant::Failure;
use crate::store::file::{FileStore, Lock, Tried, Which};
use crate::store::seal::Sealer;
use crate::token::LOOK_AGAIN;
use crate::token::account::budget_used_up;
use crate::token::governor::{Hold, Ledger, NotYet, Remembered};
use crate::token::record::{Found, Record};
use crate::wait::Wait;

const FIRST_POLL: Duration = Duration::from_millis(5);
const LONGEST_POLL: Duration = Duration::from_millis(50);
/// What a holder of the lock is given beyond the time it said.
const GRACE: Duration = Duration::from_secs(1);

/// An identity's part in a store.
pub(crate) struct Shared {
    store: FileStore,
    sealer: Sealer,
    /// Of the account: other identities of it enter their token requests there too.
    ledger: String,
}

/// What the caller of a flight has already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InHand {
    /// When its token was minted; zero without one. An older record is never adopted.
    pub(crate) begin: BootTime,
    pub(crate) alive: bool,
    /// It can wait for another process's token as well as fetch one.
    pub(crate) in_no_hurry: bool,
}

/// Whose turn it is to mint.
pub(crate) enum Turn {
    /// Ours, under the lock if there are locks.
    Ours(Option<Lock>),
    /// Another process has minted.
    Found(Found),
    /// Another process is minting, and the caller is in no hurry.
    Elsewhere,
    /// Another process has failed, or the budget of the machine is used up.
    NotYet(Remembered),
}

impl Shared {
    /// Opens the store in `folder`; the error says why it cannot be used.
    pub(crate) fn open(folder: &Path, settings: &GrantSettings, identity: Identity) -> Result<Shared, String> {
        let store = FileStore::open(folder)?;
        let sealer = Sealer::new(settings.credential.client_secret.reveal().as_bytes(), identity.as_bytes());
        let account = format!("{}\n{}", settings.token_url, settings.credential.client_id);
        let ledger = format!("{}.ledger", hex(&sha256(account.as_bytes())[..16]));
        Ok(Shared { store, sealer, ledger })
    }

    /// The record; an empty one if there is none that we can read.
    pub(crate) fn read(&self) -> Record {
        let sealed = self.store.read(self.sealer.name().as_str());
        sealed.and_then(|sealed| self.open_record(&sealed)).unwrap_or_default()
    }

    /// A token of the record that is alive and later than the one in hand.
    pub(crate) fn find(&self, record: &Record, in_hand: BootTime) -> Option<Found> {
        record.token.clone().filter(|token| token.begin > in_hand && token.is_alive(clock::now()))
    }

    /// Waits for our turn to mint, or for what makes that needless.
    pub(crate) fn take_turn(&self, settings: &GrantSettings, in_hand: InHand, trying: &Wait) -> Turn {
        let mut poll = FIRST_POLL;
        let mut holders = Holders::default();
        loop {
            match self.try_lock(settings, &mut holders) {
                Ok(Tried::Locked(lock)) => match self.under_lock(settings, in_hand) {
                    None => return Turn::Ours(Some(lock)),
                    Some(Turn::NotYet(failure)) => {
                        drop(lock);
                        match failure.at(clock::now(), in_hand.alive) {
                            Some(NotYet { worth_waiting: Some(time), .. })
                                if !in_hand.alive && time < LOOK_AGAIN && time < trying.remaining() =>
                            {
                                if trying.sleep(time).is_err() {
                                    return Turn::NotYet(failure);
                                }
                            }
                            _ => return Turn::NotYet(failure),
                        }
                        continue;
                    }
                    Some(turn) => return turn,
                },
                Ok(Tried::Busy(_)) if in_hand.in_no_hurry => return Turn::Elsewhere,
                Ok(Tried::Busy(_)) => {}
                // Without locks the record is shared all the same.
                Ok(Tried::Unsupported) | Err(_) => {
                    return self.under_lock(settings, in_hand).unwrap_or(Turn::Ours(None));
                }
            }
            if let Some(found) = self.find(&self.read(), in_hand.begin) {
                return Turn::Found(found);
            }
            if trying.sleep(poll.mul_f64(0.5 + 0.5 * random_fraction())).is_err() {
                let error = lock_held_too_long(settings);
                return Turn::NotYet(Remembered::pause(error, Duration::ZERO, clock::now()));
            }
            poll = min(poll * 2, LONGEST_POLL);
        }
    }

    /// Tries to become the one who mints: with one lock, while nobody who has time left holds the other.
    fn try_lock(&self, settings: &GrantSettings, holders: &mut Holders) -> io::Result<Tried> {
        let try_lock = |which| self.store.try_lock(self.sealer.name().as_str(), which);
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
        // Without it those who wait give this attempt its whole time from when they saw it first.
        let _ = lock.say_until(clock::now() + settings.token_timeout);
        Ok(Tried::Locked(lock))
    }

    /// What the record and the ledger say to a holder of the lock; `None`: mint.
    fn under_lock(&self, settings: &GrantSettings, in_hand: InHand) -> Option<Turn> {
        let record = self.read();
        if let Some(found) = self.find(&record, in_hand.begin) {
            return Some(Turn::Found(found));
        }
        let now = clock::now();
        if let Some(failure) = record.failure.filter(|failure| failure.at(now, in_hand.alive).is_some()) {
            return Some(Turn::NotYet(failure));
        }
        let budget = settings.mint_budget?;
        let delay = self.enter_ledger(budget, now).err()?;
        Some(Turn::NotYet(Remembered::pause(budget_used_up(budget, delay), delay, now)))
    }

    /// Enters a token request that is about to leave; a ledger that cannot be had delays nobody.
    fn enter_ledger(&self, budget: u32, now: BootTime) -> Result<(), Duration> {
        let entered = self.store.change(&self.ledger, |text| {
            let entries = text.lines().filter_map(|line| line.parse().ok()).map(BootTime::from_nanoseconds);
            let mut ledger = Ledger::of_entries(entries, budget, now);
            let entered = ledger.enter(budget, now);
            let lines = ledger.entries().map(|entry| format!("{}\n", entry.as_nanoseconds())).collect();
            (lines, entered)
        });
        entered.unwrap_or(Ok(()))
    }

    /// Puts a token into the record, unless a later one is there; the failure before it is forgotten. The error says
    /// why the others will not find it.
    pub(crate) fn granted(&self, token: Found) -> Result<(), String> {
        let Record { token: present, hold, .. } = self.read();
        // A server that hands out the same token again is believed its first end.
        let same = |present: &Found| present.text.reveal() == token.text.reveal() && present.is_alive(clock::now());
        let token = present.filter(same).unwrap_or(token);
        let written = self.write(&Record { token: Some(token), hold, failure: None });
        self.store.sweep();
        written.map_err(|error| format!("the token's record cannot be written: {error}"))
    }

    /// Tells the others of a failed attempt, and until when to leave the server alone; the token stays. `pause`: it is
    /// tried again then.
    pub(crate) fn attempt_failed(&self, failure: &Failure, pause: Option<Duration>, fraction: f64) {
        let record = self.read();
        let now = clock::now();
        let remembered = match pause {
            Some(pause) => Remembered::pause(failure.error.clone(), pause, now),
            None => Remembered::after(failure, record.failure.as_ref(), None, now, fraction),
        };
        // A full or read-only disk costs the others a mint, and us nothing.
        let _ = self.write(&Record { failure: Some(remembered), ..record });
    }

    /// Tells the others of a hold, or of its end.
    pub(crate) fn held(&self, hold: Option<Hold>) {
        let _ = self.write(&Record { hold, ..self.read() });
    }

    /// Drops this token from the record, if it is the one there. The error says why others may still find it.
    pub(crate) fn drop_token(&self, text: &str) -> Result<(), String> {
        let holds_it = |record: &Record| record.token.as_ref().is_some_and(|token| token.text.reveal() == text);
        let record = self.read();
        if !holds_it(&record) {
            return Ok(());
        }
        self.overwrite(&Record { token: None, ..record }, |present| !holds_it(present))
    }

    /// Drops all that the record holds but what the server asked for. The error says why others may still find it.
    pub(crate) fn clear(&self) -> Result<(), String> {
        let Record { token, hold, failure } = self.read();
        if token.is_none() && hold.is_none() && failure.is_none() {
            return Ok(());
        }
        let failure = failure.filter(Remembered::is_the_servers_wish);
        self.overwrite(&Record { failure, ..Record::default() }, |_| false)
    }

    /// Writes a record in place of the present one, unless that is one to `keep`.
    fn overwrite(&self, record: &Record, keep: impl Fn(&Record) -> bool) -> Result<(), String> {
        let failed = |error: io::Error| format!("the token's record cannot be written: {error}");
        let sealed = self.sealer.seal(&record.to_bytes()).ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        let keep = |present: &[u8]| self.open_record(present).is_some_and(|present| keep(&present));
        self.store.replace(self.sealer.name().as_str(), &sealed, keep).map(drop).map_err(failed)
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let sealed = self.sealer.seal(&record.to_bytes()).ok_or(io::ErrorKind::Unsupported)?;
        let begin = record.token.as_ref().map(|token| token.begin);
        // Just before: the later mint wins, whoever was stopped in between.
        let later = |present: &[u8]| {
            let present = self.open_record(present).and_then(|present| present.token).map(|token| token.begin);
            present > begin && present <= Some(clock::now())
        };
        self.store.replace(self.sealer.name().as_str(), &sealed, later).map(drop)
    }

    fn open_record(&self, sealed: &[u8]) -> Option<Record> {
        Record::from_bytes(&self.sealer.open(sealed)?)
    }
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
            Some(known) if known.0 == until => known,
            _ => *self.0.insert((until, Instant::now())),
        };
        let over = match until {
            Some(until) => clock::now() > until + GRACE,
            None => since.elapsed() > settings.token_timeout + GRACE,
        };
        over && since.elapsed() > GRACE
    }
}

fn lock_held_too_long(settings: &GrantSettings) -> crate::Error {
    let what = format!("another process holds the lock of the token of {} for too long", settings.token_url.origin);
    crate::Error::new(crate::ErrorCode::Timeout, crate::Stage::Waiting, what)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::ClientBuilder;
    use crate::config::environment::Environment;
    use crate::config::preset::Preset;
    use crate::config::settings::TokenSource;
    use crate::crypto::random_bytes;
    use crate::log::{Log, LogEvent};
    use crate::secret::Secret;
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
            Place { shared: Shared::open(&folder, grant, identity).expect("usable"), folder, identity }
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
        place.shared.granted(found("first", begin)).expect("writable");
        place.shared.granted(found("first", later)).expect("writable");
        assert_eq!(place.shared.read().token.map(|token| token.begin), Some(begin));
        place.shared.granted(found("second", later)).expect("writable");
        assert_eq!(place.shared.read().token.map(|token| token.begin), Some(later));
    }

    #[test]
    fn a_log_hook_may_call_the_client_whose_token_was_found() {
        let place = Place::new("hook");
        place.shared.granted(found("elsewhere", clock::now())).expect("writable");
        let slot = Slot::of(place.identity);
        let (called, ended) = channel();
        let slot_of_hook = slot.clone();
        let hook = move |_: &LogEvent| called.send(slot_of_hook.condemn("another")).expect("the test waits");
        std::thread::spawn(move || slot.look(&place.shared, &Log::new(Some(Arc::new(hook)))));
        let refusal = ended.recv_timeout(Duration::from_secs(10)).expect("the hook waits for a lock of its caller");
        assert_eq!(refusal, Refusal::NoNews);
    }
}
