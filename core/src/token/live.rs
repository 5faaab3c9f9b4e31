//! A token, and what is known about it.

use std::cmp::min;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::Guard;

use crate::clock::{self, BootTime};
use crate::grant::Granted;
use crate::http::HeaderValue;
use crate::secret::Secret;
use crate::token::life::{Life, State};
use crate::token::revoke::Dropped;
use crate::token::shared::InHand;

/// So young it may not be known everywhere.
const TOO_FRESH: Duration = Duration::from_secs(5);

/// An access token, as [`Client::get_token`](crate::Client::get_token) returns it.
///
/// It borrows the token that all callers share, without copying it and without a reference count that they would
/// contend for. `Debug` shows nothing of it.
pub struct Token(pub(super) Guard<Arc<LiveToken>>);

impl Token {
    /// The token's text, as it stands behind `Bearer ` (RFC 6750 section 2.1).
    pub fn as_str(&self) -> &str {
        self.0.text.reveal()
    }

    /// When it ends by this machine's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        clock::wall() + self.expires_in()
    }

    /// How long it still lives; zero if it ended, or was never to be kept.
    pub fn expires_in(&self) -> Duration {
        self.0.life.ends.since(clock::now())
    }

    /// The scope the server granted, if it named one (RFC 6749 section 3.3).
    pub fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref()
    }

    /// Always `Bearer`, however the server spelt it.
    pub fn token_type(&self) -> &'static str {
        "Bearer"
    }

    /// A number that differs for each token of this process, so that a binding can keep its own form of the text.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// `Bearer` and the text, ready to be sent.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.header.clone()
    }

    pub(crate) fn is_condemned(&self) -> bool {
        self.0.life.is_condemned()
    }

    /// Whether it is so new that a replica of the API may not know it yet. A share of a short life, because a token
    /// near its end is refused for being over.
    pub(crate) fn is_too_fresh(&self) -> bool {
        let life = self.0.life;
        clock::now().since(life.begin) < min(TOO_FRESH, life.ends.since(life.begin) / 2)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("text", &self.0.text).field("expires_in", &self.expires_in()).finish()
    }
}

/// A token and the moments of its life. Never changed: a change is a copy put in its place.
pub(super) struct LiveToken {
    pub(super) text: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(super) header: HeaderValue,
    pub(super) scope: Option<String>,
    pub(super) life: Life,
    pub(super) generation: u64,
    /// It replaced a token that was refused, and no API has accepted it yet.
    pub(super) successor: bool,
    /// Given up before its end, and kept so that it is known when it comes back.
    pub(super) dropped: Option<Dropped>,
}

static GENERATIONS: AtomicU64 = AtomicU64::new(1);

impl LiveToken {
    pub(super) fn none() -> LiveToken {
        LiveToken {
            text: Secret::new(String::new()),
            refresh_token: None,
            header: HeaderValue::from_static(""),
            scope: None,
            life: Life::NONE,
            generation: 0,
            successor: false,
            dropped: None,
        }
    }

    pub(super) fn new(granted: Granted, life: Life) -> LiveToken {
        let header = Secret::new(format!("Bearer {}", granted.access_token.reveal()));
        let mut header = HeaderValue::from_str(header.reveal()).expect("a b64token is a valid header value");
        header.set_sensitive(true);
        LiveToken {
            text: granted.access_token,
            refresh_token: granted.refresh_token,
            header,
            scope: granted.scope,
            life,
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
            successor: false,
            dropped: None,
        }
    }

    pub(super) fn in_hand(&self, now: BootTime) -> InHand {
        let state = self.life.state(now);
        InHand {
            begin: self.life.begin,
            text: self.text.clone(),
            alive: state != State::Ended,
            in_no_hurry: state == State::Stale,
        }
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.text.reveal() == text
    }

    pub(super) fn with_life(&self, life: Life) -> LiveToken {
        LiveToken {
            text: self.text.clone(),
            refresh_token: self.refresh_token.clone(),
            header: self.header.clone(),
            scope: self.scope.clone(),
            life,
            generation: self.generation,
            successor: self.successor,
            dropped: self.dropped,
        }
    }
}
