//! Bytes to and from one client, in the clear or over TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, Stream};

use crate::peer::{Ending, Peer};

pub(crate) struct Wire {
    pub(crate) peer: Arc<Peer>,
    tls: Option<Box<ServerConnection>>,
}

impl Wire {
    pub(crate) fn plain(peer: Arc<Peer>) -> Self {
        Wire { peer, tls: None }
    }

    /// Takes the TLS handshake to its end.
    pub(crate) fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<(), Ending> {
        let mut tls = Box::new(ServerConnection::new(config).map_err(|_| Ending::Close)?);
        while tls.is_handshaking() {
            let mut socket: &TcpStream = &self.peer.stream;
            let outcome = tls.complete_io(&mut socket);
            if let Some(order) = self.peer.ordered() {
                return Err(order);
            }
            match outcome {
                // rustls reports end of file as success here when nothing was read.
                Ok((0, 0)) => return Err(Ending::Gone),
                Ok(_) => {}
                Err(error) if may_go_on(&error) => {}
                Err(_) => return Err(Ending::Close),
            }
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// The certificate that the client has shown, if it was asked and had one.
    pub(crate) fn clients_certificate(&self) -> Option<Vec<u8>> {
        let shown = self.tls.as_ref()?.peer_certificates()?;
        shown.first().map(|certificate| certificate.to_vec())
    }

    /// Reads at least one byte.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Ending> {
        loop {
            if let Some(order) = self.peer.ordered() {
                return Err(order);
            }
            let mut socket: &TcpStream = &self.peer.stream;
            let outcome = match &mut self.tls {
                Some(tls) => Stream::new(&mut **tls, &mut socket).read(buffer),
                None => socket.read(buffer),
            };
            match outcome {
                Ok(0) => return Err(self.peer.ordered().unwrap_or(Ending::Gone)),
                Ok(read) => return Ok(read),
                Err(error) if may_go_on(&error) => {}
                Err(_) => return Err(self.peer.ordered().unwrap_or(Ending::Gone)),
            }
        }
    }

    /// Writes everything, for as long as the client is there and nobody orders the end.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Ending> {
        loop {
            if let Some(order) = self.peer.ordered() {
                return Err(order);
            }
            let mut socket: &TcpStream = &self.peer.stream;
            let outcome = match &mut self.tls {
                Some(tls) if bytes.is_empty() => Stream::new(&mut **tls, &mut socket).flush().map(|()| 0),
                Some(tls) => Stream::new(&mut **tls, &mut socket).write(bytes),
                None if bytes.is_empty() => return Ok(()),
                None => socket.write(bytes),
            };
            match outcome {
                Ok(_) if bytes.is_empty() => return Ok(()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if may_go_on(&error) => {}
                Err(_) => return Err(self.peer.ordered().unwrap_or(Ending::Gone)),
            }
        }
    }

    /// Ends the connection. The caller must not keep the peer: a reset is sent when the last holder drops it.
    pub(crate) fn end(mut self, ending: Ending) {
        if ending == Ending::Reset {
            self.peer.arm_reset();
            return;
        }
        let mut socket: &TcpStream = &self.peer.stream;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut socket);
        }
        close_with_fin(socket);
        self.peer.arm_delivery();
    }
}

/// Closing a socket that holds unread bytes would send RST instead of FIN, so they are read first; what a client sends
/// later is its own affair.
fn close_with_fin(mut socket: &TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.set_read_timeout(Some(Duration::from_millis(1)));
    let mut ignored = [0; 4096];
    while matches!(socket.read(&mut ignored), Ok(1..)) {}
}

fn may_go_on(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
