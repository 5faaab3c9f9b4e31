//! The CA of this sandbox, one good server certificate, and three bad ones.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;

use crate::settings::TlsVersion;

type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) struct Identities {
    pub(crate) ca_pem: String,
    /// Certificate and key of another server on loopback, in PEM.
    pub(crate) other_server_pem: [String; 2],
    pub(crate) good: Arc<ServerConfig>,
    good_certificate: Certified,
    pub(crate) wrong_host: Arc<ServerConfig>,
    pub(crate) expired: Arc<ServerConfig>,
    pub(crate) unknown_ca: Arc<ServerConfig>,
}

impl Identities {
    pub(crate) fn generate() -> Self {
        let authority = authority("svctoken sandbox CA");
        let stranger = self::authority("svctoken sandbox unknown CA");
        let mut expired = leaf(&["localhost", "127.0.0.1", "::1"]);
        expired.not_before = date_time_ymd(2020, 1, 1);
        expired.not_after = date_time_ymd(2021, 1, 1);
        let good = Certified::new(leaf(&["localhost", "127.0.0.1", "::1"]), &authority);
        let server = |params, authority| Certified::new(params, authority).server(None, None);
        Identities {
            ca_pem: authority.pem(),
            other_server_pem: pem(leaf(&["localhost", "127.0.0.1", "::1"]), &authority),
            good: good.server(None, None),
            good_certificate: good,
            wrong_host: server(leaf(&["other.invalid"]), &authority),
            expired: server(expired, &authority),
            unknown_ca: server(leaf(&["localhost", "127.0.0.1", "::1"]), &stranger),
        }
    }

    /// The good one, which asks clients for their certificates, or speaks one version only.
    pub(crate) fn good_with(
        &self,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        version: Option<TlsVersion>,
    ) -> Arc<ServerConfig> {
        self.good_certificate.server(clients, version)
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, new_key()).expect("constant parameters make a certificate")
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names.clone()).expect("constant names are valid");
    params.distinguished_name.push(DnType::CommonName, names[0].as_str());
    // Strict verifiers (OpenSSL's X509_STRICT, Python's default since 3.13) want the identifier of the issuer's key.
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// A certificate of a server, and its key.
struct Certified {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certified {
    fn new(params: CertificateParams, authority: &Authority) -> Self {
        let key = new_key();
        let certificate = params.signed_by(&key, authority).expect("constant parameters make a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("rcgen writes PKCS #8");
        Certified { certificate: certificate.der().clone(), key }
    }

    fn server(&self, clients: Option<Arc<dyn ClientCertVerifier>>, version: Option<TlsVersion>) -> Arc<ServerConfig> {
        let versions = match version {
            None => rustls::ALL_VERSIONS,
            Some(TlsVersion::Tls12) => &[&rustls::version::TLS12],
            Some(TlsVersion::Tls13) => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring serves both versions");
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let config = builder
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .expect("the key belongs to the certificate");
        Arc::new(config)
    }
}

fn pem(params: CertificateParams, authority: &Authority) -> [String; 2] {
    let key = new_key();
    let certificate = params.signed_by(&key, authority).expect("constant parameters make a certificate");
    [certificate.pem(), key.serialize_pem()]
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the system's random source works")
}
