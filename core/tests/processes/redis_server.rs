//! A Redis or Valkey of a test's own, from this machine's packages, to which everything may happen.

use std::env;
use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::machine::tell;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{FromRedisValue, ToRedisArgs};

pub(crate) struct RedisServer {
    program: &'static str,
    port: u16,
    options: Vec<String>,
    folder: PathBuf,
    process: Option<Child>,
}

impl RedisServer {
    /// `None`, and loudly so, where this machine has none; in CI it must.
    pub(crate) fn start(options: &[&str]) -> Option<RedisServer> {
        let Some(program) = ["valkey-server", "redis-server"].into_iter().find(|program| is_installed(program)) else {
            assert!(env::var_os("CI").is_none(), "CI needs valkey-server or redis-server");
            tell("SKIPPED: neither valkey-server nor redis-server is installed");
            return None;
        };
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("svctoken-redis-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder).expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let options = options.iter().map(ToString::to_string).collect();
        let mut server = RedisServer { program, port, options, folder, process: None };
        server.run();
        Some(server)
    }

    /// Starts it, again if it ran before; with nothing of what it knew.
    pub(crate) fn run(&mut self) {
        let mut command = Command::new(self.program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "notice"]);
        if !self.options.iter().any(|option| option == "--port") {
            command.args(["--port", &self.port.to_string()]);
        }
        command.args(self.options.iter().map(|option| option.replace("PORT", &self.port.to_string())));
        let command = command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it is installed");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("Ready to accept connections") {
            assert!(output.read_line(&mut said).expect("text") > 0, "{} ended: {said}", self.program);
        }
        thread::spawn(move || output.read_to_end(&mut Vec::new()));
        self.process = Some(process);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.as_ref().expect("it runs").id()).expect("process ids are that small");
        kill(Pid::from_raw(id), signal).expect("it is ours");
    }

    /// What it answers to a command, by the redis crate's own client.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &str, arguments: &[impl ToRedisArgs]) -> T {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_connection().expect("it runs");
        redis::cmd(command).arg(arguments).query(&mut connection).expect("it obeys")
    }

    pub(crate) fn tell(&self, command: &str, arguments: &[&str]) {
        self.ask::<redis::Value>(command, arguments);
    }

    /// The keys that end so; records' keys have no ending.
    pub(crate) fn keys(&self, ending: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.ask("KEYS", &["*"]);
        let has_ending = |key: &String| match ending {
            "" => key.matches(':').count() == 1 && !key.contains('.'),
            ending => key.ends_with(ending),
        };
        keys.retain(has_ending);
        keys
    }

    /// The only record's key.
    pub(crate) fn record(&self) -> String {
        let mut keys = self.keys("");
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.remove(0)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.folder).expect("ours");
    }
}

fn is_installed(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| Path::new(&folder).join(program).exists())
}

/// A port that hands each connection to `serve`.
pub(crate) fn relay(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    serve_each(listener, serve);
    port
}

/// Hands each connection to `serve`, on threads of the network that the caller's thread is in.
pub(crate) fn serve_each(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) {
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
}

/// Carries bytes both ways between a connection and that port, the answers as late as that.
pub(crate) fn forward(stream: TcpStream, port: u16, late: Duration) {
    let server = TcpStream::connect(("127.0.0.1", port)).expect("it runs");
    let (mut asking, mut asked) =
        (stream.try_clone().expect("a descriptor"), server.try_clone().expect("a descriptor"));
    thread::spawn(move || {
        let _ = std::io::copy(&mut asking, &mut asked);
        // So that the other way ends too.
        let _ = asked.shutdown(Shutdown::Both);
    });
    let (mut answering, mut answered) = (server, stream);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = answering.read(&mut buffer) {
        thread::sleep(late);
        if answered.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = answered.shutdown(Shutdown::Both);
}
