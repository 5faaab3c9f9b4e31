//! Which servers are asked whether they want a body (RFC 9110 section 10.1.1): all but those that have just shown that
//! they do not know the question.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, BootTime};
use crate::config::url::Origin;

/// Each question to a server that says nothing costs a second; but another may stand there by and by.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// The servers that said nothing to the question, or 417, and until when that is remembered.
#[derive(Default)]
pub(super) struct Expectations(Mutex<HashMap<Origin, BootTime>>);

impl Expectations {
    pub(super) fn are_known_to(&self, origin: &Origin) -> bool {
        self.unknown().get(origin).is_none_or(|until| clock::now() >= *until)
    }

    pub(super) fn failed(&self, origin: &Origin) {
        self.unknown().insert(origin.clone(), clock::now() + REMEMBERED_FOR);
    }

    fn unknown(&self) -> MutexGuard<'_, HashMap<Origin, BootTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
