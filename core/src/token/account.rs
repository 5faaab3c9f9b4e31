//! What the clients of one account share whatever they ask for: the server counts its token requests together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, BootTime};
use crate::config::settings::GrantSettings;
use crate::error::{Error, ErrorCode, Stage};
use crate::fork::{Owned, PerProcess};
use crate::registry::Registry;
use crate::token::governor::{Ledger, NotYet};

/// A client id at a token endpoint.
pub(crate) struct Account {
    ledger: PerProcess<Mutex<Ledger>>,
}

static ACCOUNTS: Registry<(String, String), Account> = Registry::new();

impl Account {
    pub(crate) fn of(settings: &GrantSettings) -> Arc<Account> {
        let key = (settings.token_url.to_string(), settings.credential.client_id.clone());
        let make = || Account { ledger: PerProcess::new() };
        ACCOUNTS.get(key, make, |account| lock(&account.ledger()).is_in_use(clock::now()))
    }

    /// Enters a token request that is about to leave, or tells why it must wait.
    pub(crate) fn enter(&self, settings: &GrantSettings) -> Result<(), NotYet> {
        let Some(budget) = settings.mint_budget else { return Ok(()) };
        lock(&self.ledger()).enter(budget, clock::now()).map_err(|delay| {
            let what = format!("the budget of {budget} token requests a minute for this client_id is used up");
            let error = Error::new(ErrorCode::RateLimited, Stage::Waiting, what).with_retry_after(Some(delay)).with_next_step(
                "Wait as long as retry_after says; share one client, or clients with the same options, instead of many.",
            );
            NotYet { error, worth_waiting: Some(delay) }
        })
    }

    /// Notes when a token of this account ends.
    pub(crate) fn token_granted(&self, ends: BootTime) {
        lock(&self.ledger()).token_granted(ends, clock::now());
    }

    /// How long until the first of its tokens known here ends.
    pub(crate) fn first_end(&self) -> Option<Duration> {
        lock(&self.ledger()).first_end(clock::now())
    }

    fn ledger(&self) -> Arc<Owned<Mutex<Ledger>>> {
        self.ledger.get(Mutex::default)
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
