//! Which clients share a token: those that would be given the same one.

use crate::config::credential::{Assertion, Credential, Proof};
use crate::config::settings::{GrantSettings, Server};
use crate::crypto::sha256;

/// The fingerprint of everything that could change the token. It holds an unkeyed hash of the secret and therefore
/// never leaves the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity([u8; 32]);

impl Identity {
    pub(crate) fn of(settings: &GrantSettings) -> Identity {
        // Destructured whole, so that a new setting cannot be forgotten here.
        let GrantSettings {
            credential: Credential { client_id, proof, certificate },
            server,
            auth_method_by_metadata,
            // Where the secret comes from does not change what it is good for.
            secret_source: _,
            second_secret: _,
            revocation_url: _,
            introspection_url: _,
            scope,
            audience,
            resource,
            extra_params,
            user_agent: _,
            retry_window: _,
            token_timeout: _,
            max_attempts: _,
            mint_budget: _,
        } = settings;
        let mut fields = Fields(Vec::new());
        fields.add("format", "1");
        fields.add("client_id", client_id);
        // As given, so that no network is needed to know it.
        match server {
            Server::TokenUrl(url) => fields.add("token_url", &url.to_string()),
            Server::Issuer(issuer) => fields.add("issuer", &issuer.text),
        }
        fields.add_proof(proof);
        if *auth_method_by_metadata {
            fields.add("auth_method", "by metadata");
        }
        if let Some(certificate) = certificate {
            fields.add_bytes("certificate_key", certificate.key_bytes());
        }
        fields.add_optional("scope", scope.as_deref());
        fields.add_optional("audience", audience.as_deref());
        for resource in resource {
            fields.add("resource", resource);
        }
        for (name, value) in extra_params {
            fields.add("extra_name", name);
            fields.add("extra_value", value);
        }
        Identity(sha256(&fields.0))
    }

    pub(crate) fn as_bytes(&self) -> [u8; 32] {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: [u8; 32]) -> Identity {
        Identity(bytes)
    }
}

/// The fingerprint of what the client proves itself with and how: what a server refuses. It never leaves the process.
pub(crate) fn fingerprint(credential: &Credential) -> [u8; 32] {
    let Credential { client_id: _, proof, certificate } = credential;
    let mut fields = Fields(Vec::new());
    fields.add_proof(proof);
    if let Some(certificate) = certificate {
        fields.add_bytes("certificate", certificate.bytes());
    }
    sha256(&fields.0)
}

/// Tagged and length-prefixed, so that no two lists of fields have the same bytes.
struct Fields(Vec<u8>);

impl Fields {
    fn add(&mut self, tag: &str, value: &str) {
        self.add_bytes(tag, value.as_bytes());
    }

    fn add_bytes(&mut self, tag: &str, value: &[u8]) {
        for part in [tag.as_bytes(), value] {
            self.0.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.0.extend_from_slice(part);
        }
    }

    fn add_proof(&mut self, proof: &Proof) {
        self.add("auth_method", proof.method());
        match proof {
            Proof::ClientSecretBasic { secret, encoding } => {
                self.add("client_secret", secret.reveal());
                self.add("auth_encoding", encoding.name());
            }
            Proof::ClientSecretPost { secret } => self.add("client_secret", secret.reveal()),
            Proof::ClientSecretJwt { secret, assertion } => {
                self.add("client_secret", secret.reveal());
                self.add_assertion(assertion);
            }
            Proof::PrivateKeyJwt { key, assertion } => {
                self.add_bytes("private_key", key.bytes());
                self.add_assertion(assertion);
            }
            Proof::TlsClientAuth | Proof::SelfSignedTlsClientAuth => {}
        }
    }

    fn add_assertion(&mut self, assertion: &Assertion) {
        let Assertion { algorithm, key_id, audience } = assertion;
        self.add("signing_alg", algorithm.name());
        self.add_optional("key_id", key_id.as_deref());
        self.add("assertion_audience", audience);
    }

    fn add_optional(&mut self, tag: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(tag, value);
        }
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}
