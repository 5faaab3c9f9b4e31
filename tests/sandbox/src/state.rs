//! What one space knows and has counted: everything behind its one lock.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::assertion::Used;
use crate::date::imf_fixdate;
use crate::http::Request;
use crate::peer::Peer;
use crate::rules::Action;
use crate::settings::{Settings, SettingsError};
use crate::tokens::{Issued, Owner, Tokens, token_answer};

/// Requests the report remembers.
const LOG_ENTRIES: usize = 1000;
/// A clock is never moved further than a hundred years, which keeps every sum of times in range.
const FURTHEST_ADVANCE_MS: u64 = 100 * 365 * 86_400_000;
/// Bytes of a body the report shows.
const LOGGED_BODY: usize = 64 * 1024;

pub(crate) struct State {
    pub(crate) settings: Settings,
    settings_json: Map<String, Value>,
    pub(crate) tokens: Tokens,
    pub(crate) counters: Counters,
    log: VecDeque<Entry>,
    started: Instant,
    started_unix_ms: u64,
    advanced_ms: u64,
    pub(crate) held: BTreeMap<String, u64>,
    pub(crate) released: HashSet<String>,
    pub(crate) open: HashMap<u64, Arc<Peer>>,
    /// Times of the token requests that the per-minute limit counted, by client.
    token_request_times: HashMap<String, VecDeque<u64>>,
    /// Name and organisation of the projects that were created over the API.
    pub(crate) created_projects: Vec<(String, String)>,
    pub(crate) used_assertions: Used,
    pub(crate) open_at_proxy: HashMap<u64, Arc<Peer>>,
    pub(crate) proxied: VecDeque<Proxied>,
    pub(crate) deleted: bool,
}

/// What the proxy was asked for.
pub(crate) struct Proxied {
    pub(crate) kind: &'static str,
    /// To the proxy itself.
    pub(crate) tls: bool,
    pub(crate) certificate: bool,
    pub(crate) target: String,
    /// User and password, with a colon between.
    pub(crate) credential: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) token_requests: u64,
    pub(crate) metadata_requests: u64,
    pub(crate) mints: u64,
    pub(crate) revocations: u64,
    pub(crate) sessions_ended: u64,
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    /// What is sent at the end of these has been sent.
    pub(crate) closed_connections: u64,
    pub(crate) proxy_connections: u64,
    pub(crate) tunnels: u64,
    pub(crate) forwarded: u64,
    pub(crate) token_requests_now: u64,
    pub(crate) most_token_requests_at_once: u64,
}

struct Entry {
    number: u64,
    connection: u64,
    tls: bool,
    certificate: bool,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
    body_length: u64,
    body_sha256: String,
    status: u16,
    token: Option<u64>,
}

impl State {
    pub(crate) fn new(settings: &Map<String, Value>) -> Result<Self, SettingsError> {
        Ok(State {
            settings: Settings::from_json(settings)?,
            settings_json: settings.clone(),
            tokens: Tokens::default(),
            counters: Counters::default(),
            log: VecDeque::new(),
            started: Instant::now(),
            started_unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            advanced_ms: 0,
            held: BTreeMap::new(),
            released: HashSet::new(),
            open: HashMap::new(),
            token_request_times: HashMap::new(),
            created_projects: Vec::new(),
            used_assertions: Used::default(),
            open_at_proxy: HashMap::new(),
            proxied: VecDeque::new(),
            deleted: false,
        })
    }

    /// Replaces the named settings. Rules that are not among them go on counting.
    pub(crate) fn patch(&mut self, changes: &Map<String, Value>) -> Result<(), SettingsError> {
        let mut merged = self.settings_json.clone();
        merged.extend(changes.clone());
        let before = std::mem::replace(&mut self.settings, Settings::from_json(&merged)?);
        self.settings_json = merged;
        if !changes.contains_key("rules") {
            self.settings.rules = before.rules;
        }
        Ok(())
    }

    /// The space's own clock, in milliseconds since 1970: the host's when the space was made, from there on steady.
    pub(crate) fn now_ms(&self) -> u64 {
        self.started_unix_ms + self.started.elapsed().as_millis() as u64 + self.advanced_ms
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.advanced_ms = self.advanced_ms.saturating_add(by).min(FURTHEST_ADVANCE_MS);
    }

    /// What the `Date` header says.
    pub(crate) fn date(&self) -> String {
        imf_fixdate(((self.now_ms() / 1000) as i64).saturating_add(self.settings.date_offset_s))
    }

    /// What a rule wants done with a request, of which the head was read.
    pub(crate) fn choose(&mut self, request: &Request) -> Option<Arc<Action>> {
        self.settings.rules.choose(&request.method, &request.path, request.expects_continue())
    }

    /// Counts and logs a request that was read.
    pub(crate) fn admit(&mut self, connection: u64, tls: bool, certificate: bool, request: &Request) -> u64 {
        self.counters.requests += 1;
        if is_token_endpoint(&request.path) {
            self.counters.token_requests += 1;
            self.counters.token_requests_now += 1;
            self.counters.most_token_requests_at_once =
                self.counters.most_token_requests_at_once.max(self.counters.token_requests_now);
        }
        if request.path.contains("/.well-known/") {
            self.counters.metadata_requests += 1;
        }
        if self.log.len() == LOG_ENTRIES {
            self.log.pop_front();
        }
        self.log.push_back(Entry {
            number: self.counters.requests,
            connection,
            tls,
            certificate,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: String::from_utf8_lossy(&request.body[..request.body.len().min(LOGGED_BODY)]).into_owned(),
            body_length: request.body_length,
            body_sha256: request.body_sha256.clone(),
            status: 0,
            token: request.bearer().and_then(|text| self.tokens.find(text)).map(|token| token.ordinal),
        });
        self.counters.requests
    }

    pub(crate) fn log_proxied(&mut self, proxied: Proxied) {
        if self.proxied.len() == LOG_ENTRIES {
            self.proxied.pop_front();
        }
        self.proxied.push_back(proxied);
    }

    pub(crate) fn log_status(&mut self, number: u64, status: u16) {
        if let Some(entry) = self.entry(number) {
            entry.status = status;
        }
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let index = number.checked_sub(self.log.front()?.number)?;
        self.log.get_mut(index as usize)
    }

    /// Issues a token to `owner`, or gives the living one again where the settings say so. Returns the answer's body,
    /// `server_fields` being the members that only this kind of server adds.
    pub(crate) fn mint(
        &mut self,
        request: u64,
        owner: Owner<'_>,
        expires_in: &Value,
        server_fields: &[(&str, Value)],
    ) -> Value {
        let now = self.now_ms();
        let lifetime = self.settings.lifetime_ms(expires_in);
        let reused = if self.settings.same_token { self.tokens.living_of(owner, now) } else { None };
        let ordinal = match reused {
            Some(token) => token.ordinal,
            None => self.tokens.issue(owner, self.settings.token_length, now, lifetime),
        };
        self.counters.mints += 1;
        if let Some(entry) = self.entry(request) {
            entry.token = Some(ordinal);
        }
        token_answer(&self.settings, expires_in, self.tokens.text(ordinal), server_fields)
    }

    /// Counts a token request of this client within the limit, or tells after how many seconds one would be let in.
    pub(crate) fn admit_token_request(&mut self, client: &str, per_minute: usize) -> Result<(), u64> {
        let now = self.now_ms();
        let times = self.token_request_times.entry(client.to_owned()).or_default();
        while times.front().is_some_and(|time| time + 60_000 <= now) {
            times.pop_front();
        }
        if times.len() < per_minute {
            times.push_back(now);
            return Ok(());
        }
        let free_at = times.front().map_or(now + 60_000, |oldest| oldest + 60_000);
        Err((free_at - now).div_ceil(1000))
    }

    /// Whether the request carries a token that is alive.
    pub(crate) fn has_living_token(&self, request: &Request) -> bool {
        self.living_token(request).is_some()
    }

    pub(crate) fn living_token(&self, request: &Request) -> Option<&Issued> {
        self.tokens.find(request.bearer()?).filter(|token| token.lives(self.now_ms()))
    }

    /// Every open connection, those to the proxy too.
    pub(crate) fn all_open(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.open.values().chain(self.open_at_proxy.values())
    }

    /// A counter of the report by its name there.
    pub(crate) fn counter(&self, name: &str) -> Option<u64> {
        Some(match name {
            "token_requests" => self.counters.token_requests,
            "metadata_requests" => self.counters.metadata_requests,
            "mints" => self.counters.mints,
            "revocations" => self.counters.revocations,
            "sessions_ended" => self.counters.sessions_ended,
            "requests" => self.counters.requests,
            "connections" => self.counters.connections,
            "open_connections" => self.open.len() as u64,
            "closed_connections" => self.counters.closed_connections,
            "proxy_connections" => self.counters.proxy_connections,
            "tunnels" => self.counters.tunnels,
            "forwarded" => self.counters.forwarded,
            "living_tokens" => self.tokens.living(self.now_ms()) as u64,
            "max_living_tokens" => self.tokens.most_living() as u64,
            "max_token_requests_at_once" => self.counters.most_token_requests_at_once,
            _ => return None,
        })
    }

    pub(crate) fn report(&self) -> Value {
        let log: Vec<Value> = self.log.iter().map(Entry::to_json).collect();
        let proxy_log: Vec<Value> = self.proxied.iter().map(Proxied::to_json).collect();
        json!({
            "token_requests": self.counters.token_requests,
            "metadata_requests": self.counters.metadata_requests,
            "mints": self.counters.mints,
            "revocations": self.counters.revocations,
            "sessions_ended": self.counters.sessions_ended,
            "requests": self.counters.requests,
            "connections": self.counters.connections,
            "open_connections": self.open.len(),
            "closed_connections": self.counters.closed_connections,
            "living_tokens": self.tokens.living(self.now_ms()),
            "max_living_tokens": self.tokens.most_living(),
            "max_token_requests_at_once": self.counters.most_token_requests_at_once,
            "held": self.held,
            "proxy_connections": self.counters.proxy_connections,
            "tunnels": self.counters.tunnels,
            "forwarded": self.counters.forwarded,
            "proxy_log": proxy_log,
            "log": log,
        })
    }
}

impl Proxied {
    fn to_json(&self) -> Value {
        json!({
            "kind": self.kind,
            "tls": self.tls,
            "certificate": self.certificate,
            "target": self.target,
            "credential": self.credential,
            "headers": self.headers,
        })
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        json!({
            "n": self.number,
            "connection": self.connection,
            "tls": self.tls,
            "certificate": self.certificate,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
            "body_length": self.body_length,
            "body_sha256": self.body_sha256,
            "status": self.status,
            "token": self.token,
        })
    }
}

/// Atlas's and every realm's.
pub(crate) fn is_token_endpoint(path: &str) -> bool {
    let realm_token = path
        .strip_prefix("/auth")
        .unwrap_or(path)
        .strip_prefix("/realms/")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, rest)| rest == "protocol/openid-connect/token");
    path == "/api/oauth/token" || realm_token
}
