//! What each kind of server need not be told.

use crate::config::Config;
use crate::config::environment::Environment;
use crate::config::proxy::Proxies;
use crate::config::settings::{Settings, safe_url};
use crate::config::url::Url;
use crate::error::{Error, Result};

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
    /// The server with that issuer identifier, whose metadata names its endpoints; options not given come from
    /// `SVCTOKEN_*`.
    Issuer {
        /// As the server writes it: `https://login.example/tenant`.
        issuer: String,
    },
    /// Everything comes from the environment; `MONGODB_ATLAS_CLIENT_ID` selects [`Preset::Atlas`].
    FromEnvironment,
}

const ATLAS: &str = "https://cloud.mongodb.com";
/// The version Atlas's own clients ask for; the server picks the newest of each resource not after it.
const ATLAS_ACCEPT: &str = "application/vnd.atlas.2025-03-12+json";
const PLAIN_ACCEPT: &str = "application/json";
/// Per minute, account and address, as Atlas's documentation says.
const ATLAS_MINT_BUDGET: u64 = 10;
/// Atlas limits how many tokens an account has alive, so that a process must not need one of its own.
const ATLAS_CACHE: &str = "file";

impl Preset {
    /// Fills in what the preset and the environment know, and checks all of it.
    pub(crate) fn resolve(&self, mut config: Config, environment: &Environment) -> Result<Settings> {
        if let Preset::Issuer { issuer } = self {
            if issuer.is_empty() {
                return Err(Error::configuration("issuer is missing or empty"));
            }
            if config.issuer.is_some() {
                return Err(Error::configuration("issuer is given twice, as an argument and as an option"));
            }
            config.issuer = Some(issuer.clone());
        }
        if !matches!(self, Preset::Plain) {
            config.fill_from(environment.options()?);
        }
        let accept = match self {
            Preset::Plain | Preset::Issuer { .. } => PLAIN_ACCEPT,
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
        let reads_proxies = !matches!(self, Preset::Plain) && config.proxy.is_none();
        let proxies = if reads_proxies { environment.proxies()? } else { Proxies::default() };
        Settings::check(config, accept, environment, proxies)
    }
}

fn fill_in_atlas(config: &mut Config) -> Result<()> {
    config.mint_budget.get_or_insert(ATLAS_MINT_BUDGET);
    config.cache.get_or_insert_with(|| ATLAS_CACHE.into());
    let base = config.base_url.get_or_insert_with(|| ATLAS.into());
    if config.token_url.is_none() && config.issuer.is_none() {
        let origin = Url::parse(base).map_err(|why| Error::configuration(format!("base_url {why}")))?.origin;
        config.token_url = Some(format!("{origin}/api/oauth/token"));
        config.revocation_url.get_or_insert_with(|| format!("{origin}/api/oauth/revoke"));
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
    if config.token_url.is_none() && config.issuer.is_none() {
        let mut realm_url = format!("{}{}/realms/", server.origin, server.path_and_query.trim_end_matches('/'));
        percent_encode_segment(realm, &mut realm_url);
        let endpoint = |name: &str| format!("{realm_url}/protocol/openid-connect/{name}");
        config.token_url = Some(endpoint("token"));
        config.revocation_url.get_or_insert_with(|| endpoint("revoke"));
        config.introspection_url.get_or_insert_with(|| endpoint("token/introspect"));
        // The issuer; another server could use an assertion for it.
        config.assertion_audience.get_or_insert(realm_url);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ClientBuilder;
    use crate::config::identity::Identity;
    use crate::config::settings::{Cache, GrantSettings, TokenSource};

    fn resolve(preset: Preset, builder: ClientBuilder, environment: &[(&str, &str)]) -> Result<Settings> {
        let environment = Environment::from_pairs(environment.iter().copied());
        preset.resolve(builder.config, &environment)
    }

    fn grant(settings: &Settings) -> &GrantSettings {
        match &settings.tokens {
            TokenSource::Grant(grant) => grant,
            TokenSource::Ready(_) => panic!("a ready token"),
        }
    }

    fn revocation_url(settings: &Settings) -> Option<String> {
        grant(settings).revocation_url.as_ref().map(ToString::to_string)
    }

    fn with_credential() -> ClientBuilder {
        ClientBuilder::new().client_id("id").client_secret("secret")
    }

    /// The example key of RFC 8037 appendix A.1.
    const JWK: &str =
        r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfV"}"#;

    fn with_key() -> ClientBuilder {
        let builder = ClientBuilder::new().client_id("id").token_url("https://a.example/token");
        builder.auth_method("private_key_jwt").private_key(JWK)
    }

    #[test]
    fn atlas_knows_its_addresses_and_takes_the_rest_from_the_environment() {
        let environment =
            [("MONGODB_ATLAS_CLIENT_ID", "a"), ("MONGODB_ATLAS_CLIENT_SECRET", "b"), ("SVCTOKEN_CLIENT_ID", "c")];
        let settings = resolve(Preset::Atlas, ClientBuilder::new(), &environment).expect("valid");
        assert_eq!(grant(&settings).server.name(), "https://cloud.mongodb.com/api/oauth/token");
        assert_eq!(revocation_url(&settings).as_deref(), Some("https://cloud.mongodb.com/api/oauth/revoke"));
        assert_eq!(settings.accept, ATLAS_ACCEPT);
        assert_eq!(grant(&settings).credential.client_id, "c", "SVCTOKEN_ wins over MONGODB_ATLAS_");
        let given = resolve(Preset::Atlas, ClientBuilder::new().client_id("d"), &environment).expect("valid");
        assert_eq!(grant(&given).credential.client_id, "d", "a given value wins over both");
    }

    #[test]
    fn atlas_keeps_its_token_in_files_unless_told_otherwise() {
        let cache = |preset, builder, environment: &[(&str, &str)]| {
            let environment =
                [&[("XDG_CACHE_HOME", "/caches"), ("MONGODB_ATLAS_CLIENT_ID", "id")], environment].concat();
            resolve(preset, builder, &environment).expect("valid").cache
        };
        let file = || Cache::File(Ok("/caches/svctoken".into()));
        assert_eq!(cache(Preset::Atlas, with_credential(), &[]), file());
        assert_eq!(cache(Preset::FromEnvironment, with_credential(), &[]), file());
        assert_eq!(cache(Preset::Atlas, with_credential().cache("memory"), &[]), Cache::Memory);
        assert_eq!(cache(Preset::Atlas, with_credential(), &[("SVCTOKEN_CACHE", "memory")]), Cache::Memory);
        let plain = with_credential().token_url("https://a.example/token");
        assert_eq!(cache(Preset::Plain, plain, &[]), Cache::Memory);
        let keycloak = Preset::Keycloak { server_url: "https://k.example".into(), realm: "demo".into() };
        assert_eq!(cache(keycloak, with_credential(), &[]), Cache::Memory);
    }

    #[test]
    fn a_ready_token_needs_no_credential_and_must_be_one() {
        let environment = [("MONGODB_ATLAS_ACCESS_TOKEN", "ready"), ("MONGODB_ATLAS_CLIENT_ID", "id")];
        let settings = resolve(Preset::FromEnvironment, ClientBuilder::new(), &environment).expect("valid");
        assert!(matches!(settings.tokens, TokenSource::Ready(_)));
        let settings = resolve(Preset::Atlas, with_credential(), &environment).expect("valid");
        assert!(matches!(settings.tokens, TokenSource::Grant(_)), "a given credential wins over the environment");
        let error = resolve(Preset::Plain, ClientBuilder::new().access_token("a b"), &[]).expect_err("a space");
        assert!(error.what().contains("access_token"), "{error}");
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
            grant(&settings).server.name(),
            "https://k.example/auth/realms/my%20realm/protocol/openid-connect/token"
        );
        assert_eq!(
            revocation_url(&settings).as_deref(),
            Some("https://k.example/auth/realms/my%20realm/protocol/openid-connect/revoke")
        );
        let introspection_url = grant(&settings).introspection_url.as_ref().expect("known").to_string();
        assert!(introspection_url.ends_with("/my%20realm/protocol/openid-connect/token/introspect"));
        assert_eq!(settings.base_origin.expect("set").to_string(), "https://k.example");
    }

    #[test]
    fn a_key_given_by_the_caller_is_not_mixed_with_a_secret_of_the_environment() {
        let environment = [("MONGODB_ATLAS_CLIENT_SECRET", "b"), ("SVCTOKEN_PRIVATE_KEY_FILE", "/nonexistent/key")];
        let settings = resolve(Preset::Atlas, with_key(), &environment).expect("valid");
        assert_eq!(grant(&settings).credential.proof.method(), "private_key_jwt");
    }

    #[test]
    fn an_assertion_is_for_keycloaks_issuer_else_for_the_token_endpoint_unless_told() {
        let audience = |preset, builder| {
            let settings = resolve(preset, builder, &[]).expect("valid");
            grant(&settings).credential.proof.assertion().expect("an assertion").audience.clone()
        };
        let keycloak = || Preset::Keycloak { server_url: "https://k.example/auth/".into(), realm: "my realm".into() };
        assert_eq!(audience(Preset::Plain, with_key()), "https://a.example/token");
        assert_eq!(audience(Preset::Plain, with_key().issuer("https://a.example")), "https://a.example");
        let elsewhere = "another server could show Keycloak what is for Keycloak";
        assert_eq!(audience(keycloak(), with_key()), "https://a.example/token", "{elsewhere}");
        let mut of_preset = with_key();
        of_preset.config.token_url = None;
        assert_eq!(audience(keycloak(), of_preset), "https://k.example/auth/realms/my%20realm");
        for preset in [Preset::Plain, keycloak()] {
            assert_eq!(audience(preset, with_key().assertion_audience("urn:as")), "urn:as");
        }
    }

    #[test]
    fn a_server_is_known_by_one_name_the_given_one_first_and_the_token_endpoint_before_the_issuer() {
        const ISSUER: &str = "https://i.example/t";
        let issuer = || Preset::Issuer { issuer: ISSUER.into() };
        let keycloak = || Preset::Keycloak { server_url: "https://k.example".into(), realm: "demo".into() };
        let token_url = [("SVCTOKEN_TOKEN_URL", "https://e.example/token")];
        let both = [token_url[0], ("SVCTOKEN_ISSUER", "https://e.example")];
        let plain = with_credential;
        for (preset, builder, environment, server) in [
            (Preset::Plain, plain().issuer(ISSUER), &both[..], ISSUER),
            (Preset::Plain, plain().issuer(ISSUER).token_url("https://t.example/"), &[], "https://t.example/"),
            (issuer(), plain(), &both[..], ISSUER),
            (issuer(), plain().token_url("https://t.example/"), &both[..], "https://t.example/"),
            (Preset::FromEnvironment, plain(), &both[..], "https://e.example/token"),
            (Preset::FromEnvironment, plain(), &both[1..], "https://e.example"),
            (Preset::FromEnvironment, plain().issuer(ISSUER), &token_url[..], ISSUER),
            (Preset::Atlas, plain(), &both[1..], "https://e.example"),
            (keycloak(), plain().issuer(ISSUER), &[], ISSUER),
        ] {
            let settings = resolve(preset.clone(), builder, environment).expect("valid");
            assert_eq!(grant(&settings).server.name(), server, "{preset:?} {environment:?}");
            assert_eq!(revocation_url(&settings), None, "no endpoint of a preset whose server is another");
        }
        for (builder, given) in [(plain().issuer("https://j.example"), ISSUER), (plain(), "")] {
            let error = resolve(Preset::Issuer { issuer: given.into() }, builder, &[]).expect_err("twice, or empty");
            assert!(error.what().starts_with("issuer "), "{error}");
        }
    }

    #[test]
    fn a_secret_goes_to_no_endpoint_of_a_preset_whose_token_endpoint_is_another() {
        let elsewhere = || with_credential().token_url("https://other.example/token");
        let settings = resolve(Preset::Atlas, elsewhere(), &[]).expect("valid");
        assert_eq!(revocation_url(&settings), None);
        let given = elsewhere().revocation_url("https://other.example/revoke");
        let settings = resolve(Preset::Atlas, given, &[]).expect("valid");
        assert_eq!(revocation_url(&settings).as_deref(), Some("https://other.example/revoke"));
    }

    #[test]
    fn every_refusal_names_its_option() {
        let plain = || with_credential().token_url("https://a.example/token");
        for (builder, named) in [
            (ClientBuilder::new().token_url("https://a.example/t"), "client_id"),
            (ClientBuilder::new().client_id("x").token_url("https://a.example/t"), "client_secret"),
            (plain().client_secret("x\n"), "client_secret"),
            (plain().client_id("mdb_sa_sk_0123").client_secret("mdb_sa_id_0123"), "swapped"),
            (plain().client_secret("mdb_sa_sk_••••1234"), "masked"),
            (plain().client_secret("mdb_sa_sk_****"), "masked"),
            (with_credential(), "token_url"),
            (plain().token_url("a.example"), "token_url"),
            (with_credential().issuer("http://a.example"), "issuer"),
            (with_credential().issuer("https://a.example/?x=y"), "issuer"),
            (plain().token_url("http://a.example/t"), "token_url"),
            (plain().revocation_url("http://a.example/revoke"), "revocation_url"),
            (plain().introspection_url("http://a.example/introspect"), "introspection_url"),
            (plain().base_url("http://a.example"), "base_url"),
            (plain().base_url("https://a.example/api"), "base_url"),
            (plain().allowed_origins(["https://a@b.example"]), "allowed_origins"),
            (plain().auth_method("magic"), "auth_method"),
            (plain().auth_encoding("rot13"), "auth_encoding"),
            (plain().private_key(JWK), "private_key"),
            (plain().private_key(JWK).auth_method("private_key_jwt"), "client_secret"),
            (plain().private_key_file("/k").auth_method("client_secret_jwt"), "private_key_file"),
            (plain().auth_method("client_secret_jwt"), "32"),
            (with_key().private_key_file("/k"), "both"),
            (with_key().private_key(""), "private_key_file"),
            (with_key().signing_alg("ES256"), "signing_alg"),
            (with_key().signing_alg("HS256"), "signing_alg"),
            (with_key().signing_alg("none"), "EdDSA"),
            (with_key().private_key(JWK.replace('{', r#"{"alg":"ES256","#)), "the JWK's alg"),
            (with_key().private_key("nonsense"), "private_key"),
            (plain().auth_method("client_secret_jwt").signing_alg("RS256"), "HS512"),
            (plain().client_secret("s".repeat(63)).auth_method("client_secret_jwt").signing_alg("HS512"), "64"),
            (plain().extra_params([("client_assertion", "x")]), "client_assertion"),
            (plain().cache("attic"), "cache"),
            (plain().cache("file:relative"), "cache"),
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
    fn p15_records_are_sealed_with_the_proof_whatever_is_said_beside_it() {
        let bytes =
            |builder| grant(&resolve(Preset::Plain, builder, &[]).expect("valid")).credential.stable_bytes().to_vec();
        let plain = || with_credential().token_url("https://a.example/token");
        assert_eq!(bytes(plain()), b"secret");
        assert_eq!(bytes(plain().auth_method("client_secret_post")), b"secret");
        let key = bytes(with_key());
        assert!(key.len() >= 32);
        assert_eq!(bytes(with_key().key_id("k").assertion_audience("urn:as").scope("a")), key);
        assert_ne!(bytes(with_key().private_key(JWK.replace("nWGx", "nWGy"))), key);
    }

    #[test]
    fn p14_whatever_could_change_the_token_changes_the_identity() {
        let plain = || with_credential().token_url("https://a.example/token");
        let identity = |builder| Identity::of(grant(&resolve(Preset::Plain, builder, &[]).expect("valid")));
        let different = [
            plain(),
            plain().client_id("other"),
            plain().client_secret("other"),
            plain().token_url("https://b.example/token"),
            plain().token_url("https://a.example/token2"),
            with_credential().issuer("https://a.example/token"),
            with_credential().issuer("https://a.example/token/"),
            with_credential().issuer("https://a.example/token").auth_method("client_secret_basic"),
            with_credential().issuer("https://a.example/token").auth_method("client_secret_post"),
            plain().auth_method("client_secret_post"),
            plain().auth_encoding("raw"),
            plain().client_secret("s".repeat(64)),
            plain().client_secret("s".repeat(64)).auth_method("client_secret_post"),
            plain().client_secret("s".repeat(64)).auth_method("client_secret_jwt"),
            plain().client_secret("s".repeat(64)).auth_method("client_secret_jwt").signing_alg("HS512"),
            plain().client_secret("s".repeat(64)).auth_method("client_secret_jwt").key_id("k"),
            with_key(),
            with_key().private_key(JWK.replace("nWGx", "nWGy")),
            with_key().private_key(JWK.replace('{', r#"{"kid":"k","#)),
            with_key().key_id("l"),
            with_key().assertion_audience("urn:as"),
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
        let same = same.revocation_url("https://d.example/revoke").introspection_url("https://d.example/introspect");
        assert!(identity(same) == identity(plain()), "what cannot change the token does not split it");
    }
}
