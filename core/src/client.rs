//! The client: what a program holds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::background;
use crate::config::Config;
use crate::config::environment::Environment;
use crate::config::preset::Preset;
use crate::config::settings::{Cache, Server, Settings, TokenSource};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::fork::{Owned, PerProcess};
use crate::http::{HeaderMap, HttpClient, Network};
use crate::log::{Log, LogHook};
use crate::request::{self, AfterReceive, BeforeSend, Hooks, RequestBuilder};
use crate::stats::{RequestCounters, Stats, TokenCounts};
use crate::store::Store;
use crate::store::file::FileStore;
use crate::store::redis::RedisStore;
use crate::token::{Directory, Hold, Refusal, Secrets, Shared, Slot, Token, Tools};
use crate::wait::{CallOptions, Wait};

/// Gets tokens and makes requests with them.
///
/// Clones are cheap and share everything. A client may be used from any number of threads at once, and in a forked
/// child, which gets connections of its own. Clients with the same options share one token in a process.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// What every request has unless its call says otherwise.
    default_headers: HeaderMap,
    network: Arc<Network>,
    /// Where the token is, unless that may change with the secret.
    slot: Option<Arc<Slot>>,
    /// `None` where a ready token was given.
    secrets: Option<Arc<Secrets>>,
    log: Log,
    hooks: Hooks,
    http: PerProcess<HttpClient>,
    http_for_strangers: PerProcess<HttpClient>,
    counters: RequestCounters,
    /// The paths of which it was said that they are deprecated.
    deprecated: PerProcess<Mutex<HashSet<String>>>,
    closed: AtomicBool,
}

/// Of so many paths of one client it is said that they are deprecated: programs put ids into paths.
const MOST_DEPRECATED: usize = 256;

/// Options for a client; ended by [`build`](ClientBuilder::build), [`atlas`](ClientBuilder::atlas),
/// [`keycloak`](ClientBuilder::keycloak) or [`from_env`](ClientBuilder::from_env).
#[derive(Clone, Default)]
#[must_use = "a builder makes no client until it is ended"]
pub struct ClientBuilder {
    pub(crate) config: Config,
    environment: Environment,
    log: Log,
    hooks: Hooks,
}

impl ClientBuilder {
    /// Without any option.
    pub fn new() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Options set by name, as bindings do.
    pub fn from_config(config: Config) -> ClientBuilder {
        ClientBuilder { config, ..ClientBuilder::default() }
    }

    /// Reads environment variables from there instead of the process.
    pub fn environment(mut self, environment: Environment) -> ClientBuilder {
        self.environment = environment;
        self
    }

    /// Gets the client's log events, beside the `log` crate. A token request is told to the client that began it.
    pub fn on_log(mut self, hook: LogHook) -> ClientBuilder {
        self.log = Log::new(Some(hook));
        self
    }

    /// Has `hook` called before each request, for headers such as traceparent; see [`BeforeSend`].
    pub fn before_send(mut self, hook: BeforeSend) -> ClientBuilder {
        self.hooks.before_send = Some(hook);
        self
    }

    /// Has `hook` called with each answer; see [`AfterReceive`].
    pub fn after_receive(mut self, hook: AfterReceive) -> ClientBuilder {
        self.hooks.after_receive = Some(hook);
        self
    }

    /// Ends with what was given: the environment is not read.
    pub fn build(self) -> Result<Client> {
        self.preset(&Preset::Plain)
    }

    /// Ends as a client of MongoDB Atlas; see [`Client::atlas`].
    pub fn atlas(self) -> Result<Client> {
        self.preset(&Preset::Atlas)
    }

    /// Ends as a client of a Keycloak realm. `base_url` is the API, and by default the Keycloak server itself.
    pub fn keycloak(self, server_url: impl Into<String>, realm: impl Into<String>) -> Result<Client> {
        self.preset(&Preset::Keycloak { server_url: server_url.into(), realm: realm.into() })
    }

    /// Ends with what the environment says beside what was given; see [`Client::from_env`].
    pub fn from_env(self) -> Result<Client> {
        self.preset(&Preset::FromEnvironment)
    }

    /// Ends as a client of that kind.
    ///
    /// Fails with `invalid_configuration` or `credential_unavailable`, naming the option. No network is used.
    pub fn preset(self, preset: &Preset) -> Result<Client> {
        let settings = preset.resolve(self.config, &self.environment)?;
        let default_headers = request::default_headers(&settings)?;
        let network = Network::from_settings(&settings)?;
        let (slot, secrets) = match &settings.tokens {
            TokenSource::Grant(grant) => {
                let directory = Directory::of(grant, settings.ca_file.as_deref());
                let store = open_store(&settings.cache, &network, &self.log);
                let secrets = Secrets::new(grant.clone(), directory, store);
                (secrets.only_slot(), Some(Arc::new(secrets)))
            }
            TokenSource::Ready(token) => (Some(Slot::ready(token)), None),
        };
        Ok(Client(Arc::new(Inner {
            settings,
            default_headers,
            network,
            slot,
            secrets,
            log: self.log,
            hooks: self.hooks,
            http: PerProcess::new(),
            http_for_strangers: PerProcess::new(),
            counters: RequestCounters::default(),
            deprecated: PerProcess::new(),
            closed: AtomicBool::new(false),
        })))
    }
}

/// The store that a client shares with other processes. A folder that cannot be used fails nobody: it is said, and
/// memory serves.
fn open_store(cache: &Cache, network: &Network, log: &Log) -> Option<Store> {
    let opened = match cache {
        Cache::Memory => return None,
        Cache::File(folder) => folder.clone().and_then(|folder| FileStore::open(&folder)).map(Store::File),
        Cache::Redis(address) => RedisStore::at(address, &network.extra_authorities).map(Store::Redis),
    };
    opened.inspect_err(|why| log.cache_unavailable(why)).ok()
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientBuilder").field(&self.config).finish()
    }
}

impl Client {
    /// Options first.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A client of MongoDB Atlas, from `MONGODB_ATLAS_CLIENT_ID`, `MONGODB_ATLAS_CLIENT_SECRET` and, where it is not
    /// `https://cloud.mongodb.com`, `MONGODB_ATLAS_BASE_URL`; `SVCTOKEN_*` wins over these.
    pub fn atlas() -> Result<Client> {
        Client::builder().atlas()
    }

    /// A client of the server with that issuer identifier, written as the server writes it: its metadata (RFC 8414, OpenID
    /// Connect Discovery 1.0) names its endpoints, and is asked for when the first token is. Everything else comes from
    /// the environment: `SVCTOKEN_` and an option's name in upper case. [`ClientBuilder::issuer`] is the same as an
    /// option.
    pub fn issuer(issuer: impl Into<String>) -> Result<Client> {
        Client::builder().preset(&Preset::Issuer { issuer: issuer.into() })
    }

    /// A client from the environment alone: `SVCTOKEN_` and an option's name in upper case, times in seconds. If
    /// `MONGODB_ATLAS_CLIENT_ID` is set, as [`Client::atlas`].
    pub fn from_env() -> Result<Client> {
        Client::builder().from_env()
    }

    /// The access token: from memory while it is fresh, requested where it is not.
    ///
    /// Blocks only when a token is to be waited for, at most for the client's `timeout`.
    pub fn get_token(&self) -> Result<Token> {
        match self.fresh_token() {
            Some(token) => Ok(token),
            None => self.get_token_with(&CallOptions::default()),
        }
    }

    /// As [`get_token`](Client::get_token), with a timeout and a cancel of its own.
    pub fn get_token_with(&self, options: &CallOptions) -> Result<Token> {
        self.token(&self.wait_for_call(options)?)
    }

    fn wait_for_call(&self, options: &CallOptions) -> Result<Wait> {
        self.check_open()?;
        if options.timeout == Some(Duration::ZERO) {
            return Err(Error::argument("timeout must be above zero"));
        }
        Ok(Wait::for_call(options, self.0.settings.timeout))
    }

    /// The token if it is in memory and fresh; never blocks. About as cheap as reading the clock.
    pub fn fresh_token(&self) -> Option<Token> {
        if self.0.closed.load(Ordering::Relaxed) {
            return None;
        }
        self.fresh()
    }

    fn fresh(&self) -> Option<Token> {
        match &self.0.slot {
            Some(slot) => slot.fresh(),
            None => self.0.secrets.as_ref()?.fresh(),
        }
    }

    /// For hosts that must not block a thread: the token as [`get_token`](Client::get_token) would return it without
    /// waiting, `None` if it would wait. `refreshing`: another call of the host's is about to wait for a refresh, so
    /// that this one need not.
    pub fn token_without_waiting(&self, refreshing: bool) -> Option<Token> {
        if self.0.closed.load(Ordering::Relaxed) {
            return None;
        }
        match &self.0.slot {
            Some(slot) => slot.without_waiting(refreshing),
            None => self.0.secrets.as_ref()?.without_waiting(refreshing),
        }
    }

    /// How long a call may take that brings no timeout of its own.
    pub fn timeout(&self) -> Duration {
        self.0.settings.timeout
    }

    /// Says that a server refused this token with a 401, for those who send it themselves.
    ///
    /// True if it was the current token: it will be replaced by the next call that needs one. False if another has
    /// taken its place already, and then nothing happens; and false in a hold, which the refusal of a token that has
    /// just replaced a refused one opens.
    pub fn invalidate_token(&self, token: &str) -> bool {
        // Asking a Redis would make the caller wait, who may have no thread to wait on: what others have done since is
        // found by the call that needs the next token.
        if self.shared().is_some_and(|shared| !shared.is_remote()) {
            self.look(&Wait::of("timeout", self.0.settings.timeout));
        }
        let Some(slot) = self.slot() else { return false };
        let refusal = slot.invalidate(token);
        self.share_hold(&slot, refusal);
        self.told(refusal)
    }

    /// Revokes the access token at the server (RFC 7009) and forgets it: the one in memory, or where there is none the
    /// one this client shares with other processes. None is requested in order to be revoked.
    ///
    /// True if there was one; false, and nothing is done, if not. If a refresh token came with it (old Keycloak servers
    /// open a session for each token), that is revoked too, which ends the session; it serves for nothing else. A token
    /// that another call or process has fetched meanwhile stays. Other processes that hold the revoked token notice by their next 401. A program that wants its
    /// token gone calls this before [`close`](Client::close), which never revokes.
    ///
    /// Blocks, at most for the client's `timeout`. Fails with `invalid_configuration` without a `revocation_url`, with
    /// `credential_unavailable` with a ready access token, and with what the server says; the token then stays. Where the
    /// server may have revoked it all the same (the connection was lost, the time was over, a 5xx other than 503), it is
    /// not used any more, and the next call of `revoke` is about it again, until another token comes.
    pub fn revoke(&self) -> Result<bool> {
        self.revoke_with(&CallOptions::default())
    }

    /// As [`revoke`](Client::revoke), with a timeout and a cancel of its own.
    pub fn revoke_with(&self, options: &CallOptions) -> Result<bool> {
        let wait = self.wait_for_call(options)?;
        let secrets = self.secrets("a ready access_token cannot be revoked")?;
        let tools = self.tools();
        let in_use = secrets.in_use(&tools, &wait)?;
        in_use.slot.revoke(&secrets.minting(&in_use, &tools), &wait)
    }

    /// What the server is asked with, or why what is wanted cannot be.
    fn secrets(&self, cannot: &str) -> Result<&Arc<Secrets>> {
        self.0.secrets.as_ref().ok_or_else(|| {
            let what = format!("{cannot}: there is no credential to ask with");
            Error::new(ErrorCode::CredentialUnavailable, Stage::Argument, what)
                .with_next_step("Give client_id and client_secret instead of access_token.")
        })
    }

    /// What the server knows of an access token (RFC 7662): of the given one, or if it is `None` of the current one, which
    /// is got as [`get_token`](Client::get_token) gets it.
    ///
    /// The answer has at least `active`, a boolean; which claims else is the server's business. A token that is not
    /// active is no error, and nothing follows from it here: some servers say so to clients the token is not for.
    ///
    /// Blocks, at most for the client's `timeout`. Fails with `invalid_configuration` without an `introspection_url`, with
    /// `credential_unavailable` with a ready access token, with `bad_answer` if the answer has no `active`, with the
    /// errors of getting a token, and with what the server says.
    pub fn introspect(&self, token: Option<&str>) -> Result<serde_json::Value> {
        self.introspect_with(token, &CallOptions::default())
    }

    /// As [`introspect`](Client::introspect), with a timeout and a cancel of its own.
    pub fn introspect_with(&self, token: Option<&str>, options: &CallOptions) -> Result<serde_json::Value> {
        let text = self.introspect_text(token, options)?;
        Ok(serde_json::from_str(&text).expect("it was read as JSON before"))
    }

    /// As [`introspect_with`](Client::introspect_with), as the JSON text the server wrote, for hosts that have a JSON
    /// of their own.
    pub fn introspect_text(&self, token: Option<&str>, options: &CallOptions) -> Result<String> {
        let wait = self.wait_for_call(options)?;
        let secrets = self.secrets("a token cannot be introspected with a ready access_token")?;
        if token == Some("") {
            return Err(Error::argument("token must not be empty"));
        }
        let tools = self.tools();
        let minting = secrets.minting(&*secrets.in_use(&tools, &wait)?, &tools);
        minting.check_introspection()?;
        match token {
            Some(token) => minting.introspect(token, &wait),
            None => minting.introspect(self.token(&wait)?.as_str(), &wait),
        }
    }

    /// Forgets the token in this process and in the store, what failed before, what an issuer said of its endpoints, and
    /// the hold: the next call requests a token, and with no delay but the server's own Retry-After and the budget, which stay. For those who have changed
    /// something at the server.
    ///
    /// The server is not asked, and the token stays good; see [`revoke`](Client::revoke). Other processes go on with the
    /// one they have in memory. A token request under way goes on, and its token is kept. With a ready access token
    /// there is nothing to forget.
    ///
    /// Fails with `cache` if the store could not be written; this process has forgotten the token all the same. A secret
    /// that is not known yet is asked for, at most for the client's `timeout`: it names the store's record.
    pub fn clear_cache(&self) -> Result<()> {
        self.check_open()?;
        let Some(secrets) = &self.0.secrets else { return Ok(()) };
        secrets.clear(&self.tools(), &Wait::of("timeout", self.0.settings.timeout))?;
        self.0.log.cache_cleared();
        Ok(())
    }

    /// A request with the token: `path_or_url` is a path on `base_url`'s origin, or a URL of it or of one of
    /// `allowed_origins`.
    pub fn request<'a>(
        &'a self,
        method: impl Into<Cow<'a, str>>,
        path_or_url: impl Into<Cow<'a, str>>,
    ) -> RequestBuilder<'a> {
        RequestBuilder::new(self, method.into(), path_or_url.into())
    }

    /// The client identifier, for log lines; `None` with a ready access token.
    pub fn client_id(&self) -> Option<&str> {
        self.0.secrets.as_ref().map(|secrets| secrets.template().credential.client_id.as_str())
    }

    /// The token endpoint, for log lines; `None` with a ready access token, and while an issuer was not yet asked for it.
    pub fn token_url(&self) -> Option<String> {
        self.0.secrets.as_ref().and_then(|secrets| secrets.directory().token_url())
    }

    /// The issuer, for log lines, if it is that by which the server is known.
    pub fn issuer_identifier(&self) -> Option<&str> {
        match &self.0.secrets.as_ref()?.template().server {
            Server::Issuer(issuer) => Some(&issuer.text),
            Server::TokenUrl(_) => None,
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        let tokens = match (&self.0.slot, &self.0.secrets) {
            (Some(slot), _) => TokenCounts::of(&slot.counters),
            (None, Some(secrets)) => secrets.counts(),
            (None, None) => TokenCounts::default(),
        };
        Stats::of(tokens, &self.0.counters)
    }

    /// Refuses further calls of this client and its clones with `closed`. Calls in progress end as they would; the
    /// token stays for other clients, and at the server: see [`revoke`](Client::revoke).
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.0.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorCode::Closed, Stage::Argument, "the client was closed"));
        }
        Ok(())
    }

    pub(crate) fn default_headers(&self) -> &HeaderMap {
        &self.0.default_headers
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn http(&self) -> Arc<Owned<HttpClient>> {
        self.0.http.get(|| HttpClient::new(&self.0.network))
    }

    /// For where a redirect leads: servers that see no certificate of the client's, not even on a connection that was
    /// kept.
    pub(crate) fn http_for_strangers(&self) -> Arc<Owned<HttpClient>> {
        match &self.0.network.certificate {
            Some(_) => self.0.http_for_strangers.get(|| HttpClient::new(&self.0.network.for_strangers())),
            None => self.http(),
        }
    }

    /// A token for a request.
    pub(crate) fn token(&self, wait: &Wait) -> Result<Token> {
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        match (&self.0.secrets, &self.0.slot) {
            (Some(secrets), _) => secrets.get(&self.tools(), wait),
            (None, Some(slot)) => slot.get_ready(),
            (None, None) => unreachable!("a client has a ready token or secrets"),
        }
    }

    fn tools(&self) -> Tools {
        Tools { http: self.http(), log: self.0.log.clone() }
    }

    /// Where the token is now; `None` while no secret is known.
    fn slot(&self) -> Option<Arc<Slot>> {
        self.0.slot.clone().or_else(|| Some(self.0.secrets.as_ref()?.known()?.slot.clone()))
    }

    /// Whether this token was revoked here.
    pub(crate) fn was_revoked(&self, token: &Token) -> bool {
        self.slot().is_some_and(|slot| slot.was_revoked(token))
    }

    /// An API refused this token, which was not new when it was sent.
    pub(crate) fn condemn(&self, token: &Token, wait: &Wait) {
        self.look(wait);
        if let Some(slot) = self.slot() {
            self.told(slot.condemn(token.as_str()));
        }
    }

    /// An API refused this token, although it was new.
    pub(crate) fn hold(&self, token: &Token) {
        let Some(slot) = self.slot() else { return };
        let refusal = slot.hold(token);
        self.share_hold(&slot, refusal);
        self.told(refusal);
    }

    /// An API accepted the successor of a condemned token.
    pub(crate) fn accepted(&self, token: &Token) {
        if self.slot().is_some_and(|slot| slot.accepted(token)) {
            self.tell_hold(None);
        }
    }

    /// Adopts what other processes have done since.
    fn look(&self, wait: &Wait) {
        let in_use = self.0.secrets.as_ref().and_then(|secrets| secrets.known());
        if let Some(in_use) = in_use
            && let Some(shared) = &in_use.shared
        {
            in_use.slot.look(shared, &self.0.log, wait);
        }
    }

    fn share_hold(&self, slot: &Slot, refusal: Refusal) {
        if let Refusal::HoldOpened(_) = refusal {
            self.tell_hold(slot.current_hold());
        }
    }

    /// Tells the other processes of a hold, or of its end; nobody waits for that where it takes a network.
    fn tell_hold(&self, hold: Option<Hold>) {
        let Some(shared) = self.shared() else { return };
        if shared.is_remote() {
            // Without a thread they learn it by refusals of their own.
            let _ = background::spawn("svctoken-hold", move || shared.held(hold));
        } else {
            shared.held(hold);
        }
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.0.secrets.as_ref()?.known()?.shared.clone()
    }

    /// Logs what became of a refused token; true if it was condemned.
    fn told(&self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::Condemned => self.0.log.token_condemned(self.0.secrets.is_some()),
            Refusal::HoldOpened(length) => self.0.log.hold_opened(length),
            Refusal::NoNews => {}
        }
        refusal == Refusal::Condemned
    }

    pub(crate) fn log(&self) -> &Log {
        &self.0.log
    }

    /// An API's answer has a Deprecation or a Sunset (RFC 9745, RFC 8594): that is said once for each path.
    pub(crate) fn deprecated(&self, path: &str, deprecation: Option<&str>, sunset: Option<&str>) {
        let told = self.0.deprecated.get(Mutex::default);
        let is_news = {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.len() < MOST_DEPRECATED && told.insert(path.to_owned())
        };
        if is_news {
            self.0.log.api_deprecated(path, deprecation, sunset);
        }
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.0.hooks
    }

    pub(crate) fn counters(&self) -> &RequestCounters {
        &self.0.counters
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        match &self.0.settings.tokens {
            TokenSource::Grant(grant) => {
                let server = match &grant.server {
                    Server::TokenUrl(_) => "token_url",
                    Server::Issuer(_) => "issuer",
                };
                shown.field("client_id", &grant.credential.client_id).field(server, &grant.server.name())
            }
            TokenSource::Ready(token) => shown.field("access_token", token),
        };
        let base_url = self.0.settings.base_origin.as_ref().map(ToString::to_string);
        shown.field("base_url", &base_url).finish_non_exhaustive()
    }
}
