//! Waiting: one deadline, one way to be cancelled, one place that polls.

use std::cmp::min;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::clock;
use crate::error::{Error, ErrorCode, Stage};

/// How long a wait goes on before it looks round, where no descriptor can wake it: for a host whose signal handler
/// may have run just before the poll began, and for a cancel token that got no descriptor.
const SLICE: Duration = Duration::from_millis(50);

/// Cancels calls from another thread or a signal handler.
///
/// Clones share one state. Hand it to calls by [`CallOptions::cancel`] or
/// [`RequestBuilder::cancel`](crate::RequestBuilder::cancel); [`cancel`](CancelToken::cancel) then ends every call
/// that holds it, now and later, with [`ErrorCode::Cancelled`](crate::ErrorCode::Cancelled). A cancelled token stays so.
/// A forked child shares its parent's tokens: a cancel in one ends waits in both.
#[derive(Clone)]
pub struct CancelToken(Arc<CancelState>);

struct CancelState {
    cancelled: AtomicBool,
    event: Option<Event>,
}

impl CancelToken {
    /// A token that is not cancelled. Uses one descriptor until the last clone is dropped; where none is to be had,
    /// a waiting call notices the cancel within 50 ms instead of at once.
    pub fn new() -> CancelToken {
        CancelToken(Arc::new(CancelState { cancelled: AtomicBool::new(false), event: Event::new() }))
    }

    /// Cancels. Safe in a signal handler: an atomic store and one `write`.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        if let Some(event) = &self.0.event {
            event.set();
        }
    }

    /// Whether [`cancel`](CancelToken::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// What a host asks between two looks at a wait: `true` ends the call as cancelled. For Python's `check_signals`.
pub type InterruptCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// What every call takes: a timeout, and ways to end it early.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// How long the whole call may take; `None` is the client's `timeout` (60 s unless set).
    pub timeout: Option<Duration>,
    /// When the caller called, where the call waited for a thread since: `timeout` runs from then. `None`: now.
    pub began: Option<Instant>,
    /// Ends the call early.
    pub cancel: Option<CancelToken>,
    /// Asked whenever a signal interrupts the wait, and every 50 ms.
    pub interrupt: Option<InterruptCheck>,
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("timeout", &self.timeout)
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}

/// Why a wait ended before its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The named limit ran out.
    TimedOut(Limit),
    Cancelled,
}

impl Stop {
    /// The error of a call that was `doing` something when its wait ended.
    pub(crate) fn into_error(self, stage: Stage, doing: &str) -> Error {
        match self {
            Stop::Cancelled => Error::new(ErrorCode::Cancelled, stage, format!("cancelled while {doing}")),
            Stop::TimedOut(limit) => Error::new(
                ErrorCode::Timeout,
                stage,
                format!("timed out while {doing}: {} ({} s) was over", limit.option, limit.length.as_secs_f64()),
            ),
        }
    }
}

/// A limit in time: the option it comes from, for the error's text, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) option: &'static str,
    pub(crate) length: Duration,
}

/// One call's deadline and cancellation, handed down through everything it does.
#[derive(Clone)]
pub(crate) struct Wait {
    deadline: Instant,
    limit: Limit,
    cancel: Option<CancelToken>,
    interrupt: Option<Interrupt>,
    /// What is not here already times out.
    at_once: bool,
}

/// The host's check, and when it was asked last.
#[derive(Clone)]
struct Interrupt {
    check: InterruptCheck,
    asked: Arc<Mutex<Instant>>,
}

impl Interrupt {
    fn new(check: InterruptCheck) -> Interrupt {
        Interrupt { check, asked: Arc::new(Mutex::new(Instant::now())) }
    }

    fn asks_to_end(&self) -> bool {
        *self.asked() = Instant::now();
        (self.check)()
    }

    /// As [`asks_to_end`](Interrupt::asks_to_end) where that was not asked for a while.
    fn asks_to_end_if_due(&self) -> bool {
        let due = self.asked().elapsed() >= SLICE;
        due && self.asks_to_end()
    }

    fn asked(&self) -> MutexGuard<'_, Instant> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Interest {
    Read,
    Write,
    ReadOrWrite,
}

impl Wait {
    /// A wait that only time ends.
    pub(crate) fn of(option: &'static str, length: Duration) -> Wait {
        let (deadline, limit) = (far_enough(length), Limit { option, length });
        Wait { deadline, limit, cancel: None, interrupt: None, at_once: false }
    }

    /// The wait of one call.
    pub(crate) fn for_call(options: &CallOptions, default_timeout: Duration) -> Wait {
        let wait = Wait::of("timeout", options.timeout.unwrap_or(default_timeout));
        Wait {
            deadline: wait.deadline - options.began.map_or(Duration::ZERO, |began| began.elapsed()),
            cancel: options.cancel.clone(),
            interrupt: options.interrupt.clone().map(Interrupt::new),
            ..wait
        }
    }

    /// The same wait, ended by a second limit if that comes earlier.
    pub(crate) fn limited(&self, option: &'static str, length: Duration) -> Wait {
        let deadline = far_enough(length);
        if deadline >= self.deadline {
            return self.clone();
        }
        Wait { deadline, limit: Limit { option, length }, ..self.clone() }
    }

    /// The wait of what is left to do after the call's own end: the cancel stays, the time does not count any more.
    pub(crate) fn beyond_the_call(&self) -> Wait {
        Wait { cancel: self.cancel.clone(), ..Wait::of("timeout", Duration::MAX) }
    }

    /// The same wait, for what is here already: for anything else it has timed out.
    pub(crate) fn at_once(&self) -> Wait {
        Wait { at_once: true, ..self.clone() }
    }

    /// Whether it is only for what is here already.
    pub(crate) fn is_at_once(&self) -> bool {
        self.at_once
    }

    /// Has the host asked by this check from now on, or no longer.
    pub(crate) fn set_interrupt(&mut self, check: Option<InterruptCheck>) {
        self.interrupt = check.map(Interrupt::new);
    }

    /// What is left of the time.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::instant())
    }

    /// Whether the wait is over already. The host is asked here too: where bytes come without a pause no poll waits.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        let cancelled = self.cancel.as_ref().is_some_and(CancelToken::is_cancelled);
        if cancelled || self.interrupt.as_ref().is_some_and(Interrupt::asks_to_end_if_due) {
            return Err(Stop::Cancelled);
        }
        if self.remaining().is_zero() {
            return Err(Stop::TimedOut(self.limit));
        }
        Ok(())
    }

    /// Waits until `fd` is ready.
    pub(crate) fn ready(&self, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), Stop> {
        let flags = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
            Interest::ReadOrWrite => PollFlags::IN | PollFlags::OUT,
        };
        self.poll(&[(fd, flags)], None).map(|_| ())
    }

    /// Waits until one of the sockets has been connected or refused, at most `patience`.
    pub(crate) fn any_connected(&self, sockets: &[BorrowedFd<'_>], patience: Option<Duration>) -> Result<(), Stop> {
        let fds: Vec<_> = sockets.iter().map(|socket| (*socket, PollFlags::OUT)).collect();
        self.poll(&fds, patience).map(|_| ())
    }

    /// Waits for `event`, at most `patience`; false when patience ran out first.
    pub(crate) fn event(&self, event: &Event, patience: Option<Duration>) -> Result<bool, Stop> {
        self.poll(&[(event.fd(), PollFlags::IN)], patience)
    }

    /// Waits until `outcome` is there, woken by `event`; where no descriptor was left for one, by looking often.
    pub(crate) fn until_set<'a, T>(&self, event: Option<&Event>, outcome: &'a OnceLock<T>) -> Result<&'a T, Stop> {
        loop {
            if let Some(outcome) = outcome.get() {
                return Ok(outcome);
            }
            match event {
                Some(event) => self.event(event, None).map(|_| ())?,
                None => self.sleep(Duration::from_millis(5))?,
            }
        }
    }

    /// Sleeps for `duration`, or until the wait is over.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<(), Stop> {
        self.poll(&[], Some(duration)).map(|_| ())
    }

    fn poll(&self, fds: &[(BorrowedFd<'_>, PollFlags)], patience: Option<Duration>) -> Result<bool, Stop> {
        let patient_until = patience.map(far_enough);
        let cancel_event = self.cancel.as_ref().and_then(|cancel| cancel.0.event.as_ref());
        let blind = self.interrupt.is_some() || (self.cancel.is_some() && cancel_event.is_none());
        loop {
            self.check()?;
            let now = clock::instant();
            if patient_until.is_some_and(|until| until <= now) {
                return Ok(false);
            }
            let mut left = self.deadline.saturating_duration_since(now);
            if let Some(until) = patient_until {
                left = min(left, until.saturating_duration_since(now));
            }
            if blind {
                left = min(left, SLICE);
            }
            if self.at_once {
                left = Duration::ZERO;
            }
            // Rounded up to the next millisecond, so that a poll never ends just before the deadline it was for.
            let rounded = if left.is_zero() { left } else { left + Duration::from_micros(500) };
            #[cfg(test)]
            let rounded = crate::simulation::wait(left).map_or(rounded, |()| Duration::ZERO);
            match poll_some(fds, cancel_event.map(Event::fd), rounded) {
                Ok(Ready { event: true, .. }) => return Ok(true),
                // Without the flag it was set in the other process of a fork, which shares the descriptor.
                Ok(Ready { cancel: true, .. }) => return Err(Stop::Cancelled),
                Ok(_) if self.at_once => return Err(Stop::TimedOut(self.limit)),
                Ok(_) => {}
                Err(Errno::INTR) => {}
                // Nothing else can come of a valid poll but want of memory: then look again after a slice.
                Err(_) => std::thread::sleep(SLICE),
            }
            if self.interrupt.as_ref().is_some_and(Interrupt::asks_to_end) {
                return Err(Stop::Cancelled);
            }
        }
    }
}

/// What is ready.
struct Ready {
    /// One of what is waited for.
    event: bool,
    cancel: bool,
}

/// Polls what is waited for and the cancel token's descriptor; no more than one and that without an allocation.
fn poll_some(
    fds: &[(BorrowedFd<'_>, PollFlags)],
    cancel: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> Result<Ready, Errno> {
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let cancel = cancel.map(|fd| (fd, PollFlags::IN));
    let ready = |polled: &mut [PollFd<'_>]| {
        poll(polled, Some(&timeout))?;
        let (events, cancel) = polled.split_at(fds.len());
        let any = |polled: &[PollFd<'_>]| polled.iter().any(|fd| !fd.revents().is_empty());
        Ok(Ready { event: any(events), cancel: any(cancel) })
    };
    match (fds, &cancel) {
        ([], None) => ready(&mut []),
        ([one], None) => ready(&mut [polled(one)]),
        ([], Some(cancel)) => ready(&mut [polled(cancel)]),
        ([one], Some(cancel)) => ready(&mut [polled(one), polled(cancel)]),
        (many, cancel) => ready(&mut many.iter().chain(cancel).map(polled).collect::<Vec<_>>()),
    }
}

fn polled<'fd>((fd, flags): &(BorrowedFd<'fd>, PollFlags)) -> PollFd<'fd> {
    PollFd::from_borrowed_fd(*fd, *flags)
}

/// `length` from now, a year at most: no clock overflows, and nobody waits longer.
fn far_enough(length: Duration) -> Instant {
    clock::instant() + min(length, Duration::from_secs(365 * 24 * 3600))
}

/// A descriptor that becomes readable once and stays so.
pub(crate) struct Event {
    readable: OwnedFd,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    writable: OwnedFd,
}

impl Event {
    /// `None` when the process has no descriptor left.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn new() -> Option<Event> {
        use rustix::event::{EventfdFlags, eventfd};
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Some(Event { readable: eventfd(0, flags).ok()? })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn new() -> Option<Event> {
        let (readable, writable) = rustix::pipe::pipe().ok()?;
        Some(Event { readable, writable })
    }

    pub(crate) fn set(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let writable = &self.readable;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let writable = &self.writable;
        #[cfg(test)]
        crate::simulation::something_happened();
        // Fails only when the counter is full, and then the event is set already.
        let _ = rustix::io::write(writable, &1u64.to_ne_bytes());
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p09_a_wait_ends_at_its_earliest_limit_and_names_it() {
        let wait = Wait::of("timeout", Duration::from_secs(60)).limited("connect_timeout", Duration::from_millis(5));
        let event = Event::new().expect("a test has descriptors");
        let limit = Limit { option: "connect_timeout", length: Duration::from_millis(5) };
        assert_eq!(wait.event(&event, None), Err(Stop::TimedOut(limit)));
    }

    #[test]
    fn p09_a_cancel_wakes_a_waiting_thread_at_once() {
        let cancel = CancelToken::new();
        let options = CallOptions { cancel: Some(cancel.clone()), ..CallOptions::default() };
        let wait = Wait::for_call(&options, Duration::from_secs(60));
        let event = Event::new().expect("a test has descriptors");
        let waiting = std::thread::spawn(move || wait.event(&event, None));
        cancel.cancel();
        assert_eq!(waiting.join().expect("no panic"), Err(Stop::Cancelled));
    }

    #[test]
    fn p09_a_timeout_runs_from_when_the_caller_called() {
        let timeout = Some(Duration::from_millis(5));
        let began = Instant::now().checked_sub(Duration::from_millis(10));
        assert!(began.is_some(), "a test runs on a machine that has been up for 10 ms");
        let options = CallOptions { timeout, began, ..CallOptions::default() };
        let limit = Limit { option: "timeout", length: Duration::from_millis(5) };
        assert_eq!(Wait::for_call(&options, Duration::from_secs(60)).check(), Err(Stop::TimedOut(limit)));
    }

    #[test]
    fn an_event_set_before_the_wait_is_seen() {
        let event = Event::new().expect("a test has descriptors");
        event.set();
        let wait = Wait::of("timeout", Duration::from_secs(60));
        assert_eq!(wait.event(&event, None), Ok(true));
        assert_eq!(wait.event(&event, None), Ok(true));
    }

    #[test]
    fn a_wait_for_what_is_here_already_sees_that_and_waits_for_nothing_else() {
        let wait = Wait::of("timeout", Duration::from_secs(60)).at_once();
        let event = Event::new().expect("a test has descriptors");
        let limit = Limit { option: "timeout", length: Duration::from_secs(60) };
        assert_eq!(wait.event(&event, None), Err(Stop::TimedOut(limit)));
        event.set();
        assert_eq!(wait.event(&event, None), Ok(true));
    }

    #[test]
    fn p09_the_host_can_interrupt_a_wait() {
        let options = CallOptions { interrupt: Some(Arc::new(|| true)), ..CallOptions::default() };
        let wait = Wait::for_call(&options, Duration::from_secs(60));
        assert_eq!(wait.sleep(Duration::from_secs(60)), Err(Stop::Cancelled));
    }

    #[test]
    fn p08_the_host_can_interrupt_though_every_event_is_there_at_once() {
        let options = CallOptions { interrupt: Some(Arc::new(|| true)), ..CallOptions::default() };
        let wait = Wait::for_call(&options, Duration::from_secs(10));
        let event = Event::new().expect("a test has descriptors");
        event.set();
        let began = Instant::now();
        while wait.event(&event, None) == Ok(true) {}
        assert!(!wait.remaining().is_zero(), "ended only at the deadline");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
