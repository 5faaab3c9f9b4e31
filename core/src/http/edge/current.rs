//! The call this thread is in: what it hands to our sockets beside ureq, and hears from them.

use std::cell::RefCell;
use std::time::Duration;

use crate::http::Progress;
use crate::http::edge::IDLE_FOR;
use crate::wait::Wait;

thread_local! {
    /// The call this thread is in.
    static CURRENT: RefCell<Option<Exchange>> = const { RefCell::new(None) };
}

/// What a call hands to our sockets beside ureq, and hears from them.
pub(super) struct Exchange {
    pub(super) wait: Wait,
    /// How long one read may wait for a byte, where that is no matter of the whole call's time.
    pub(super) idle: Option<Duration>,
    /// A read takes what is here already, and else would block.
    pub(super) at_once: bool,
    /// How long a connection may have been idle that this request goes over.
    pub(super) longest_idle: Duration,
    /// The origin that a proxy is to be told in the request's first line, which is yet to be written.
    pub(super) forwarded_to: Option<String>,
    /// The request's body is so large that its server may answer, and read no more, before it has left.
    pub(super) large_body: bool,
    /// The server was asked whether it wants the body, and said nothing.
    pub(super) expectation_ignored: bool,
    /// The server has answered, or taken no more, before the body was whole: what is left of that goes nowhere.
    pub(super) body_unwanted: bool,
    pub(super) progress: Progress,
}

impl Exchange {
    pub(super) fn new(wait: &Wait, longest_idle: Duration) -> Exchange {
        Exchange {
            wait: wait.clone(),
            idle: None,
            at_once: false,
            longest_idle,
            forwarded_to: None,
            large_body: false,
            expectation_ignored: false,
            body_unwanted: false,
            progress: Progress::default(),
        }
    }
}

/// Puts an exchange in place for as long as it lives. The one before comes back afterwards: a host's signal handler may
/// run inside a wait and make a call of its own.
pub(super) struct InCall {
    before: Option<Exchange>,
}

impl InCall {
    pub(super) fn with(wait: &Wait, longest_idle: Duration) -> InCall {
        InCall::of(Exchange::new(wait, longest_idle))
    }

    pub(super) fn reading(wait: &Wait, idle: Duration) -> InCall {
        InCall::of(Exchange { idle: Some(idle), ..Exchange::new(wait, IDLE_FOR) })
    }

    pub(super) fn of(exchange: Exchange) -> InCall {
        InCall { before: CURRENT.replace(Some(exchange)) }
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

pub(super) fn in_current<T>(look: impl FnOnce(&mut Exchange) -> T) -> T {
    CURRENT.with_borrow_mut(|current| look(current.as_mut().expect("ureq works only inside HttpClient::send")))
}

pub(super) fn current_wait() -> Wait {
    in_current(|Exchange { wait, idle, .. }| match idle {
        Some(idle) => wait.limited("idle_timeout", *idle),
        None => wait.clone(),
    })
}
