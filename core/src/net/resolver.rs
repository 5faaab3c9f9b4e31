//! Names to addresses: cached, and looked up on a short-lived thread, because the system's look-up cannot be
//! cancelled.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::background;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::wait::{Event, Wait};

/// Shorter than what a failover by DNS takes to be noticed elsewhere, long enough to cost nothing.
const KEPT_FOR: Duration = Duration::from_secs(30);
const MOST_NAMES: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Resolver {
    known: Mutex<HashMap<(String, u16), Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    since: Instant,
}

struct LookUp {
    done: Option<Event>,
    outcome: OnceLock<std::result::Result<Vec<SocketAddr>, String>>,
}

impl Resolver {
    /// The addresses of a host (without brackets), never empty.
    pub(crate) fn resolve(&self, host: &str, port: u16, wait: &Wait) -> Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        // RFC 6761 section 6.3: localhost is this machine, whatever a name server says.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
                SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
            ]);
        }
        let key = (host.to_string(), port);
        let known = self.known().get(&key).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.since.elapsed() < KEPT_FOR) {
            return Ok(known.addresses.clone());
        }
        match look_up(host, port, wait)? {
            Ok(addresses) if !addresses.is_empty() => {
                let mut names = self.known();
                if names.len() >= MOST_NAMES {
                    names.clear();
                }
                names.insert(key, Known { addresses: addresses.clone(), since: Instant::now() });
                Ok(addresses)
            }
            failed => match known {
                // The name server is away: the last known addresses are better than none.
                Some(known) => Ok(known.addresses),
                None => {
                    let why = failed.err().unwrap_or_else(|| "it has no address".into());
                    let what = format!("the host name {host} could not be resolved: {why}");
                    Err(Error::new(ErrorCode::ResolveFailed, Stage::Resolving, what))
                }
            },
        }
    }

    /// Drops what is known of a host, because none of its addresses answered.
    pub(crate) fn forget(&self, host: &str, port: u16) {
        self.known().remove(&(host.to_string(), port));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, u16), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outer error is the wait's end or ours, the inner one the look-up's.
fn look_up(host: &str, port: u16, wait: &Wait) -> Result<std::result::Result<Vec<SocketAddr>, String>> {
    let look_up = Arc::new(LookUp { done: Event::new(), outcome: OnceLock::new() });
    let (name, shared) = (host.to_string(), look_up.clone());
    background::spawn("svctoken-name", move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect).map_err(|error| error.to_string());
        let _ = shared.outcome.set(found);
        if let Some(done) = &shared.done {
            done.set();
        }
    })
    .map_err(|error| {
        Error::new(ErrorCode::Internal, Stage::Resolving, format!("no thread for the look-up of {host}: {error}"))
    })?;
    wait.until_set(look_up.done.as_ref(), &look_up.outcome)
        .map_err(|stop| stop.into_error(Stage::Resolving, &format!("looking up the host name {host}")))
        .cloned()
}
