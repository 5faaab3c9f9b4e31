//! Assertions: signed statements of who the client is (RFC 7523 section 3, RFC 7515).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::config::credential::Assertion;
use crate::crypto::hex;
use crate::secret::Secret;

/// Clocks that differ by less need no correction; so an assertion's life begins so long before now.
pub(crate) const CLOCKS_MAY_DIFFER: Duration = Duration::from_secs(10);
/// Keycloak takes none that lives longer.
const LIFETIME: Duration = Duration::from_secs(60);

/// What makes each assertion another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Now.
    pub(crate) time: SystemTime,
    /// Fresh random bytes: servers take an assertion once.
    pub(crate) id: [u8; 16],
}

/// The assertion; `sign` signs with the algorithm and the client's key or secret, and may fail.
pub(crate) fn make(
    client_id: &str,
    assertion: &Assertion,
    stamp: &Stamp,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<Secret> {
    let mut header = json!({"alg": assertion.algorithm.name(), "typ": "JWT"});
    if let Some(key_id) = &assertion.key_id {
        header["kid"] = key_id.as_str().into();
    }
    let now = stamp.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let issued = now.saturating_sub(CLOCKS_MAY_DIFFER).as_secs();
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": assertion.audience,
        "jti": hex(&stamp.id),
        "iat": issued,
        "exp": issued + LIFETIME.as_secs(),
    });
    let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut text);
    let signature = sign(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Some(Secret::new(text))
}
