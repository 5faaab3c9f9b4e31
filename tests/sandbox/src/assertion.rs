//! Signed assertions (RFC 7523), checked as strictly as Keycloak does.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::der::element;
use crate::settings::{AuthMethod, Client};

/// How far ahead an assertion may end, and by how much clocks may differ, in seconds.
const LONGEST_LIFE: i64 = 60;
const SKEW: i64 = 15;

/// The assertions that were taken, by client and `jti`: each serves once.
#[derive(Debug, Default)]
pub(crate) struct Used(HashSet<(String, String)>);

/// An assertion whose signature has not been looked at.
pub(crate) struct Unchecked<'a> {
    header: Value,
    claims: Value,
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Unchecked<'a> {
    pub(crate) fn read(text: &'a str) -> Option<Unchecked<'a>> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Unchecked {
            header: json(header)?,
            claims: json(claims)?,
            signed: signed.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whose it claims to be.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.claims["sub"].as_str()
    }

    /// Whether `client` made it, for one of these audiences, for now, and for the first time; else why not.
    pub(crate) fn check(
        &self,
        client: &Client,
        audiences: &[String],
        now: i64,
        used: &mut Used,
    ) -> Result<(), &'static str> {
        let says = |name: &str, value: &str| self.claims[name] == value;
        let time = |name: &str| self.claims[name].as_i64();
        if client.signing_alg.as_ref().is_some_and(|wanted| self.header["alg"] != wanted.as_str()) {
            return Err("Invalid signature algorithm");
        }
        if client.key_id.as_ref().is_some_and(|wanted| self.header["kid"] != wanted.as_str()) {
            return Err("Unable to load public key");
        }
        if !self.is_signed_by(client) {
            return Err("Client authentication with signed JWT failed: Invalid signature");
        }
        if !says("iss", &client.id) || !says("sub", &client.id) {
            return Err("Issuer mismatch. The issuer should match the subject");
        }
        if !audiences.iter().any(|audience| says("aud", audience)) {
            return Err("Invalid token audience");
        }
        match (time("iat"), time("exp")) {
            (Some(issued), _) if issued > now + SKEW => return Err("Token was issued in the future"),
            (Some(_), Some(ends)) if ends + SKEW <= now => return Err("Token is not active"),
            (Some(_), Some(ends)) if ends > now + LONGEST_LIFE => {
                return Err("Token expiration is too far in the future");
            }
            (Some(_), Some(_)) => {}
            _ => return Err("Token has no exp or no iat claim"),
        }
        let id = self.claims["jti"].as_str().filter(|id| !id.is_empty()).ok_or("Missing ID on the token")?;
        if used.0.insert((client.id.clone(), id.to_owned())) { Ok(()) } else { Err("Token reuse detected") }
    }

    fn is_signed_by(&self, client: &Client) -> bool {
        let algorithm = self.header["alg"].as_str().unwrap_or_default();
        match client.auth_method {
            Some(AuthMethod::ClientSecretJwt) => {
                let hmac = match algorithm {
                    "HS256" => hmac::HMAC_SHA256,
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => return false,
                };
                client.secrets().any(|secret| {
                    hmac::verify(&hmac::Key::new(hmac, secret.as_bytes()), self.signed, &self.signature).is_ok()
                })
            }
            Some(AuthMethod::PrivateKeyJwt) => {
                let algorithm: &dyn VerificationAlgorithm = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
                    "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
                    "EdDSA" => &signature::ED25519,
                    _ => return false,
                };
                let public = client.public_key_file.as_deref().and_then(public_key);
                public.is_some_and(|public| {
                    UnparsedPublicKey::new(algorithm, public).verify(self.signed, &self.signature).is_ok()
                })
            }
            _ => false,
        }
    }
}

/// The key itself out of a PEM file: the bit string that ends its SubjectPublicKeyInfo.
fn public_key(path: &str) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoDer::from_pem_file(path).ok()?;
    let ((_, content), _) = element(&info)?;
    let (_, rest) = element(content)?;
    element(rest)?.0.1.strip_prefix(&[0]).map(<[u8]>::to_vec)
}
