//! Functions that return a client secret: they run in JavaScript, and the core's thread waits for their answers.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Either, External};
use napi_derive::napi;
use svctoken::SecretCallback;

use crate::call::Calls;
use crate::error::{ErrorFacts, guarded};

type Answer = Result<String, String>;

/// The questions of one environment that have no answer yet.
#[derive(Default)]
pub(crate) struct Questions(Mutex<State>);

#[derive(Default)]
struct State {
    last: u32,
    open: HashMap<u32, Sender<Answer>>,
    ended: bool,
}

impl Questions {
    /// `None` if nobody is there to answer.
    fn open(&self) -> Option<(u32, Receiver<Answer>)> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let (answer, answered) = channel();
        state.last = state.last.wrapping_add(1);
        let number = state.last;
        state.open.insert(number, answer);
        Some((number, answered))
    }

    fn answer(&self, question: u32, answer: Answer) {
        if let Some(open) = self.lock().open.remove(&question) {
            let _ = open.send(answer);
        }
    }

    /// Who waits for an answer learns that there will be none.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.open.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the function of the client that `index.js` knows by this number.
pub(crate) fn callback(client: u32, calls: &Calls) -> SecretCallback {
    let environment = Arc::downgrade(&calls.0);
    SecretCallback::new(move || {
        let ended = || "its environment has ended".to_owned();
        let environment = environment.upgrade().ok_or_else(ended)?;
        let (question, answered) = environment.questions.open().ok_or_else(ended)?;
        environment.ask(client, question);
        answered.recv().unwrap_or_else(|_| Err(ended()))
    })
}

/// What a client's function gave, or why it gave nothing.
#[napi]
pub(crate) fn answer_secret(
    calls: &External<Calls>,
    question: u32,
    secret: Option<String>,
    why_none: Option<String>,
) -> Either<ErrorFacts, ()> {
    guarded(|| {
        calls.0.questions.answer(question, secret.ok_or_else(|| why_none.unwrap_or_default()));
        Ok(())
    })
}
