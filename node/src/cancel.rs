//! Ending calls early: one by its AbortSignal, all of an environment when that ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use svctoken::CancelToken;

type End = Box<dyn FnOnce() + Send>;

/// How the calls in progress of one environment are ended.
#[derive(Default)]
pub(crate) struct Cancels {
    /// For calls without a signal, which need no descriptor of their own.
    all: CancelToken,
    /// For calls that can be ended alone, by their number.
    each: Mutex<HashMap<u32, End>>,
}

impl Cancels {
    /// The cancel token of a call: its own if it is `cancellable`, else that of all.
    pub(crate) fn token(&self, call: u32, cancellable: bool) -> CancelToken {
        if !cancellable {
            return self.all.clone();
        }
        let cancel = CancelToken::new();
        let shared = cancel.clone();
        self.on_cancel(call, Box::new(move || shared.cancel()));
        cancel
    }

    /// Ends a call by `end`.
    pub(crate) fn on_cancel(&self, call: u32, end: End) {
        self.each().insert(call, end);
    }

    /// Ends one call, if it has not ended.
    pub(crate) fn cancel(&self, call: u32) {
        let end = self.each().remove(&call);
        if let Some(end) = end {
            end();
        }
    }

    /// Ends every call.
    pub(crate) fn cancel_all(&self) {
        self.all.cancel();
        let each = std::mem::take(&mut *self.each());
        each.into_values().for_each(|end| end());
    }

    /// Forgets a call that has ended.
    pub(crate) fn forget(&self, call: u32) {
        self.each().remove(&call);
    }

    fn each(&self) -> MutexGuard<'_, HashMap<u32, End>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
