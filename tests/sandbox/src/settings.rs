//! What a space is told to be. The JSON text of the admin API is the only source; a PATCH is merged into that JSON
//! and read again as a whole, so there is one reader and one set of defaults.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::client_certificate;
use crate::rules::RuleBook;

/// A space as it was asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) clients: Vec<Client>,
    pub(crate) mints_per_minute: Option<usize>,
    pub(crate) living_tokens: Option<usize>,
    pub(crate) expires_in: Value,
    pub(crate) lifetime_ms: Option<u64>,
    pub(crate) token_type: Option<String>,
    pub(crate) token_fields: Map<String, Value>,
    pub(crate) same_token: bool,
    pub(crate) token_length: usize,
    pub(crate) realms: BTreeMap<String, Realm>,
    pub(crate) projects: usize,
    pub(crate) rules: RuleBook,
    pub(crate) tls_fault: Option<TlsFault>,
    pub(crate) tls_version: Option<TlsVersion>,
    pub(crate) client_certificates: Option<ClientCertificates>,
    pub(crate) client_ca_file: Option<String>,
    pub(crate) accept: Accept,
    pub(crate) date_offset_s: i64,
    pub(crate) proxy_credential: Option<String>,
    pub(crate) proxy_fault: Option<ProxyFault>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            clients: vec![Client::with_secret(
                "mdb_sa_id_0123456789abcdef01234567",
                "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox",
            )],
            mints_per_minute: None,
            living_tokens: None,
            expires_in: json!(3600),
            lifetime_ms: None,
            token_type: Some("Bearer".into()),
            token_fields: Map::new(),
            same_token: false,
            token_length: 700,
            realms: BTreeMap::from([(
                "demo".into(),
                Realm {
                    clients: vec![Client::with_secret("app", "app-secret-app-secret-app-secret")],
                    ..Realm::default()
                },
            )]),
            projects: 3,
            rules: RuleBook::default(),
            tls_fault: None,
            tls_version: None,
            client_certificates: None,
            client_ca_file: None,
            accept: Accept::Serve,
            date_offset_s: 0,
            proxy_credential: None,
            proxy_fault: None,
        }
    }
}

impl Settings {
    pub(crate) fn from_json(settings: &Map<String, Value>) -> Result<Self, SettingsError> {
        let read = Settings::deserialize(settings).map_err(|whole| {
            // serde names the wrong type but not the field that has it: the first setting that fails alone does.
            let culprit = settings.iter().find_map(|(name, value)| {
                let alone = Map::from_iter([(name.clone(), value.clone())]);
                Settings::deserialize(&alone).err().map(|error| (name, error))
            });
            SettingsError(match culprit {
                Some((name, error)) => format!("{name}: {error}"),
                None => whole.to_string(),
            })
        })?;
        read.check().map(|()| read)
    }

    /// What no setting alone can be wrong in.
    fn check(&self) -> Result<(), SettingsError> {
        let mut clients = self.clients.iter().chain(self.realms.values().flat_map(|realm| &realm.clients));
        if let Some(client) = clients.find(|client| client.auth_method.is_none() && client.secret.is_empty()) {
            return Err(SettingsError(format!("clients: {} has neither secret nor auth_method", client.id)));
        }
        let authority = self.client_ca_file.as_deref().and_then(client_certificate::of_authority);
        if self.client_certificates == Some(ClientCertificates::Required) && authority.is_none() {
            return Err(SettingsError("client_ca_file: expected a PEM file of certificates".into()));
        }
        Ok(())
    }

    /// Whether the proxy serves whoever shows that credential.
    pub(crate) fn proxy_admits(&self, credential: Option<&str>) -> bool {
        self.proxy_credential.as_deref().is_none_or(|wanted| credential == Some(wanted))
    }

    /// How long a token announced with this `expires_in` really lives, in milliseconds.
    pub(crate) fn lifetime_ms(&self, expires_in: &Value) -> u64 {
        self.lifetime_ms.unwrap_or_else(|| match expires_in.as_f64() {
            // A float cast saturates, so an absurd lifetime is merely very long.
            Some(seconds) if seconds > 0.0 => (seconds * 1000.0) as u64,
            _ => 3_600_000,
        })
    }
}

/// One OAuth client of the Atlas endpoint or of a realm.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) secret: String,
    #[serde(default)]
    pub(crate) secret_2: Option<String>,
    #[serde(default)]
    pub(crate) encoding: Encoding,
    /// None: by Basic or by post.
    #[serde(default)]
    pub(crate) auth_method: Option<AuthMethod>,
    /// Of `private_key_jwt`: a PEM file.
    #[serde(default)]
    pub(crate) public_key_file: Option<String>,
    /// Of the methods by certificate: a PEM file of one with the same subject, or the same key if it signs itself.
    #[serde(default)]
    pub(crate) certificate_file: Option<String>,
    /// The only one that assertions may be signed with.
    #[serde(default)]
    pub(crate) signing_alg: Option<String>,
    /// The only `kid` that assertions may bear.
    #[serde(default)]
    pub(crate) key_id: Option<String>,
}

impl Client {
    fn with_secret(id: &str, secret: &str) -> Self {
        Client {
            id: id.into(),
            secret: secret.into(),
            secret_2: None,
            encoding: Encoding::Form,
            auth_method: None,
            public_key_file: None,
            certificate_file: None,
            signing_alg: None,
            key_id: None,
        }
    }

    /// Either of them serves.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        [Some(self.secret.as_str()), self.secret_2.as_deref()].into_iter().flatten()
    }
}

/// How a client must authenticate.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMethod {
    ClientSecretJwt,
    PrivateKeyJwt,
    TlsClientAuth,
    SelfSignedTlsClientAuth,
}

/// Which certificates of clients new HTTPS connections ask for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientCertificates {
    /// Asked for, and any will do, and none too.
    Any,
    /// One of an authority in `client_ca_file`.
    Required,
}

/// How the server reads id and secret out of a Basic header.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoding {
    #[default]
    Form,
    Raw,
    Strict,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Realm {
    pub(crate) clients: Vec<Client>,
    /// None: the space's. A given null is a null in the answer.
    #[serde(deserialize_with = "given")]
    pub(crate) expires_in: Option<Value>,
    pub(crate) enabled: bool,
    /// Members of its metadata that win over the server's own; null takes one out.
    pub(crate) metadata: Map<String, Value>,
}

impl Default for Realm {
    fn default() -> Self {
        Realm { clients: Vec::new(), expires_in: None, enabled: true, metadata: Map::new() }
    }
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TlsFault {
    CloseInHandshake,
    Garbage,
    WrongHost,
    Expired,
    UnknownCa,
    StallHandshake,
}

/// The only version of TLS that a server speaks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// What the proxy does instead of leading anywhere.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProxyFault {
    /// Its port is closed.
    Refuse,
    /// It is asked and never answers.
    Stall,
    /// It is asked and closes.
    Close,
    /// Of HTTP: this answer.
    Answer {
        status: u16,
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Of HTTP: these bytes, and nothing more.
    Raw(String),
    /// Of SOCKS: this reply.
    SocksReply(u8),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Value")]
pub(crate) enum Accept {
    Serve,
    Stall,
    Refuse,
}

impl TryFrom<Value> for Accept {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::Bool(true) => Ok(Accept::Serve),
            Value::String(word) if word == "stall" => Ok(Accept::Stall),
            Value::String(word) if word == "refuse" => Ok(Accept::Refuse),
            _ => Err("expected true, \"stall\" or \"refuse\""),
        }
    }
}

/// Settings that could not be read; the text names the setting and what was expected.
#[derive(Debug)]
pub struct SettingsError(pub(crate) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}
