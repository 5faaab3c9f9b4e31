//! What the core asks of ring, in one place.

pub(crate) mod der;
pub(crate) mod key;
pub(crate) mod signature;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// SHA-256 of `data`.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, data).as_ref());
    hash
}

/// In hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fresh random bytes; `None` where the machine has none.
pub(crate) fn random_bytes<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A random number in 0.0 ≤ x < 1.0, for jitter.
pub(crate) fn random_fraction() -> f64 {
    #[cfg(test)]
    if let Some(fraction) = crate::simulation::fraction() {
        return fraction;
    }
    // Without randomness the middle is as good a jitter as any.
    let Some(bytes) = random_bytes() else { return 0.5 };
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
}
