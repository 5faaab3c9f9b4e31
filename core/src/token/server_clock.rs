//! A server's clock, as its answers tell it, where ours is of no use to it.

use std::time::SystemTime;

use crate::clock::{self, BootTime};

/// What the server's clock said at a moment. It goes on by the boot clock, which no step of our wall clock moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerClock {
    said: SystemTime,
    at: BootTime,
}

impl ServerClock {
    /// By the Date of an answer that has just come.
    pub(crate) fn of_date(date: SystemTime) -> ServerClock {
        ServerClock { said: date, at: clock::now() }
    }
}

/// The time by the server's clock where it is known, else by ours.
pub(crate) fn now_by(clock: Option<ServerClock>) -> SystemTime {
    match clock {
        Some(ServerClock { said, at }) => said + clock::now().since(at),
        None => clock::wall(),
    }
}
