//! A Redis or Valkey of this program's own, from the machine's packages.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

pub(crate) struct Redis {
    process: Child,
    pub(crate) url: String,
}

impl Redis {
    /// `None` where this machine has none.
    pub(crate) fn start() -> Result<Option<Redis>, String> {
        let unused = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = unused.map_err(|error| error.to_string())?.port().to_string();
        let mut options = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"].to_vec();
        options.extend(["--loglevel", "notice"]);
        let start = |program| Command::new(program).args(&options).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let Ok(process) = start("valkey-server").or_else(|_| start("redis-server")) else { return Ok(None) };
        let mut redis = Redis { process, url: format!("redis://127.0.0.1:{port}") };
        let output = BufReader::new(redis.process.stdout.take().expect("the output is piped"));
        // It says little afterwards, which the pipe holds.
        match output.lines().map_while(Result::ok).find(|line| line.contains("Ready to accept connections")) {
            Some(_) => Ok(Some(redis)),
            None => Err("the Redis ended before it was ready".to_owned()),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
