//! What a client can be told: one table of options, from which every language's setters, the environment's names and
//! the README's table are made or checked.

pub(crate) mod certificate;
pub(crate) mod credential;
pub(crate) mod environment;
mod file;
pub(crate) mod header;
pub(crate) mod identity;
pub(crate) mod issuer;
pub(crate) mod preset;
pub(crate) mod private_key;
#[cfg(test)]
mod properties;
pub(crate) mod proxy;
pub(crate) mod redis_address;
pub(crate) mod secret_command;
pub(crate) mod secret_source;
pub(crate) mod settings;
pub(crate) mod url;

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::secret::Secret;

pub use secret_source::SecretCallback;

/// How an option's value looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionKind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// A length of time, above zero. Python and the environment give seconds, Node and C milliseconds.
    Duration,
    /// A whole number, 1 or more.
    Count,
    /// True or false.
    Flag,
    /// Texts in order. In the environment they are separated by spaces or commas.
    List,
    /// Names and values in order. In the environment they are form-encoded: `name=value&name=value`.
    Pairs,
    /// A function of the host's. It cannot be given by the environment.
    Callback,
}

/// A row of the table of options.
#[derive(Clone, Copy, Debug)]
pub struct OptionRow {
    /// The name, the same in every language up to its case; in the environment `SVCTOKEN_` and upper case.
    pub name: &'static str,
    /// How its value looks.
    pub kind: OptionKind,
    /// What holds if it is not given, in words.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// A value as a binding hands it over.
#[derive(Clone)]
#[non_exhaustive]
pub enum Value {
    /// A text.
    Text(String),
    /// A length of time in milliseconds; whatever a host's number may be, NaN and negatives included.
    Milliseconds(f64),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// Texts in order.
    List(Vec<String>),
    /// Names and values in order.
    Pairs(Vec<(String, String)>),
    /// A function that returns a secret.
    Callback(SecretCallback),
    /// Something else; the text names the host's type, for the error.
    Other(String),
}

macro_rules! options {
    ($($name:ident: $kind:ident, $default:literal, $doc:literal;)+) => {
        /// Every option, in the order of the documentation.
        pub const OPTIONS: &[OptionRow] = &[
            $(OptionRow { name: stringify!($name), kind: OptionKind::$kind, default: $default, doc: $doc },)+
        ];

        /// The options given so far; [`ClientBuilder`](crate::ClientBuilder) has a method for each.
        #[derive(Clone, Default)]
        pub struct Config {
            $(pub(crate) $name: Option<field_type!($kind)>,)+
        }

        impl Config {
            /// Sets the option called `name`, replacing an earlier value.
            ///
            /// Fails with `invalid_configuration`, naming the option, if there is no such option, or the value has
            /// the wrong type or cannot be right whatever else is given.
            pub fn set(&mut self, name: &str, value: Value) -> Result<()> {
                match name {
                    $(stringify!($name) => self.$name = Some(read!($kind, name, value)?),)+
                    _ => return Err(unknown_option(name)),
                }
                Ok(())
            }

            /// Takes what is not set here from `other`.
            pub(crate) fn fill_from(&mut self, mut other: Config) {
                // What proves the client in one form is not overruled by what is found in another.
                let key = self.private_key.is_some() || self.private_key_file.is_some();
                let certificate = self.auth_method.as_deref().is_some_and(|method| method.ends_with("tls_client_auth"));
                if self.gives_a_secret() || key || certificate || self.access_token.is_some() {
                    other.forget_secrets();
                    other.private_key = None;
                    other.private_key_file = None;
                    other.access_token = None;
                }
                if self.client_cert_file.is_some() {
                    other.client_key_file = None;
                }
                // One server, by either name.
                if self.token_url.is_some() || self.issuer.is_some() {
                    other.token_url = None;
                    other.issuer = None;
                }
                $(if self.$name.is_none() { self.$name = other.$name; })+
            }

            fn gives_a_secret(&self) -> bool {
                self.client_secret.is_some()
                    || self.client_secret_file.is_some()
                    || self.client_secret_command.is_some()
                    || self.client_secret_callback.is_some()
            }

            fn forget_secrets(&mut self) {
                self.client_secret = None;
                self.client_secret_file = None;
                self.client_secret_command = None;
                self.client_secret_callback = None;
                self.client_secret_2 = None;
            }

            #[cfg(test)]
            fn set_names(&self) -> Vec<&'static str> {
                [$(self.$name.is_some().then_some(stringify!($name))),+].into_iter().flatten().collect()
            }
        }

        impl fmt::Debug for Config {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = f.debug_struct("Config");
                $(if let Some(value) = &self.$name { shown.field(stringify!($name), show!($kind, value)); })+
                shown.finish()
            }
        }

        /// One method an option.
        impl crate::ClientBuilder {
            $(builder_method!($kind, $name, concat!($doc, " Default: ", $default, "."));)+
        }
    };
}

macro_rules! field_type {
    (Text) => { String };
    (Secret) => { Secret };
    (Duration) => { Duration };
    (Count) => { u64 };
    (Flag) => { bool };
    (List) => { Vec<String> };
    (Pairs) => { Vec<(String, String)> };
    (Callback) => { SecretCallback };
}

macro_rules! read {
    (Text, $name:expr, $value:expr) => {
        text($name, $value)
    };
    (Secret, $name:expr, $value:expr) => {
        text($name, $value).map(Secret::new)
    };
    (Duration, $name:expr, $value:expr) => {
        duration($name, $value)
    };
    (Count, $name:expr, $value:expr) => {
        count($name, $value)
    };
    (Flag, $name:expr, $value:expr) => {
        flag($name, $value)
    };
    (List, $name:expr, $value:expr) => {
        list($name, $value)
    };
    (Pairs, $name:expr, $value:expr) => {
        pairs($name, $value)
    };
    (Callback, $name:expr, $value:expr) => {
        callback($name, $value)
    };
}

// What a user may keep in a header or a parameter is not ours to show.
macro_rules! show {
    (Pairs, $value:expr) => {
        &$value.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    (Text, $value:expr) => {
        &if $value.contains("//") { url::shown($value) } else { $value.clone() }
    };
    ($kind:ident, $value:expr) => {
        $value
    };
}

macro_rules! builder_method {
    (Text, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name(mut self, value: impl Into<String>) -> Self {
            self.config.$name = Some(value.into());
            self
        }
    };
    (Secret, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name(mut self, value: impl Into<String>) -> Self {
            self.config.$name = Some(Secret::new(value.into()));
            self
        }
    };
    (Duration, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name(mut self, value: Duration) -> Self {
            self.config.$name = Some(value);
            self
        }
    };
    (Count, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name(mut self, value: u64) -> Self {
            self.config.$name = Some(value);
            self
        }
    };
    (Flag, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name(mut self, value: bool) -> Self {
            self.config.$name = Some(value);
            self
        }
    };
    (List, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
            self.config.$name = Some(values.into_iter().map(Into::into).collect());
            self
        }
    };
    (Pairs, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name<N: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
            self.config.$name = Some(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect());
            self
        }
    };
    (Callback, $name:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $name<E: fmt::Display>(
            mut self,
            function: impl Fn() -> std::result::Result<String, E> + Send + Sync + 'static,
        ) -> Self {
            self.config.$name = Some(SecretCallback::new(function));
            self
        }
    };
}

options! {
    client_id: Text, "none", "The client identifier (RFC 6749 section 2.2).";
    client_secret: Secret, "none", "The client secret (RFC 6749 section 2.3.1).";
    client_secret_file: Text, "none", "A file that holds the client secret; one line break at its end is left out. It is read when the client is made, and again when it has changed.";
    client_secret_command: List, "none", "A program and its arguments, run without a shell, whose output is the client secret; one line break at its end is left out. It is run when a token is first needed, and again when the server refuses the secret, for at most 30 s. In the environment its words are separated by spaces alone.";
    client_secret_callback: Callback, "none", "A function that returns the client secret. It is called when a token is first needed, and again when the server refuses the secret; one call at a time for each client, on a thread of svctoken's own where the language has no event loop.";
    client_secret_2: Secret, "none", "A second client secret, tried when the server refuses the first, and kept while it works.";
    private_key: Secret, "none", "The private key of private_key_jwt: PEM (PKCS #8, PKCS #1 or SEC 1) or JWK (RFC 7517), without a passphrase.";
    private_key_file: Text, "none", "A file that holds the private key, read when the client is made.";
    key_id: Text, "the JWK's kid, else none", "The key's name at the server, which assertions bear as kid (RFC 7515 section 4.1.4).";
    access_token: Secret, "none", "An access token that is ready to use, instead of an id and a secret: used until an API refuses it, and then an error.";
    token_url: Text, "the preset's, else the issuer's", "The token endpoint (RFC 6749 section 3.2). Where it is given, the issuer is asked nothing.";
    issuer: Text, "none", "The authorization server's issuer identifier (RFC 8414 section 2), as the server writes it: its metadata names the endpoints.";
    revocation_url: Text, "the preset's, else the issuer's", "The revocation endpoint (RFC 7009). A preset knows it where token_url is the preset's too.";
    introspection_url: Text, "the preset's, else the issuer's", "The introspection endpoint (RFC 7662). A preset knows it where token_url is the preset's too.";
    base_url: Text, "the preset's", "The API: where relative paths go, and the origin that gets the token.";
    allowed_origins: List, "none", "Further origins that may get the token.";
    auth_method: Text, "client_secret_basic; client_secret_post where an issuer's metadata has that alone of the two", "How the client authenticates at the token endpoint: client_secret_basic or client_secret_post (RFC 6749 section 2.3.1), client_secret_jwt or private_key_jwt (RFC 7523 section 2.2), tls_client_auth or self_signed_tls_client_auth (RFC 8705 section 2).";
    auth_encoding: Text, "form", "How client_secret_basic encodes id and secret: form (RFC 6749 section 2.3.1) or raw (for servers that compare undecoded bytes).";
    signing_alg: Text, "the JWK's alg, else by the key", "How assertions are signed (RFC 7518 section 3.1): HS256, HS384 or HS512 with the secret; RS256, RS384, RS512, PS256, PS384 or PS512 with an RSA key, ES256 or ES384 with one on P-256 or P-384, EdDSA with an Ed25519 key. The first of a kind is its default.";
    assertion_audience: Text, "the issuer where it is known, else token_url", "Whom assertions are for (aud, RFC 7523 section 3): the server's issuer or its token endpoint.";
    scope: Text, "none", "The scope asked for, separated by spaces (RFC 6749 section 3.3).";
    audience: Text, "none", "The audience parameter some servers ask for.";
    resource: List, "none", "Resource indicators (RFC 8707).";
    extra_params: Pairs, "none", "Further parameters of the token request.";
    timeout: Duration, "60 s", "How long a whole call may take: waiting, requesting a token, connecting, sending and reading.";
    connect_timeout: Duration, "10 s", "How long opening one connection may take: name look-up, TCP and TLS.";
    token_timeout: Duration, "15 s", "How long one token request may take.";
    cache: Text, "file for Atlas, else memory", "Where tokens are kept: memory (of this process), file (one token for all processes of this user, in the user's cache folder), file:FOLDER (an absolute path), or redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] (one token for all machines that use it; rediss:// with TLS, and plain redis:// to another machine only with allow_http).";
    accept: Text, "the preset's", "The Accept header of API requests.";
    user_agent: Text, "svctoken/VERSION (OS;ARCHITECTURE)", "The User-Agent header of every request.";
    headers: Pairs, "none", "Headers of every API request; never sent to the token endpoint.";
    max_attempts: Count, "3", "How often a request or a token request is tried in all when the server or the network fails, the first included; at most 10.";
    mint_budget: Count, "10 for Atlas, else none", "How many token requests a minute this process, or all that share its cache, may send for one client_id at one token endpoint; further ones wait.";
    max_response_bytes: Count, "64 MiB", "The largest answer body, after decoding, in bytes.";
    allow_http: Flag, "false", "Permits http to hosts that are not this machine.";
    proxy: Secret, "the environment's, where that is read", "The proxy of every request, token requests included: http://, https://, socks5:// or socks5h://[USER:PASSWORD@]HOST[:PORT]; or direct, for none whatever the environment says.";
    ca_file: Text, "none", "A PEM file of certificate authorities trusted beside the platform's.";
    client_cert_file: Text, "none", "A PEM file of the client's certificate, followed by those between it and its authority. Servers that ask for one are shown it (RFC 8705): those of token_url, revocation_url, introspection_url, issuer, base_url and allowed_origins, and the endpoints that the issuer names, no others.";
    client_key_file: Text, "client_cert_file", "A PEM file of the certificate's private key (PKCS #8, PKCS #1 or SEC 1), without a passphrase.";
}

fn unknown_option(name: &str) -> Error {
    let nearest = OPTIONS
        .iter()
        .map(|row| (distance(row.name, name), row.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| format!("Did you mean {name}?"))
        .unwrap_or_else(|| "The README lists every option.".into());
    Error::configuration(format!("there is no option {name:?}")).with_next_step(nearest)
}

/// How many letters differ (Levenshtein), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn wrong_type(name: &str, expected: &str, value: &Value) -> Error {
    let got = match value {
        Value::Text(_) => "a text",
        Value::Milliseconds(_) | Value::Number(_) => "a number",
        Value::Flag(_) => "true or false",
        Value::List(_) => "a list",
        Value::Pairs(_) => "names with values",
        Value::Callback(_) => "a function",
        Value::Other(type_name) => type_name,
    };
    Error::configuration(format!("{name} must be {expected}, not {got}"))
}

fn text(name: &str, value: Value) -> Result<String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(wrong_type(name, "a text", &other)),
    }
}

fn duration(name: &str, value: Value) -> Result<Duration> {
    match value {
        Value::Milliseconds(milliseconds) => duration_of_milliseconds(milliseconds)
            .ok_or_else(|| Error::configuration(format!("{name} must be a time above zero"))),
        other => Err(wrong_type(name, "a number", &other)),
    }
}

/// A timeout from a host's number of milliseconds; `None` if it is not above zero.
pub fn duration_of_milliseconds(milliseconds: f64) -> Option<Duration> {
    // A million years and infinity are the same "never" to every clock.
    const LONGEST_SECONDS: f64 = 1e9;
    if milliseconds.is_nan() || milliseconds <= 0.0 {
        return None;
    }
    Some(Duration::from_secs_f64((milliseconds / 1000.0).min(LONGEST_SECONDS)))
}

fn count(name: &str, value: Value) -> Result<u64> {
    match value {
        Value::Number(number) if number >= 1.0 && number.fract() == 0.0 && number < 9e15 => Ok(number as u64),
        Value::Number(_) => Err(Error::configuration(format!("{name} must be a whole number, 1 or more"))),
        other => Err(wrong_type(name, "a whole number", &other)),
    }
}

fn flag(name: &str, value: Value) -> Result<bool> {
    match value {
        Value::Flag(flag) => Ok(flag),
        other => Err(wrong_type(name, "true or false", &other)),
    }
}

fn list(name: &str, value: Value) -> Result<Vec<String>> {
    match value {
        Value::List(texts) => Ok(texts),
        Value::Text(text) => Ok(vec![text]),
        other => Err(wrong_type(name, "a list of texts", &other)),
    }
}

fn pairs(name: &str, value: Value) -> Result<Vec<(String, String)>> {
    match value {
        Value::Pairs(pairs) => Ok(pairs),
        other => Err(wrong_type(name, "names with values", &other)),
    }
}

fn callback(name: &str, value: Value) -> Result<SecretCallback> {
    match value {
        Value::Callback(callback) => Ok(callback),
        other => Err(wrong_type(name, "a function", &other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: OptionKind) -> Value {
        match kind {
            OptionKind::Text | OptionKind::Secret => Value::Text("x".into()),
            OptionKind::Duration => Value::Milliseconds(1.0),
            OptionKind::Count => Value::Number(1.0),
            OptionKind::Flag => Value::Flag(true),
            OptionKind::List => Value::List(vec!["x".into()]),
            OptionKind::Pairs => Value::Pairs(vec![("x".into(), "y".into())]),
            OptionKind::Callback => Value::Callback(SecretCallback::new(|| Ok::<_, String>("x".into()))),
        }
    }

    #[test]
    fn every_option_takes_its_kind_and_refuses_every_other_by_name() {
        for row in OPTIONS {
            let mut config = Config::default();
            config.set(row.name, sample(row.kind)).expect(row.name);
            assert_eq!(config.set_names(), [row.name]);
            let error = config.set(row.name, Value::Other("a cow".into())).expect_err(row.name);
            assert!(error.what().contains(row.name) && error.what().contains("a cow"), "{error}");
        }
    }

    #[test]
    fn an_unknown_option_is_refused_and_the_nearest_named() {
        let error = Config::default().set("client_sercet", Value::Text("x".into())).expect_err("unknown");
        assert_eq!(error.next_step(), "Did you mean client_secret?");
    }

    #[test]
    fn a_time_must_be_above_zero() {
        for wrong in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert!(Config::default().set("timeout", Value::Milliseconds(wrong)).is_err(), "{wrong}");
        }
        assert!(Config::default().set("timeout", Value::Milliseconds(f64::INFINITY)).is_ok());
    }

    #[test]
    fn p07_debug_shows_neither_secret_nor_header_values() {
        let mut config = Config::default();
        config.set("client_secret", Value::Text("mdb_sa_sk_hidden".into())).expect("valid");
        config.set("headers", Value::Pairs(vec![("X-Key".into(), "hidden-too".into())])).expect("valid");
        config.set("cache", Value::Text("rediss://me:not-for-you@cache.example".into())).expect("valid");
        let shown = format!("{config:?}");
        assert!(shown.contains("X-Key") && shown.contains("cache.example"), "{shown}");
        assert!(
            !["mdb_sa_sk_hidden", "hidden-too", "not-for-you"].iter().any(|secret| shown.contains(secret)),
            "{shown}"
        );
    }
}
