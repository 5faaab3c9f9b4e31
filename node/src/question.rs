//! What JavaScript alone can answer, and a thread of the core's waits for: a client's secret, the next bytes of a body,
//! whether a download goes on.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Either, External, Uint8Array};
use napi_derive::napi;
use svctoken::{BodyQuestion, SecretCallback};

use crate::call::{Calls, Shared};
use crate::error::{ErrorFacts, guarded};

type Answer = Result<String, String>;

/// The questions of one environment that have no answer yet.
#[derive(Default)]
pub(crate) struct Questions(Mutex<State>);

#[derive(Default)]
struct State {
    last: u32,
    open: HashMap<u32, Open>,
    ended: bool,
}

enum Open {
    Secret(Sender<Answer>),
    Body(BodyQuestion),
    Progress(Sender<ControlFlow<()>>),
}

impl Questions {
    /// `None` if nobody is there to answer.
    fn open(&self, open: Open) -> Option<u32> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        state.last = state.last.wrapping_add(1);
        let number = state.last;
        state.open.insert(number, open);
        Some(number)
    }

    fn take(&self, question: u32) -> Option<Open> {
        self.lock().open.remove(&question)
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
pub(crate) fn secret_callback(client: u32, calls: &Calls) -> SecretCallback {
    let environment = Arc::downgrade(&calls.0);
    SecretCallback::new(move || {
        let ended = || "its environment has ended".to_owned();
        let environment = environment.upgrade().ok_or_else(ended)?;
        let (answer, answered) = channel();
        let question = environment.questions.open(Open::Secret(answer)).ok_or_else(ended)?;
        environment.ask_secret(client, question);
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
        if let Some(Open::Secret(open)) = calls.0.questions.take(question) {
            let _ = open.send(secret.ok_or_else(|| why_none.unwrap_or_default()));
        }
        Ok(())
    })
}

/// What asks the call of that number for the next bytes of its body.
pub(crate) fn body_of(call: u32, environment: &Arc<Shared>) -> impl FnMut(BodyQuestion) + Send + 'static {
    let environment = Arc::downgrade(environment);
    // A question that nobody is there for is answered by its end.
    move |asked| {
        let Some(environment) = environment.upgrade() else { return };
        let begins = asked.begins();
        if let Some(question) = environment.questions.open(Open::Body(asked)) {
            environment.ask_body(call, question, begins);
        }
    }
}

/// The next bytes of a body, none at its end, or why it gave none; they are copied before this returns.
#[napi]
pub(crate) fn answer_body(
    calls: &External<Calls>,
    question: u32,
    bytes: Option<Uint8Array>,
    why_none: Option<String>,
) -> Either<ErrorFacts, ()> {
    guarded(|| {
        if let Some(Open::Body(open)) = calls.0.questions.take(question) {
            open.answer(bytes.map(|bytes| bytes.to_vec()).ok_or_else(|| why_none.unwrap_or_default()));
        }
        Ok(())
    })
}

/// What tells the function of the call of that number how far its download has come, and waits until it has heard.
pub(crate) fn progress_of(
    call: u32,
    environment: &Arc<Shared>,
) -> impl FnMut(u64, Option<u64>) -> ControlFlow<()> + Send + 'static {
    let environment = Arc::downgrade(environment);
    move |received, total| {
        let Some(environment) = environment.upgrade() else { return ControlFlow::Break(()) };
        let (answer, answered) = channel();
        if let Some(question) = environment.questions.open(Open::Progress(answer)) {
            environment.progressed(call, question, received, total);
        }
        // Where the environment has ended, nobody has the other end any more.
        answered.recv().unwrap_or(ControlFlow::Break(()))
    }
}

/// Whether the download goes on.
#[napi]
pub(crate) fn answer_progress(calls: &External<Calls>, question: u32, goes_on: bool) -> Either<ErrorFacts, ()> {
    guarded(|| {
        if let Some(Open::Progress(open)) = calls.0.questions.take(question) {
            let _ = open.send(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        }
        Ok(())
    })
}
