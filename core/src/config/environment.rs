//! The environment, read once, when a client is made.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::proxy::{Exceptions, Proxies, ProxyAddress};
use crate::config::{Config, OPTIONS, OptionKind, Value};
use crate::error::{Error, Result};

/// Where environment variables are read from.
///
/// A binding hands in its host's view: a Node worker's `process.env`, say, is not the process's.
#[derive(Clone, Default)]
pub struct Environment(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    Process,
    Given(HashMap<String, OsString>),
}

impl Environment {
    /// The process's own.
    pub fn process() -> Environment {
        Environment(Source::Process)
    }

    /// The given variables and no others.
    pub fn from_pairs<N: Into<String>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Environment {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment(Source::Given(pairs.collect()))
    }

    /// The variable's value; an empty one counts as not set, as in a shell's `${NAME:-}`.
    fn get(&self, name: &str) -> Result<Option<String>> {
        let value = match &self.0 {
            Source::Process => std::env::var_os(name),
            Source::Given(pairs) => pairs.get(name).cloned(),
        };
        let value = value.map(OsString::into_string).transpose();
        let value = value.map_err(|_| Error::configuration(format!("the environment variable {name} is not UTF-8")))?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// All of it, for a program that is started later: another thread may be changing the process's own then.
    pub(crate) fn variables(&self) -> Vec<(OsString, OsString)> {
        match &self.0 {
            Source::Process => std::env::vars_os().collect(),
            Source::Given(pairs) => pairs.iter().map(|(name, value)| (name.into(), value.clone())).collect(),
        }
    }

    /// Every option set by `SVCTOKEN_` and its name.
    pub(crate) fn options(&self) -> Result<Config> {
        let mut config = Config::default();
        for row in OPTIONS.iter().filter(|row| row.kind != OptionKind::Callback) {
            let name = format!("SVCTOKEN_{}", row.name.to_ascii_uppercase());
            if let Some(text) = self.get(&name)? {
                let value = match row.name {
                    // An argument may have a comma in it.
                    "client_secret_command" => Value::List(text.split_whitespace().map(Into::into).collect()),
                    _ => read(row.kind, &text),
                };
                config.set(row.name, value).map_err(|error| error.while_doing(&format!("reading {name}")))?;
            }
        }
        Ok(config)
    }

    /// svctoken's folder among the user's caches (XDG Base Directory Specification), or why there is none.
    pub(crate) fn cache_folder(&self) -> std::result::Result<PathBuf, String> {
        let absolute = |name| self.get(name).ok().flatten().map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        let caches = caches.ok_or("neither XDG_CACHE_HOME nor HOME names a folder")?;
        Ok(caches.join("svctoken"))
    }

    /// The proxies that curl would use, and where it would use none: names in lower case first. HTTP_PROXY is passed over,
    /// because in CGI programs it is whatever the client's header Proxy says.
    pub(crate) fn proxies(&self) -> Result<Proxies> {
        let for_https = self.proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?;
        let for_http = self.proxy(&["http_proxy", "all_proxy", "ALL_PROXY"])?;
        let exceptions = self.first(&["no_proxy", "NO_PROXY"])?;
        let exceptions = exceptions.map(|(_, text)| Exceptions::parse(&text)).unwrap_or_default();
        Ok(Proxies { for_https, for_http, exceptions, allow_http: false })
    }

    fn proxy(&self, names: &[&'static str]) -> Result<Option<Arc<ProxyAddress>>> {
        let Some((name, text)) = self.first(names)? else { return Ok(None) };
        let proxy = ProxyAddress::parse(&text).map_err(|why| {
            Error::configuration(format!("the environment variable {name} {why}"))
                .with_next_step("Correct it, or give the option proxy, which is taken instead.")
        })?;
        Ok(Some(Arc::new(proxy)))
    }

    /// The first of these variables that is set, with its name.
    fn first(&self, names: &[&'static str]) -> Result<Option<(&'static str, String)>> {
        for name in names {
            if let Some(text) = self.get(name)? {
                return Ok(Some((name, text)));
            }
        }
        Ok(None)
    }

    /// Atlas's own names, as its command line tool and Terraform provider read them.
    pub(crate) fn atlas_options(&self) -> Result<Config> {
        let mut config = Config::default();
        for (name, option) in ATLAS_NAMES {
            if let Some(text) = self.get(name)? {
                config.set(option, Value::Text(text))?;
            }
        }
        Ok(config)
    }

    /// Whether the environment speaks of Atlas.
    pub(crate) fn names_atlas(&self) -> Result<bool> {
        Ok(self.get("MONGODB_ATLAS_CLIENT_ID")?.is_some() || self.get("MONGODB_ATLAS_ACCESS_TOKEN")?.is_some())
    }
}

const ATLAS_NAMES: [(&str, &str); 4] = [
    ("MONGODB_ATLAS_CLIENT_ID", "client_id"),
    ("MONGODB_ATLAS_CLIENT_SECRET", "client_secret"),
    ("MONGODB_ATLAS_BASE_URL", "base_url"),
    ("MONGODB_ATLAS_ACCESS_TOKEN", "access_token"),
];

/// An environment variable's text as a value of the option's kind; what cannot be read becomes `Other`, so that
/// `Config::set` makes the error.
fn read(kind: OptionKind, text: &str) -> Value {
    let number = || text.trim().parse::<f64>();
    match kind {
        OptionKind::Text | OptionKind::Secret => Value::Text(text.into()),
        OptionKind::Duration => number().map_or_else(|_| unreadable(text), |s| Value::Milliseconds(s * 1000.0)),
        OptionKind::Count => number().map_or_else(|_| unreadable(text), Value::Number),
        OptionKind::Flag => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Value::Flag(true),
            "false" | "0" | "no" | "off" => Value::Flag(false),
            _ => unreadable(text),
        },
        OptionKind::List => {
            let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
            Value::List(parts.map(Into::into).collect())
        }
        OptionKind::Pairs => Value::Pairs(
            text.split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (form_decode(name), form_decode(value))
                })
                .collect(),
        ),
        OptionKind::Callback => unreadable(text),
    }
}

fn unreadable(text: &str) -> Value {
    Value::Other(format!("{text:?}"))
}

fn form_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = bytes.get(i + 1..i + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[i], escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                i += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_kind_of_option_is_read_from_text() {
        let environment = Environment::from_pairs([
            ("SVCTOKEN_CLIENT_ID", "me"),
            ("SVCTOKEN_TIMEOUT", "1.5"),
            ("SVCTOKEN_MAX_ATTEMPTS", "2"),
            ("SVCTOKEN_ALLOW_HTTP", "true"),
            ("SVCTOKEN_ALLOWED_ORIGINS", "https://a.example, https://b.example"),
            ("SVCTOKEN_EXTRA_PARAMS", "a=b+c&d=%26"),
            ("SVCTOKEN_SCOPE", ""),
            ("SVCTOKEN_CLIENT_SECRET_COMMAND", "vault read  -field=a,b"),
        ]);
        let config = environment.options().expect("readable");
        assert_eq!(config.client_id.as_deref(), Some("me"));
        assert_eq!(config.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(config.max_attempts, Some(2));
        assert_eq!(config.allow_http, Some(true));
        assert_eq!(config.allowed_origins.expect("set").len(), 2);
        assert_eq!(config.extra_params.expect("set"), [("a".into(), "b c".into()), ("d".into(), "&".into())]);
        assert_eq!(config.scope, None);
        assert_eq!(config.client_secret_command.expect("set"), ["vault", "read", "-field=a,b"]);
    }

    #[test]
    fn proxies_are_read_as_curl_reads_them() {
        let places = |pairs: &[(&str, &str)]| {
            let proxies = Environment::from_pairs(pairs.iter().copied()).proxies().expect("readable");
            [proxies.for_https, proxies.for_http]
                .map(|proxy| proxy.map_or("-".into(), |proxy| proxy.origin.host.clone()))
        };
        for (pairs, expected) in [
            (&[("https_proxy", "a"), ("HTTPS_PROXY", "b"), ("all_proxy", "c")] as &[_], ["a", "c"]),
            (&[("HTTPS_PROXY", "b"), ("ALL_PROXY", "d")], ["b", "d"]),
            (&[("http_proxy", "e"), ("HTTP_PROXY", "f")], ["-", "e"]),
            (&[("HTTP_PROXY", "f")], ["-", "-"]),
            (&[("all_proxy", "c"), ("ALL_PROXY", "d")], ["c", "c"]),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "b")], ["b", "-"]),
        ] {
            assert_eq!(places(pairs), expected, "{pairs:?}");
        }
        let except = |pairs: &[(&str, &str)]| {
            Environment::from_pairs(pairs.iter().copied()).proxies().expect("readable").exceptions
        };
        assert_eq!(except(&[("no_proxy", "a"), ("NO_PROXY", "b")]), Exceptions::parse("a"));
        assert_eq!(except(&[("NO_PROXY", "b")]), Exceptions::parse("b"));
    }

    #[test]
    fn p07_a_proxy_that_cannot_be_used_is_named_by_its_variable_only() {
        let environment = Environment::from_pairs([("ALL_PROXY", "socks4://me:hidden@proxy.example")]);
        let error = environment.proxies().expect_err("socks4");
        assert!(error.what().contains("ALL_PROXY") && !error.to_string().contains("hidden"), "{error}");
    }

    #[test]
    fn an_unreadable_variable_is_named() {
        let environment = Environment::from_pairs([("SVCTOKEN_TIMEOUT", "soon")]);
        let error = environment.options().expect_err("no number");
        assert!(error.what().contains("SVCTOKEN_TIMEOUT") && error.what().contains("soon"), "{error}");
    }
}
