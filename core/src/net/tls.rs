//! TLS over rustls and ring, trusting the platform's authorities and those of `ca_file`, and showing the client's
//! certificate to servers that ask for it.

use std::io::{self, Read, Write};
use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, ProtocolVersion};
use rustls_platform_verifier::Verifier;

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::net::stream::Stream;
use crate::wait::{Event, Wait};

/// How a client trusts servers, and what it shows those that ask. The platform's authorities are loaded at the first TLS connection, not before.
#[derive(Debug)]
pub(crate) struct Trust {
    extra_authorities: Vec<CertificateDer<'static>>,
    certificate: Option<Arc<CertifiedKey>>,
    config: OnceCell<Arc<ClientConfig>>,
}

/// Reads the certificates of a PEM file.
pub(crate) fn read_ca_file(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |why: String| Error::configuration(format!("ca_file {path:?} cannot be used: {why}"));
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unreadable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unreadable("it holds no PEM certificate".into()));
    }
    Ok(certificates)
}

impl Trust {
    pub(crate) fn new(
        extra_authorities: Vec<CertificateDer<'static>>,
        certificate: Option<Arc<CertifiedKey>>,
    ) -> Trust {
        Trust { extra_authorities, certificate, config: OnceCell::new() }
    }

    fn client_config(&self) -> Result<Arc<ClientConfig>> {
        self.config.get_or_try_init(|| self.make_config().map(Arc::new)).cloned()
    }

    fn make_config(&self) -> Result<ClientConfig> {
        // A folder and a file in it. Without them the platform's authorities would be missing and nobody told, for as
        // long as this client lives.
        if [Event::new(), Event::new()].iter().any(Option::is_none) {
            let what = "no descriptor to read the platform's authorities with";
            return Err(Error::new(ErrorCode::Internal, Stage::Tls, what));
        }
        let make = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = Verifier::new_with_extra_roots(self.extra_authorities.clone(), provider.clone())?;
            let builder = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                // The name is a warning to those who would verify less; this verifier is rustls' own over the
                // platform's authorities.
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier));
            Ok(match &self.certificate {
                Some(certificate) => {
                    let resolver: Arc<dyn ResolvesClientCert> =
                        Arc::new(SingleCertAndKey::from(CertifiedKey::clone(certificate)));
                    builder.with_client_cert_resolver(resolver)
                }
                None => builder.with_no_client_auth(),
            })
        };
        make().map_err(not_set_up)
    }
}

#[derive(Debug)]
pub(crate) struct TlsSocket {
    connection: ClientConnection,
    socket: Stream,
    shows_certificate: bool,
}

impl TlsSocket {
    /// Does the handshake; `host` without brackets.
    pub(crate) fn handshake(socket: Stream, host: &str, trust: &Trust, wait: &Wait) -> Result<TlsSocket> {
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| failed(format!("{host} is not a name a certificate can have")))?;
        let connection = ClientConnection::new(trust.client_config()?, name).map_err(not_set_up)?;
        let mut tls = TlsSocket { connection, socket, shows_certificate: trust.certificate.is_some() };
        while tls.connection.is_handshaking() {
            if tls.connection.wants_write() {
                tls.flush(wait).map_err(at_handshake)?;
                continue;
            }
            if tls.receive(wait).map_err(at_handshake)? == 0 {
                let what = format!("{} closed the connection during the TLS handshake", tls.socket.peer());
                return Err(failed(what).that_may_pass());
            }
        }
        tls.flush(wait).map_err(at_handshake)?;
        Ok(tls)
    }

    /// Reads decrypted bytes, waiting for the first; 0 is the end of the stream, said by the server.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: &Wait) -> Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The end without close_notify: where nothing else tells the length, an attacker may have cut it.
                Err(_) => {
                    let what = format!("{} ended the TLS stream without saying so", self.socket.peer());
                    return Err(Error::new(ErrorCode::ConnectionLost, Stage::Receiving, what));
                }
            }
            // Who does not wait writes nothing either: of a record that is cut short, rustls would send all again.
            if self.connection.wants_write() && !wait.is_at_once() {
                self.flush(wait)?;
            }
            self.receive(wait)?;
        }
    }

    pub(crate) fn write_all(&mut self, mut data: &[u8], wait: &Wait) -> Result<()> {
        while !data.is_empty() {
            let count = self.buffer(data)?;
            data = &data[count..];
            // A server that refuses our certificate says so when we believe the handshake done (RFC 8446 section 4.4.2),
            // and then reads no more.
            self.flush(wait).map_err(|error| self.last_word(wait).unwrap_or(error))?;
        }
        Ok(())
    }

    /// As [`Stream::write_unless_answered`]. What is only between the two ends of TLS, such as a session ticket, is no
    /// answer.
    pub(crate) fn write_unless_answered(&mut self, data: &[u8], wait: &Wait) -> Result<Option<usize>> {
        let written = self.buffer_unless_answered(data, wait);
        written.map_err(|error| self.last_word(wait).unwrap_or(error))
    }

    fn buffer_unless_answered(&mut self, data: &[u8], wait: &Wait) -> Result<Option<usize>> {
        if !self.flush_unless_answered(wait)? {
            return Ok(None);
        }
        let count = self.buffer(data)?;
        // If an answer stops it here, the next call finds that again.
        self.flush_unless_answered(wait)?;
        Ok(Some(count))
    }

    /// False if the other end has something to say, or has ended.
    fn flush_unless_answered(&mut self, wait: &Wait) -> Result<bool> {
        loop {
            let mut io = WatchingIo { socket: &mut self.socket, wait, outcome: Ok(Some(0)) };
            // Without anything to write, the socket is looked at all the same.
            let _ = if self.connection.wants_write() { self.connection.write_tls(&mut io) } else { io.write(&[]) };
            match io.outcome? {
                Some(_) if self.connection.wants_write() => {}
                Some(_) => return Ok(!self.has_plaintext()),
                None => {
                    let ended = self.receive(wait)? == 0;
                    if ended || self.has_plaintext() {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn has_plaintext(&mut self) -> bool {
        self.connection.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    fn buffer(&mut self, data: &[u8]) -> Result<usize> {
        self.connection.writer().write(data).map_err(|error| {
            Error::new(ErrorCode::ConnectionLost, Stage::Sending, format!("TLS refused to send: {error}"))
        })
    }

    /// Why the server would take no more, if it said so.
    fn last_word(&mut self, wait: &Wait) -> Option<Error> {
        self.receive(wait).err().filter(|error| error.code() == ErrorCode::TlsFailed)
    }

    /// As [`Stream::bytes_written`], encrypted.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.socket.bytes_written()
    }

    /// As [`Stream::is_quiet`], with nothing decrypted and unread either.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.connection.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() == 0)
            && self.socket.is_quiet()
    }

    pub(crate) fn peer(&self) -> &str {
        self.socket.peer()
    }

    pub(crate) fn set_peer(&mut self, peer: String) {
        self.socket.set_peer(peer);
    }

    /// Reads once from the socket and decrypts; returns the count of bytes that came.
    fn receive(&mut self, wait: &Wait) -> Result<usize> {
        let mut io = SocketIo { socket: &mut self.socket, wait, error: None };
        let read = self.connection.read_tls(&mut io);
        let count = match (read, io.error) {
            (Ok(count), _) => count,
            (Err(_), Some(error)) => return Err(error),
            (Err(error), None) => {
                return Err(Error::new(ErrorCode::ConnectionLost, Stage::Receiving, format!("TLS: {error}")));
            }
        };
        if let Err(error) = self.connection.process_new_packets() {
            // The alert tells the server why; whether it arrives is not important any more.
            let _ = self.flush(wait);
            return Err(self.refused(&error));
        }
        Ok(count)
    }

    fn flush(&mut self, wait: &Wait) -> Result<()> {
        while self.connection.wants_write() {
            let mut io = SocketIo { socket: &mut self.socket, wait, error: None };
            let written = self.connection.write_tls(&mut io);
            if let Some(error) = io.error {
                return Err(error);
            }
            if let Err(error) = written {
                return Err(Error::new(ErrorCode::ConnectionLost, Stage::Sending, format!("TLS: {error}")));
            }
        }
        Ok(())
    }

    fn refused(&self, error: &rustls::Error) -> Error {
        let peer = self.socket.peer();
        match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                failed(format!("the certificate of {peer} is signed by an authority this machine does not trust"))
                    .with_next_step("If it is a private authority, give its certificate by ca_file.")
            }
            rustls::Error::InvalidCertificate(
                why @ (CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }),
            ) => failed(format!("the certificate of {peer} is refused: {why}"))
                .with_next_step("Renew the server's certificate, or correct this machine's clock if that is wrong."),
            rustls::Error::InvalidCertificate(why) => failed(format!("the certificate of {peer} is refused: {why}")),
            rustls::Error::PeerIncompatible(why) => {
                failed(format!("{peer} and svctoken share no TLS version or cipher: {why:?}"))
            }
            rustls::Error::AlertReceived(why) if is_about_certificate(*why) => match self.shows_certificate {
                true => failed(format!("{peer} refuses the certificate of client_cert_file: {why:?}")).with_next_step(
                    "Check that it is valid today, that the server trusts its authority or knows it, and this machine's \
                     clock.",
                ),
                false => failed(format!("{peer} wants a certificate of the client: {why:?}"))
                    .with_next_step("Give client_cert_file and client_key_file."),
            },
            rustls::Error::InvalidMessage(_) => failed(format!("{peer} does not speak TLS"))
                .with_next_step("Check scheme and port: this may be a plain http port."),
            other => {
                let version = match self.connection.protocol_version() {
                    Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                    Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                    _ => "TLS",
                };
                failed(format!("{version} with {peer} failed: {other}"))
            }
        }
    }
}

/// What a server says of the client's certificate, or of its absence; a client's alerts are of the server's.
fn is_about_certificate(why: AlertDescription) -> bool {
    use AlertDescription as A;
    [
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::UnknownCA,
        A::AccessDenied,
        A::CertificateRequired,
    ]
    .contains(&why)
}

fn failed(what: String) -> Error {
    Error::new(ErrorCode::TlsFailed, Stage::Tls, what)
}

fn not_set_up(error: rustls::Error) -> Error {
    failed(format!("TLS could not be set up: {error}"))
}

/// In a handshake a lost connection is the handshake's failure; a timeout or cancel keeps its own code.
fn at_handshake(error: Error) -> Error {
    match error.code() {
        ErrorCode::ConnectionLost => failed(format!("during the TLS handshake {}", error.what())).that_may_pass(),
        _ => error.at_stage(Stage::Tls).while_doing("in the TLS handshake"),
    }
}

/// Lends rustls the socket; keeps the socket's own error, which `io::Error` would flatten.
struct SocketIo<'a> {
    socket: &'a mut Stream,
    wait: &'a Wait,
    error: Option<Error>,
}

impl SocketIo<'_> {
    fn keep<T>(&mut self, result: Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            self.error = Some(error);
            io::Error::other("the socket failed")
        })
    }
}

impl Read for SocketIo<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buffer, self.wait);
        self.keep(read)
    }
}

impl Write for SocketIo<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.socket.write_all(data, self.wait).map(|()| data.len());
        self.keep(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lends rustls the socket for as long as the other end says nothing; keeps what came of it.
struct WatchingIo<'a> {
    socket: &'a mut Stream,
    wait: &'a Wait,
    outcome: Result<Option<usize>>,
}

impl Write for WatchingIo<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.outcome = self.socket.write_unless_answered(data, self.wait);
        match self.outcome {
            Ok(Some(count)) => Ok(count),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
