//! Which clients share a token: those that would be given the same one.

use crate::config::credential::Credential;
use crate::config::settings::GrantSettings;
use crate::crypto::sha256;

/// The fingerprint of everything that could change the token. It holds an unkeyed hash of the secret and therefore
/// never leaves the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity([u8; 32]);

impl Identity {
    pub(crate) fn of(settings: &GrantSettings) -> Identity {
        // Destructured whole, so that a new setting cannot be forgotten here.
        let GrantSettings {
            credential: Credential { client_id, client_secret },
            token_url,
            revocation_url: _,
            introspection_url: _,
            auth_method,
            auth_encoding,
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
        fields.add("client_secret", client_secret.reveal());
        fields.add("token_url", &token_url.to_string());
        fields.add("auth_method", auth_method.name());
        fields.add("auth_encoding", auth_encoding.name());
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

/// Tagged and length-prefixed, so that no two lists of fields have the same bytes.
struct Fields(Vec<u8>);

impl Fields {
    fn add(&mut self, tag: &str, value: &str) {
        for part in [tag, value] {
            self.0.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.0.extend_from_slice(part.as_bytes());
        }
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
