//! What a program has called round each of its requests.

use std::sync::Arc;

use crate::response::Response;

/// Called once for each call of [`request`](crate::Client::request), however often it is sent, before anything else is
/// done: with the method and the URL as the caller gave them. The headers it returns are sent unless the call itself gives
/// one of that name, and what a caller may not set, it may not either. Runs on the caller's thread, and its time is not
/// counted in the call's.
pub type BeforeSend = Arc<dyn Fn(&str, &str) -> Vec<(String, String)> + Send + Sync>;

/// Called once with the answer of each call of [`request`](crate::Client::request) that has one, of any status, before the
/// caller gets it; of a stream it is the head, with what was read ahead. Runs on the caller's thread.
pub type AfterReceive = Arc<dyn Fn(&Response) + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) before_send: Option<BeforeSend>,
    pub(crate) after_receive: Option<AfterReceive>,
}

impl Hooks {
    pub(super) fn received(&self, response: &Response) {
        if let Some(after_receive) = &self.after_receive {
            after_receive(response);
        }
    }
}
