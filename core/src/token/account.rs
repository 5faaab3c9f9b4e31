//! What the clients of one account share whatever they ask for, because the server counts and judges it together: its
//! token requests, the limit of its tokens, and what it says of a credential.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, BootTime};
use crate::config::identity;
use crate::config::settings::GrantSettings;
use crate::error::{Error, ErrorCode, Stage};
use crate::fork::{Owned, PerProcess};
use crate::grant::{Failure, FailureClass};
use crate::registry::Registry;
use crate::token::governor::{Ledger, NotYet, Remembered};
use crate::token::server_clock::ServerClock;

/// A token may live on the server a little longer than it does here.
const END_MARGIN: Duration = Duration::from_secs(1);

/// A client id at a token endpoint, or at an issuer.
pub(crate) struct Account {
    books: PerProcess<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    ledger: Ledger,
    /// The token limit, or the time the server asked for.
    cool_down: Option<Remembered>,
    /// Of a server that refused assertions stamped by ours.
    server_clock: Option<ServerClock>,
    /// By the fingerprint of the proof: another is tried at once.
    refused: HashMap<[u8; 32], Remembered>,
}

static ACCOUNTS: Registry<(String, String), Account> = Registry::new();

impl Account {
    pub(crate) fn of(settings: &GrantSettings) -> Arc<Account> {
        let key = (settings.server.name(), settings.credential.client_id.clone());
        ACCOUNTS.get(
            key,
            || Account { books: PerProcess::new() },
            |account| lock(&account.books()).are_in_use(clock::now()),
        )
    }

    /// What is remembered of the account and the credential. `alive`: the caller has a token.
    pub(crate) fn remembered(&self, settings: &GrantSettings, alive: bool) -> Option<NotYet> {
        let now = clock::now();
        let books = self.books();
        let books = lock(&books);
        let remembered = [books.cool_down.as_ref(), books.refused.get(&fingerprint(settings))];
        remembered.into_iter().flatten().find_map(|failure| failure.at(now, alive))
    }

    /// The server's refusal of this secret, while it is remembered.
    pub(crate) fn refusal(&self, settings: &GrantSettings) -> Option<Remembered> {
        let now = clock::now();
        lock(&self.books())
            .refused
            .get(&fingerprint(settings))
            .filter(|refused| refused.at(now, true).is_some())
            .cloned()
    }

    /// Enters a token request that is about to leave, or tells why it must wait. `alive`: the caller has a token.
    pub(crate) fn enter(&self, settings: &GrantSettings, alive: bool) -> Result<(), NotYet> {
        if let Some(not_yet) = self.remembered(settings, alive) {
            return Err(not_yet);
        }
        let Some(budget) = settings.mint_budget else { return Ok(()) };
        lock(&self.books())
            .ledger
            .enter(budget, clock::now())
            .map_err(|delay| NotYet { error: budget_used_up(budget, delay), worth_waiting: Some(delay) })
    }

    /// Takes back the request entered last: it could not be started.
    pub(crate) fn withdraw(&self, settings: &GrantSettings) {
        if settings.mint_budget.is_some() {
            lock(&self.books()).ledger.withdraw();
        }
    }

    /// The clock that the server's last assertion had to be stamped by; `None`: ours.
    pub(crate) fn server_clock(&self) -> Option<ServerClock> {
        lock(&self.books()).server_clock
    }

    /// The server took an assertion stamped by this clock, after it had refused one.
    pub(crate) fn keep_server_clock(&self, clock: ServerClock) {
        lock(&self.books()).server_clock = Some(clock);
    }

    /// A token was granted, which ends then.
    pub(crate) fn granted(&self, settings: &GrantSettings, ends: BootTime) {
        let books = self.books();
        let mut books = lock(&books);
        let now = clock::now();
        books.ledger.token_granted(ends, now);
        // What still runs came after this request had left, and is the newer word.
        books.cool_down = books.cool_down.take().filter(|failure| failure.at(now, false).is_some());
        let key = fingerprint(settings);
        if books.refused.get(&key).is_some_and(|failure| failure.at(now, false).is_none()) {
            books.refused.remove(&key);
        }
    }

    /// Remembers a failure that concerns the whole account or credential; `None` if it is this identity's alone.
    pub(crate) fn failed(
        &self,
        settings: &GrantSettings,
        failure: &Failure,
        now: BootTime,
        fraction: f64,
    ) -> Option<Remembered> {
        let books = self.books();
        let mut books = lock(&books);
        let first_end = books.first_end(now);
        let after = |before: Option<&Remembered>| Remembered::after(failure, before, first_end, now, fraction);
        match failure.class {
            FailureClass::Refused => {
                let key = fingerprint(settings);
                let remembered = after(books.refused.get(&key));
                books.refused.retain(|_, refused| refused.at(now, true).is_some());
                books.refused.insert(key, remembered.clone());
                Some(remembered)
            }
            FailureClass::Transient if failure.error.retry_after().is_none() => None,
            FailureClass::Limit | FailureClass::Transient => {
                let before = books.cool_down.take();
                let remembered = after(before.as_ref()).or_longer(before);
                Some(books.cool_down.insert(remembered).clone())
            }
            FailureClass::Wrong => None,
        }
    }

    /// How long until the first of the account's living tokens ends that are known here, on the server too.
    pub(crate) fn first_end(&self, now: BootTime) -> Option<Duration> {
        lock(&self.books()).first_end(now)
    }

    /// Forgets what was concluded of the account and the credential; what the server asked for and counts stays.
    pub(crate) fn forget_failures(&self, settings: &GrantSettings) {
        let books = self.books();
        let mut books = lock(&books);
        books.cool_down = books.cool_down.take().filter(Remembered::is_the_servers_wish);
        books.refused.remove(&fingerprint(settings));
    }

    fn books(&self) -> Arc<Owned<Mutex<Books>>> {
        self.books.get(Mutex::default)
    }
}

impl Books {
    fn first_end(&self, now: BootTime) -> Option<Duration> {
        self.ledger.first_end(now).map(|end| end + END_MARGIN)
    }

    fn are_in_use(&self, now: BootTime) -> bool {
        let remembered = self.cool_down.iter().chain(self.refused.values());
        self.ledger.is_in_use(now) || remembered.into_iter().any(|failure| failure.at(now, true).is_some())
    }
}

pub(crate) fn budget_used_up(budget: u32, delay: Duration) -> Error {
    let what = format!("the budget of {budget} token requests a minute for this client_id is used up");
    Error::new(ErrorCode::RateLimited, Stage::Waiting, what).with_retry_after(Some(delay)).with_next_step(
        "Wait as long as retry_after says; share one client, or clients with the same options, instead of many.",
    )
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which credential; held in memory only.
fn fingerprint(settings: &GrantSettings) -> [u8; 32] {
    identity::fingerprint(&settings.credential)
}
