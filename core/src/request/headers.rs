//! The headers of a request: the client's own, and over them what a call says.

use crate::config::header;
use crate::config::settings::Settings;
use crate::error::{Error, Result};
use crate::http::{HeaderMap, HeaderName, HeaderValue};
use crate::request::RequestBuilder;

/// More than any server takes, and few enough for the map that holds them, which panics when it is full.
const MOST_HEADERS: usize = 1000;

/// What every request of a client has unless its call says otherwise, made once.
pub(crate) fn default_headers(settings: &Settings) -> Result<HeaderMap> {
    if settings.headers.len() > MOST_HEADERS {
        return Err(Error::configuration(format!("headers has more than {MOST_HEADERS}")));
    }
    let own = [("user-agent", settings.user_agent.as_str()), ("accept", settings.accept.as_str())];
    let given = settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut headers = HeaderMap::new();
    for (name, value) in own.into_iter().chain(given) {
        let unsendable = |why| Error::configuration(format!("headers: {why}"));
        headers.insert(header_name(name).map_err(unsendable)?, header_value(name, value).map_err(unsendable)?);
    }
    Ok(headers)
}

impl RequestBuilder<'_> {
    pub(super) fn header_map(&self) -> Result<HeaderMap> {
        let defaults = self.client.default_headers();
        if self.headers.len() + self.default_headers.len() + defaults.len() > MOST_HEADERS {
            return Err(Error::argument(format!("a request has more than {MOST_HEADERS} headers")));
        }
        let mut headers = defaults.clone();
        put(&self.default_headers, &mut headers)?;
        for (name, value) in [("accept", &self.accept), ("content-type", &self.body.content_type)] {
            if let Some(value) = value {
                header::check_value(value).map_err(|why| Error::argument(format!("{name} {why}")))?;
                headers.insert(name, header_value(name, value).map_err(Error::argument)?);
            }
        }
        put(&self.headers, &mut headers)?;
        Ok(headers)
    }
}

/// In the place of those there are of the same names.
fn put(given: &[(String, String)], headers: &mut HeaderMap) -> Result<()> {
    for (name, value) in given {
        header::check(name, value).map_err(Error::argument)?;
        headers.remove(name.as_str());
    }
    for (name, value) in given {
        let value = header_value(name, value).map_err(Error::argument)?;
        headers.append(header_name(name).map_err(Error::argument)?, value);
    }
    Ok(())
}

/// The error says what is wrong.
fn header_name(name: &str) -> std::result::Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("the header name {name:?} cannot be sent"))
}

/// The error says what is wrong.
fn header_value(name: &str, value: &str) -> std::result::Result<HeaderValue, String> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("the value of the header {name} cannot be sent"))
}
