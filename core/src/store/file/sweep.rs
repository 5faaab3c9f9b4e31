//! Bounded growth: who has written a record removes what nobody needs any more.
//!
//! A file is removed under its lock alone, so that nobody is robbed of one: a holder's lock cannot be taken, and who
//! had opened it before sees afterwards that it is no longer at its path. Nothing goes that does not have a name of
//! ours: the folder was chosen by a user, who may keep other things in it.

use std::fs::{self, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::{FileStore, TEMPORARY, Tried, Which, check_folder, entries, is_at, open_private};
use crate::clock::{self, BootTime};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A writer that lives renames its temporary within a moment.
const TEMPORARIES_KEPT: Duration = HOUR;
/// Locks, whose text is for one attempt, and ledgers, whose entries count for a minute.
const LOCKS_KEPT: Duration = DAY;
/// No token lives longer than 30 days, and no hold outlives its token.
const RECORDS_KEPT: Duration = DAY.saturating_mul(31);
/// Folders of other boots, and of this boot's other time namespaces, with all that is in them.
const OTHER_BOOTS_KEPT: Duration = DAY;

/// Digits of a hexadecimal name, of a record or a boot.
const NAME_LENGTH: usize = 32;

impl FileStore {
    /// Removes temporaries of writers that died, locks, ledgers and records that nobody has touched for long, and the
    /// folders of other boots.
    pub(crate) fn sweep(&self) {
        self.sweep_as_of(SystemTime::now(), clock::now().since(BootTime::ZERO));
    }

    /// By the wall clock, which alone dates files, and the time since the start of the machine.
    fn sweep_as_of(&self, now: SystemTime, up: Duration) {
        // A wall clock that was set makes no file of this boot older than the boot.
        self.sweep_folder(&|path, kept| up > kept && is_older(path, kept, now), RECORDS_KEPT);
        for folder in entries(&self.root) {
            let other = folder != self.folder && is_name(&file_name(&folder));
            if other && is_older(&folder, OTHER_BOOTS_KEPT, now) && check_folder(&folder).is_ok() {
                let other = FileStore { folder, root: self.root.clone() };
                other.sweep_folder(&|path, kept| is_older(path, kept, now), OTHER_BOOTS_KEPT);
                // One that is not empty is in use, or somebody else's.
                let _ = fs::remove_dir(&other.folder);
            }
        }
    }

    fn sweep_folder(&self, is_older: &dyn Fn(&Path, Duration) -> bool, records_kept: Duration) {
        for path in entries(&self.folder) {
            let name = file_name(&path);
            let (stem, ending) = name.split_at_checked(NAME_LENGTH).unwrap_or_default();
            if !is_name(stem) {
                continue;
            }
            if ending.is_empty() {
                if is_older(&path, records_kept) {
                    self.remove_record(stem, &|| is_older(&path, records_kept));
                }
            } else if ending.starts_with(TEMPORARY) {
                if is_older(&path, TEMPORARIES_KEPT) {
                    let _ = fs::remove_file(&path);
                }
            } else if is_older(&path, LOCKS_KEPT) {
                remove_lock(&path, &|| is_older(&path, LOCKS_KEPT));
            }
        }
    }

    /// Removes a record and its locks, unless somebody holds one of them.
    fn remove_record(&self, name: &str, is_still_old: &dyn Fn() -> bool) {
        let both = [Which::First, Which::Second];
        let held = both.map(|which| self.try_lock(name, which));
        // Where there are no locks, nobody holds one.
        let ours = held.iter().all(|tried| matches!(tried, Ok(Tried::Locked(_) | Tried::Unsupported)));
        // Somebody may have written it just before we had the locks.
        if ours && is_still_old() {
            let _ = fs::remove_file(self.folder.join(name));
            for which in both {
                let _ = fs::remove_file(self.lock_path(name, which));
            }
        }
        drop(held);
    }
}

/// Removes a file that is its own lock, unless somebody holds it.
fn remove_lock(path: &Path, is_still_old: &dyn Fn() -> bool) {
    let Ok(file) = open_private(path, OFlags::RDWR) else { return };
    let held_elsewhere = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    if !held_elsewhere && is_at(&file, path) && is_still_old() {
        let _ = fs::remove_file(path);
    }
    // Before the descriptor is closed, which in a child that was forked meanwhile it never may be.
    let _ = file.unlock();
}

fn is_older(path: &Path, kept: Duration, now: SystemTime) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    modified.ok().and_then(|modified| now.duration_since(modified).ok()).is_some_and(|age| age > kept)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_name(text: &str) -> bool {
    text.len() == NAME_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::fs::{DirBuilder, File};
    use std::os::unix::fs::DirBuilderExt;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::store::file::tests::{Folder, store};

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";
    const LONG_UP: Duration = DAY.saturating_mul(365);

    fn make(path: &Path, age: Duration) {
        let file = open_private(path, OFlags::WRONLY | OFlags::CREATE).expect("ours");
        file.set_modified(SystemTime::now() - age).expect("ours");
    }

    fn make_folder(path: &Path, age: Duration) {
        if !path.exists() {
            DirBuilder::new().mode(0o700).create(path).expect("ours");
        }
        File::open(path).and_then(|folder| folder.set_modified(SystemTime::now() - age)).expect("ours");
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = entries(folder).map(|path| file_name(&path)).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_old_goes_and_what_is_not_stays() {
        let folder = Folder::new("sweep");
        let store = store(&folder);
        for (name, age) in [
            (A.to_owned(), RECORDS_KEPT + HOUR),
            (format!("{A}.tmp.1"), 2 * HOUR),
            (format!("{A}.tmp.2"), HOUR / 2),
            (format!("{A}.ledger"), DAY + HOUR),
            (B.to_owned(), RECORDS_KEPT - HOUR),
            (format!("{B}.lock"), DAY + HOUR),
            (format!("{B}.lock2"), DAY - HOUR),
            (format!("{B}.ledger"), DAY - HOUR),
        ] {
            make(&store.folder.join(name), age);
        }
        store.sweep_as_of(SystemTime::now(), LONG_UP);
        let left = [format!("{A}.tmp.2"), B.to_owned(), format!("{B}.ledger"), format!("{B}.lock2")];
        assert_eq!(names(&store.folder), left);
    }

    #[test]
    fn p06_a_wall_clock_that_was_set_makes_no_file_of_this_boot_old() {
        let folder = Folder::new("set");
        let store = store(&folder);
        let files = [A.to_owned(), format!("{A}.lock"), format!("{A}.tmp.1")];
        for name in &files {
            make(&store.folder.join(name), Duration::ZERO);
        }
        store.sweep_as_of(SystemTime::now() + 50 * LONG_UP, HOUR / 2);
        assert_eq!(names(&store.folder), files);
        store.sweep_as_of(SystemTime::UNIX_EPOCH, LONG_UP);
        assert_eq!(names(&store.folder), files);
    }

    #[test]
    fn what_somebody_holds_stays_however_old() {
        let folder = Folder::new("held");
        let store = store(&folder);
        for which in [Which::First, Which::Second] {
            let Ok(Tried::Locked(lock)) = store.try_lock(A, which) else { panic!("free") };
            make(&store.folder.join(A), 2 * RECORDS_KEPT);
            make(&store.lock_path(A, which), 2 * RECORDS_KEPT);
            store.sweep_as_of(SystemTime::now(), LONG_UP);
            assert!(store.folder.join(A).exists() && store.lock_path(A, which).exists(), "{which:?}");
            drop(lock);
            make(&store.lock_path(A, which), 2 * RECORDS_KEPT);
            store.sweep_as_of(SystemTime::now(), LONG_UP);
            assert_eq!(names(&store.folder), [""; 0], "{which:?}");
        }
    }

    #[test]
    fn folders_of_other_boots_go_and_nothing_that_is_not_ours() {
        let folder = Folder::new("boots");
        let store = store(&folder);
        let (old, young, used) = (store.root.join(A), store.root.join(B), store.root.join("0".repeat(NAME_LENGTH)));
        for boot in [&old, &young, &used] {
            make_folder(boot, Duration::ZERO);
            for ending in ["", ".lock", ".lock2", ".ledger", ".tmp.1"] {
                make(&boot.join(format!("{A}{ending}")), 2 * DAY);
            }
        }
        // Another time namespace's, say, with a token that lives for weeks.
        make(&used.join(B), HOUR);
        for boot in [&old, &used] {
            make_folder(boot, 2 * DAY);
        }
        // A user's own, who chose to have the store there too.
        let keys = store.root.join("keys");
        make_folder(&keys, Duration::ZERO);
        make(&keys.join("id"), 400 * DAY);
        make_folder(&keys, 400 * DAY);
        make(&store.root.join("notes"), 400 * DAY);
        make(&store.folder.join("notes"), 400 * DAY);
        store.sweep_as_of(SystemTime::now(), LONG_UP);
        assert!(!old.exists());
        assert_eq!(names(&young).len(), 5);
        assert_eq!(names(&used), [B]);
        assert!(keys.join("id").exists() && store.root.join("notes").exists() && store.folder.join("notes").exists());
    }

    /// Many take one lock while others sweep it away as fast as they can.
    #[test]
    fn p01_a_sweep_never_makes_a_second_holder() {
        const ROUNDS: u32 = 1000;
        let folder = Folder::new("stress");
        let store = store(&folder);
        let (inside, changing, taken) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let over = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(30);
        let (mut swept, mut entered) = (0, 0);
        std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        while taken.load(Ordering::Relaxed) < ROUNDS && Instant::now() < deadline {
                            let Ok(Tried::Locked(lock)) = store.try_lock(A, Which::First) else { continue };
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                            taken.fetch_add(1, Ordering::Relaxed);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                            let changed = store.change(&format!("{A}.ledger"), |text| {
                                assert_eq!(changing.fetch_add(1, Ordering::SeqCst), 0, "two change the ledger");
                                std::thread::yield_now();
                                changing.fetch_sub(1, Ordering::SeqCst);
                                (format!("{text}x"), ())
                            });
                            assert!(changed.is_some());
                        }
                    })
                })
                .collect();
            let sweepers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut swept = 0;
                        while !over.load(Ordering::Relaxed) {
                            store.sweep_as_of(SystemTime::now() + 2 * RECORDS_KEPT, LONG_UP);
                            swept += 1;
                        }
                        swept
                    })
                })
                .collect();
            let failed = takers.into_iter().filter_map(|taker| taker.join().err()).next();
            over.store(true, Ordering::Relaxed);
            swept += sweepers.into_iter().map(|sweeper| sweeper.join().expect("no panic")).sum::<u32>();
            entered += taken.load(Ordering::Relaxed);
            if let Some(panic) = failed {
                std::panic::resume_unwind(panic);
            }
        });
        println!("{entered} times locked, {swept} sweeps");
        assert!(entered >= ROUNDS && swept > 100, "{entered} times locked, {swept} sweeps");
    }
}
