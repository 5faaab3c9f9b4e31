//! Who the client is, and what it proves that with.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::certificate::ClientCertificate;
use crate::config::private_key::{self, PrivateKey};
use crate::config::secret_source::SecretSource;
use crate::crypto::key::SigningKey;
use crate::crypto::signature::Algorithm;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// The client's identifier and its proofs.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) client_id: String,
    pub(crate) proof: Proof,
    /// What TLS proves beside it, or alone.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

/// How the client proves itself, by the methods' registered names, and with what.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    ClientSecretBasic {
        secret: Secret,
        encoding: AuthEncoding,
    },
    ClientSecretPost {
        secret: Secret,
    },
    ClientSecretJwt {
        secret: Secret,
        assertion: Assertion,
    },
    PrivateKeyJwt {
        key: Arc<SigningKey>,
        assertion: Assertion,
    },
    /// The certificate is enough.
    TlsClientAuth,
    SelfSignedTlsClientAuth,
}

/// What assertions say beside the client and the time (RFC 7523 section 3).
#[derive(Clone, Debug)]
pub(crate) struct Assertion {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) audience: String,
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

const METHODS: &str = "client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth or \
                       self_signed_tls_client_auth";
const ATLAS_ID: &str = "mdb_sa_id_";
const ATLAS_SECRET: &str = "mdb_sa_sk_";

impl Credential {
    /// The secret is empty where its source is one that takes time to be asked.
    pub(crate) fn from_config(
        config: &Config,
        source: Option<&SecretSource>,
        certificate: Option<Arc<ClientCertificate>>,
    ) -> Result<Credential> {
        let client_id = config.client_id.clone().unwrap_or_default();
        if client_id.is_empty() {
            return Err(missing("client_id", "CLIENT_ID"));
        }
        if client_id.chars().any(char::is_control) {
            return Err(Error::configuration("client_id has a line break or another control character")
                .with_next_step("Remove it; often it comes from a file's or a shell's last line."));
        }
        let proof = Proof::from_config(config, &client_id, source, certificate.as_deref())?;
        Ok(Credential { client_id, proof, certificate })
    }

    /// The same client's with this secret, which `option` gave.
    pub(crate) fn with_secret(&self, option: &str, secret: &Secret) -> Result<Credential> {
        check_secret(&self.client_id, option, secret)?;
        let secret = secret.clone();
        let proof = match &self.proof {
            Proof::ClientSecretBasic { encoding, .. } => Proof::ClientSecretBasic { secret, encoding: *encoding },
            Proof::ClientSecretPost { .. } => Proof::ClientSecretPost { secret },
            Proof::ClientSecretJwt { assertion, .. } => {
                check_length(option, &secret, assertion.algorithm)?;
                Proof::ClientSecretJwt { secret, assertion: assertion.clone() }
            }
            Proof::PrivateKeyJwt { .. } | Proof::TlsClientAuth | Proof::SelfSignedTlsClientAuth => {
                return Err(needless_secret(option, self.proof.method()));
            }
        };
        Ok(Credential { client_id: self.client_id.clone(), proof, certificate: self.certificate.clone() })
    }

    /// What records are named and sealed with: the same whenever the client proves itself with the same.
    pub(crate) fn stable_bytes(&self) -> Zeroizing<Vec<u8>> {
        let proof = match &self.proof {
            Proof::ClientSecretBasic { secret, .. }
            | Proof::ClientSecretPost { secret }
            | Proof::ClientSecretJwt { secret, .. } => secret.reveal().as_bytes(),
            Proof::PrivateKeyJwt { key, .. } => key.bytes(),
            Proof::TlsClientAuth | Proof::SelfSignedTlsClientAuth => &[],
        };
        Zeroizing::new(match &self.certificate {
            Some(certificate) => [&(proof.len() as u64).to_le_bytes(), proof, certificate.key_bytes()].concat(),
            None => proof.to_vec(),
        })
    }
}

impl Proof {
    fn from_config(
        config: &Config,
        client_id: &str,
        source: Option<&SecretSource>,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Proof> {
        let method = config.auth_method.as_deref().unwrap_or("client_secret_basic");
        let secret = || client_secret(config, source, method, client_id);
        match method {
            "client_secret_basic" => {
                let encoding = match config.auth_encoding.as_deref() {
                    None | Some("form") => AuthEncoding::Form,
                    Some("raw") => AuthEncoding::Raw,
                    Some(other) => return Err(Error::unknown_choice("auth_encoding", other, "form or raw")),
                };
                Ok(Proof::ClientSecretBasic { secret: secret()?, encoding })
            }
            "client_secret_post" => Ok(Proof::ClientSecretPost { secret: secret()? }),
            "client_secret_jwt" => {
                let secret = secret()?;
                let algorithm = secrets_algorithm(config.signing_alg.as_deref())?;
                if !secret.reveal().is_empty() {
                    check_length("client_secret", &secret, algorithm)?;
                }
                let assertion = Assertion::new(config, algorithm, None);
                Ok(Proof::ClientSecretJwt { secret, assertion })
            }
            "private_key_jwt" => {
                let PrivateKey { key, key_id, algorithm } = private_key(config)?;
                let algorithm = keys_algorithm(config.signing_alg.as_deref(), algorithm.as_deref(), &key)?;
                let assertion = Assertion::new(config, algorithm, key_id);
                Ok(Proof::PrivateKeyJwt { key: Arc::new(key), assertion })
            }
            "tls_client_auth" => certificate_alone(config, method, certificate).map(|()| Proof::TlsClientAuth),
            "self_signed_tls_client_auth" => {
                certificate_alone(config, method, certificate).map(|()| Proof::SelfSignedTlsClientAuth)
            }
            other => Err(Error::unknown_choice("auth_method", other, METHODS)),
        }
    }

    pub(crate) fn method(&self) -> &'static str {
        match self {
            Proof::ClientSecretBasic { .. } => "client_secret_basic",
            Proof::ClientSecretPost { .. } => "client_secret_post",
            Proof::ClientSecretJwt { .. } => "client_secret_jwt",
            Proof::PrivateKeyJwt { .. } => "private_key_jwt",
            Proof::TlsClientAuth => "tls_client_auth",
            Proof::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// The client secret, where there is one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Proof::ClientSecretBasic { secret, .. }
            | Proof::ClientSecretPost { secret }
            | Proof::ClientSecretJwt { secret, .. } => Some(secret),
            Proof::PrivateKeyJwt { .. } | Proof::TlsClientAuth | Proof::SelfSignedTlsClientAuth => None,
        }
    }

    /// What assertions say, where the proof is one.
    pub(crate) fn assertion(&self) -> Option<&Assertion> {
        match self {
            Proof::ClientSecretJwt { assertion, .. } | Proof::PrivateKeyJwt { assertion, .. } => Some(assertion),
            Proof::ClientSecretBasic { .. }
            | Proof::ClientSecretPost { .. }
            | Proof::TlsClientAuth
            | Proof::SelfSignedTlsClientAuth => None,
        }
    }

    /// Whether it is the certificate that proves the client.
    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self, Proof::TlsClientAuth | Proof::SelfSignedTlsClientAuth)
    }
}

impl Assertion {
    fn new(config: &Config, algorithm: Algorithm, keys_id: Option<String>) -> Assertion {
        let audience = config.assertion_audience.as_ref().or(config.issuer.as_ref()).or(config.token_url.as_ref());
        Assertion {
            algorithm,
            key_id: config.key_id.clone().or(keys_id).filter(|id| !id.is_empty()),
            audience: audience.cloned().unwrap_or_default(),
        }
    }
}

/// Refuses a private key beside a method that has no use for one.
fn no_key(config: &Config, method: &str) -> Result<()> {
    match given_keys(config).next() {
        Some((option, _)) => {
            let what = format!("{option} is given, and auth_method {method} does not use a key");
            Err(Error::configuration(what)
                .with_next_step(format!("Set auth_method to private_key_jwt, or leave {option} out.")))
        }
        None => Ok(()),
    }
}

/// The secret, if it can be had at once.
fn client_secret(config: &Config, source: Option<&SecretSource>, method: &str, client_id: &str) -> Result<Secret> {
    no_key(config, method)?;
    let source = source.ok_or_else(|| missing("client_secret", "CLIENT_SECRET"))?;
    if source.is_slow() {
        return Ok(Secret::new(String::new()));
    }
    let secret = source.ask()?;
    check_secret(client_id, "client_secret", &secret)?;
    Ok(secret)
}

/// Refuses what is no secret, because it is something else that people have in its place.
fn check_secret(client_id: &str, option: &str, secret: &Secret) -> Result<()> {
    let secret = secret.reveal();
    if secret.is_empty() {
        return Err(missing(option, &option.to_ascii_uppercase()));
    }
    if client_id.starts_with(ATLAS_SECRET) || secret.starts_with(ATLAS_ID) {
        return Err(Error::configuration(format!("client_id and {option} are swapped"))
            .with_next_step("An Atlas id begins with mdb_sa_id_, a secret with mdb_sa_sk_."));
    }
    if secret.contains(['•', '…']) || secret.ends_with("****") {
        return Err(Error::configuration(format!("{option} is the masked form that a web page shows"))
            .with_next_step("Use the secret itself; if it is lost, make a new one."));
    }
    if secret.chars().any(char::is_control) {
        return Err(Error::configuration(format!("{option} has a line break or another control character"))
            .with_next_step("Remove it; often it comes from a file's or a shell's last line."));
    }
    Ok(())
}

/// The options that give a private key, and their values.
fn given_keys(config: &Config) -> impl Iterator<Item = (&'static str, &str)> {
    let text = config.private_key.as_ref().map(Secret::reveal).map(|text| ("private_key", text));
    let file = config.private_key_file.as_deref().map(|path| ("private_key_file", path));
    text.into_iter().chain(file).filter(|(_, value)| !value.is_empty())
}

/// Refuses a secret beside a method that has no use for one.
fn no_secret(config: &Config, method: &str) -> Result<()> {
    let secrets = [
        ("client_secret", config.client_secret.is_some()),
        ("client_secret_file", config.client_secret_file.is_some()),
        ("client_secret_command", config.client_secret_command.is_some()),
        ("client_secret_callback", config.client_secret_callback.is_some()),
        ("client_secret_2", config.client_secret_2.is_some()),
    ];
    match secrets.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(needless_secret(option, method)),
        None => Ok(()),
    }
}

fn needless_secret(option: &str, method: &str) -> Error {
    Error::configuration(format!("{option} is given, and auth_method {method} does not use a secret"))
        .with_next_step(format!("Leave {option} out, or set auth_method to one that uses it."))
}

/// Checks that there is a certificate, and nothing beside it.
fn certificate_alone(config: &Config, method: &str, certificate: Option<&ClientCertificate>) -> Result<()> {
    no_secret(config, method)?;
    no_key(config, method)?;
    if certificate.is_none() {
        let what = format!("client_cert_file is missing, which auth_method {method} wants");
        return Err(Error::configuration(what)
            .with_next_step("Give client_cert_file and client_key_file, or set SVCTOKEN_CLIENT_CERT_FILE."));
    }
    Ok(())
}

fn private_key(config: &Config) -> Result<PrivateKey> {
    no_secret(config, "private_key_jwt")?;
    let mut keys = given_keys(config);
    match (keys.next(), keys.next()) {
        (Some(_), Some(_)) => Err(Error::configuration("private_key and private_key_file are both given")
            .with_next_step("Leave one of them out.")),
        (Some((option @ "private_key", text)), None) => private_key::read_text(option, text),
        (Some((option, path)), None) => private_key::read_file(option, path),
        (None, _) => Err(Error::configuration("private_key_file is missing, which auth_method private_key_jwt wants")
            .with_next_step("Give private_key_file or private_key, or set SVCTOKEN_PRIVATE_KEY_FILE.")),
    }
}

/// How a secret signs.
fn secrets_algorithm(given: Option<&str>) -> Result<Algorithm> {
    let name = given.unwrap_or("HS256");
    Algorithm::named(name).filter(|algorithm| algorithm.shortest_secret().is_some()).ok_or_else(|| {
        Error::configuration(format!(
            "signing_alg is {name:?}; with auth_method client_secret_jwt it can be HS256, HS384 or HS512"
        ))
    })
}

fn check_length(option: &str, secret: &Secret, algorithm: Algorithm) -> Result<()> {
    let (length, name) = (secret.reveal().len(), algorithm.name());
    match algorithm.shortest_secret() {
        Some(shortest) if length < shortest => {
            let what =
                format!("{option} has {length} bytes, and {name} wants at least {shortest} (RFC 7518 section 3.2)");
            Err(Error::configuration(what)
                .with_next_step("Have the server make a longer secret, or use another auth_method."))
        }
        _ => Ok(()),
    }
}

/// How a key signs: as given, else as its JWK says, else as is usual for its kind.
fn keys_algorithm(given: Option<&str>, keys: Option<&str>, key: &SigningKey) -> Result<Algorithm> {
    let Some(name) = given.or(keys) else { return Ok(key.algorithms()[0]) };
    let algorithm = Algorithm::named(name).filter(|algorithm| key.algorithms().contains(algorithm));
    algorithm.ok_or_else(|| {
        let possible: Vec<_> = key.algorithms().iter().map(|algorithm| algorithm.name()).collect();
        let option = if given.is_some() { "signing_alg" } else { "the JWK's alg" };
        Error::configuration(format!(
            "{option} is {name:?}; with the given private key ({}) it can be {}",
            key.kind(),
            possible.join(", ")
        ))
        .with_next_step("Set signing_alg to one of these, or give a key of another kind.")
    })
}

fn missing(option: &str, variable: &str) -> Error {
    Error::configuration(format!("{option} is missing or empty"))
        .with_next_step(format!("Give {option}, or set SVCTOKEN_{variable} (for Atlas: MONGODB_ATLAS_{variable})."))
}
