//! Certificates of clients: how TLS asks for them, and whose they are (RFC 8705 section 2).

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::der::element;
use crate::settings::{AuthMethod, Client};

/// Lets in those with a certificate of an authority in this PEM file, and nobody else; `None` if there is no such file.
pub(crate) fn of_authority(ca_file: &str) -> Option<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).ok()? {
        roots.add(certificate.ok()?).ok()?;
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()
}

/// Asks for a certificate, takes whatever it is, and lets in those without one too.
pub(crate) fn any() -> Arc<dyn ClientCertVerifier> {
    Arc::new(Any(ring::default_provider()))
}

struct Any(CryptoProvider);

impl fmt::Debug for Any {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Any")
    }
}

impl ClientCertVerifier for Any {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the certificate that TLS was shown is the client's: by its subject where an authority has signed it, by its
/// key where it has signed itself.
pub(crate) fn is_of(client: &Client, shown: &[u8]) -> bool {
    let registered = client.certificate_file.as_ref().and_then(|path| CertificateDer::from_pem_file(path).ok());
    let (Some(shown), Some(registered)) = (Parts::of(shown), registered.as_deref().and_then(Parts::of)) else {
        return false;
    };
    match client.auth_method {
        Some(AuthMethod::TlsClientAuth) => shown.subject == registered.subject,
        Some(AuthMethod::SelfSignedTlsClientAuth) => shown.public_key == registered.public_key,
        _ => false,
    }
}

struct Parts<'a> {
    subject: &'a [u8],
    public_key: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(certificate: &'a [u8]) -> Option<Parts<'a>> {
        let ((_, content), _) = element(certificate)?;
        let ((_, mut rest), _) = element(content)?;
        let mut next = || {
            let (found, after) = element(rest)?;
            rest = after;
            Some(found)
        };
        // Version, serial number, algorithm, issuer, validity (RFC 5280 section 4.1). The version may be left out.
        let (tag, _) = next()?;
        for _ in 0..if tag == 0xa0 { 4 } else { 3 } {
            next()?;
        }
        Some(Parts { subject: next()?.1, public_key: next()?.1 })
    }
}
