//! One request, one answer, over a pool of connections.

mod date;
mod dial;
mod edge;
mod expectation;
mod interim;
mod stream;
mod upload;

pub(crate) use date::{date, retry_after};
pub(crate) use edge::{HeaderMap, HeaderName, HeaderValue, HttpClient, Method, header_names};
pub(crate) use stream::BodyStream;
pub(crate) use upload::{Asked, Source, Upload, WholeFile};
pub use upload::{BodyQuestion, BodySource};

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::config::certificate::ClientCertificate;
use crate::config::proxy::Proxies;
use crate::config::settings::Settings;
use crate::config::url::Url;
use crate::error::{Error, Result};
use crate::net::tls;

/// What a connection pool is made from, kept so that a forked child can make its own.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) connect_timeout: Duration,
    pub(crate) extra_authorities: Vec<CertificateDer<'static>>,
    /// Shown to servers that ask for it.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    pub(crate) proxies: Arc<Proxies>,
    /// What is said to proxies; requests have their own.
    pub(crate) user_agent: String,
}

impl Network {
    pub(crate) fn from_settings(settings: &Settings) -> Result<Arc<Network>> {
        let extra_authorities = settings.ca_file.as_deref().map(tls::read_ca_file).transpose()?.unwrap_or_default();
        Ok(Arc::new(Network {
            connect_timeout: settings.connect_timeout,
            extra_authorities,
            certificate: settings.certificate.clone(),
            proxies: settings.proxies.clone(),
            user_agent: settings.user_agent.clone(),
        }))
    }

    /// The same for servers that get nothing of the client's.
    pub(crate) fn for_strangers(&self) -> Arc<Network> {
        let Network { connect_timeout, extra_authorities, certificate: _, proxies, user_agent } = self;
        Arc::new(Network {
            connect_timeout: *connect_timeout,
            extra_authorities: extra_authorities.clone(),
            certificate: None,
            proxies: proxies.clone(),
            user_agent: user_agent.clone(),
        })
    }
}

/// A request, ready to be sent, again if need be.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<&'a [u8]>,
    /// No idle connection is good enough.
    pub(crate) new_connection: bool,
}

/// Whether a request of that method does the same twice as once (RFC 9110 section 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS].contains(method)
}

/// How far a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// It went over a connection that an earlier request had opened.
    pub(crate) reused: bool,
    /// A byte of it left this machine, so the server may have acted on it.
    pub(crate) left: bool,
    /// A byte of the answer came.
    pub(crate) answered: bool,
}

/// A request without a whole answer.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: Error,
    pub(crate) progress: Progress,
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Error {
        broken.error
    }
}

/// How an answer's body is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    /// To its end, at most `limit` bytes after decoding.
    Whole { limit: u64 },
    /// As the caller asks for it, at most `limit` bytes after decoding, each read waiting for a byte at most `idle`.
    Stream { limit: Option<u64>, idle: Duration },
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body, or of one that is read as a stream what was read ahead.
    pub(crate) body: Vec<u8>,
    /// What comes after that.
    pub(crate) rest: Option<Box<BodyStream>>,
}

impl Answer {
    /// One that was read to its end.
    pub(crate) fn whole(status: u16, headers: HeaderMap, body: Vec<u8>) -> Answer {
        Answer { status, headers, body, rest: None }
    }
}
