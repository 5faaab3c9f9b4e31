//! What the server knows of a token.

use crate::error::{Error, Result};
use crate::grant::introspection;
use crate::token::Minting;
use crate::token::exchange::{as_read, send, stamp};
use crate::wait::Wait;

impl Minting {
    /// Whether tokens can be introspected, as far as that is known without asking the server.
    pub(crate) fn check_introspection(&self) -> Result<()> {
        match self.settings.introspection_url.is_some() || self.directory.is_discovered() {
            true => Ok(()),
            false => Err(Error::configuration("there is no introspection_url, so no token can be introspected")
                .with_next_step("Give introspection_url, or use a preset that knows it: keycloak.")),
        }
    }

    /// What the server knows of a token, as its JSON text.
    pub(crate) fn introspect(&self, token: &str, wait: &Wait) -> Result<String> {
        let resolved = self.resolve(wait).map_err(|failure| failure.error.while_doing("introspecting a token"))?;
        let settings = &resolved.settings;
        let Some(url) = &settings.introspection_url else {
            return Err(resolved.has_no("introspection_endpoint", "introspection_url"));
        };
        let clock = self.account.server_clock();
        let ask = || {
            let request = introspection::request(settings, token, &stamp(clock)?)?;
            let answer = send(&request, url, settings, &self.http, wait)?;
            introspection::read_answer(&as_read(&answer, clock), &request, settings, token)
        };
        ask().map_err(|error| error.while_doing(&format!("introspecting a token at {}", url.origin)))
    }
}
