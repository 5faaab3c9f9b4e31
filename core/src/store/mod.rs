//! Where records, locks and ledgers are kept that processes share: opaque bytes under names that tell nothing. Two media,
//! one protocol: what is done with them is the token room's.

pub(crate) mod file;
#[cfg_attr(not(feature = "redis"), path = "no_redis.rs")]
pub(crate) mod redis;
pub(crate) mod seal;

use std::time::Duration;

use crate::clock::BootTime;
use crate::wait::Wait;

/// What is kept under a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    /// When it was asked for, and how long it would be kept from then on; `None` where the boot that wrote it reads it.
    left: Option<(BootTime, Duration)>,
}

impl Kept {
    /// The moment from which the times in it count, if it was to be kept for that long.
    ///
    /// Where machines share it, all they agree on is how much of that time is left.
    pub(crate) fn epoch(&self, kept_for: Duration) -> BootTime {
        match self.left {
            Some((asked, left)) => asked - kept_for.saturating_sub(left),
            None => BootTime::ZERO,
        }
    }
}

/// What is to be kept, and for how long at most.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// From [`SHORTEST`] to [`LONGEST`].
    pub(crate) kept_for: Duration,
}

pub(crate) const SHORTEST: Duration = Duration::from_millis(1);
/// Tokens live shorter, and Redis takes no time without end.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Which of a record's two locks: the second is for those who waited too long for the holder of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    First,
    Second,
}

/// What came of trying a lock.
pub(crate) enum Tried {
    Locked(Lock),
    /// Another holds it, until then if it said so.
    Busy(Option<BootTime>),
    /// This store has no locks.
    Unsupported,
}

/// A lock held by this process, and given back when dropped.
pub(crate) enum Lock {
    File(file::Lock),
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "of that there is none"))]
    Redis {
        _held: redis::Lock,
    },
}

/// A place that processes share. Every error is a text that says why the place cannot be used.
pub(crate) enum Store {
    File(file::FileStore),
    Redis(redis::RedisStore),
}

/// Others may write at the same time, but not for ever.
const MOST_WRITES: usize = 5;

impl Store {
    /// Whether asking it takes a network, and waiting for one.
    pub(crate) fn is_remote(&self) -> bool {
        match self {
            Store::File(_) => false,
            Store::Redis(_) => true,
        }
    }

    /// How soon after the first try a lock is tried again, and how long at most between two.
    pub(crate) fn polling(&self) -> [Duration; 2] {
        let milliseconds = if self.is_remote() { [50, 500] } else { [5, 50] };
        milliseconds.map(Duration::from_millis)
    }

    /// From when the times count in what is written now.
    pub(crate) fn epoch(&self, now: BootTime) -> BootTime {
        if self.is_remote() { now } else { BootTime::ZERO }
    }

    /// What is kept under that name; `None` if nothing is, or nothing of ours.
    pub(crate) fn read(&self, name: &str, wait: &Wait) -> Result<Option<Kept>, String> {
        match self {
            Store::File(store) => Ok(store.read(name).map(|bytes| Kept { bytes, left: None })),
            Store::Redis(store) => store.read(name, wait),
        }
    }

    /// Replaces what is kept under that name by what `next` makes of it, or leaves it if that is `None`. What another
    /// process writes in between is not overwritten unseen.
    pub(crate) fn update(
        &self,
        name: &str,
        wait: &Wait,
        mut next: impl FnMut(Option<&Kept>) -> Option<Content>,
    ) -> Result<(), String> {
        let _alone = match self {
            Store::File(store) => store.lock_to_write(name),
            Store::Redis(_) => None,
        };
        for _ in 0..MOST_WRITES {
            let present = self.read(name, wait)?;
            let Some(content) = next(present.as_ref()) else { return Ok(()) };
            let present = present.map(|present| present.bytes);
            let replaced = match self {
                Store::File(store) => store
                    .replace(name, &content.bytes, |found| present.as_deref() != Some(found))
                    .map_err(|error| error.to_string())?,
                Store::Redis(store) => store.replace(name, &content, present.as_deref(), wait)?,
            };
            if replaced {
                return Ok(());
            }
        }
        Err("other processes write all the time".into())
    }

    /// Tries a record's lock for an attempt of that length, without waiting for its holder.
    pub(crate) fn try_lock(&self, name: &str, which: Which, attempt: Duration, wait: &Wait) -> Result<Tried, String> {
        match self {
            Store::File(store) => store.try_lock(name, which).map_err(|error| error.to_string()),
            Store::Redis(store) => store.try_lock(name, which, attempt, wait),
        }
    }

    /// Removes what nobody needs any more, where that does not go by itself.
    pub(crate) fn sweep(&self) {
        match self {
            Store::File(store) => store.sweep(),
            Store::Redis(_) => {}
        }
    }
}

impl Lock {
    /// Tells those who wait until when the holder will be done. Without it they give this attempt its whole time from
    /// when they saw it first, so that it may fail.
    pub(crate) fn say_until(&mut self, until: BootTime) {
        match self {
            Lock::File(lock) => {
                let _ = lock.say_until(until);
            }
            // Said by the time for which it was locked.
            Lock::Redis { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::crypto::{hex, random_bytes};

    #[test]
    fn p01_no_write_is_lost_however_many_come_at_once() {
        let unique: [u8; 8] = random_bytes().expect("randomness");
        let folder = std::env::temp_dir().join(format!("svctoken-writes-{}", hex(&unique)));
        let store = Store::File(file::FileStore::open(&folder).expect("usable"));
        let wait = Wait::of("timeout", Duration::from_secs(60));
        let longer = |kept: Option<&Kept>| {
            let bytes = [kept.map(|kept| kept.bytes.as_slice()).unwrap_or_default(), b"x"].concat();
            Some(Content { bytes, kept_for: SHORTEST })
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|_| store.update("a", &wait, longer).expect("writable")));
            }
        });
        let kept = store.read("a", &wait).expect("readable").expect("there");
        assert_eq!(kept.bytes.len(), 8 * 50);
        fs::remove_dir_all(folder).expect("ours");
    }
}
