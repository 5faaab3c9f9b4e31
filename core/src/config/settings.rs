//! From options to settings: complete, and checked before any network.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::config::certificate::ClientCertificate;
use crate::config::credential::Credential;
use crate::config::environment::Environment;
use crate::config::header;
use crate::config::issuer::Issuer;
use crate::config::proxy::Proxies;
use crate::config::redis_address::RedisAddress;
use crate::config::secret_source::SecretSource;
use crate::config::url::{Origin, Scheme, Url, shown};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::secret::Secret;

const MOST_ATTEMPTS: u32 = 10;

/// Parameters of a token request that are never extra, and where they come from.
const OWN_PARAMETERS: [(&str, &str); 8] = [
    ("grant_type", "Leave it out: it is always client_credentials."),
    ("client_id", "Use the option client_id."),
    ("client_secret", "Use the option client_secret."),
    ("client_assertion", "Use the option auth_method, which has assertions made and signed."),
    ("client_assertion_type", "Use the option auth_method, which has assertions made and signed."),
    ("scope", "Use the option scope."),
    ("audience", "Use the option audience."),
    ("resource", "Use the option resource."),
];

/// Everything a client runs by.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) tokens: TokenSource,
    pub(crate) base_origin: Option<Origin>,
    pub(crate) allowed_origins: Vec<Origin>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) accept: String,
    pub(crate) user_agent: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) max_attempts: u32,
    pub(crate) max_response_bytes: u64,
    pub(crate) allow_http: bool,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) ca_file: Option<String>,
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    pub(crate) cache: Cache,
}

/// Where tokens are kept beside this process's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    Memory,
    /// In files below this folder; or why there is no folder to use.
    File(std::result::Result<PathBuf, String>),
    Redis(RedisAddress),
}

/// Where tokens come from.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// They are requested.
    Grant(Arc<GrantSettings>),
    /// One was given, ready to use.
    Ready(Secret),
}

/// Which authorization server tokens are requested from.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    TokenUrl(Url),
    /// It says itself where its endpoints are.
    Issuer(Issuer),
}

impl Server {
    /// The token endpoint, or the issuer.
    pub(crate) fn url(&self) -> &Url {
        match self {
            Server::TokenUrl(url) => url,
            Server::Issuer(issuer) => &issuer.url,
        }
    }

    /// What messages call it by.
    pub(crate) fn origin(&self) -> &Origin {
        &self.url().origin
    }

    /// The server as it was given.
    pub(crate) fn name(&self) -> String {
        match self {
            Server::TokenUrl(url) => url.to_string(),
            Server::Issuer(issuer) => issuer.text.clone(),
        }
    }
}

/// Everything a token request is made by.
#[derive(Clone, Debug)]
pub(crate) struct GrantSettings {
    /// With an empty secret where the source has not been asked yet.
    pub(crate) credential: Credential,
    pub(crate) server: Server,
    /// No auth_method was given, so that the server's metadata may choose client_secret_post.
    pub(crate) auth_method_by_metadata: bool,
    /// `None` where the client proves itself without a secret.
    pub(crate) secret_source: Option<SecretSource>,
    /// Tried when the server refuses the source's.
    pub(crate) second_secret: Option<Secret>,
    pub(crate) revocation_url: Option<Url>,
    pub(crate) introspection_url: Option<Url>,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) resource: Vec<String>,
    pub(crate) extra_params: Vec<(String, String)>,
    pub(crate) user_agent: String,
    /// For how long a failing token request is tried again.
    pub(crate) retry_window: Duration,
    pub(crate) token_timeout: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) mint_budget: Option<u32>,
}

impl Settings {
    /// Checks what was given; `preset_accept` is the Accept header if none was. The environment tells where the user's
    /// caches are, and is a command's. `proxies` are for where none is given.
    pub(crate) fn check(
        config: Config,
        preset_accept: &str,
        environment: &Environment,
        proxies: Proxies,
    ) -> Result<Settings> {
        // Destructured whole, so that a new option cannot be forgotten: what is passed over here is the grant's.
        let Config {
            client_id: _,
            client_secret: _,
            client_secret_file: _,
            client_secret_command: _,
            client_secret_callback: _,
            client_secret_2: _,
            private_key: _,
            private_key_file: _,
            key_id: _,
            ref access_token,
            token_url: _,
            issuer: _,
            revocation_url: _,
            introspection_url: _,
            ref base_url,
            ref allowed_origins,
            auth_method: _,
            auth_encoding: _,
            signing_alg: _,
            assertion_audience: _,
            scope: _,
            audience: _,
            resource: _,
            extra_params: _,
            timeout,
            connect_timeout,
            token_timeout: _,
            ref cache,
            ref accept,
            ref user_agent,
            ref headers,
            max_attempts,
            mint_budget: _,
            max_response_bytes,
            allow_http,
            ref proxy,
            ref ca_file,
            client_cert_file: _,
            client_key_file: _,
        } = config;
        let allow_http = allow_http.unwrap_or(false);
        let certificate = ClientCertificate::from_config(&config)?.map(Arc::new);
        let credential = match access_token {
            Some(_) => None,
            None => Some(proof(&config, certificate.clone(), environment)?),
        };
        // Before token_url, which a preset may have made from it: the error names what the user gave.
        let base_origin = base_url.as_deref().map(|text| safe_origin("base_url", text, allow_http)).transpose()?;
        let allowed_origins = allowed_origins
            .iter()
            .flatten()
            .map(|text| safe_origin("allowed_origins", text, allow_http))
            .collect::<Result<Vec<_>>>()?;
        let cache = Cache::read(cache.as_deref().unwrap_or("memory"), environment.cache_folder(), allow_http)?;
        let headers = headers.clone().unwrap_or_default();
        for (name, value) in &headers {
            header::check(name, value).map_err(|why| Error::configuration(format!("headers: {why}")))?;
        }
        let user_agent = user_agent.clone().unwrap_or_else(default_user_agent);
        let accept = accept.clone().unwrap_or_else(|| preset_accept.into());
        for (option, value) in [("user_agent", &user_agent), ("accept", &accept)] {
            header::check_value(value).map_err(|why| Error::configuration(format!("{option} {why}")))?;
        }
        let proxies = match proxy {
            Some(text) => Proxies::given(text.reveal()).map_err(|why| Error::configuration(format!("proxy {why}")))?,
            None => proxies,
        };
        if max_response_bytes == Some(0) {
            return Err(Error::configuration("max_response_bytes must be 1 or more"));
        }
        let timeout = given_time("timeout", timeout, 60)?;
        let max_attempts = check_attempts(max_attempts.unwrap_or(3)).map_err(Error::configuration)?;
        let tokens = match (credential, access_token) {
            (Some(credential), _) => {
                let grant = GrantSettings::check(&config, credential, &user_agent, timeout, max_attempts)?;
                TokenSource::Grant(Arc::new(grant))
            }
            (None, token) => TokenSource::Ready(ready_token(token.as_ref())?),
        };
        Ok(Settings {
            tokens,
            base_origin,
            allowed_origins,
            timeout,
            connect_timeout: given_time("connect_timeout", connect_timeout, 10)?,
            accept,
            user_agent,
            headers,
            max_attempts,
            max_response_bytes: max_response_bytes.unwrap_or(64 * 1024 * 1024),
            allow_http,
            proxies: Arc::new(Proxies { allow_http, ..proxies }),
            ca_file: ca_file.clone(),
            certificate,
            cache,
        })
    }
}

impl Cache {
    fn read(text: &str, default_folder: std::result::Result<PathBuf, String>, allow_http: bool) -> Result<Cache> {
        if let Some(address) = RedisAddress::parse(text) {
            return address
                .map_err(|why| Error::configuration(format!("cache {why}")))
                .and_then(|address| safe_redis(address, allow_http));
        }
        match text.split_once(':') {
            None if text == "memory" => Ok(Cache::Memory),
            None if text == "file" => Ok(Cache::File(default_folder)),
            Some(("file", folder)) if Path::new(folder).is_absolute() => Ok(Cache::File(Ok(folder.into()))),
            Some(("file", folder)) => {
                Err(Error::configuration(format!("cache names the folder {folder:?}, which is not absolute"))
                    .with_next_step("Give the whole path: file:/path/to/folder."))
            }
            _ => {
                Err(Error::unknown_choice("cache", &shown(text), "memory, file, file:FOLDER, redis://… or rediss://…"))
            }
        }
    }
}

/// A Redis to which records may travel: sealed, but a password is not.
fn safe_redis(address: RedisAddress, allow_http: bool) -> Result<Cache> {
    if cfg!(not(feature = "redis")) {
        return Err(Error::configuration("cache names a Redis, for which this build lacks the cargo feature redis"));
    }
    if !address.is_encrypted() && !address.origin.is_loopback() && !allow_http {
        return Err(Error::configuration(format!(
            "cache is plain redis to {}, which would show its password to the network",
            address.origin.host
        ))
        .with_next_step("Use rediss, or set allow_http if the network between can be trusted."));
    }
    Ok(Cache::Redis(address))
}

/// The credential, as far as it is known, and where its secret comes from.
fn proof(
    config: &Config,
    certificate: Option<Arc<ClientCertificate>>,
    environment: &Environment,
) -> Result<(Credential, Option<SecretSource>)> {
    let source = SecretSource::from_config(config, environment)?;
    let credential = Credential::from_config(config, source.as_ref(), certificate)?;
    if let Some(second) = &config.client_secret_2 {
        if second.reveal().is_empty() {
            return Err(
                Error::configuration("client_secret_2 is empty").with_next_step("Give a secret, or leave it out.")
            );
        }
        credential.with_secret("client_secret_2", second)?;
    }
    Ok((credential, source))
}

impl GrantSettings {
    /// The same with a secret that `option` gave. The error is `credential_unavailable`: it came while the client is used.
    pub(crate) fn with_secret(&self, option: &str, secret: &Secret) -> Result<GrantSettings> {
        let credential = self.credential.with_secret(option, secret).map_err(|error| {
            let what = format!("{option} gave what is no secret: {}", error.what());
            Error::new(ErrorCode::CredentialUnavailable, Stage::Waiting, what).with_next_step(error.next_step())
        })?;
        Ok(GrantSettings { credential, ..self.clone() })
    }

    fn check(
        config: &Config,
        (credential, secret_source): (Credential, Option<SecretSource>),
        user_agent: &str,
        timeout: Duration,
        max_attempts: u32,
    ) -> Result<GrantSettings> {
        let allow_http = config.allow_http.unwrap_or(false);
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let issuer = given(&config.issuer).map(|text| Issuer::read(&text, allow_http)).transpose()?;
        let server = match (given(&config.token_url), issuer) {
            (Some(token_url), _) => Server::TokenUrl(safe_url("token_url", &token_url, allow_http)?),
            (None, Some(issuer)) => Server::Issuer(issuer),
            (None, None) => {
                return Err(Error::configuration("token_url is missing or empty").with_next_step(
                    "Give token_url or issuer, or use a preset that knows where tokens come from: atlas or keycloak.",
                ));
            }
        };
        // The proof goes there too.
        let endpoint = |option: &str, text: &Option<String>| {
            text.as_deref().map(|text| safe_url(option, text, allow_http)).transpose()
        };
        let revocation_url = endpoint("revocation_url", &config.revocation_url)?;
        let introspection_url = endpoint("introspection_url", &config.introspection_url)?;
        let token_url = match &server {
            Server::TokenUrl(url) => Some(url),
            Server::Issuer(_) => None,
        };
        for (option, url) in [
            ("token_url", token_url),
            ("revocation_url", revocation_url.as_ref()),
            ("introspection_url", introspection_url.as_ref()),
        ] {
            if credential.proof.is_certificate() && url.is_some_and(|url| url.origin.scheme != Scheme::Https) {
                let method = credential.proof.method();
                return Err(Error::configuration(format!(
                    "{option} is plain http, and auth_method {method} wants TLS"
                ))
                .with_next_step("Give the server's https endpoint."));
            }
        }
        if config.mint_budget == Some(0) {
            return Err(Error::configuration("mint_budget must be 1 or more"));
        }
        for (name, _) in config.extra_params.iter().flatten() {
            if let Some((_, next_step)) = OWN_PARAMETERS.iter().find(|(own, _)| own == name) {
                return Err(Error::configuration(format!("extra_params has {name}, which has a place of its own"))
                    .with_next_step(*next_step));
            }
        }
        Ok(GrantSettings {
            credential,
            auth_method_by_metadata: config.auth_method.is_none() && matches!(server, Server::Issuer(_)),
            server,
            secret_source,
            second_secret: config.client_secret_2.clone(),
            revocation_url,
            introspection_url,
            scope: given(&config.scope),
            audience: given(&config.audience),
            resource: config.resource.clone().unwrap_or_default(),
            extra_params: config.extra_params.clone().unwrap_or_default(),
            user_agent: user_agent.into(),
            retry_window: timeout,
            token_timeout: given_time("token_timeout", config.token_timeout, 15)?,
            max_attempts,
            mint_budget: config.mint_budget.map(|budget| budget.try_into().unwrap_or(u32::MAX)),
        })
    }
}

/// `max_attempts` of a client or of a call; the error says what is wrong.
pub(crate) fn check_attempts(count: u64) -> std::result::Result<u32, String> {
    let in_range = u32::try_from(count).ok().filter(|count| (1..=MOST_ATTEMPTS).contains(count));
    in_range.ok_or_else(|| format!("max_attempts is {count}; it can be 1 to {MOST_ATTEMPTS}"))
}

/// A token that was given must be one that a header can carry.
fn ready_token(token: Option<&Secret>) -> Result<Secret> {
    let token = token.map(Secret::reveal).unwrap_or_default();
    header::check_access_token(token)
        .map(|()| Secret::new(token.into()))
        .map_err(|why| Error::configuration(format!("access_token {why}")))
}

/// A URL to which a secret or a token may travel.
pub(crate) fn safe_url(option: &str, text: &str, allow_http: bool) -> Result<Url> {
    let url = Url::parse(text).map_err(|why| Error::configuration(format!("{option} {why}")))?;
    if !url.is_safe() && !allow_http {
        return Err(Error::configuration(format!(
            "{option} is plain http to {}, which would show the token to the network",
            url.origin.host
        ))
        .with_next_step("Use https, or set allow_http if the network between can be trusted."));
    }
    Ok(url)
}

/// A URL of which only the origin counts; a path would be believed to limit what it does not.
fn safe_origin(option: &str, text: &str, allow_http: bool) -> Result<Origin> {
    let url = safe_url(option, text, allow_http)?;
    if url.path_and_query != "/" {
        return Err(Error::configuration(format!("{option} has the path {}", url.path_and_query))
            .with_next_step("Give only scheme, host and port; every request's path begins with the rest."));
    }
    Ok(url.origin)
}

fn given_time(option: &str, time: Option<Duration>, default_seconds: u64) -> Result<Duration> {
    match time {
        Some(Duration::ZERO) => Err(Error::configuration(format!("{option} must be a time above zero"))),
        time => Ok(time.unwrap_or(Duration::from_secs(default_seconds))),
    }
}

fn default_user_agent() -> String {
    format!("svctoken/{} ({};{})", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)
}
