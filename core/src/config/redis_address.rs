//! Where a Redis is: `redis://` or `rediss://`, the one URL beside a proxy's that may hold a user name and password.

use std::fmt;

use crate::config::url::{Origin, Scheme, percent_decoded};
use crate::secret::Secret;

const PORT: u16 = 6379;

/// A Redis server and how to log in to it. `Display` shows no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisAddress {
    /// https stands for TLS.
    pub(crate) origin: Origin,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: u32,
}

impl RedisAddress {
    /// Parses `redis://[[user][:password]@]host[:port][/database]`; `None` for a text of another scheme. The error says
    /// what is wrong, without the option's name.
    pub(crate) fn parse(text: &str) -> Option<Result<RedisAddress, String>> {
        let (scheme, rest) = text.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "redis" => Some(RedisAddress::parse_rest(Scheme::Http, rest)),
            "rediss" => Some(RedisAddress::parse_rest(Scheme::Https, rest)),
            _ => None,
        }
    }

    fn parse_rest(scheme: Scheme, rest: &str) -> Result<RedisAddress, String> {
        let (credential, place) = match rest.rsplit_once('@') {
            Some((credential, place)) => (Some(credential), place),
            None => (None, rest),
        };
        let (user, password) = match credential.map(|credential| credential.split_once(':').unwrap_or((credential, "")))
        {
            Some((user, password)) => (percent_decoded(user)?, percent_decoded(password)?),
            None => (String::new(), String::new()),
        };
        if password.is_empty() && !user.is_empty() {
            return Err("has a user name without a password: write redis://USER:PASSWORD@HOST".into());
        }
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let database = match path {
            "" => 0,
            number => number.parse().map_err(|_| "has a path that is not the number of a database")?,
        };
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(RedisAddress {
            origin: Origin::parse(scheme, authority, PORT)?,
            user: given(user),
            password: given(password).map(Secret::new),
            database,
        })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.origin.scheme == Scheme::Https
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted() { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}:{}", self.origin.host, self.origin.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<RedisAddress, String> {
        RedisAddress::parse(text).expect("a Redis")
    }

    #[test]
    fn every_part_is_read_and_has_its_default() {
        let address = parsed("rediss://me:p%40ss%3Aw@[::1]:7000/3").expect("valid");
        assert_eq!(address.to_string(), "rediss://[::1]:7000");
        assert_eq!((address.user.as_deref(), address.database), (Some("me"), 3));
        assert_eq!(address.password.expect("given").reveal(), "p@ss:w");
        let address = parsed("redis://cache.example").expect("valid");
        assert_eq!(address.to_string(), "redis://cache.example:6379");
        assert!(address.user.is_none() && address.password.is_none() && address.database == 0);
        let address = parsed("REDIS://:a@b@[::1]").expect("valid");
        assert_eq!((address.to_string().as_str(), address.user), ("redis://[::1]:6379", None));
        assert_eq!(address.password.expect("given").reveal(), "a@b");
        assert!(RedisAddress::parse("http://cache.example").is_none());
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        for wrong in [
            "redis://",
            "redis://a:0",
            "redis://a/b",
            "redis://a/0?x=y",
            "redis://me@a",
            "redis://:%zz@a",
            "redis://a b",
            "redis://:%ff@a",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn p07_a_password_is_never_shown() {
        let address = parsed("redis://me:hidden@a").expect("valid");
        assert!(!format!("{address:?} {address}").contains("hidden"));
    }
}
