//! The certificate that TLS shows servers which ask who the client is (RFC 8705).

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};

use crate::config::{Config, file, private_key};
use crate::crypto::key::SigningKey;
use crate::error::{Error, Result};

/// A chain of certificates, and the key of its first.
pub(crate) struct ClientCertificate {
    certified: Arc<CertifiedKey>,
    key: SigningKey,
}

impl ClientCertificate {
    pub(crate) fn from_config(config: &Config) -> Result<Option<ClientCertificate>> {
        let given = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
        let (chain, key) = match (given(&config.client_cert_file), given(&config.client_key_file)) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                return Err(Error::configuration("client_key_file is given without client_cert_file")
                    .with_next_step("Give client_cert_file too; a key that signs assertions is private_key_file."));
            }
            (Some(chain), key) => (chain.clone(), key.unwrap_or(chain)),
        };
        Self::read(&chain, &key).map(Some)
    }

    fn read(chain_path: &str, key_path: &str) -> Result<ClientCertificate> {
        let unusable =
            |why: &str| Error::configuration(format!("client_cert_file {chain_path:?} cannot be used: {why}"));
        let text = file::read("client_cert_file", chain_path)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| unusable(&error.to_string()))?;
        if chain.is_empty() {
            return Err(unusable("it holds no PEM certificate"));
        }
        let option = if key_path == chain_path { "client_cert_file" } else { "client_key_file" };
        let (key, der) = private_key::read_for_tls(option, key_path)?;
        let certified = CertifiedKey::from_der(chain, der, &default_provider());
        let certified = certified.map_err(|error| match error {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                unusable(&format!("the key in {key_path:?} is another's")).with_next_step(
                    "Give the certificate that was made for the key; the server's own comes first in the file.",
                )
            }
            other => unusable(&other.to_string()),
        })?;
        Ok(ClientCertificate { certified: Arc::new(certified), key })
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The bytes of its key, which a renewed certificate may keep.
    pub(crate) fn key_bytes(&self) -> &[u8] {
        self.key.bytes()
    }

    /// The bytes of the first certificate.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.certified.cert.first().map(AsRef::as_ref).unwrap_or_default()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[client certificate]")
    }
}
