//! The bytes of a connection: in the clear, or over TLS, which may itself go over another TLS to a proxy.

use crate::error::Result;
use crate::net::tcp::Socket;
use crate::net::tls::TlsSocket;
use crate::wait::Wait;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsSocket>),
}

impl Stream {
    /// Reads what there is, waiting for the first byte; 0 is the end of the stream.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: &Wait) -> Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer, wait),
            Stream::Tls(tls) => tls.read(buffer, wait),
        }
    }

    pub(crate) fn write_all(&mut self, data: &[u8], wait: &Wait) -> Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(data, wait),
            Stream::Tls(tls) => tls.write_all(data, wait),
        }
    }

    /// Writes some of the bytes, and says how many. `None`: the other end has something to say, or has ended, and nothing
    /// was written; what was written before may then be on its way only in part.
    pub(crate) fn write_unless_answered(&mut self, data: &[u8], wait: &Wait) -> Result<Option<usize>> {
        match self {
            Stream::Plain(socket) => socket.write_unless_answered(data, wait),
            Stream::Tls(tls) => tls.write_unless_answered(data, wait),
        }
    }

    /// How many bytes the kernel has taken so far.
    pub(crate) fn bytes_written(&self) -> u64 {
        match self {
            Stream::Plain(socket) => socket.bytes_written(),
            Stream::Tls(tls) => tls.bytes_written(),
        }
    }

    /// Whether an idle connection can be used again.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match self {
            Stream::Plain(socket) => socket.is_quiet(),
            Stream::Tls(tls) => tls.is_quiet(),
        }
    }

    /// The other end, for messages.
    pub(crate) fn peer(&self) -> &str {
        match self {
            Stream::Plain(socket) => socket.peer(),
            Stream::Tls(tls) => tls.peer(),
        }
    }

    /// Names the other end anew, once a proxy has opened the way to it.
    pub(crate) fn set_peer(&mut self, peer: String) {
        match self {
            Stream::Plain(socket) => socket.set_peer(peer),
            Stream::Tls(tls) => tls.set_peer(peer),
        }
    }
}
