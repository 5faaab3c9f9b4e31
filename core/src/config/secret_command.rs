//! A command whose output is a secret.
//!
//! It is started by `posix_spawn`, which alone lets a thread that blocks every signal start a program that blocks none,
//! without unsafe code. It is its own process group, so that one that takes too long is ended with its children.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::io::fcntl_dupfd_cloexec;
use zeroize::Zeroizing;

use crate::config::secret_source::{LARGEST_SECRET, one_line};
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::wait::{Interest, Stop, Wait};

/// As long as a person at a vault's prompt may take, and no longer than a call.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked whether a command has ended that keeps its output open, or that has closed it.
const SLICE: Duration = Duration::from_millis(50);
/// How long a killed command is waited for.
const LAST_RITES: Duration = Duration::from_secs(1);

/// A program, its arguments and its environment.
pub(crate) struct SecretCommand {
    words: Vec<CString>,
    environment: Vec<CString>,
    limit: Duration,
}

impl std::fmt::Debug for SecretCommand {
    /// An argument may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretCommand").field(&self.program()).finish_non_exhaustive()
    }
}

impl SecretCommand {
    pub(crate) fn new(words: &[String], environment: Vec<(OsString, OsString)>) -> Result<SecretCommand> {
        if words.first().is_none_or(String::is_empty) {
            return Err(Error::configuration("client_secret_command names no program")
                .with_next_step("Give the program and each of its arguments as a text of its own."));
        }
        let words = words.iter().map(|word| CString::new(word.as_str())).collect::<std::result::Result<_, _>>();
        let words = words.map_err(|_| Error::configuration("client_secret_command has a NUL in it"))?;
        let variable = |(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            // The operating system has none with a NUL.
            CString::new(name.into_vec()).ok()
        };
        Ok(SecretCommand {
            words,
            environment: environment.into_iter().filter_map(variable).collect(),
            limit: TIME_LIMIT,
        })
    }

    /// For messages. The arguments are not shown: one may be a password.
    pub(crate) fn program(&self) -> String {
        self.words[0].to_string_lossy().into_owned()
    }

    /// Runs it and returns what it printed. The error says why that is no secret, and shows nothing of it.
    pub(crate) fn run(&self) -> std::result::Result<Secret, String> {
        let (reader, files) = self.files().map_err(|error| format!("it cannot be started: {error}"))?;
        let group = self.spawn(&files).map_err(|error| match error {
            Errno::ENOENT => "there is no such program".to_owned(),
            error => format!("it cannot be started: {}", error.desc()),
        })?;
        drop(files);
        let mut running = Running { group, ended: false };
        let mut output = Output::new(reader);
        let ended = running.wait(&mut output, &Wait::of("its time limit", self.limit))?;
        match ended {
            // Whoever collects every child of the process has its status.
            Ended::Unknown | Ended::With(0) => output.secret(),
            Ended::With(status) => Err(format!("it exited with {status}")),
            Ended::By(signal) => Err(format!("it was ended by {signal}")),
        }
    }

    fn files(&self) -> io::Result<(PipeReader, Files)> {
        let (reader, output) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        // In a host without standard streams they may have the very numbers that they are to be copied to.
        Ok((reader, Files { output: fcntl_dupfd_cloexec(output, 3)?, nothing: fcntl_dupfd_cloexec(nothing, 3)? }))
    }

    fn spawn(&self, files: &Files) -> nix::Result<Pid> {
        let mut streams = PosixSpawnFileActions::init()?;
        for (file, stream) in [(&files.nothing, 0), (&files.output, 1), (&files.nothing, 2)] {
            streams.add_dup2(file.as_raw_fd(), stream)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
                | PosixSpawnFlags::POSIX_SPAWN_SETPGROUP,
        )?;
        attributes.set_sigmask(&SigSet::empty())?;
        // A host ignores them for itself; a program that starts others needs them.
        attributes.set_sigdefault(&[Signal::SIGPIPE, Signal::SIGCHLD].into_iter().collect())?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        posix_spawnp(&self.words[0], &streams, &attributes, &self.words, &self.environment)
    }
}

/// What becomes the command's standard streams.
struct Files {
    output: OwnedFd,
    nothing: OwnedFd,
}

/// How a command ended.
enum Ended {
    With(i32),
    By(Signal),
    /// The process ignores its children's ends, or another part of it has collected this one.
    Unknown,
}

/// A started command, killed with its group if it is given up.
struct Running {
    group: Pid,
    ended: bool,
}

impl Running {
    /// Reads the output until the command has ended.
    fn wait(&mut self, output: &mut Output, wait: &Wait) -> std::result::Result<Ended, String> {
        let mut pause = Duration::from_millis(1);
        loop {
            output.read()?;
            if let Some(ended) = self.look() {
                // What it wrote last. Others may hold its output open, a daemon it started for one.
                output.read()?;
                return Ok(ended);
            }
            if output.closed {
                wait.sleep(pause).map_err(too_long)?;
                pause = std::cmp::min(pause * 2, SLICE);
            } else {
                let _ = wait.limited("a slice", SLICE).ready(output.reader.as_fd(), Interest::Read);
                wait.check().map_err(too_long)?;
            }
        }
    }

    fn look(&mut self) -> Option<Ended> {
        let ended = match waitpid(self.group, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => Ended::With(status),
            Ok(WaitStatus::Signaled(_, signal, _)) => Ended::By(signal),
            Err(Errno::ECHILD) => Ended::Unknown,
            _ => return None,
        };
        self.ended = true;
        Some(ended)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let _ = killpg(self.group, Signal::SIGKILL);
        let wait = Wait::of("last rites", LAST_RITES);
        while self.look().is_none() && wait.sleep(Duration::from_millis(1)).is_ok() {}
    }
}

fn too_long(stop: Stop) -> String {
    match stop {
        Stop::TimedOut(limit) => format!("it took longer than {} s", limit.length.as_secs_f64()),
        Stop::Cancelled => "it was given up".into(),
    }
}

/// What a command writes.
struct Output {
    reader: PipeReader,
    bytes: Zeroizing<Vec<u8>>,
    closed: bool,
}

impl Output {
    fn new(reader: PipeReader) -> Output {
        // All of it at once: a buffer that grows leaves copies behind.
        Output { reader, bytes: Zeroizing::new(Vec::with_capacity(LARGEST_SECRET)), closed: false }
    }

    /// Reads what is there.
    fn read(&mut self) -> std::result::Result<(), String> {
        let mut chunk = Zeroizing::new([0; 4096]);
        while !self.closed {
            match self.reader.read(&mut *chunk) {
                Ok(0) => self.closed = true,
                Ok(count) if self.bytes.len() + count > LARGEST_SECRET => {
                    return Err("it printed more than 64 KiB".into());
                }
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("its output cannot be read: {error}")),
            }
        }
        Ok(())
    }

    fn secret(&self) -> std::result::Result<Secret, String> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| "it printed bytes that are not UTF-8")?;
        match one_line(text) {
            "" => Err("it printed nothing".into()),
            secret => Ok(Secret::new(secret.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background;
    use std::sync::mpsc::channel;
    use std::time::Instant;

    fn command(words: &[&str], limit: Duration) -> SecretCommand {
        let words: Vec<String> = words.iter().map(|word| (*word).into()).collect();
        let environment = std::env::vars_os().chain([("GIVEN".into(), "from the environment".into())]);
        SecretCommand { limit, ..SecretCommand::new(&words, environment.collect()).expect("valid") }
    }

    fn shell(script: &str) -> std::result::Result<String, String> {
        command(&["sh", "-c", script], Duration::from_secs(20)).run().map(|secret| secret.reveal().into())
    }

    #[test]
    fn its_output_is_the_secret_without_one_line_break() {
        for (script, secret) in [
            ("printf secret", "secret"),
            ("echo secret", "secret"),
            ("printf 'secret\\r\\n'", "secret"),
            ("echo ' a b '; echo not this >&2", " a b "),
            ("printf %s \"$GIVEN\"", "from the environment"),
            ("printf a; sleep 0.1; printf b", "ab"),
            ("printf closed; exec >&-; sleep 0.1", "closed"),
        ] {
            assert_eq!(shell(script).as_deref(), Ok(secret), "{script}");
        }
    }

    #[test]
    fn what_it_leaves_behind_is_not_waited_for() {
        let began = Instant::now();
        assert_eq!(shell("printf secret; sleep 15 &").as_deref(), Ok("secret"));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn p13_each_failure_has_its_reason_and_shows_nothing_of_the_output() {
        for (script, reason) in [
            ("echo hidden; exit 3", "it exited with 3"),
            ("echo hidden; kill -9 $$", "it was ended by SIGKILL"),
            ("exit 0", "it printed nothing"),
            ("echo", "it printed nothing"),
            ("printf '\\377hidden'", "it printed bytes that are not UTF-8"),
            ("while :; do echo hidden hidden hidden; done", "it printed more than 64 KiB"),
        ] {
            assert_eq!(shell(script), Err(reason.into()), "{script}");
        }
        let missing = command(&["svctoken-no-such-program"], Duration::from_secs(20)).run();
        assert_eq!(missing.map(|_| ()), Err("there is no such program".into()));
        let folder = command(&["/"], Duration::from_secs(20)).run();
        assert!(folder.expect_err("no program").starts_with("it cannot be started"));
    }

    #[test]
    fn p09_one_that_takes_too_long_is_ended_with_its_children() {
        let folder = std::env::temp_dir().join(format!("svctoken-command-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("child");
        let script = format!("sleep 60 & echo $! > {}.new; mv {0}.new {0}; wait", file.display());
        let began = Instant::now();
        let ended = command(&["sh", "-c", &script], Duration::from_millis(500)).run();
        assert_eq!(ended.map(|_| ()), Err("it took longer than 0.5 s".into()));
        assert!(began.elapsed() < Duration::from_secs(20));
        let child: i32 = std::fs::read_to_string(&file).expect("written").trim().parse().expect("a number");
        let until = Instant::now() + Duration::from_secs(10);
        let lives = || {
            let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            status.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
        };
        while lives() {
            assert!(Instant::now() < until, "the command's child goes on");
            std::thread::yield_now();
        }
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn p08_it_blocks_no_signal_though_our_thread_blocks_all() {
        let (tell, told) = channel();
        background::spawn("svctoken-test", move || {
            let _ = tell.send((SigSet::thread_get_mask(), shell("grep -E '^Sig(Blk|Ign)' /proc/self/status")));
        })
        .expect("a thread");
        let (mask, status) = told.recv_timeout(Duration::from_secs(30)).expect("told");
        assert!(mask.expect("a mask").contains(Signal::SIGTERM));
        let status = status.expect("printed");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            u64::from_str_radix(line.trim(), 16).expect("a mask")
        };
        assert_eq!(of("SigBlk:"), 0, "{status}");
        let is_ignored = |signal: Signal| of("SigIgn:") & (1 << (signal as u32 - 1)) != 0;
        assert!(!is_ignored(Signal::SIGPIPE) && !is_ignored(Signal::SIGCHLD), "{status}");
    }
}
