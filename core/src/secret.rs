//! A text that is never shown.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text: wiped when dropped, and its `Debug` says only that it is there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text itself; named so that every use is easy to find in a review.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p07_debug_of_a_secret_shows_nothing_of_it() {
        let shown = format!("{:?}", Secret::new("mdb_sa_sk_hidden".into()));
        assert_eq!(shown, "[secret]");
    }
}
