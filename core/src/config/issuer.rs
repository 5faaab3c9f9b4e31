//! An authorization server's name, by which it is asked where its endpoints are (RFC 8414 section 2).

use crate::config::settings::safe_url;
use crate::config::url::{Scheme, Url};
use crate::error::{Error, Result};

/// Longer addresses are no server's, and would be kept with every record.
const LONGEST_ENDPOINT: usize = 2000;

/// An issuer identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Issuer {
    /// As it was given: what the server must call itself, to the letter.
    pub(crate) text: String,
    pub(crate) url: Url,
    allow_http: bool,
}

impl Issuer {
    pub(crate) fn read(text: &str, allow_http: bool) -> Result<Issuer> {
        let url = safe_url("issuer", text, allow_http)?;
        if let Some((issuer, _)) = text.split_once("/.well-known/") {
            return Err(Error::configuration("issuer is the address of its metadata")
                .with_next_step(format!("Give the issuer itself, as the metadata has it; perhaps it is {issuer}")));
        }
        if url.path_and_query.contains('?') {
            return Err(Error::configuration("issuer has a query, which no issuer has: leave it out"));
        }
        Ok(Issuer { text: text.into(), url, allow_http })
    }

    /// An endpoint that the server names: on any origin, as the RFCs allow, but never by a way less safe than that on
    /// which the metadata came. The error says what is wrong with it.
    pub(crate) fn endpoint(&self, text: &str) -> std::result::Result<Url, String> {
        if text.len() > LONGEST_ENDPOINT {
            return Err(format!("has more than {LONGEST_ENDPOINT} characters"));
        }
        let url = Url::parse(text)?;
        let is_worse = self.url.origin.scheme == Scheme::Https && url.origin.scheme == Scheme::Http;
        if (is_worse || !url.is_safe()) && !self.allow_http {
            return Err(format!("is plain http to {}", url.origin.host));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_a_safe_url_without_a_query() {
        for good in ["https://a.example", "https://a.example/", "https://a.example/realms/x", "http://localhost:1/x"] {
            assert_eq!(Issuer::read(good, false).expect(good).text, good);
        }
        assert!(Issuer::read("http://a.example", true).is_ok());
        for bad in [
            "",
            "a.example",
            "http://a.example",
            "https://a@b.example",
            "https://a.example/?x",
            "https://a.example/#x",
            "https://a.example/realms/x/.well-known/openid-configuration",
        ] {
            let error = Issuer::read(bad, false).expect_err(bad);
            assert!(error.what().starts_with("issuer "), "{error}");
        }
    }

    #[test]
    fn an_endpoint_may_be_elsewhere_but_no_less_safe_than_the_issuer() {
        let allowed = |issuer: &str, allow_http, endpoint: &str| {
            Issuer::read(issuer, allow_http).expect(issuer).endpoint(endpoint).is_ok()
        };
        assert!(allowed("https://a.example", false, "https://b.example:8443/token?x=1"));
        assert!(allowed("http://localhost:1", false, "http://127.0.0.1:2/token"));
        assert!(allowed("http://localhost:1", false, "https://b.example/token"));
        for endpoint in ["http://b.example/t", "http://localhost/t", "//b.example/t", "/t", "https://a@b.example/t"] {
            assert!(!allowed("https://a.example", false, endpoint), "{endpoint}");
        }
        assert!(!allowed("http://localhost:1", false, "http://b.example/token"));
        assert!(allowed("https://a.example", true, "http://b.example/token"));
        assert!(!allowed("https://a.example", false, &format!("https://a.example/{}", "x".repeat(2000))));
    }
}
