//! Holding a contest: the contestants take turns, so that a busy machine hurts all of them, and medians are compared.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::json;
use svctoken_runner::sandbox::{Sandbox, Space};

const CLIENT_ID: &str = "mdb_sa_id_0123456789abcdef01234567";
const CLIENT_SECRET: &str = "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox";
/// Turns of each contestant.
const ROUNDS: usize = 15;
/// A turn of calls lasts at least so long, so that starting and stopping the clocks counts for nothing.
const TURN: Duration = Duration::from_millis(20);

/// A kind of contest.
pub(crate) struct Contest {
    pub(crate) title: &'static str,
    pub(crate) how: How,
    pub(crate) tls: bool,
    pub(crate) entries: &'static [Entry],
    pub(crate) targets: &'static [Target],
}

/// What a turn is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Many calls in a process that goes on.
    Calls,
    /// A process from its start to its end.
    Processes,
}

/// A contestant.
pub(crate) struct Entry {
    pub(crate) label: &'static str,
    /// `rust`, `c`, `curl`, `python` or `node`.
    pub(crate) program: &'static str,
    pub(crate) what: &'static str,
    pub(crate) cache: Cache,
}

/// Where its token is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    /// In the file that all contestants share, where an earlier process has put it.
    Shared,
    /// Nowhere: it is requested.
    None,
}

/// Two entries by their places, and how they should compare.
pub(crate) struct Target {
    pub(crate) of: usize,
    pub(crate) to: usize,
    pub(crate) measure: Measure,
    pub(crate) at_most: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The ratio of the times from start to end.
    Time,
    /// The ratio of user and system times of the process.
    Cpu,
    /// The difference of these, in milliseconds.
    MoreCpu,
}

/// Nanoseconds a call, or a process.
#[derive(Clone, Copy, Default)]
struct Sample {
    time: f64,
    cpu: f64,
}

/// The programs and their server.
pub(crate) struct Place {
    folder: PathBuf,
    ca_file: PathBuf,
    // Ends with this value, after its space.
    space: Space,
    _sandbox: Sandbox,
}

impl Place {
    /// `folder` has what tests/bench/run has built; the sandbox's program is beside this one.
    pub(crate) fn new(folder: &str) -> Result<Place, String> {
        let folder = std::path::absolute(folder).map_err(|error| format!("{folder}: {error}"))?;
        let ca_file = folder.join("ca.pem");
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let sandbox = Sandbox::start(&own.with_file_name("svctoken-sandbox"), &ca_file)?;
        let space = sandbox.space(&json!({}), Instant::now() + Duration::from_secs(10))?;
        Ok(Place { folder, ca_file, space, _sandbox: sandbox })
    }

    fn command(&self, entry: &Entry, tls: bool) -> Result<Command, String> {
        let mut command = match entry.program {
            "c" => Command::new(self.folder.join("bench-c")),
            "curl" => Command::new(self.folder.join("bench-curl")),
            "python" => {
                let mut python = Command::new(self.folder.join("venv/bin/python"));
                python.arg("tests/bench/programs/bench.py");
                python
            }
            "node" => {
                let mut node = Command::new("node");
                node.arg("tests/bench/programs/bench.mjs");
                node.env("NAPI_RS_NATIVE_LIBRARY_PATH", self.folder.join("svctoken.node"));
                node
            }
            _ => Command::new(std::env::current_exe().map_err(|error| error.to_string())?),
        };
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.arg(entry.what).env("XDG_CACHE_HOME", self.folder.join("caches"));
        command.env("MONGODB_ATLAS_CLIENT_ID", CLIENT_ID).env("MONGODB_ATLAS_CLIENT_SECRET", CLIENT_SECRET);
        command.env("MONGODB_ATLAS_BASE_URL", if tls { &self.space.https } else { &self.space.http });
        command.env("SVCTOKEN_CA_FILE", &self.ca_file).env("NODE_EXTRA_CA_CERTS", &self.ca_file);
        if entry.cache == Cache::None {
            command.env("SVCTOKEN_CACHE", "memory").env("SVCTOKEN_MINT_BUDGET", "1000000");
        }
        Ok(command)
    }

    fn token_requests(&self) -> Result<u64, String> {
        let report = self.space.report(Instant::now() + Duration::from_secs(10))?;
        report["token_requests"].as_u64().ok_or_else(|| format!("no count in {report}"))
    }
}

impl Contest {
    /// Holds it and prints the result; returns how many targets were not met.
    pub(crate) fn hold(&self, place: &Place) -> Result<usize, String> {
        self.check()?;
        println!("{} ({})", self.title, if self.how == How::Calls { "µs a call" } else { "ms a process" });
        println!("  {:<48}{:>10}{:>10}", "", "time", "CPU");
        let medians = match self.how {
            How::Calls => self.calls(place)?,
            How::Processes => self.processes(place)?,
        };
        let scale = if self.how == How::Calls { 1e3 } else { 1e6 };
        for (entry, median) in self.entries.iter().zip(&medians) {
            match median {
                Ok(Sample { time, cpu }) => {
                    println!("  {:<48}{:>10.3}{:>10.3}", entry.label, time / scale, cpu / scale);
                }
                Err(why) => println!("  {:<48}SKIPPED: {why}", entry.label),
            }
        }
        let missed = self.targets.iter().filter(|target| !target.tell(self.entries, &medians)).count();
        println!();
        Ok(missed)
    }

    /// A target compares svctoken with another of its language: the places in the table may have slipped.
    fn check(&self) -> Result<(), String> {
        for Target { of, to, .. } in self.targets {
            let (of, to) = (&self.entries[*of], &self.entries[*to]);
            let language = |entry: &Entry| entry.label.split_once(':').map(|(language, _)| language);
            if language(of) != language(to)
                || of.label == to.label
                || !["token", "request", "stream", "import"].contains(&of.what)
            {
                return Err(format!("table.rs compares {} with {}", of.label, to.label));
            }
        }
        Ok(())
    }

    fn calls(&self, place: &Place) -> Result<Vec<Result<Sample, String>>, String> {
        let mut contestants = Vec::new();
        for entry in self.entries {
            contestants.push(Contestant::start(place.command(entry, self.tls)?, entry.label)?);
        }
        let mut samples = vec![Vec::new(); contestants.len()];
        for _ in 0..ROUNDS {
            for (contestant, samples) in contestants.iter_mut().zip(&mut samples) {
                if let Ok(contestant) = contestant {
                    samples.push(contestant.turn()?);
                }
            }
        }
        let medians = contestants.into_iter().zip(samples);
        Ok(medians.map(|(contestant, samples)| contestant.map(|_| median(samples))).collect())
    }

    fn processes(&self, place: &Place) -> Result<Vec<Result<Sample, String>>, String> {
        let mut samples = vec![Ok(Vec::new()); self.entries.len()];
        // The first round warms the page cache and the shared file, and does not count.
        for round in 0..=ROUNDS {
            let before = place.token_requests()?;
            let mut minted = 0;
            for (entry, samples) in self.entries.iter().zip(&mut samples) {
                let Ok(measured) = samples else { continue };
                match process(place.command(entry, self.tls)?, entry.label)? {
                    Ok(sample) if round > 0 => measured.push(sample),
                    Ok(_) => {}
                    Err(why) => *samples = Err(why),
                }
                minted += u64::from(entry.cache == Cache::None);
            }
            let requested = place.token_requests()? - before;
            if round > 0 && requested != minted {
                return Err(format!("{requested} token requests instead of {minted}: the shared file was not used"));
            }
        }
        Ok(samples.into_iter().map(|samples| samples.map(median)).collect())
    }
}

impl Target {
    /// Prints the comparison; true unless a target was missed.
    fn tell(&self, entries: &[Entry], medians: &[Result<Sample, String>]) -> bool {
        let (Ok(of), Ok(to)) = (&medians[self.of], &medians[self.to]) else { return true };
        let (value, unit) = match self.measure {
            Measure::Time => (of.time / to.time, "× the time of"),
            Measure::Cpu => (of.cpu / to.cpu, "× the CPU of"),
            Measure::MoreCpu => ((of.cpu - to.cpu) / 1e6, "ms CPU more than"),
        };
        let met = self.at_most.is_none_or(|at_most| value <= at_most);
        let verdict = match self.at_most {
            Some(at_most) => format!("target {at_most}: {}", if met { "met" } else { "NOT MET" }),
            None => String::new(),
        };
        let compared = format!("{} {value:.3} {unit} {}", entries[self.of].label, entries[self.to].label);
        println!("    {compared:<92} {verdict}");
        met
    }
}

/// A process that makes calls when it is told to, and measures itself.
struct Contestant {
    label: &'static str,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    calls: u64,
}

impl Contestant {
    /// Started, warm, and knowing how many calls make a turn; or what it lacks.
    fn start(mut command: Command, label: &'static str) -> Result<Result<Contestant, String>, String> {
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.map_err(|error| format!("{label} does not start: {error}"))?;
        let (input, output) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        let mut contestant = Contestant { label, process, input, output: BufReader::new(output), calls: 1 };
        let line = contestant.line()?;
        if let Some(what) = line.strip_prefix("missing: ") {
            return Ok(Err(what.to_owned()));
        }
        if line != "ready" {
            return Err(format!("{label} said {line:?}"));
        }
        while contestant.turn()?.time * (contestant.calls as f64) < TURN.as_nanos() as f64 {
            contestant.calls *= 2;
        }
        Ok(Ok(contestant))
    }

    fn turn(&mut self) -> Result<Sample, String> {
        let calls = self.calls;
        writeln!(self.input, "{calls}").map_err(|error| format!("{}: {error}", self.label))?;
        let line = self.line()?;
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [time, cpu] => Ok(Sample { time: time / calls as f64, cpu: cpu / calls as f64 }),
            _ => Err(format!("{} said {line:?}", self.label)),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).map_err(|error| format!("{}: {error}", self.label))?;
        if read == 0 {
            return Err(format!("{} ended early", self.label));
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a process to its end; or tells what it lacks.
fn process(mut command: Command, label: &str) -> Result<Result<Sample, String>, String> {
    let before = cpu_of_children()?;
    let began = Instant::now();
    let child = command.arg("--once").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("{label} does not start: {error}"))?;
    let mut output = String::new();
    let read = child.stdout.take().expect("piped").read_to_string(&mut output);
    let status = child.wait().map_err(|error| format!("{label}: {error}"))?;
    let time = began.elapsed().as_nanos() as f64;
    read.map_err(|error| format!("{label}: {error}"))?;
    if !status.success() {
        return Err(format!("{label} ended with {status}"));
    }
    if let Some(what) = output.strip_prefix("missing: ") {
        return Ok(Err(what.trim_end().to_owned()));
    }
    Ok(Ok(Sample { time, cpu: cpu_of_children()? - before }))
}

fn cpu_of_children() -> Result<f64, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 * 1e3)
}

fn median(mut samples: Vec<Sample>) -> Sample {
    let mut middle = |of: fn(&Sample) -> f64| {
        samples.sort_by(|a, b| of(a).total_cmp(&of(b)));
        samples.get(samples.len() / 2).map_or(0.0, of)
    };
    Sample { time: middle(|sample| sample.time), cpu: middle(|sample| sample.cpu) }
}
