//! From options to settings: what each kind of server needs to be told, and the checks made before any network.

use std::time::Duration;

use crate::config::Config;
use crate::config::credential::Credential;
use crate::config::environment::Environment;
use crate::config::url::{Origin, Url};
use crate::error::{Error, Result};
use crate::http::header;

/// Which server a client is made for, and so what is known without being told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Preset {
    /// Nothing is known and the environment is not read.
    Plain,
    /// MongoDB Atlas; options not given come from `SVCTOKEN_*`, then `MONGODB_ATLAS_*`.
    Atlas,
    /// A Keycloak realm; options not given come from `SVCTOKEN_*`.
    Keycloak {
        /// The server's URL; `/auth` belongs to it on servers that have it.
        server_url: String,
        /// The realm's name.
        realm: String,
    },
    /// Everything comes from the environment; `MONGODB_ATLAS_CLIENT_ID` selects [`Preset::Atlas`].
    FromEnvironment,
}

const ATLAS: &str = "https://cloud.mongodb.com";
/// The version Atlas's own clients ask for; the server picks the newest of each resource not after it.
const ATLAS_ACCEPT: &str = "application/vnd.atlas.2025-03-12+json";
const PLAIN_ACCEPT: &str = "application/json";
const MOST_ATTEMPTS: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    ClientSecretBasic,
    ClientSecretPost,
}

impl AuthMethod {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AuthMethod::ClientSecretBasic => "client_secret_basic",
            AuthMethod::ClientSecretPost => "client_secret_post",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthEncoding {
    Form,
    Raw,
}

impl AuthEncoding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AuthEncoding::Form => "form",
            AuthEncoding::Raw => "raw",
        }
    }
}

/// Everything a client runs by: complete and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) credential: Credential,
    pub(crate) token_url: Url,
    pub(crate) auth_method: AuthMethod,
    pub(crate) auth_encoding: AuthEncoding,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) resource: Vec<String>,
    pub(crate) extra_params: Vec<(String, String)>,
    pub(crate) base_origin: Option<Origin>,
    pub(crate) allowed_origins: Vec<Origin>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) token_timeout: Duration,
    pub(crate) accept: String,
    pub(crate) user_agent: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) max_attempts: u32,
    pub(crate) max_response_bytes: u64,
    pub(crate) ca_file: Option<String>,
}

impl Settings {
    /// Fills in what the preset and the environment know, and checks all of it.
    pub(crate) fn resolve(preset: &Preset, mut config: Config, environment: &Environment) -> Result<Settings> {
        if !matches!(preset, Preset::Plain) {
            config.fill_from(environment.options()?);
        }
        let accept = match preset {
            Preset::Plain => PLAIN_ACCEPT,
            Preset::Keycloak { server_url, realm } => {
                fill_in_keycloak(&mut config, server_url, realm)?;
                PLAIN_ACCEPT
            }
            Preset::FromEnvironment if !environment.names_atlas()? => PLAIN_ACCEPT,
            Preset::Atlas | Preset::FromEnvironment => {
                config.fill_from(environment.atlas_options()?);
                fill_in_atlas(&mut config)?;
                ATLAS_ACCEPT
            }
        };
        check(config, accept)
    }
}

fn fill_in_atlas(config: &mut Config) -> Result<()> {
    let base = config.base_url.get_or_insert_with(|| ATLAS.into());
    if config.token_url.is_none() {
        let origin = Url::parse(base).map_err(|why| Error::configuration(format!("base_url {why}")))?.origin;
        config.token_url = Some(format!("{origin}/api/oauth/token"));
    }
    Ok(())
}

fn fill_in_keycloak(config: &mut Config, server_url: &str, realm: &str) -> Result<()> {
    let server = safe_url("server_url", server_url, config.allow_http.unwrap_or(false))?;
    if server.path_and_query.contains('?') {
        return Err(Error::configuration("server_url has a query: leave it out"));
    }
    if realm.is_empty() {
        return Err(Error::configuration("realm is missing or empty"));
    }
    if config.token_url.is_none() {
        let mut path = format!("{}/realms/", server.path_and_query.trim_end_matches('/'));
        percent_encode_segment(realm, &mut path);
        path.push_str("/protocol/openid-connect/token");
        config.token_url = Some(format!("{}{path}", server.origin));
    }
    config.base_url.get_or_insert_with(|| server.origin.to_string());
    Ok(())
}

/// A path segment by RFC 3986: unreserved characters stay.
fn percent_encode_segment(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn check(config: Config, preset_accept: &str) -> Result<Settings> {
    // Destructured whole, so that a new option cannot be forgotten here.
    let Config {
        client_id: _,
        client_secret: _,
        client_secret_file: _,
        ref token_url,
        ref base_url,
        ref allowed_origins,
        ref auth_method,
        ref auth_encoding,
        ref scope,
        ref audience,
        ref resource,
        ref extra_params,
        timeout,
        connect_timeout,
        token_timeout,
        ref cache,
        ref accept,
        ref user_agent,
        ref headers,
        max_attempts,
        max_response_bytes,
        allow_http,
        ref ca_file,
    } = config;
    let allow_http = allow_http.unwrap_or(false);
    let credential = Credential::from_config(&config)?;
    // Before token_url, which a preset may have made from it: the error names what the user gave.
    let base_origin = base_url.as_deref().map(|text| safe_origin("base_url", text, allow_http)).transpose()?;
    let token_url = token_url.as_deref().unwrap_or_default();
    if token_url.is_empty() {
        return Err(Error::configuration("token_url is missing or empty")
            .with_next_step("Give token_url, or use a preset that knows it: atlas or keycloak."));
    }
    let token_url = safe_url("token_url", token_url, allow_http)?;
    let allowed_origins = allowed_origins
        .iter()
        .flatten()
        .map(|text| safe_origin("allowed_origins", text, allow_http))
        .collect::<Result<Vec<_>>>()?;
    let auth_method = match auth_method.as_deref() {
        None | Some("client_secret_basic") => AuthMethod::ClientSecretBasic,
        Some("client_secret_post") => AuthMethod::ClientSecretPost,
        Some(other) => return Err(unknown_choice("auth_method", other, "client_secret_basic or client_secret_post")),
    };
    let auth_encoding = match auth_encoding.as_deref() {
        None | Some("form") => AuthEncoding::Form,
        Some("raw") => AuthEncoding::Raw,
        Some(other) => return Err(unknown_choice("auth_encoding", other, "form or raw")),
    };
    if let Some(other) = cache.as_deref().filter(|cache| *cache != "memory") {
        return Err(unknown_choice("cache", other, "memory"));
    }
    let headers = headers.clone().unwrap_or_default();
    for (name, value) in &headers {
        header::check(name, value).map_err(|why| Error::configuration(format!("headers: {why}")))?;
    }
    let user_agent = user_agent.clone().unwrap_or_else(default_user_agent);
    let accept = accept.clone().unwrap_or_else(|| preset_accept.into());
    for (option, value) in [("user_agent", &user_agent), ("accept", &accept)] {
        header::check_value(value).map_err(|why| Error::configuration(format!("{option} {why}")))?;
    }
    let max_attempts = max_attempts.unwrap_or(3);
    if !(1..=MOST_ATTEMPTS).contains(&max_attempts) {
        let what = format!("max_attempts is {max_attempts}; it can be 1 to {MOST_ATTEMPTS}");
        return Err(Error::configuration(what));
    }
    for (name, _) in extra_params.iter().flatten() {
        if ["grant_type", "client_id", "client_secret", "scope", "audience", "resource"].contains(&name.as_str()) {
            return Err(Error::configuration(format!("extra_params has {name}, which has a place of its own"))
                .with_next_step(format!("Use the option {name}; grant_type is always client_credentials.")));
        }
    }
    Ok(Settings {
        token_url,
        auth_method,
        auth_encoding,
        scope: scope.clone().filter(|scope| !scope.is_empty()),
        audience: audience.clone().filter(|audience| !audience.is_empty()),
        resource: resource.clone().unwrap_or_default(),
        extra_params: extra_params.clone().unwrap_or_default(),
        base_origin,
        allowed_origins,
        timeout: given_time("timeout", timeout, 60)?,
        connect_timeout: given_time("connect_timeout", connect_timeout, 10)?,
        token_timeout: given_time("token_timeout", token_timeout, 15)?,
        accept,
        user_agent,
        headers,
        max_attempts: max_attempts as u32,
        max_response_bytes: max_response_bytes.unwrap_or(64 * 1024 * 1024),
        ca_file: ca_file.clone(),
        credential,
    })
}

/// A URL to which a secret or a token may travel.
fn safe_url(option: &str, text: &str, allow_http: bool) -> Result<Url> {
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

fn unknown_choice(option: &str, given: &str, choices: &str) -> Error {
    Error::configuration(format!("{option} is {given:?}; it can be {choices}"))
}

fn default_user_agent() -> String {
    format!("svctoken/{} ({};{})", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientBuilder;
    use crate::config::identity::Identity;

    fn resolve(preset: Preset, builder: ClientBuilder, environment: &[(&str, &str)]) -> Result<Settings> {
        let environment = Environment::from_pairs(environment.iter().copied());
        Settings::resolve(&preset, builder.config, &environment)
    }

    fn with_credential() -> ClientBuilder {
        ClientBuilder::new().client_id("id").client_secret("secret")
    }

    #[test]
    fn atlas_knows_its_addresses_and_takes_the_rest_from_the_environment() {
        let environment =
            [("MONGODB_ATLAS_CLIENT_ID", "a"), ("MONGODB_ATLAS_CLIENT_SECRET", "b"), ("SVCTOKEN_CLIENT_ID", "c")];
        let settings = resolve(Preset::Atlas, ClientBuilder::new(), &environment).expect("valid");
        assert_eq!(settings.token_url.to_string(), "https://cloud.mongodb.com/api/oauth/token");
        assert_eq!(settings.accept, ATLAS_ACCEPT);
        assert_eq!(settings.credential.client_id, "c", "SVCTOKEN_ wins over MONGODB_ATLAS_");
        let given = resolve(Preset::Atlas, ClientBuilder::new().client_id("d"), &environment).expect("valid");
        assert_eq!(given.credential.client_id, "d", "a given value wins over both");
    }

    #[test]
    fn a_secret_given_as_a_file_is_not_overruled_by_the_environment() {
        let builder = ClientBuilder::new().client_id("id").client_secret_file("/nonexistent/secret");
        let error = resolve(Preset::Atlas, builder, &[("MONGODB_ATLAS_CLIENT_SECRET", "b")]).expect_err("unreadable");
        assert!(error.what().contains("client_secret_file"), "{error}");
    }

    #[test]
    fn keycloak_makes_its_token_endpoint_from_server_and_realm() {
        let preset = Preset::Keycloak { server_url: "https://k.example/auth/".into(), realm: "my realm".into() };
        let settings = resolve(preset, with_credential(), &[]).expect("valid");
        assert_eq!(
            settings.token_url.to_string(),
            "https://k.example/auth/realms/my%20realm/protocol/openid-connect/token"
        );
        assert_eq!(settings.base_origin.expect("set").to_string(), "https://k.example");
    }

    #[test]
    fn every_refusal_names_its_option() {
        let plain = || with_credential().token_url("https://a.example/token");
        for (builder, named) in [
            (ClientBuilder::new().token_url("https://a.example/t"), "client_id"),
            (ClientBuilder::new().client_id("x").token_url("https://a.example/t"), "client_secret"),
            (plain().client_secret("x\n"), "client_secret"),
            (with_credential(), "token_url"),
            (plain().token_url("a.example"), "token_url"),
            (plain().token_url("http://a.example/t"), "token_url"),
            (plain().base_url("http://a.example"), "base_url"),
            (plain().base_url("https://a.example/api"), "base_url"),
            (plain().allowed_origins(["https://a@b.example"]), "allowed_origins"),
            (plain().auth_method("magic"), "auth_method"),
            (plain().auth_encoding("rot13"), "auth_encoding"),
            (plain().cache("attic"), "cache"),
            (plain().headers([("Authorization", "x")]), "Authorization"),
            (plain().user_agent("a\r\nb"), "user_agent"),
            (plain().max_attempts(11), "max_attempts"),
            (plain().max_attempts(0), "max_attempts"),
            (plain().allowed_origins(["https://a.example/only-here"]), "allowed_origins"),
            (plain().timeout(Duration::ZERO), "timeout"),
            (plain().extra_params([("grant_type", "password")]), "grant_type"),
        ] {
            let error = resolve(Preset::Plain, builder, &[]).expect_err(named);
            assert!(error.what().contains(named), "{error} does not name {named}");
        }
    }

    #[test]
    fn p14_whatever_could_change_the_token_changes_the_identity() {
        let plain = || with_credential().token_url("https://a.example/token");
        let identity = |builder| Identity::of(&resolve(Preset::Plain, builder, &[]).expect("valid"));
        let different = [
            plain(),
            plain().client_id("other"),
            plain().client_secret("other"),
            plain().token_url("https://b.example/token"),
            plain().token_url("https://a.example/token2"),
            plain().auth_method("client_secret_post"),
            plain().auth_encoding("raw"),
            plain().scope("a"),
            plain().scope("a b"),
            plain().scope("b a"),
            plain().audience("a"),
            plain().resource(["a"]),
            plain().resource(["a", "b"]),
            plain().extra_params([("a", "b")]),
            plain().extra_params([("ab", "")]),
        ];
        let count = different.len();
        let identities: std::collections::BTreeSet<_> = different.into_iter().map(identity).collect();
        assert_eq!(identities.len(), count);
        let same = plain().timeout(Duration::from_secs(1)).base_url("https://c.example").accept("x/y");
        assert!(identity(same) == identity(plain()), "what cannot change the token does not split it");
    }
}
