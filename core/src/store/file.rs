//! Records as files of one user on one machine, in one boot.
//!
//! A record is good only in the boot that wrote it, because ages are counted on the boot clock; so each boot has a
//! folder of its own, and network homes never mix hosts. Files are private and replaced by rename. Locks are the
//! kernel's: they end with their holder, however it ends.

mod sweep;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::clock::BootTime;
use crate::crypto::{hex, random_bytes, sha256};
use crate::store::{self, Tried, Which};

/// No record is larger.
const LARGEST_FILE: u64 = 64 * 1024;
/// Between a record's name and what makes the name of its successor, which is being written, unique.
const TEMPORARY: &str = ".tmp.";

/// A folder of records.
#[derive(Debug)]
pub(crate) struct FileStore {
    /// Of this boot.
    folder: PathBuf,
    /// Of all boots.
    root: PathBuf,
}

/// A lock held by this process. Unlocked when dropped; in a forked child only closed, as unlocking would unlock the
/// parent's.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    process: u32,
}

impl Lock {
    /// Tells those who wait until when the holder will be done.
    pub(crate) fn say_until(&mut self, until: BootTime) -> io::Result<()> {
        let said = overwrite(&mut self.file, until.as_nanoseconds().to_string().as_bytes());
        if said.is_err() {
            // What the holder before said would make this one late from the start.
            self.file.set_len(0)?;
        }
        said
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // Only a descriptor that is gone cannot be unlocked, and then the lock is gone as well.
            let _ = self.file.unlock();
        }
    }
}

impl FileStore {
    /// Opens the store in `root`, made if it is not there; the error says why it cannot be used.
    ///
    /// Everything is checked before anything is created: a folder of another user, or one that others can enter, is
    /// not used.
    pub(crate) fn open(root: &Path) -> Result<FileStore, String> {
        let boot = boot_name().ok_or("this system does not tell which boot it is in")?;
        let store = FileStore { folder: root.join(boot), root: root.into() };
        store.make()?;
        Ok(store)
    }

    fn make(&self) -> Result<(), String> {
        let FileStore { folder, root } = self;
        match fs::symlink_metadata(root) {
            Ok(_) => check_folder(root)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let parent = nearest_existing(root);
                if fs::metadata(parent).map(|found| found.uid()).ok() != Some(own_user()) {
                    return Err(format!("{} belongs to another user", parent.display()));
                }
            }
            Err(error) => return Err(format!("{}: {error}", root.display())),
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
        check_folder(root)?;
        check_folder(folder)
    }

    /// Opens a file of ours that may have to be made, and the folder with it: caches are cleared while programs run.
    fn open_or_make(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        match open_private(path, flags | OFlags::CREATE) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make().map_err(io::Error::other)?;
                open_private(path, flags | OFlags::CREATE)
            }
            opened => opened,
        }
    }

    /// The file's content; `None` if there is none, or it is not one of ours.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut file = open_private(&self.folder.join(name), OFlags::RDONLY).ok()?;
        let mut content = Vec::new();
        Read::by_ref(&mut file).take(LARGEST_FILE + 1).read_to_end(&mut content).ok()?;
        (content.len() as u64 <= LARGEST_FILE).then_some(content)
    }

    /// Replaces the file's content, unless `keep` wants what is there just before.
    pub(crate) fn replace(&self, name: &str, content: &[u8], keep: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let unique: [u8; 8] = random_bytes().ok_or(ErrorKind::Unsupported)?;
        let temporary = self.folder.join(format!("{name}{TEMPORARY}{}", hex(&unique)));
        let mut file = self.open_or_make(&temporary, OFlags::WRONLY | OFlags::EXCL)?;
        let written = file.write_all(content).and_then(|()| {
            if self.read(name).is_some_and(|present| keep(&present)) {
                return Ok(false);
            }
            fs::rename(&temporary, self.folder.join(name)).map(|()| true)
        });
        if !matches!(written, Ok(true)) {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Tries a record's lock, without waiting.
    pub(crate) fn try_lock(&self, name: &str, which: Which) -> io::Result<Tried> {
        let path = self.lock_path(name, which);
        loop {
            let mut file = self.open_or_make(&path, OFlags::RDWR)?;
            match file.try_lock() {
                // The sweeper may have removed the file between the opening and the locking: then the lock is nobody's.
                Ok(()) if is_at(&file, &path) => {
                    let lock = Lock { file, process: std::process::id() };
                    return Ok(Tried::Locked(store::Lock::File(lock)));
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Tried::Busy(read_until(&mut file))),
                Err(TryLockError::Error(_)) => return Ok(Tried::Unsupported),
            }
        }
    }

    fn lock_path(&self, name: &str, which: Which) -> PathBuf {
        let suffix = match which {
            Which::First => "lock",
            Which::Second => "lock2",
        };
        self.folder.join(format!("{name}.{suffix}"))
    }

    /// Changes a small file under its own lock, held for the change alone; `None` if it could not be.
    pub(crate) fn change<T>(&self, name: &str, change: impl FnOnce(&str) -> (String, T)) -> Option<T> {
        let (mut file, lock) = self.lock_itself(&self.folder.join(name))?;
        let mut text = String::new();
        // A ledger that is not text is a spoilt one, and begins anew.
        if Read::by_ref(&mut file).take(LARGEST_FILE).read_to_string(&mut text).is_err() {
            text.clear();
        }
        let (next, outcome) = change(&text);
        overwrite(&mut file, next.as_bytes()).ok()?;
        drop(lock);
        Some(outcome)
    }

    /// The lock of those who write a record, each for a moment: comparing with what is there and replacing it are two
    /// steps. `None` where it is not to be had, and the comparison has to do.
    pub(crate) fn lock_to_write(&self, name: &str) -> Option<Lock> {
        self.lock_itself(&self.folder.join(format!("{name}.write"))).map(|(_, lock)| lock)
    }

    /// Opens a file and locks it, waiting a moment.
    fn lock_itself(&self, path: &Path) -> Option<(File, Lock)> {
        // Held for microseconds by whoever holds it; one who is stopped in the middle is not waited for longer than a busy
        // machine may need.
        let deadline = std::time::Instant::now() + Duration::from_secs(1);
        loop {
            let file = self.open_or_make(path, OFlags::RDWR).ok()?;
            while let Err(error) = file.try_lock() {
                if matches!(error, TryLockError::Error(_)) || std::time::Instant::now() > deadline {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            let lock = Lock { file: file.try_clone().ok()?, process: std::process::id() };
            // As in `try_lock`: one that was removed meanwhile tells nobody anything.
            if is_at(&file, path) {
                return Some((file, lock));
            }
        }
    }
}

/// Puts a text in place of a file's, which at no moment is gone: who is killed in the middle leaves the text whole, and
/// behind it perhaps the end of the one before.
fn overwrite(file: &mut File, text: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Boot id and time namespace: the boot clock of another counts from elsewhere.
fn boot_name() -> Option<String> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/time").map(|link| link.into_os_string().into_encoded_bytes());
    let hash = sha256(&[boot, namespace.unwrap_or_default()].concat());
    Some(hex(&hash[..16]))
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().skip(1).find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

fn check_folder(path: &Path) -> Result<(), String> {
    let found = fs::symlink_metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = |what: &str| Err(format!("{} {what}", path.display()));
    if !found.is_dir() {
        return wrong("is not a folder");
    }
    if found.uid() != own_user() {
        return wrong("belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        return wrong("can be entered by others (make it 0700)");
    }
    Ok(())
}

/// Opens a private file of this user: no link, no other type, nobody else's, nobody else's to read.
fn open_private(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != own_user() || found.mode() & 0o077 != 0 {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(file)
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    file.metadata().map(identity).ok() == fs::symlink_metadata(path).map(identity).ok()
}

fn read_until(file: &mut File) -> Option<BootTime> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.parse().ok().map(BootTime::from_nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A folder that is removed at the end of its test.
    pub(super) struct Folder(pub(super) PathBuf);

    impl Folder {
        pub(super) fn new(name: &str) -> Folder {
            let unique: [u8; 8] = random_bytes().expect("randomness");
            let path = std::env::temp_dir().join(format!("svctoken-{name}-{:016x}", u64::from_le_bytes(unique)));
            DirBuilder::new().mode(0o700).create(&path).expect("a temporary folder");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("ours");
        }
    }

    pub(super) fn store(folder: &Folder) -> FileStore {
        FileStore::open(&folder.0.join("svctoken")).expect("usable")
    }

    #[test]
    fn what_is_written_is_read_and_private() {
        let folder = Folder::new("written");
        let store = store(&folder);
        assert_eq!(store.read("a"), None);
        assert!(store.replace("a", b"one", |_| true).expect("writable"));
        assert!(!store.replace("a", b"two", |present| present == b"one").expect("writable"), "kept");
        assert_eq!(store.read("a").as_deref(), Some(b"one".as_slice()));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&store.folder), mode(&store.folder.join("a"))), (0o700, 0o600));
        assert_eq!(entries(&store.folder).count(), 1, "no temporary is left");
    }

    #[test]
    fn p15_what_others_could_have_touched_is_not_used() {
        let folder = Folder::new("touched");
        let store = store(&folder);
        store.replace("a", b"one", |_| false).expect("writable");
        let path = store.folder.join("a");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("ours");
        assert_eq!(store.read("a"), None, "mode 0666");
        symlink("/etc/hostname", store.folder.join("b")).expect("ours");
        assert_eq!(store.read("b"), None, "a link");
        fs::create_dir(store.folder.join("c")).expect("ours");
        assert_eq!(store.read("c"), None, "a folder");
        fs::set_permissions(&store.root, fs::Permissions::from_mode(0o755)).expect("ours");
        assert!(FileStore::open(&store.root).expect_err("others can enter").contains("0700"));
        let linked = folder.0.join("linked");
        symlink(&store.root, &linked).expect("ours");
        assert!(FileStore::open(&linked).is_err(), "a link as folder");
    }

    #[test]
    fn a_lock_has_one_holder_who_says_until_when() {
        let folder = Folder::new("lock");
        let store = store(&folder);
        let Ok(Tried::Locked(mut lock)) = store.try_lock("a", Which::First) else { panic!("free") };
        assert!(matches!(store.try_lock("a", Which::First), Ok(Tried::Busy(None))));
        let until = BootTime::from_nanoseconds(12345);
        lock.say_until(until);
        assert!(matches!(store.try_lock("a", Which::First), Ok(Tried::Busy(Some(said))) if said == until));
        assert!(matches!(store.try_lock("a", Which::Second), Ok(Tried::Locked(_))));
        drop(lock);
        assert!(matches!(store.try_lock("a", Which::First), Ok(Tried::Locked(_))));
    }

    #[test]
    fn a_ledger_is_changed_by_one_at_a_time() {
        let folder = Folder::new("ledger");
        let store = store(&folder);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        assert!(store.change("l", |text| (format!("{text}x"), ())).is_some());
                    }
                });
            }
        });
        assert_eq!(store.read("l").expect("there").len(), 100);
    }

    #[test]
    fn a_cache_that_was_cleared_is_made_again_by_who_still_uses_it() {
        let folder = Folder::new("cleared");
        let store = store(&folder);
        let clear = || fs::remove_dir_all(&store.root).expect("ours");
        clear();
        assert!(store.replace("a", b"one", |_| false).expect("made again"));
        assert_eq!(store.read("a").as_deref(), Some(b"one".as_slice()));
        clear();
        assert!(matches!(store.try_lock("a", Which::First), Ok(Tried::Locked(_))));
        clear();
        assert_eq!(store.change("l", |text| (format!("{text}x"), ())), Some(()));
        clear();
        symlink("/tmp", &store.root).expect("ours");
        assert!(store.replace("a", b"one", |_| false).is_err(), "with the checks of the first time");
        fs::remove_file(&store.root).expect("ours");
    }

    #[test]
    fn a_text_is_whole_at_every_moment_of_its_change() {
        let folder = Folder::new("whole");
        let store = store(&folder);
        let text = |length| "x".repeat(length);
        store.change("l", |_| (text(30), ())).expect("writable");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    // Without the lock: what a successor finds of one who is killed.
                    assert!(store.read("l").expect("there").len() >= 20);
                }
            });
            for round in 0..2000 {
                store.change("l", |_| (text(20 + round % 2 * 10), ())).expect("writable");
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
