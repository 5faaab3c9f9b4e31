//! Private keys as their owners keep them: PEM (RFC 7468) and JWK (RFC 7517, RFC 8037), as a file or a text.
//!
//! What cannot be used is named, with the command that makes of it what can.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::config::file;
use crate::crypto::der::{self, Reader};
use crate::crypto::key::{Curve, LONGEST_RSA, Numbers, RsaNumbers, SHORTEST_RSA, SigningKey, Unusable};
use crate::error::{Error, Result};

/// A private key, and what is said beside it.
#[derive(Debug)]
pub(crate) struct PrivateKey {
    pub(crate) key: SigningKey,
    /// The JWK's `kid`.
    pub(crate) key_id: Option<String>,
    /// The JWK's `alg`.
    pub(crate) algorithm: Option<String>,
}

/// Where a key was given, for messages.
struct Place<'a> {
    option: &'a str,
    path: Option<&'a str>,
}

/// Reads the key in the file that `option` names.
pub(crate) fn read_file(option: &str, path: &str) -> Result<PrivateKey> {
    let bytes = file::read(option, path)?;
    let place = Place { option, path: Some(path) };
    place.read(place.text(&bytes)?)
}

/// Reads the key in the file that `option` names for TLS too, which wants it as PEM.
pub(crate) fn read_for_tls(option: &str, path: &str) -> Result<(SigningKey, PrivateKeyDer<'static>)> {
    let bytes = file::read(option, path)?;
    let place = Place { option, path: Some(path) };
    let text = place.text(&bytes)?;
    let key = place.read(text)?.key;
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| place.wrong("is no PEM key, which TLS wants", "Export the same key as PEM (PKCS #8)."))?;
    Ok((key, der))
}

/// Reads the key that is the value of `option`.
pub(crate) fn read_text(option: &str, text: &str) -> Result<PrivateKey> {
    Place { option, path: None }.read(text)
}

impl Place<'_> {
    fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Ok(text),
            _ => Err(self.binary(bytes)),
        }
    }

    fn read(&self, text: &str) -> Result<PrivateKey> {
        if text.trim_start().starts_with('{') {
            return self.read_jwk(text);
        }
        match private_block(text) {
            Some(("PRIVATE KEY", body)) => self.read_pem(body, SigningKey::from_pkcs8),
            Some(("RSA PRIVATE KEY" | "EC PRIVATE KEY", body)) if body.contains("ENCRYPTED") => Err(self.encrypted()),
            Some(("RSA PRIVATE KEY", body)) => self.read_pem(body, SigningKey::from_pkcs1),
            Some(("EC PRIVATE KEY", body)) => self.read_pem(body, SigningKey::from_sec1),
            Some(("ENCRYPTED PRIVATE KEY", _)) => Err(self.encrypted()),
            Some(("OPENSSH PRIVATE KEY", _)) => {
                let command = format!("ssh-keygen -p -m PKCS8 -N '' -f {}", self.quoted());
                Err(self.wrong("is in OpenSSH's own format", &format!("Convert a copy of it in its place: {command}")))
            }
            Some(("DSA PRIVATE KEY", _)) => Err(self.unusable(&Unusable::Type("DSA"))),
            Some((label, _)) => Err(self.wrong(&format!("is a {label:?}, which is not known here"), NEW_KEY)),
            None if text.contains("-----BEGIN ") => Err(self.wrong(
                "holds no private key, only a certificate or a public key",
                match self.option {
                    "client_cert_file" => "Give client_key_file, or add the key to this file.",
                    _ => "Give the private key that belongs to it; the server keeps the other half.",
                },
            )),
            None => Err(self.wrong(
                "is neither PEM nor a JWK",
                "A PEM text begins with -----BEGIN PRIVATE KEY----- and has its line breaks, a JWK with {.",
            )),
        }
    }

    fn read_pem(&self, body: &str, read: fn(&[u8]) -> std::result::Result<SigningKey, Unusable>) -> Result<PrivateKey> {
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let key = STANDARD.decode(body.as_bytes()).map(Zeroizing::new).map_err(|_| Unusable::Malformed);
        let key = key.and_then(|key| read(&key)).map_err(|why| self.unusable(&why))?;
        Ok(PrivateKey { key, key_id: None, algorithm: None })
    }

    fn read_jwk(&self, text: &str) -> Result<PrivateKey> {
        let mut members = match serde_json::from_str(text) {
            Ok(Value::Object(members)) => Members(members),
            _ => return Err(self.wrong("is no JWK: it is not readable as JSON", "See RFC 7517 section 3 for one.")),
        };
        let said = |name: &str| members.0.get(name).and_then(Value::as_str).map(str::to_owned);
        let (key_id, algorithm) = (said("kid"), said("alg"));
        let (kind, curve) = (said("kty"), said("crv"));
        if members.0.contains_key("keys") {
            return Err(
                self.wrong("is a set of keys (JWKS)", "Give the one private key in it, as an object of its own.")
            );
        }
        if kind.as_deref() == Some("oct") {
            return Err(
                self.wrong("is a symmetric key", "Give it as client_secret, with auth_method client_secret_jwt.")
            );
        }
        if !members.0.contains_key("d") {
            return Err(self.wrong("is a public key", "Give the JWK with the private member d."));
        }
        let mut number = |name: &str| {
            let digits = members.take(name).and_then(|text| URL_SAFE_NO_PAD.decode(text.as_bytes()).ok());
            digits.map(Zeroizing::new).ok_or_else(|| {
                self.wrong(
                    &format!("is a JWK whose member {name} is missing or unreadable"),
                    "Export the key with all members that RFC 7518 section 6 lists for its type.",
                )
            })
        };
        let key = match (kind.as_deref(), curve.as_deref()) {
            (Some("RSA"), _) => {
                let (n, e, d, p, q) = (number("n")?, number("e")?, number("d")?, number("p")?, number("q")?);
                let (dp, dq, qi) = (number("dp")?, number("dq")?, number("qi")?);
                let numbers = RsaNumbers { n: &n, e: &e, d: &d, p: &p, q: &q, dp: &dp, dq: &dq, qi: &qi };
                SigningKey::from_numbers(&Numbers::Rsa(numbers))
            }
            (Some("EC"), Some(name @ ("P-256" | "P-384"))) => {
                let curve = if name == "P-256" { Curve::P256 } else { Curve::P384 };
                let public = [&[4][..], &number("x")?, &number("y")?].concat();
                SigningKey::from_numbers(&Numbers::Ec { curve, private: &number("d")?, public: &public })
            }
            (Some("OKP"), Some("Ed25519")) => SigningKey::from_numbers(&Numbers::Ed25519 { seed: &number("d")? }),
            _ => {
                let shown = [kind, curve].into_iter().flatten().collect::<Vec<_>>().join(" on ");
                return Err(self.wrong(&format!("is a JWK of another type: {shown:?}"), NEW_KEY));
            }
        };
        Ok(PrivateKey { key: key.map_err(|why| self.unusable(&why))?, key_id, algorithm })
    }

    /// Keys are usually converted once and forgotten, with a program that everybody has.
    fn binary(&self, bytes: &[u8]) -> Error {
        let version = Reader::new(bytes).inside(der::SEQUENCE).and_then(|mut inside| inside.integer());
        let path = self.quoted();
        match version {
            Some([3]) => self.wrong(
                "is a PKCS #12 file",
                &format!("Take the key out of it: openssl pkcs12 -in {path} -nocerts -nodes -out key.pem"),
            ),
            Some(_) => {
                self.wrong("is DER, not PEM", &format!("Convert it: openssl pkey -inform DER -in {path} -out key.pem"))
            }
            None => self.wrong("is neither PEM nor a JWK", "Give a file that begins with -----BEGIN PRIVATE KEY-----."),
        }
    }

    fn encrypted(&self) -> Error {
        let command = format!("openssl pkey -in {} -out key.pem", self.quoted());
        self.wrong(
            "is encrypted with a passphrase",
            &format!("Write it without one, readable for nobody else: {command}"),
        )
    }

    fn unusable(&self, why: &Unusable) -> Error {
        let path = self.quoted();
        match why {
            Unusable::Malformed => self.wrong(
                "is not readable as a key",
                &format!("See what is wrong with it: openssl pkey -in {path} -check -noout"),
            ),
            Unusable::Inconsistent => self.wrong(
                "has numbers that do not belong together",
                &format!("See what is wrong with it: openssl pkey -in {path} -check -noout"),
            ),
            Unusable::Type(name) => self.wrong(&format!("is of the type {name}"), NEW_KEY),
            Unusable::RsaLength(bits) => self.wrong(
                &format!("is an RSA key of {bits} bits, which must have {SHORTEST_RSA} to {LONGEST_RSA}"),
                "Make a new one and register its public half at the server: openssl genpkey -algorithm RSA -pkeyopt \
                 rsa_keygen_bits:3072 -out key.pem",
            ),
            Unusable::NoPoint => self.wrong(
                "has no public point, or a compressed one",
                &format!("Write it with one: openssl ec -in {path} -conv_form uncompressed -out key.pem"),
            ),
        }
    }

    fn wrong(&self, what: &str, next_step: &str) -> Error {
        let place = match self.path {
            Some(path) => format!("{} {path:?}", self.option),
            None => self.option.to_owned(),
        };
        Error::configuration(format!("{place} {what}")).with_next_step(next_step)
    }

    /// The file's name as a shell reads it.
    fn quoted(&self) -> String {
        match self.path {
            Some(path) => format!("'{}'", path.replace('\'', r"'\''")),
            None => "old.pem".into(),
        }
    }
}

const NEW_KEY: &str = "Make a new one and register its public half at the server: openssl genpkey -algorithm EC -pkeyopt \
                       ec_paramgen_curve:P-256 -out key.pem";

/// The members of a JWK, wiped when they are not needed any more.
struct Members(Map<String, Value>);

impl Members {
    fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        match self.0.get_mut(name) {
            Some(Value::String(text)) => Some(Zeroizing::new(std::mem::take(text))),
            _ => None,
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for value in self.0.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}

/// The label and the body of the first private key in a PEM text.
fn private_block(text: &str) -> Option<(&str, &str)> {
    text.split("-----BEGIN ").skip(1).find_map(|block| {
        let (label, rest) = block.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        label.ends_with("PRIVATE KEY").then_some((label, body))
    })
}

#[cfg(test)]
mod tests;
