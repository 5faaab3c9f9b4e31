//! Names to addresses: cached, and looked up on a short-lived thread, because the system's look-up cannot be
//! cancelled.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::background;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::wait::{Event, Wait};

/// Shorter than what a failover by DNS takes to be noticed elsewhere, long enough to cost nothing.
const KEPT_FOR: Duration = Duration::from_secs(30);
const MOST_NAMES: usize = 1000;

type Name = (String, u16);
type Outcome = std::result::Result<Vec<SocketAddr>, String>;

#[derive(Default)]
pub(crate) struct Resolver {
    names: Arc<Mutex<Names>>,
}

#[derive(Default)]
struct Names {
    known: HashMap<Name, Known>,
    /// One at a time for a name, however many callers wait for it and whether they leave: while a name server is
    /// silent, each would leave a thread behind.
    under_way: UnderWay,
}

type UnderWay = HashMap<Name, Weak<LookUp>>;

impl Names {
    /// Keeps the addresses, and puts the one that is preferred first.
    fn learn(&mut self, name: Name, addresses: &mut Vec<SocketAddr>) {
        if addresses.is_empty() {
            return;
        }
        if self.known.len() >= MOST_NAMES {
            self.known.clear();
        }
        let preferred = self.known.get(&name).and_then(|known| known.preferred);
        let mut known = Known { addresses: addresses.clone(), since: Instant::now(), preferred: None };
        if let Some(address) = preferred {
            known.prefer(address);
            addresses.clone_from(&known.addresses);
        }
        self.known.insert(name, known);
    }
}

#[derive(Clone)]
struct Known {
    addresses: Vec<SocketAddr>,
    since: Instant,
    /// Comes first, because it answered when those before it did not.
    preferred: Option<SocketAddr>,
}

impl Known {
    fn prefer(&mut self, address: SocketAddr) {
        if let Some(place) = self.addresses.iter().position(|known| *known == address) {
            self.addresses[..=place].rotate_right(1);
            self.preferred = Some(address);
        }
    }
}

struct LookUp {
    done: Option<Event>,
    outcome: OnceLock<Outcome>,
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
        self.resolve_by(system, (host.to_string(), port), wait)
    }

    fn resolve_by(&self, find: fn(&Name) -> Outcome, name: Name, wait: &Wait) -> Result<Vec<SocketAddr>> {
        let (look_up, known) = {
            let mut names = lock(&self.names);
            let known = names.known.get(&name).cloned();
            if let Some(known) = known.as_ref().filter(|known| known.since.elapsed() < KEPT_FOR) {
                return Ok(known.addresses.clone());
            }
            (self.look_up(&mut names.under_way, find, &name)?, known)
        };
        let outcome = wait
            .until_set(look_up.done.as_ref(), &look_up.outcome)
            .map_err(|stop| stop.into_error(Stage::Resolving, &format!("looking up the host name {}", name.0)))?;
        match (outcome, known) {
            (Ok(addresses), _) if !addresses.is_empty() => Ok(addresses.clone()),
            // The name server is away: the last known addresses are better than none.
            (_, Some(known)) => Ok(known.addresses),
            (outcome, None) => {
                let why = outcome.as_ref().err().map_or("it has no address", String::as_str);
                let what = format!("the host name {} could not be resolved: {why}", name.0);
                Err(Error::new(ErrorCode::ResolveFailed, Stage::Resolving, what))
            }
        }
    }

    /// The look-up that is under way, or a new one.
    fn look_up(&self, under_way: &mut UnderWay, find: fn(&Name) -> Outcome, name: &Name) -> Result<Arc<LookUp>> {
        let unfinished = |look_up: &Arc<LookUp>| look_up.outcome.get().is_none();
        if let Some(look_up) = under_way.get(name).and_then(Weak::upgrade).filter(unfinished) {
            return Ok(look_up);
        }
        under_way.retain(|_, look_up| look_up.strong_count() > 0);
        let look_up = Arc::new(LookUp { done: Event::new(), outcome: OnceLock::new() });
        let (asked, shared, names) = (name.clone(), look_up.clone(), self.names.clone());
        background::spawn("svctoken-name", move || {
            let mut outcome = find(&asked);
            if let Ok(addresses) = &mut outcome {
                lock(&names).learn(asked, addresses);
            }
            let _ = shared.outcome.set(outcome);
            if let Some(done) = &shared.done {
                done.set();
            }
        })
        .map_err(|error| {
            let what = format!("no thread for the look-up of {}: {error}", name.0);
            Error::new(ErrorCode::Internal, Stage::Resolving, what)
        })?;
        under_way.insert(name.clone(), Arc::downgrade(&look_up));
        Ok(look_up)
    }

    /// Puts an address first that answered when those before it did not.
    pub(crate) fn prefer(&self, host: &str, port: u16, address: SocketAddr) {
        if let Some(known) = lock(&self.names).known.get_mut(&(host.to_string(), port)) {
            known.prefer(address);
        }
    }

    /// Drops what is known of a host, because none of its addresses answered.
    pub(crate) fn forget(&self, host: &str, port: u16) {
        lock(&self.names).known.remove(&(host.to_string(), port));
    }
}

fn lock(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

fn system((host, port): &Name) -> Outcome {
    (host.as_str(), *port).to_socket_addrs().map(Iterator::collect).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    fn name() -> Name {
        ("api.example".into(), 443)
    }

    #[test]
    fn p08_callers_who_leave_a_silent_name_server_leave_one_thread_behind() {
        static LOOK_UPS: AtomicU32 = AtomicU32::new(0);
        static ANSWER: OnceLock<()> = OnceLock::new();
        let silent = |_: &Name| {
            LOOK_UPS.fetch_add(1, Ordering::SeqCst);
            ANSWER.wait();
            Ok(vec![SocketAddr::from(([192, 0, 2, 1], 443))])
        };
        let resolver = Resolver::default();
        for _ in 0..20 {
            let wait = Wait::of("timeout", Duration::from_millis(1));
            let error = resolver.resolve_by(silent, name(), &wait).expect_err("no answer yet");
            assert_eq!(error.code(), ErrorCode::Timeout);
        }
        let addresses = thread::scope(|scope| {
            let patient = || resolver.resolve_by(silent, name(), &Wait::of("timeout", Duration::from_secs(10)));
            let waiting: Vec<_> = (0..10).map(|_| scope.spawn(patient)).collect();
            ANSWER.get_or_init(|| ());
            waiting.into_iter().map(|thread| thread.join().expect("no panic").expect("an address")).collect::<Vec<_>>()
        });
        assert_eq!(addresses.len(), 10);
        assert_eq!(LOOK_UPS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_last_known_addresses_serve_while_the_name_server_fails() {
        let resolver = Resolver::default();
        let wait = Wait::of("timeout", Duration::from_secs(10));
        let works = |_: &Name| Ok(vec![SocketAddr::from(([192, 0, 2, 1], 443))]);
        let fails = |_: &Name| Err("out of order".to_string());
        let error = resolver.resolve_by(fails, name(), &wait).expect_err("nothing known");
        assert!(error.code() == ErrorCode::ResolveFailed && error.what().contains("out of order"), "{error}");
        let found = resolver.resolve_by(works, name(), &wait).expect("found");
        assert_eq!(resolver.resolve_by(fails, name(), &wait).expect("not asked again yet"), found);
        let old = Instant::now().checked_sub(KEPT_FOR).expect("a machine that has been up for half a minute");
        lock(&resolver.names).known.get_mut(&name()).expect("known").since = old;
        assert_eq!(resolver.resolve_by(fails, name(), &wait).expect("the last known"), found);
        resolver.forget("api.example", 443);
        assert!(resolver.resolve_by(fails, name(), &wait).is_err());
    }

    #[test]
    fn what_answered_in_the_place_of_others_comes_first_as_long_as_it_is_there() {
        let resolver = Resolver::default();
        let wait = Wait::of("timeout", Duration::from_secs(10));
        let address = |last| SocketAddr::from(([192, 0, 2, last], 443));
        let three = |_: &Name| Ok([1, 2, 3].map(|last| SocketAddr::from(([192, 0, 2, last], 443))).to_vec());
        let without = |_: &Name| Ok([2, 1].map(|last| SocketAddr::from(([192, 0, 2, last], 443))).to_vec());
        let grow_old = || {
            let old = Instant::now().checked_sub(KEPT_FOR).expect("a machine that has been up for half a minute");
            lock(&resolver.names).known.get_mut(&name()).expect("known").since = old;
        };
        assert_eq!(resolver.resolve_by(three, name(), &wait).expect("found"), [1, 2, 3].map(address));
        resolver.prefer("api.example", 443, address(3));
        resolver.prefer("api.example", 443, address(9));
        assert_eq!(resolver.resolve_by(three, name(), &wait).expect("known"), [3, 1, 2].map(address));
        grow_old();
        assert_eq!(resolver.resolve_by(three, name(), &wait).expect("found anew"), [3, 1, 2].map(address));
        grow_old();
        assert_eq!(resolver.resolve_by(without, name(), &wait).expect("found anew"), [2, 1].map(address));
    }
}
