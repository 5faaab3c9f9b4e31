//! Log events on their way to the listeners of a client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use napi::bindgen_prelude::{Either, External};
use napi_derive::napi;
use svctoken::{LogEvent, LogHook};

use crate::call::{Calls, Shared};
use crate::client::NativeClient;
use crate::error::{ErrorFacts, guarded};

/// A client's events, which happen on any thread and go through its environment's thread-safe function.
pub(crate) struct Listening {
    /// By which `index.js` knows the client.
    number: u32,
    /// Taken for true while the client is made: who gets listeners right after that hears those events, which come later.
    has_listeners: AtomicBool,
    environment: Weak<Shared>,
}

impl Listening {
    pub(crate) fn set(&self, has_listeners: bool) {
        self.has_listeners.store(has_listeners, Ordering::Relaxed);
    }

    pub(crate) fn new(number: u32, calls: &Calls) -> Arc<Listening> {
        Arc::new(Listening { number, has_listeners: AtomicBool::new(true), environment: Arc::downgrade(&calls.0) })
    }

    pub(crate) fn hook(self: &Arc<Listening>) -> LogHook {
        let listening = self.clone();
        Arc::new(move |event| {
            if listening.has_listeners.load(Ordering::Relaxed)
                && let Some(environment) = listening.environment.upgrade()
            {
                environment.log(listening.number, event);
            }
        })
    }
}

/// A log event.
#[napi(object, object_from_js = false)]
pub(crate) struct EventFacts {
    pub severity: String,
    pub name: String,
    pub message: String,
    /// Names and values in turn.
    pub fields: Vec<String>,
}

impl From<&LogEvent> for EventFacts {
    fn from(event: &LogEvent) -> EventFacts {
        EventFacts {
            severity: event.severity().name().into(),
            name: event.name().into(),
            message: event.message().into(),
            fields: event.fields().iter().flat_map(|(name, value)| [(*name).into(), value.clone()]).collect(),
        }
    }
}

/// Says whether the client's events are listened to; without listeners they are not handed over.
#[napi]
pub(crate) fn listen(client: &External<NativeClient>, has_listeners: bool) -> Either<ErrorFacts, ()> {
    guarded(|| {
        client.listening.set(has_listeners);
        Ok(())
    })
}
