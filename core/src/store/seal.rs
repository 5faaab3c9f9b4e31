//! Names and seals of records: only a holder of the credential can tell a record's name, read it or write it.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use zeroize::Zeroizing;

use crate::crypto::{hex, random_bytes};

/// Before what is sealed: another version of the format is another file.
const FORMAT: &[u8] = b"svctoken record 1\n";
const SALT_LENGTH: usize = 32;
/// Shorter secrets could be guessed, and are stretched so that each guess costs.
const STRONG_SECRET: usize = 20;
const ROUNDS: u32 = 100_000;

/// A record's name: 32 hexadecimal digits that tell nothing without the credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one identity's records are named and sealed with.
pub(crate) struct Sealer {
    secret: Zeroizing<Vec<u8>>,
    identity: [u8; 32],
    name: Name,
}

impl Sealer {
    /// For the holder of `secret`, and everything else that `identity` stands for.
    pub(crate) fn new(secret: &[u8], identity: [u8; 32]) -> Sealer {
        let secret = stretched(secret);
        let mut name = [0; 16];
        expand(&Salt::new(HKDF_SHA256, b"svctoken name 1").extract(&secret), &identity, &mut name);
        let name = Name(hex(&name));
        Sealer { secret, identity, name }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Seals a record; `None` only where the machine has no randomness.
    pub(crate) fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let salt: [u8; SALT_LENGTH] = random_bytes()?;
        let mut sealed = plain.to_vec();
        let tag =
            self.key(&salt).seal_in_place_separate_tag(zero_nonce(), Aad::from(self.associated()), &mut sealed).ok()?;
        Some([FORMAT, &salt, &sealed, tag.as_ref()].concat())
    }

    /// Opens a record; `None` if it is of another format or identity, or anybody but us had a hand in it.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (salt, sealed) = sealed.strip_prefix(FORMAT)?.split_at_checked(SALT_LENGTH)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let key = self.key(salt);
        let length = key.open_in_place(zero_nonce(), Aad::from(self.associated()), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    fn key(&self, salt: &[u8]) -> LessSafeKey {
        let mut key = Zeroizing::new([0; 32]);
        expand(&Salt::new(HKDF_SHA256, salt).extract(&self.secret), &self.identity, &mut *key);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).expect("the key has the algorithm's length"))
    }

    fn associated(&self) -> Vec<u8> {
        [FORMAT, self.name.0.as_bytes()].concat()
    }
}

/// Every key is used once, as it comes from a salt of its own; so its nonce need not vary.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn stretched(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    if secret.len() >= STRONG_SECRET {
        return Zeroizing::new(secret.to_vec());
    }
    let mut key = Zeroizing::new(vec![0; 32]);
    let rounds = ROUNDS.try_into().expect("the number of rounds is not zero");
    pbkdf2::derive(PBKDF2_HMAC_SHA256, rounds, b"svctoken stretch 1", secret, &mut key);
    key
}

/// A key of any length that HKDF can give.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(key: &Prk, identity: &[u8; 32], out: &mut [u8]) {
    key.expand(&[identity], Length(out.len()))
        .and_then(|material| material.fill(out))
        .expect("HKDF gives up to 8160 bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRONG: &[u8] = b"mdb_sa_sk_0123456789abcdef";

    fn sealer(secret: &[u8], identity: u8) -> Sealer {
        Sealer::new(secret, [identity; 32])
    }

    #[test]
    fn p15_what_is_sealed_opens_for_its_own_identity_only() {
        let ours = sealer(STRONG, 1);
        let sealed = ours.seal(b"a token").expect("randomness");
        assert_eq!(ours.open(&sealed).expect("ours").as_slice(), b"a token");
        assert!(!sealed.windows(7).any(|window| window == b"a token"));
        for other in [sealer(STRONG, 2), sealer(b"another secret of good length", 1)] {
            assert!(other.open(&sealed).is_none());
            assert_ne!(other.name(), ours.name());
        }
        assert_ne!(ours.seal(b"a token"), ours.seal(b"a token"), "each write has a salt of its own");
    }

    #[test]
    fn p15_every_byte_is_guarded_and_every_length_survived() {
        let ours = sealer(STRONG, 1);
        let sealed = ours.seal(b"a token").expect("randomness");
        for position in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[position] ^= 1;
            assert!(ours.open(&flipped).is_none(), "byte {position}");
            assert!(ours.open(&sealed[..position]).is_none(), "cut at {position}");
        }
        assert!(ours.open(&[sealed.clone(), vec![0]].concat()).is_none());
    }

    /// Computed by another implementation (Python's hashlib and hmac): other rounds, labels or lengths give other names,
    /// and every record that is there would be lost.
    #[test]
    fn a_name_is_what_it_always_was() {
        assert_eq!(sealer(b"1234", 1).name().as_str(), "b54281ce8f605252a530a9b618e1d1a4");
        assert_eq!(sealer(STRONG, 1).name().as_str(), "190f82fa14e25e0d4519f95c480c628b");
    }

    #[test]
    fn p15_no_guess_at_a_weak_secret_can_be_tested_without_stretching_it() {
        let weak = sealer(b"1234", 1);
        let sealed = weak.seal(b"a token").expect("randomness");
        for guess in 0..10_000 {
            let guess = format!("{guess:04}").into_bytes();
            for cheap in [guess.clone(), crate::crypto::sha256(&guess).to_vec()] {
                let mut name = [0; 16];
                expand(&Salt::new(HKDF_SHA256, b"svctoken name 1").extract(&cheap), &[1; 32], &mut name);
                assert_ne!(hex(&name), weak.name().as_str());
                let guesser = Sealer { secret: Zeroizing::new(cheap), identity: [1; 32], name: weak.name().clone() };
                assert!(guesser.open(&sealed).is_none());
            }
        }
        let guesser = Sealer { secret: stretched(b"1234"), identity: [1; 32], name: weak.name().clone() };
        assert!(guesser.open(&sealed).is_some(), "the same guesser, who has stretched");
        assert_eq!(sealer(STRONG, 1).secret.as_slice(), STRONG, "a strong one need not be");
    }
}
