//! Something that goes on on a thread of its own, once for all who wait for its end.

use std::sync::{Arc, OnceLock};

use crate::error::{Result, Stage};
use crate::wait::{Event, Wait};

pub(super) struct Errand {
    done: Option<Event>,
    outcome: OnceLock<Result<()>>,
}

impl Errand {
    pub(super) fn new() -> Arc<Errand> {
        Arc::new(Errand { done: Event::new(), outcome: OnceLock::new() })
    }

    pub(super) fn end(&self, outcome: Result<()>) {
        let _ = self.outcome.set(outcome);
        if let Some(done) = &self.done {
            done.set();
        }
    }

    /// Waits for the outcome. Who leaves earlier, by its own deadline or cancel, harms nobody.
    pub(super) fn wait(&self, wait: &Wait, doing: &str) -> Result<()> {
        let outcome = wait.until_set(self.done.as_ref(), &self.outcome);
        outcome.map_err(|stop| stop.into_error(Stage::Waiting, doing))?.clone()
    }
}
