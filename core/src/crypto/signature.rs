//! The signatures of JSON Web Tokens (RFC 7518 section 3, RFC 8037 section 3.1).

use ring::hmac;

/// An algorithm by its JOSE name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

const NAMES: [(Algorithm, &str); 12] = [
    (Algorithm::Hs256, "HS256"),
    (Algorithm::Hs384, "HS384"),
    (Algorithm::Hs512, "HS512"),
    (Algorithm::Rs256, "RS256"),
    (Algorithm::Rs384, "RS384"),
    (Algorithm::Rs512, "RS512"),
    (Algorithm::Ps256, "PS256"),
    (Algorithm::Ps384, "PS384"),
    (Algorithm::Ps512, "PS512"),
    (Algorithm::Es256, "ES256"),
    (Algorithm::Es384, "ES384"),
    (Algorithm::EdDsa, "EdDSA"),
];

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Algorithm> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(algorithm, _)| *algorithm)
    }

    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(known, _)| *known == self).map(|(_, name)| *name).expect("every algorithm has its name")
    }

    /// The HMAC of a symmetric one.
    fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
            Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
            Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }

    /// How many bytes a secret must have that signs with a symmetric one (RFC 7518 section 3.2); `None` if it is not.
    pub(crate) fn shortest_secret(self) -> Option<usize> {
        self.hmac().map(|hmac| hmac.digest_algorithm().output_len())
    }

    /// Signs with a secret; `None` if the algorithm wants a private key.
    pub(crate) fn sign_with_secret(self, secret: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let key = hmac::Key::new(self.hmac()?, secret);
        Some(hmac::sign(&key, message).as_ref().to_vec())
    }
}
