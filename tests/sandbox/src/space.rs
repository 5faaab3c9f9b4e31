//! One test's own servers: two ports over one state.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::connection;
use crate::http::Request;
use crate::listener::Port;
use crate::peer::{Ended, Ending, Peer};
use crate::proxy;
use crate::rules::Action;
use crate::settings::{Accept, ProxyFault, SettingsError};
use crate::state::{Proxied, State, is_token_endpoint};
use crate::tls::Identities;

/// How soon a waiting connection sees that its client has left.
const HANG_UP_SLICE: Duration = Duration::from_millis(50);

/// As long connections that are told to end are waited for.
const LONGEST_ENDING: Duration = Duration::from_secs(10);
/// No wait is longer, so that a deadline can always be computed.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Servers of one test, made by [`Sandbox::create_space`](crate::Sandbox::create_space). They serve until
/// [`delete`](Space::delete), or until the sandbox is dropped. Every method may be called from any thread.
pub struct Space {
    name: String,
    http: String,
    https: String,
    pub(crate) identities: Arc<Identities>,
    state: Mutex<State>,
    changed: Condvar,
    proxy: String,
    /// HTTP, HTTPS, the proxy. Apart from the state, which accepting threads lock while a port is being closed.
    ports: Mutex<[Port; 3]>,
}

/// How a wait ended, with the report of that moment.
#[derive(Debug)]
pub enum Waited {
    /// Every counter was reached.
    Reached(Value),
    /// The time ran out first.
    TimedOut(Value),
}

/// A token that a space has issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The client it is for.
    pub client: String,
    /// How long ago it was issued, by the space's clock, in whole milliseconds.
    pub age: Duration,
}

/// A counter that no report has, or a value that is not a count; the text names it.
#[derive(Debug)]
pub struct UnknownCounter(String);

impl fmt::Display for UnknownCounter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UnknownCounter {}

impl Space {
    pub(crate) fn open(
        name: String,
        identities: Arc<Identities>,
        settings: &Map<String, Value>,
    ) -> Result<Arc<Self>, SettingsError> {
        let state = State::new(settings)?;
        let port = || Port::reserve().expect("loopback has a free port and this process a free descriptor");
        let [http, https, proxy] = [port(), port(), port()];
        let space = Arc::new(Space {
            name,
            http: format!("http://127.0.0.1:{}", http.number()),
            https: format!("https://localhost:{}", https.number()),
            proxy: format!("127.0.0.1:{}", proxy.number()),
            identities,
            state: Mutex::new(state),
            changed: Condvar::new(),
            ports: Mutex::new([http, https, proxy]),
        });
        space.set_ports();
        Ok(space)
    }

    /// The name in the admin API, like `s1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The origin served in the clear, like `http://127.0.0.1:40001`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// The origin served over TLS, like `https://localhost:40002`.
    pub fn https(&self) -> &str {
        &self.https
    }

    /// Where the proxy is, like `127.0.0.1:40003`: HTTP and SOCKS 5, in the clear and over TLS.
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// Replaces the named settings (a JSON object) and keeps all others, every counter and every connection.
    ///
    /// # Errors
    /// An unknown setting or a wrong value; then nothing has changed.
    pub fn patch(self: &Arc<Self>, changes: &Value) -> Result<(), SettingsError> {
        let changes = changes.as_object().ok_or_else(|| SettingsError("settings are a JSON object".into()))?;
        self.lock().patch(changes)?;
        self.set_ports();
        Ok(())
    }

    /// What came so far: the counters, and the last 1000 requests under `log`.
    pub fn report(&self) -> Value {
        self.lock().report()
    }

    /// Blocks until every counter named in `until` (as in the report; `held` is an object of gates) has reached its
    /// number, for at most `timeout` (a day at most).
    ///
    /// # Errors
    /// A counter that no report has; at once.
    pub fn wait(&self, until: &Map<String, Value>, timeout: Duration) -> Result<Waited, UnknownCounter> {
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        let mut state = self.lock();
        loop {
            if reached(&state, until)? {
                return Ok(Waited::Reached(state.report()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.deleted {
                return Ok(Waited::TimedOut(state.report()));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What is known of a token; `None` if it is not exactly one that was issued here.
    pub fn issued(&self, token: &str) -> Option<Issued> {
        let state = self.lock();
        let issued = state.tokens.find(token)?;
        let age = state.now_ms().saturating_sub(issued.issued_ms);
        Some(Issued { client: issued.owner().client.into(), age: Duration::from_millis(age) })
    }

    /// Lets go every request held at this gate, now and in future.
    pub fn release(&self, gate: &str) {
        self.lock().released.insert(gate.to_owned());
        self.changed.notify_all();
    }

    /// Moves the space's clock (token life, per-minute limit, `Date`) forward, by a hundred years in all at most.
    pub fn advance(&self, by: Duration) {
        self.lock().advance(by);
        self.changed.notify_all();
    }

    /// Makes every token issued so far invalid.
    pub fn revoke_tokens(&self) {
        self.lock().tokens.revoke_all();
        self.changed.notify_all();
    }

    /// Closes every open connection with FIN, those to the proxy too, whatever they are doing, and waits until each has
    /// ended.
    pub fn close_connections(&self) {
        self.end_connections(Peer::order_close);
    }

    /// Closes every open connection with RST, those to the proxy too, whatever they are doing, and waits until each has
    /// ended.
    pub fn reset_connections(&self) {
        self.end_connections(Peer::order_reset);
    }

    fn end_connections(&self, order: fn(&Peer)) {
        let ordered = self.order_all(order);
        let some_live = |_: &mut State| !ordered.iter().all(Ended::is_set);
        let waited = self.changed.wait_timeout_while(self.lock(), LONGEST_ENDING, some_live);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn order_all(&self, order: fn(&Peer)) -> Vec<Ended> {
        let end = |peer: &Arc<Peer>| {
            order(peer);
            peer.ended()
        };
        let ordered = self.lock().all_open().map(end).collect();
        self.changed.notify_all();
        ordered
    }

    /// Stops listening and closes every connection. A deleted space serves nothing any more.
    pub fn delete(&self) {
        self.lock().deleted = true;
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(Port::close);
        self.order_all(Peer::order_close);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens or closes the ports as the settings say.
    fn set_ports(self: &Arc<Self>) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let (servers, proxy) = {
            let state = self.lock();
            let settings = &state.settings;
            let proxy = settings.proxy_fault != Some(ProxyFault::Refuse);
            (!state.deleted && settings.accept != Accept::Refuse, !state.deleted && proxy)
        };
        for (port, (open, what)) in ports.iter_mut().zip([(servers, 0), (servers, 1), (proxy, 2)]) {
            if !open {
                port.close();
                continue;
            }
            let space = Arc::clone(self);
            port.open(move |stream| match what {
                2 => proxy::accept(&space, stream),
                _ => connection::accept(&space, stream, what == 1),
            })
            .expect("the port is reserved for this space");
        }
    }

    /// Takes a connection to the proxy into the books and gives its number there.
    pub(crate) fn register_at_proxy(&self, peer: &Arc<Peer>) -> io::Result<u64> {
        let mut state = self.lock();
        if state.deleted {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.counters.proxy_connections += 1;
        let number = state.counters.proxy_connections;
        state.open_at_proxy.insert(number, Arc::clone(peer));
        drop(state);
        self.changed.notify_all();
        Ok(number)
    }

    pub(crate) fn unregister_at_proxy(&self, number: u64) {
        self.lock().open_at_proxy.remove(&number);
        self.changed.notify_all();
    }

    /// All that is sent at the end of that connection has been sent.
    pub(crate) fn ended(&self, ended: &Ended) {
        let state = self.lock();
        ended.set();
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn log_proxied(&self, proxied: Proxied) {
        self.lock().log_proxied(proxied);
        self.changed.notify_all();
    }

    pub(crate) fn count_tunnel(&self) {
        self.lock().counters.tunnels += 1;
        self.changed.notify_all();
    }

    pub(crate) fn count_forwarded(&self) {
        self.lock().counters.forwarded += 1;
        self.changed.notify_all();
    }

    /// Takes an accepted connection into the books and gives its number.
    pub(crate) fn register(&self, peer: &Arc<Peer>) -> io::Result<u64> {
        let mut state = self.lock();
        if state.deleted {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.counters.connections += 1;
        let number = state.counters.connections;
        state.open.insert(number, Arc::clone(peer));
        drop(state);
        self.changed.notify_all();
        Ok(number)
    }

    pub(crate) fn unregister(&self, connection: u64) {
        self.lock().open.remove(&connection);
        self.changed.notify_all();
    }

    /// Counts a connection whose FIN or RST has left, or whose client was gone.
    pub(crate) fn count_closed(&self) {
        self.lock().counters.closed_connections += 1;
        self.changed.notify_all();
    }

    /// What is to be done with a request, of which the head was read.
    pub(crate) fn choose(&self, request: &Request) -> Arc<Action> {
        self.lock().choose(request).unwrap_or_default()
    }

    pub(crate) fn admit(&self, connection: u64, tls: bool, certificate: bool, request: &Request) -> Admitted<'_> {
        let number = self.lock().admit(connection, tls, certificate, request);
        self.changed.notify_all();
        Admitted { space: self, number, is_token_request: is_token_endpoint(&request.path) }
    }

    /// Lets time pass on a connection.
    pub(crate) fn pause(&self, peer: &Peer, duration: Duration) -> Result<(), Ending> {
        let deadline = Instant::now() + duration.min(LONGEST_WAIT);
        self.wait_on(peer, self.lock(), Some(deadline), |_| false).map(drop)
    }

    /// Holds a connection until its gate is released.
    pub(crate) fn hold(&self, peer: &Peer, gate: &str) -> Result<(), Ending> {
        let mut state = self.lock();
        if state.released.contains(gate) {
            return Ok(());
        }
        *state.held.entry(gate.to_owned()).or_default() += 1;
        self.changed.notify_all();
        let outcome = self.wait_on(peer, state, None, |state| state.released.contains(gate)).map(drop);
        if let Some(held) = self.lock().held.get_mut(gate) {
            *held -= 1;
        }
        self.changed.notify_all();
        outcome
    }

    /// Keeps a connection silent until its client leaves or it is told to end.
    pub(crate) fn stall(&self, peer: &Peer) -> Ending {
        match self.wait_on(peer, self.lock(), None, |_| false) {
            Err(ending) => ending,
            Ok(_) => Ending::Close,
        }
    }

    fn wait_on<'a>(
        &self,
        peer: &Peer,
        mut state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
        done: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>, Ending> {
        loop {
            if let Some(order) = peer.ordered() {
                return Err(order);
            }
            if done(&state) {
                return Ok(state);
            }
            let mut slice = HANG_UP_SLICE;
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(state);
                }
                slice = slice.min(left);
            }
            if peer.hung_up() {
                return Err(Ending::Gone);
            }
            state = self.changed.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn reached(state: &State, until: &Map<String, Value>) -> Result<bool, UnknownCounter> {
    let count = |name: &str, value: &Value| {
        value.as_u64().ok_or_else(|| UnknownCounter(format!("{name}: expected a count, got {value}")))
    };
    let mut all = true;
    for (name, value) in until {
        if name == "held" {
            let gates = value.as_object().ok_or_else(|| UnknownCounter("held: expected an object of gates".into()))?;
            for (gate, value) in gates {
                all &= state.held.get(gate).copied().unwrap_or(0) >= count(gate, value)?;
            }
        } else {
            let current = state.counter(name).ok_or_else(|| UnknownCounter(format!("{name}: no such counter")))?;
            all &= current >= count(name, value)?;
        }
    }
    Ok(all)
}

/// A request that was read and counted, and is not answered yet.
pub(crate) struct Admitted<'a> {
    space: &'a Space,
    pub(crate) number: u64,
    is_token_request: bool,
}

impl Admitted<'_> {
    /// To be called just before the first byte of the answer: who has read it must find it in the report.
    pub(crate) fn answering(self, status: u16) {
        self.space.lock().log_status(self.number, status);
        // What the request did is counted too by now.
        self.space.changed.notify_all();
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if self.is_token_request {
            self.space.lock().counters.token_requests_now -= 1;
        }
    }
}
