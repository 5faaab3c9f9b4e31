//! Building the library and C programs, and running them with a time limit.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

/// The system libraries that the static library needs, as `svctoken.pc` and the README tell; compared with what rustc
/// says.
pub(crate) const NATIVE_STATIC_LIBS: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace").into()
}

/// A folder for what these tests make.
pub(crate) fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("svctoken-c");
    fs::create_dir_all(&folder).expect("a writable target folder");
    folder
}

/// A path for a program; never the same twice, because tests run at the same time.
fn program_path(source: &Path) -> PathBuf {
    static PROGRAMS: AtomicU32 = AtomicU32::new(0);
    let number = PROGRAMS.fetch_add(1, Ordering::Relaxed);
    let name = source.file_stem().expect("a source has a name").to_string_lossy();
    scratch().join(format!("{name}-{number}"))
}

/// A folder with the libraries under the names that they have when installed.
pub(crate) fn libraries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("inside the target folder");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--package", "svctoken-c", "--target-dir"]).arg(target).current_dir(root());
        succeed(cargo, MINUTES);
        let folder = scratch().join("lib");
        fs::create_dir_all(&folder).expect("a writable target folder");
        for (built, installed) in [
            ("libsvctoken.so", "libsvctoken.so.0.1"),
            ("libsvctoken.so", "libsvctoken.so"),
            ("libsvctoken.a", "libsvctoken.a"),
        ] {
            fs::copy(target.join("debug").join(built), folder.join(installed)).expect("a library that was just built");
        }
        folder
    })
}

/// For compilers, and programs that run many times slower than usual.
pub(crate) const MINUTES: Duration = Duration::from_secs(300);
/// For programs that take a second or two.
pub(crate) const SECONDS: Duration = Duration::from_secs(60);

/// The compiler for a program, named by its file in `tests/c` or by an absolute path, with the flags that every one
/// must bear.
fn compiler(source: &Path) -> Command {
    let cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let mut compiler = Command::new(if cpp { "g++" } else { "gcc" });
    compiler.arg(if cpp { "-std=c++17" } else { "-std=c11" });
    compiler.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread", "-I"]).arg(root().join("include"));
    compiler.arg(root().join("ffi-c/tests/c").join(source));
    compiler
}

/// Compiles a program against the shared library; returns its path.
pub(crate) fn shared_program(source: impl AsRef<Path>) -> PathBuf {
    let program = program_path(source.as_ref());
    let mut compiler = compiler(source.as_ref());
    compiler.arg("-L").arg(libraries()).arg("-lsvctoken").arg("-o").arg(&program);
    compiler.arg(format!("-Wl,-rpath,{}", libraries().display()));
    succeed(compiler, MINUTES);
    program
}

/// Compiles a program against the static library, with gcc's address and undefined behaviour sanitizers.
pub(crate) fn sanitized_program(source: impl AsRef<Path>) -> PathBuf {
    let program = program_path(source.as_ref());
    let mut compiler = compiler(source.as_ref());
    compiler.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    compiler.arg(libraries().join("libsvctoken.a")).args(NATIVE_STATIC_LIBS.split(' ')).arg("-o").arg(&program);
    succeed(compiler, MINUTES);
    program
}

/// A folder of the user's caches that is not there yet, and never the same twice: tokens of a program are nobody else's.
fn caches() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    static COMMANDS: AtomicU32 = AtomicU32::new(0);
    let folder = FOLDER.get_or_init(|| {
        let folder = scratch().join("caches");
        // Of an earlier run, and missing in the first.
        let _ = fs::remove_dir_all(&folder);
        folder
    });
    folder.join(COMMANDS.fetch_add(1, Ordering::Relaxed).to_string())
}

/// A command without any variable of ours, but for those given.
pub(crate) fn command(program: impl AsRef<OsStr>, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("SVCTOKEN_") || name.starts_with("MONGODB_ATLAS_") {
            command.env_remove(&*name);
        }
    }
    command.env("XDG_CACHE_HOME", caches()).envs(variables.iter().copied());
    command
}

/// Runs a command that must succeed within the limit; returns what it wrote to standard output.
pub(crate) fn succeed(command: Command, limit: Duration) -> String {
    let shown = format!("{command:?}");
    let output = run(command, limit);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// Runs a command that must end within the limit.
pub(crate) fn run(mut command: Command, limit: Duration) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    finish(child.unwrap_or_else(|error| panic!("{command:?}: {error}")), limit)
}

/// Waits for a child; kills it, by its id, when the limit is over.
pub(crate) fn finish(child: Child, limit: Duration) -> Output {
    let id = child.id().to_string();
    let (done, outcome) = mpsc::channel();
    // Detached: it ends with the child, which the limit ends at the latest.
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match outcome.recv_timeout(limit) {
        Ok(output) => output.expect("a child of ours can be waited for"),
        Err(_) => {
            signal("KILL", &id);
            panic!("process {id} did not end within {limit:?}");
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, id: &str) {
    let sent = Command::new("kill").args(["-s", name, id]).status().expect("kill is part of every system");
    assert!(sent.success(), "no signal {name} to {id}");
}
