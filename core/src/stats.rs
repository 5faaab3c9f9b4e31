//! Counters: what a client and the tokens it shares have cost so far.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($(#[$doc:meta])* $struct:ident { $($(#[$field_doc:meta])+ $field:ident by $method:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $struct { $($field: AtomicU64,)+ }

        impl $struct {
            $($(#[$field_doc])+ pub(crate) fn $method(&self) { self.$field.fetch_add(1, Ordering::Relaxed); })+
        }
    };
}

counters! {
    /// Of one identity in this process.
    TokenCounters {
        /// A token request was sent.
        token_requests by token_request,
        /// A token came.
        tokens_received by token_received,
        /// A flight ended without a token.
        failed_refreshes by failed_refresh,
        /// A token was refused by an API and condemned.
        condemned_tokens by condemned_token,
    }
}

counters! {
    /// Of one client.
    RequestCounters {
        /// A call of `request` began.
        requests by request,
        /// A request was sent again with another token, or with the same one after a pause.
        resends by resend,
        /// A request was tried again after the server or the network failed.
        retries by retry,
        /// A redirect was followed.
        redirects by redirect,
    }
}

/// The counters of an identity at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenCounts([u64; 4]);

impl TokenCounts {
    pub(crate) fn of(counters: &TokenCounters) -> TokenCounts {
        let TokenCounters { token_requests, tokens_received, failed_refreshes, condemned_tokens } = counters;
        let counters = [token_requests, tokens_received, failed_refreshes, condemned_tokens];
        TokenCounts(counters.map(|counter| counter.load(Ordering::Relaxed)))
    }

    pub(crate) fn plus(self, other: TokenCounts) -> TokenCounts {
        TokenCounts(std::array::from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }

    pub(crate) fn minus(self, other: TokenCounts) -> TokenCounts {
        TokenCounts(std::array::from_fn(|i| self.0[i].wrapping_sub(other.0[i])))
    }
}

/// What a client has done so far. Token counters are of the identity, shared by all its clients in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Token requests sent, retries included.
    pub token_requests: u64,
    /// Tokens received.
    pub tokens_received: u64,
    /// Refreshes that failed after all their attempts.
    pub failed_refreshes: u64,
    /// Tokens condemned because an API refused them.
    pub condemned_tokens: u64,
    /// Calls of `request`.
    pub requests: u64,
    /// Requests sent again after a 401, or without `Expect` after a 417.
    pub resends: u64,
    /// Requests tried again after the server or the network failed.
    pub retries: u64,
    /// Redirects followed.
    pub redirects: u64,
}

impl Stats {
    pub(crate) fn of(tokens: TokenCounts, requests: &RequestCounters) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let TokenCounts([token_requests, tokens_received, failed_refreshes, condemned_tokens]) = tokens;
        Stats {
            token_requests,
            tokens_received,
            failed_refreshes,
            condemned_tokens,
            requests: read(&requests.requests),
            resends: read(&requests.resends),
            retries: read(&requests.retries),
            redirects: read(&requests.redirects),
        }
    }

    /// Names and values, for bindings.
    pub fn entries(&self) -> [(&'static str, u64); 8] {
        let Stats {
            token_requests,
            tokens_received,
            failed_refreshes,
            condemned_tokens,
            requests,
            resends,
            retries,
            redirects,
        } = *self;
        [
            ("token_requests", token_requests),
            ("tokens_received", tokens_received),
            ("failed_refreshes", failed_refreshes),
            ("condemned_tokens", condemned_tokens),
            ("requests", requests),
            ("resends", resends),
            ("retries", retries),
            ("redirects", redirects),
        ]
    }
}
