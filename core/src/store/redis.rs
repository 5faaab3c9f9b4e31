//! The same records, locks and ledgers on a Redis or Valkey, for those who outgrow one machine.
//!
//! The redis crate speaks the protocol; the connections are our own, so that a deadline and a cancel end every wait, and
//! a forked child forgets them. Each step is one script on one key: it happens whole or not at all, and whatever is
//! replaced or removed is compared first. No clock but the server's is asked, and only for what is left of a time.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Parser, Value};
use rustls::pki_types::CertificateDer;

use crate::clock::{self, BootTime};
use crate::config::redis_address::RedisAddress;
use crate::crypto::{hex, random_bytes, sha256};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::fork::{Owned, PerProcess};
use crate::net::resolver::Resolver;
use crate::net::stream::Stream;
use crate::net::tcp::Socket;
use crate::net::tls::{TlsSocket, Trust};
use crate::registry::Registry;
use crate::secret::Secret;
use crate::store::{self, Content, Kept, Tried, Which};
use crate::wait::Wait;

/// What one step may take, its connection included: nobody's call is to suffer from a Redis that does not answer.
const STEP: Duration = Duration::from_secs(1);
/// How long one that did not answer is left alone.
const REST: Duration = Duration::from_secs(5);
/// What a lock lasts beyond the attempt it is for, so that its holder can write what it got.
const BEYOND_ATTEMPT: Duration = Duration::from_secs(5);
/// Connections kept for the next step; more are made when more threads come at once.
const MOST_IDLE: usize = 4;
/// No answer of ours is larger.
const LARGEST_ANSWER: usize = 128 * 1024;

const READ: &str = "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";

const REPLACE: &str = "
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

const LOCK: &str = "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 'locked' end
return redis.call('PTTL', KEYS[1])";

const UNLOCK: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Entries that cannot be right are ignored: those of the future, and more than the budget.
const ENTER: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local budget, window = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
local sent = redis.call('ZCARD', KEYS[1])
if sent >= budget then
  local first = redis.call('ZRANGE', KEYS[1], sent - budget, sent - budget, 'WITHSCORES')[2]
  return math.max(1, first + window - now)
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], window)
return 0";

/// A Redis. Clones share its connections, as do all stores of one process at one address.
#[derive(Clone)]
pub(crate) struct RedisStore(Arc<Server>);

struct Server {
    address: RedisAddress,
    extra_authorities: Vec<CertificateDer<'static>>,
    connections: PerProcess<Connections>,
}

/// One process's connections to a server, and what they are made with.
struct Connections {
    names: Resolver,
    trust: Trust,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// It did not answer: until then nobody asks, and this is why.
    resting: Option<(BootTime, String)>,
}

static SERVERS: Registry<[u8; 32], Server> = Registry::new();

/// A lock held by this process, given back when dropped. A forked child leaves it to its parent.
pub(crate) struct Lock {
    store: RedisStore,
    key: String,
    owner: String,
    process: u32,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // One that cannot be given back ends by itself.
            let _ = self.store.ask::<i64>(script(UNLOCK, &self.key).arg(&self.owner), &Wait::of("cache", STEP));
        }
    }
}

impl RedisStore {
    /// The server at that address. No network is used yet.
    pub(crate) fn at(
        address: &RedisAddress,
        extra_authorities: &[CertificateDer<'static>],
    ) -> std::result::Result<RedisStore, String> {
        let make = || Server {
            address: address.clone(),
            extra_authorities: extra_authorities.to_vec(),
            connections: PerProcess::new(),
        };
        Ok(RedisStore(SERVERS.get(fingerprint(address, extra_authorities), make, |_| false)))
    }

    pub(crate) fn read(&self, name: &str, wait: &Wait) -> std::result::Result<Option<Kept>, String> {
        let asked = clock::now();
        let (bytes, left): (Option<Vec<u8>>, i64) = self.ask(&script(READ, &record_key(name)), wait)?;
        // Without an end to its time, somebody else wrote it.
        let left = u64::try_from(left).ok().map(Duration::from_millis);
        Ok(bytes.zip(left).map(|(bytes, left)| Kept { bytes, left: Some((asked, left)) }))
    }

    /// Replaces a record if it is still the one that was `present`.
    pub(crate) fn replace(
        &self,
        name: &str,
        content: &Content,
        present: Option<&[u8]>,
        wait: &Wait,
    ) -> std::result::Result<bool, String> {
        let mut replace = script(REPLACE, &record_key(name));
        replace.arg(present.unwrap_or_default()).arg(&content.bytes).arg(milliseconds(content.kept_for));
        self.ask(&replace, wait).map(|replaced: i64| replaced == 1)
    }

    pub(crate) fn try_lock(
        &self,
        name: &str,
        which: Which,
        attempt: Duration,
        wait: &Wait,
    ) -> std::result::Result<Tried, String> {
        let suffix = match which {
            Which::First => "lock",
            Which::Second => "lock2",
        };
        let key = format!("svctoken:{name}:{suffix}");
        let owner = hex(&random_bytes::<16>().ok_or("this machine has no randomness")?);
        let lasts = milliseconds(attempt + BEYOND_ATTEMPT);
        match self.ask(script(LOCK, &key).arg(&owner).arg(lasts), wait)? {
            Value::Int(left) => {
                let left = u64::try_from(left).ok().map(Duration::from_millis);
                Ok(Tried::Busy(left.map(|left| clock::now() + left - BEYOND_ATTEMPT)))
            }
            _ => {
                let lock = Lock { store: self.clone(), key, owner, process: std::process::id() };
                Ok(Tried::Locked(store::Lock::Redis { _held: lock }))
            }
        }
    }

    /// Enters a token request that is about to leave, at most `budget` in `window`; or tells how long it has to wait.
    pub(crate) fn enter(
        &self,
        ledger: &str,
        budget: u32,
        window: Duration,
        wait: &Wait,
    ) -> std::result::Result<Option<Duration>, String> {
        let entry = hex(&random_bytes::<16>().ok_or("this machine has no randomness")?);
        let mut enter = script(ENTER, &format!("svctoken:{ledger}"));
        let delay: u64 = self.ask(enter.arg(budget).arg(milliseconds(window)).arg(entry), wait)?;
        Ok((delay > 0).then(|| Duration::from_millis(delay)))
    }

    /// Sends a command and reads its answer.
    fn ask<T: FromRedisValue>(&self, command: &Cmd, wait: &Wait) -> std::result::Result<T, String> {
        let connections = self.connections();
        let mut connection = {
            let mut state = lock(&connections.state);
            match &state.resting {
                Some((until, why)) if clock::now() < *until => return Err(why.clone()),
                _ => state.resting = None,
            }
            state.idle.pop()
        };
        // One that ended while it was idle tells nothing of the server.
        if connection.as_mut().is_some_and(|connection| !connection.is_quiet()) {
            connection = None;
        }
        let step = wait.limited("cache", STEP);
        let answered = match connection {
            Some(connection) => Ok(connection),
            None => self.connect(&connections, &step),
        };
        let answered = answered.and_then(|mut connection| Ok((connection.ask(command, &step)?, connection)));
        let mut state = lock(&connections.state);
        match answered {
            Ok((answer, connection)) => {
                if state.idle.len() < MOST_IDLE {
                    state.idle.push(connection);
                }
                let read = answer.extract_error().and_then(|answer| Ok(redis::from_redis_value(answer)?));
                read.map_err(|error| format!("{} answers {error}", self.0.address))
            }
            Err(error) => {
                let why = format!("{}: {}", self.0.address, error.what());
                // Whoever left early may have left too early.
                let left = error.code() == ErrorCode::Cancelled || wait.check().is_err();
                if !left {
                    state.idle.clear();
                    state.resting = Some((clock::now() + REST, why.clone()));
                }
                Err(why)
            }
        }
    }

    fn connections(&self) -> Arc<Owned<Connections>> {
        self.0.connections.get(|| Connections {
            names: Resolver::default(),
            trust: Trust::new(self.0.extra_authorities.clone(), None),
            state: Mutex::default(),
        })
    }

    fn connect(&self, connections: &Connections, wait: &Wait) -> Result<Connection> {
        let RedisAddress { origin, user, password, database } = &self.0.address;
        let addresses = connections.names.resolve(origin.bare_host(), origin.port, wait)?;
        let (socket, _) = Socket::connect(&addresses, &self.0.address.to_string(), wait)?;
        let mut stream = Stream::Plain(socket);
        if self.0.address.is_encrypted() {
            let tls = TlsSocket::handshake(stream, origin.bare_host(), &connections.trust, wait)?;
            stream = Stream::Tls(Box::new(tls));
        }
        let mut connection = Connection { stream, answers: Parser::new() };
        if let Some(password) = password {
            let mut log_in = redis::cmd("AUTH");
            user.iter().for_each(|user| {
                log_in.arg(user);
            });
            connection.must(log_in.arg(password.reveal()), wait)?;
        }
        if *database > 0 {
            connection.must(redis::cmd("SELECT").arg(*database), wait)?;
        }
        Ok(connection)
    }
}

/// One connection. After an error it is of no use any more: an answer may still come.
struct Connection {
    stream: Stream,
    answers: Parser,
}

impl Connection {
    fn ask(&mut self, command: &Cmd, wait: &Wait) -> Result<Value> {
        self.stream.write_all(&command.get_packed_command(), wait)?;
        let mut incoming = Incoming { stream: &mut self.stream, wait, left: LARGEST_ANSWER, error: None };
        let answer = self.answers.parse_value(&mut incoming);
        let why = incoming.error;
        answer.map_err(|error| why.unwrap_or_else(|| bad_answer(format!("no answer of a Redis: {error}"))))
    }

    /// Asks for what nothing can go on without.
    fn must(&mut self, command: &Cmd, wait: &Wait) -> Result<()> {
        let answer = self.ask(command, wait)?.extract_error();
        answer.map(drop).map_err(|error| bad_answer(format!("it answers {error}")))
    }

    fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }
}

/// The bytes of one answer, for the parser; keeps the socket's own error.
struct Incoming<'a> {
    stream: &'a mut Stream,
    wait: &'a Wait,
    left: usize,
    error: Option<Error>,
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.error = Some(bad_answer(format!("an answer of more than {LARGEST_ANSWER} bytes")));
            return Err(io::Error::other("too large"));
        }
        let most = buffer.len().min(self.left);
        match self.stream.read(&mut buffer[..most], self.wait) {
            Ok(count) => {
                self.left -= count;
                Ok(count)
            }
            Err(error) => {
                self.error = Some(error);
                Err(io::Error::other("the socket failed"))
            }
        }
    }
}

fn bad_answer(what: String) -> Error {
    Error::new(ErrorCode::BadAnswer, Stage::Receiving, what)
}

/// Which server, and as whom; held in memory only.
fn fingerprint(address: &RedisAddress, extra_authorities: &[CertificateDer<'static>]) -> [u8; 32] {
    let password = address.password.as_ref().map(Secret::reveal);
    let mut parts = vec![address.to_string().into_bytes(), address.database.to_string().into_bytes()];
    parts.extend([address.user.as_deref(), password].map(|part| part.unwrap_or_default().as_bytes().to_vec()));
    parts.extend(extra_authorities.iter().map(|certificate| certificate.to_vec()));
    sha256(&parts.iter().flat_map(|part| sha256(part)).collect::<Vec<_>>())
}

/// A script on one key; its further arguments follow.
fn script(text: &str, key: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(1).arg(key);
    command
}

fn record_key(name: &str) -> String {
    format!("svctoken:{name}")
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
