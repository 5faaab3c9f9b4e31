//! One request, one answer, over a pool of connections.

mod date;
mod edge;

pub(crate) use date::{date, retry_after};
pub(crate) use edge::{HeaderMap, HeaderName, HeaderValue, HttpClient, Method};

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::config::settings::Settings;
use crate::config::url::Url;
use crate::error::Result;
use crate::net::tls;

/// What a connection pool is made from, kept so that a forked child can make its own.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) connect_timeout: Duration,
    pub(crate) extra_authorities: Vec<CertificateDer<'static>>,
}

impl Network {
    pub(crate) fn from_settings(settings: &Settings) -> Result<Arc<Network>> {
        let extra_authorities = settings.ca_file.as_deref().map(tls::read_ca_file).transpose()?.unwrap_or_default();
        Ok(Arc::new(Network { connect_timeout: settings.connect_timeout, extra_authorities }))
    }
}

/// A request, ready to be sent, again if need be.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<&'a [u8]>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}
