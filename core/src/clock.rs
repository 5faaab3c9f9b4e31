//! Time as the core sees it: the boot clock, which counts suspend and which no wall clock step moves, plus one
//! process-wide offset that only tests move.

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

static TEST_OFFSET_NS: AtomicI64 = AtomicI64::new(0);

/// A moment on the boot clock, in nanoseconds since the machine's start; before it, for a token that another machine
/// got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootTime(i64);

impl BootTime {
    pub(crate) const ZERO: BootTime = BootTime(0);
    /// Before every moment that anything happened at.
    pub(crate) const NEVER: BootTime = BootTime(i64::MIN);

    /// For what is kept outside this process; good in this boot only.
    pub(crate) fn as_nanoseconds(self) -> i64 {
        self.0
    }

    pub(crate) fn from_nanoseconds(nanoseconds: i64) -> BootTime {
        BootTime(nanoseconds)
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub(crate) fn since(self, earlier: BootTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }
}

impl Add<Duration> for BootTime {
    type Output = BootTime;

    fn add(self, duration: Duration) -> BootTime {
        BootTime(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl Sub<Duration> for BootTime {
    type Output = BootTime;

    fn sub(self, duration: Duration) -> BootTime {
        BootTime(self.0.saturating_sub(nanoseconds(duration)))
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    duration.as_nanos().try_into().unwrap_or(i64::MAX)
}

/// The clock that goes on while the machine sleeps.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SLEEPING_AWARE: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SLEEPING_AWARE: ClockId = ClockId::Monotonic;

/// The boot clock now.
pub(crate) fn now() -> BootTime {
    #[cfg(test)]
    if let Some(time) = crate::simulation::boot_time() {
        return BootTime::ZERO + time;
    }
    let time = clock_gettime(SLEEPING_AWARE);
    let nanoseconds = time.tv_sec as i64 * 1_000_000_000 + time.tv_nsec as i64;
    BootTime(nanoseconds.saturating_add(TEST_OFFSET_NS.load(Ordering::Relaxed)))
}

/// The clock of timeouts, which stops in suspend and which tests of programs do not move.
pub(crate) fn instant() -> Instant {
    #[cfg(test)]
    if let Some(instant) = crate::simulation::instant() {
        return instant;
    }
    Instant::now()
}

/// The wall clock, moved by the same offset; only for what is told to people and servers.
pub(crate) fn wall() -> SystemTime {
    let offset = TEST_OFFSET_NS.load(Ordering::Relaxed);
    SystemTime::now() + Duration::from_nanos(u64::try_from(offset).unwrap_or(0))
}

/// Moves both clocks forward.
pub(crate) fn advance(by: Duration) {
    let add = |offset: i64| Some(offset.saturating_add(nanoseconds(by)));
    let _ = TEST_OFFSET_NS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
}
