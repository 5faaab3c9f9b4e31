//! TCP connections that wait only in `poll`, so that a deadline and a cancel end every wait.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::wait::{Interest, Stop, Wait};

#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// The server, for messages.
    peer: String,
    /// The last read filled its buffer, so more is probably there and a poll would be a wasted system call.
    more_expected: bool,
    bytes_written: u64,
}

/// How long an address has before the next is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

impl Socket {
    /// Connects to the address that answers first, and says which: each is tried when the one before it has failed, or said
    /// nothing for 250 ms.
    pub(crate) fn connect(addresses: &[SocketAddr], peer: &str, wait: &Wait) -> Result<(Socket, SocketAddr)> {
        let mut left = addresses.iter();
        let mut pending: Vec<(SocketAddr, TcpStream)> = Vec::new();
        let mut failures = Vec::new();
        loop {
            if let Some(address) = left.next() {
                match begin_to_connect(*address) {
                    Ok(stream) => pending.push((*address, stream)),
                    Err(error) if is_want_of_descriptors(&error) && pending.is_empty() => {
                        let what = format!("no socket for a connection to {peer}: {error}");
                        return Err(Error::new(ErrorCode::Internal, Stage::Connecting, what));
                    }
                    Err(error) => failures.push(format!("{address}: {error}")),
                }
            }
            let is_last = left.as_slice().is_empty();
            if pending.is_empty() && is_last {
                let what = format!("no connection to {peer} ({})", failures.join("; "));
                return Err(Error::new(ErrorCode::ConnectFailed, Stage::Connecting, what));
            }
            if pending.is_empty() {
                continue;
            }
            let sockets: Vec<_> = pending.iter().map(|(_, stream)| stream.as_fd()).collect();
            wait.any_connected(&sockets, (!is_last).then_some(HEAD_START)).map_err(|stop| {
                let silent = pending.iter().map(|(address, _)| address.to_string());
                let tried: Vec<_> = silent.chain(failures.iter().cloned()).collect();
                stop.into_error(Stage::Connecting, &format!("connecting to {peer} ({})", tried.join("; ")))
            })?;
            for (address, stream) in mem::take(&mut pending) {
                match is_connected(&stream) {
                    Ok(true) => {
                        let socket = Socket { stream, peer: peer.into(), more_expected: false, bytes_written: 0 };
                        return Ok((socket, address));
                    }
                    Ok(false) => pending.push((address, stream)),
                    Err(error) => failures.push(format!("{address}: {error}")),
                }
            }
        }
    }

    /// Reads what there is, waiting for the first byte; 0 is the end of the stream.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: &Wait) -> Result<usize> {
        let mut poll_first = !self.more_expected;
        loop {
            // Also where bytes are there already: a server that never pauses would outlast every deadline.
            let go_on = if poll_first { wait.ready(self.stream.as_fd(), Interest::Read) } else { wait.check() };
            go_on.map_err(|stop| stop.into_error(Stage::Receiving, &format!("waiting for {}", self.peer)))?;
            poll_first = true;
            match self.stream.read(buffer) {
                Ok(count) => {
                    self.more_expected = count == buffer.len();
                    return Ok(count);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(self.lost(Stage::Receiving, &error)),
            }
        }
    }

    pub(crate) fn write_all(&mut self, mut data: &[u8], wait: &Wait) -> Result<()> {
        self.more_expected = false;
        let stopped = |stop: Stop| stop.into_error(Stage::Sending, &format!("sending to {}", self.peer));
        wait.check().map_err(stopped)?;
        while !data.is_empty() {
            match self.stream.write(data) {
                Ok(count) => {
                    data = &data[count..];
                    self.bytes_written += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait.ready(self.stream.as_fd(), Interest::Write).map_err(stopped)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(Stage::Sending, &error)),
            }
        }
        Ok(())
    }

    /// Writes some of the bytes, and says how many; `None`: the other end has spoken, or ended, and nothing was written.
    pub(crate) fn write_unless_answered(&mut self, data: &[u8], wait: &Wait) -> Result<Option<usize>> {
        self.more_expected = false;
        let stopped = |stop: Stop| stop.into_error(Stage::Sending, &format!("sending to {}", self.peer));
        loop {
            wait.check().map_err(stopped)?;
            if !self.is_quiet() {
                return Ok(None);
            }
            if data.is_empty() {
                return Ok(Some(0));
            }
            match self.stream.write(data) {
                Ok(count) => {
                    self.bytes_written += count as u64;
                    return Ok(Some(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait.ready(self.stream.as_fd(), Interest::ReadOrWrite).map_err(stopped)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(Stage::Sending, &error)),
            }
        }
    }

    /// Whether an idle connection can be used again: it has neither ended nor sent a byte nobody asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut one = [PollFd::new(&self.stream, PollFlags::IN)];
        matches!(poll(&mut one, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// How many bytes the kernel has taken so far.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    pub(crate) fn set_peer(&mut self, peer: String) {
        self.peer = peer;
    }

    fn lost(&self, stage: Stage, error: &io::Error) -> Error {
        Error::new(ErrorCode::ConnectionLost, stage, format!("the connection to {} broke: {error}", self.peer))
    }
}

/// This process or machine is at its limit; the server has nothing to do with it.
fn is_want_of_descriptors(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).into_iter().any(|limit| error.raw_os_error() == Some(limit))
}

fn begin_to_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

/// Fails if it will never be.
fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        // A request is written whole: holding back its last packet only costs time.
        Ok(_) => stream.set_nodelay(true).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;

    /// A connection to a peer that has sent `bytes` zeros.
    fn connected(bytes: usize) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let socket = Socket::connect(&[address], "peer", &Wait::of("timeout", Duration::from_secs(10)));
        let (mut peer, _) = listener.accept().expect("connected");
        peer.write_all(&vec![0; bytes]).expect("the kernel's buffers take them");
        (socket.expect("connected").0, peer)
    }

    /// An address where nobody is, and one that says nothing, as its queue is full.
    struct Addresses {
        refused: SocketAddr,
        silent: SocketAddr,
        _queue: (OwnedFd, Vec<TcpStream>),
    }

    fn addresses() -> Addresses {
        let refused = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a free port");
        let listening = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP));
        let listening = listening.expect("a socket");
        rustix::net::bind(&listening, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        rustix::net::listen(&listening, 0).expect("a queue for one");
        let name = rustix::net::getsockname(&listening).expect("bound");
        let silent = SocketAddr::try_from(name).expect("an IP address");
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&silent, Duration::from_millis(200)) {
            queued.push(stream);
            assert!(queued.len() < 10, "the queue has no end");
        }
        Addresses { refused, silent, _queue: (listening, queued) }
    }

    #[test]
    fn p09_silent_addresses_are_not_waited_for() {
        let Addresses { refused, silent, _queue } = addresses();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let good = listener.local_addr().expect("bound");
        let wait = Wait::of("timeout", Duration::from_secs(20));
        for before in [&[][..], &[refused], &[silent], &[silent, refused, silent, refused], &[silent; 5]] {
            let addresses = [before, &[good, silent]].concat();
            let (socket, address) = Socket::connect(&addresses, "peer", &wait).expect("connected");
            assert_eq!(address, good);
            assert_eq!(socket.stream.peer_addr().expect("connected"), good);
        }
        assert!(wait.remaining() > Duration::from_secs(10), "much longer than a head start each");
    }

    #[test]
    fn the_error_tells_what_became_of_each_address() {
        let Addresses { refused, silent, _queue } = addresses();
        let connect = |addresses: &[SocketAddr]| {
            let wait = Wait::of("connect_timeout", Duration::from_millis(600));
            Socket::connect(addresses, "peer", &wait).expect_err("nobody answers")
        };
        let error = connect(&[silent, refused, silent]);
        assert_eq!(error.code(), ErrorCode::Timeout);
        assert!(error.what().contains(&format!("({silent}; {silent}; {refused}: ")), "{error}");
        let error = connect(&[refused, refused]);
        assert_eq!(error.code(), ErrorCode::ConnectFailed);
    }

    #[test]
    fn p09_a_deadline_is_seen_though_bytes_come_without_a_pause() {
        let (mut socket, _peer) = connected(4096);
        let mut buffer = [0; 16];
        let in_time = Wait::of("timeout", Duration::from_secs(10));
        assert_eq!(socket.read(&mut buffer, &in_time).expect("bytes are there"), 16);
        assert!(socket.more_expected, "the buffer was filled");
        let over = Wait::of("timeout", Duration::ZERO);
        assert_eq!(socket.read(&mut buffer, &over).expect_err("too late").code(), ErrorCode::Timeout);
        assert_eq!(socket.write_all(b"x", &over).expect_err("too late").code(), ErrorCode::Timeout);
    }

    #[test]
    fn an_idle_connection_with_an_unread_byte_or_an_end_is_not_used_again() {
        let (socket, peer) = connected(0);
        assert!(socket.is_quiet());
        drop(peer);
        let (with_a_byte, _peer) = connected(1);
        let wait = Wait::of("timeout", Duration::from_secs(10));
        for socket in [socket, with_a_byte] {
            wait.ready(socket.stream.as_fd(), Interest::Read).expect("an end or a byte");
            assert!(!socket.is_quiet());
        }
    }
}
