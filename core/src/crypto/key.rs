//! Private keys: read out of DER or given as numbers, and made to sign.

use std::fmt;

use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::der::{self, Reader, without_zeros};
use super::signature::Algorithm;

/// What RSA keys may have; shorter ones are no longer safe, and ring has no use for longer ones.
pub(crate) const SHORTEST_RSA: usize = 2048;
pub(crate) const LONGEST_RSA: usize = 4096;

/// A curve of NIST's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
        }
    }

    /// The length of a coordinate, in bytes.
    pub(crate) fn length(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
        }
    }

    fn algorithm(self) -> (Algorithm, &'static EcdsaSigningAlgorithm) {
        match self {
            Curve::P256 => (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            Curve::P384 => (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING),
        }
    }
}

/// The numbers a private key consists of, big-endian.
pub(crate) enum Numbers<'a> {
    Rsa(RsaNumbers<'a>),
    /// `public`: the point without compression (SEC 1 section 2.3.3).
    Ec {
        curve: Curve,
        private: &'a [u8],
        public: &'a [u8],
    },
    Ed25519 {
        seed: &'a [u8],
    },
}

/// As RFC 8017 section 3.2 names them; `dp`, `dq` and `qi` are the exponents and the coefficient of its second form.
pub(crate) struct RsaNumbers<'a> {
    pub(crate) n: &'a [u8],
    pub(crate) e: &'a [u8],
    pub(crate) d: &'a [u8],
    pub(crate) p: &'a [u8],
    pub(crate) q: &'a [u8],
    pub(crate) dp: &'a [u8],
    pub(crate) dq: &'a [u8],
    pub(crate) qi: &'a [u8],
}

/// Why a key cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is cut short, or not what it claims to be.
    Malformed,
    /// Of another type, which is named.
    Type(&'static str),
    /// An RSA key of so many bits.
    RsaLength(usize),
    /// An elliptic curve's key without its public point, or with a compressed one.
    NoPoint,
    /// Its numbers do not belong together, or are out of range.
    Inconsistent,
}

/// A private key, ready to sign.
pub(crate) struct SigningKey {
    pair: Pair,
    bytes: Zeroizing<Vec<u8>>,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Curve, Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// From PKCS #8 (RFC 5958).
    pub(crate) fn from_pkcs8(key: &[u8]) -> Result<SigningKey, Unusable> {
        let mut key = Reader::new(key).inside(der::SEQUENCE).ok_or(Unusable::Malformed)?;
        let mut read = || {
            key.integer()?;
            let mut algorithm = key.inside(der::SEQUENCE)?;
            Some((algorithm.take(der::OBJECT_IDENTIFIER)?, algorithm, key.take(der::OCTET_STRING)?))
        };
        let (algorithm, mut parameters, inner) = read().ok_or(Unusable::Malformed)?;
        match algorithm {
            RSA => Self::from_pkcs1(inner),
            EC => Self::from_sec1_on(inner, curve(parameters.take(der::OBJECT_IDENTIFIER))?),
            ED25519 => {
                let seed = Reader::new(inner).take(der::OCTET_STRING).ok_or(Unusable::Malformed)?;
                Self::from_numbers(&Numbers::Ed25519 { seed })
            }
            other => Err(Unusable::Type(
                OTHER_TYPES.iter().find(|(known, _)| *known == other).map_or("an unknown type", |(_, name)| name),
            )),
        }
    }

    /// From PKCS #1 (RFC 8017 appendix A.1.2).
    pub(crate) fn from_pkcs1(key: &[u8]) -> Result<SigningKey, Unusable> {
        let read = || {
            let mut key = Reader::new(key).inside(der::SEQUENCE)?;
            let version = key.integer()?;
            let mut next = || key.integer();
            let (n, e, d, p, q) = (next()?, next()?, next()?, next()?, next()?);
            let (dp, dq, qi) = (next()?, next()?, next()?);
            Some((version, RsaNumbers { n, e, d, p, q, dp, dq, qi }))
        };
        match read().ok_or(Unusable::Malformed)? {
            ([], numbers) => Self::from_numbers(&Numbers::Rsa(numbers)),
            _ => Err(Unusable::Type("RSA with more than two primes")),
        }
    }

    /// From SEC 1 (RFC 5915), which names its curve.
    pub(crate) fn from_sec1(key: &[u8]) -> Result<SigningKey, Unusable> {
        let read = || {
            let mut key = Reader::new(key).inside(der::SEQUENCE)?;
            key.integer()?;
            key.take(der::OCTET_STRING)?;
            Some(key.take(der::CONTEXT_0))
        };
        let parameters = read().ok_or(Unusable::Malformed)?;
        let named = parameters.and_then(|parameters| Reader::new(parameters).take(der::OBJECT_IDENTIFIER));
        Self::from_sec1_on(key, curve(named)?)
    }

    fn from_sec1_on(key: &[u8], curve: Curve) -> Result<SigningKey, Unusable> {
        let read = || {
            let mut key = Reader::new(key).inside(der::SEQUENCE)?;
            key.integer()?;
            let private = key.take(der::OCTET_STRING)?;
            key.take(der::CONTEXT_0);
            Some((private, key.inside(der::CONTEXT_1).and_then(|mut public| public.bytes_of_bits())))
        };
        let (private, public) = read().ok_or(Unusable::Malformed)?;
        let public = public.filter(|point| point.first() == Some(&4)).ok_or(Unusable::NoPoint)?;
        Self::from_numbers(&Numbers::Ec { curve, private, public })
    }

    pub(crate) fn from_numbers(numbers: &Numbers<'_>) -> Result<SigningKey, Unusable> {
        match numbers {
            Numbers::Rsa(numbers) => Self::from_rsa(numbers),
            Numbers::Ec { curve, private, public } => {
                let digits = without_zeros(private);
                let zeros = curve.length().checked_sub(digits.len()).ok_or(Unusable::Inconsistent)?;
                let private = Zeroizing::new([&[0; 48][..zeros], digits].concat());
                let (_, algorithm) = curve.algorithm();
                let pair =
                    EcdsaKeyPair::from_private_key_and_public_key(algorithm, &private, public, &SystemRandom::new())
                        .map_err(|_| Unusable::Inconsistent)?;
                let bytes = canonical(curve.name(), &[&private]);
                Ok(SigningKey { pair: Pair::Ec(*curve, Box::new(pair)), bytes })
            }
            Numbers::Ed25519 { seed } => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Unusable::Inconsistent)?;
                Ok(SigningKey { pair: Pair::Ed25519(Box::new(pair)), bytes: canonical("Ed25519", &[seed]) })
            }
        }
    }

    fn from_rsa(numbers: &RsaNumbers<'_>) -> Result<SigningKey, Unusable> {
        let [n, e, d, p, q, dp, dq, qi] =
            [numbers.n, numbers.e, numbers.d, numbers.p, numbers.q, numbers.dp, numbers.dq, numbers.qi]
                .map(without_zeros);
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(SHORTEST_RSA..=LONGEST_RSA).contains(&bits) {
            return Err(Unusable::RsaLength(bits));
        }
        let components =
            KeyPairComponents { public_key: PublicKeyComponents { n, e }, d, p, q, dP: dp, dQ: dq, qInv: qi };
        let pair = RsaKeyPair::from_components(&components).map_err(|_| Unusable::Inconsistent)?;
        // Programs differ in the order of the primes and in which of the private exponents they write.
        let bytes = canonical("RSA", &[n, p.min(q)]);
        let key = SigningKey { pair: Pair::Rsa(Box::new(pair)), bytes };
        // Whether dp, dq and qi fit is seen only by signing.
        key.sign(Algorithm::Rs256, b"").ok_or(Unusable::Inconsistent)?;
        Ok(key)
    }

    /// What kind of key it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RSA",
            Pair::Ec(curve, _) => curve.name(),
            Pair::Ed25519(_) => "Ed25519",
        }
    }

    /// What it can sign with, the usual one first.
    pub(crate) fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match &self.pair {
            Pair::Rsa(_) => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Pair::Ec(Curve::P256, _) => &[Es256],
            Pair::Ec(Curve::P384, _) => &[Es384],
            Pair::Ed25519(_) => &[EdDsa],
        }
    }

    /// Signs; `None` if this is another kind of key's algorithm, or the machine has no randomness.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::Rs256 => &RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    Algorithm::Ps512 => &RSA_PSS_SHA512,
                    _ => return None,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Pair::Ec(curve, pair) if curve.algorithm().0 == algorithm => {
                pair.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) if algorithm == Algorithm::EdDsa => Some(pair.sign(message).as_ref().to_vec()),
            Pair::Ec(..) | Pair::Ed25519(_) => None,
        }
    }

    /// The same for the same key, in whatever form it was read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private key]")
    }
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const OTHER_TYPES: [(&[u8], &str); 7] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], "RSA restricted to PSS"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 3, 1], "Diffie-Hellman"),
    (&[0x2b, 0x65, 0x71], "Ed448"),
    (&[0x2b, 0x65, 0x6e], "X25519"),
    (&[0x2b, 0x81, 4, 0, 0x0a], "EC on secp256k1"),
    (&[0x2b, 0x81, 4, 0, 0x23], "EC on P-521"),
];

fn curve(named: Option<&[u8]>) -> Result<Curve, Unusable> {
    match named {
        Some(P256) => Ok(Curve::P256),
        Some(P384) => Ok(Curve::P384),
        Some(other) => Err(Unusable::Type(
            OTHER_TYPES.iter().find(|(known, _)| *known == other).map_or("EC on an unknown curve", |(_, name)| name),
        )),
        None => Err(Unusable::Type("EC without the name of its curve")),
    }
}

/// Length-prefixed, so that no two keys have the same bytes.
fn canonical(kind: &str, numbers: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    for part in [&[kind.as_bytes()], numbers].concat() {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}
