//! One accepted socket as other threads see it: it can be told to end, and asked whether the client is still there.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;

/// How long a blocked write goes on before it looks whether its connection was told to end.
const WRITE_SLICE: Duration = Duration::from_millis(50);

/// How long a close waits for a client that does not acknowledge.
const FIN_DELIVERY: Duration = Duration::from_secs(1);

const NO_ORDER: u8 = 0;
const ORDER_CLOSE: u8 = 1;
const ORDER_RESET: u8 = 2;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With FIN (and close_notify over TLS).
    Close,
    /// With RST.
    Reset,
    /// The client has left.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    order: AtomicU8,
    ended: Ended,
}

/// Whether all that is sent at a connection's end has been sent. Apart from its socket, which closes with the last owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_SLICE))?;
        Ok(Peer { stream, order: AtomicU8::new(NO_ORDER), ended: Ended::default() })
    }

    /// Tells the connection's own thread to end it.
    pub(crate) fn order_close(&self) {
        self.order(ORDER_CLOSE);
    }

    /// Tells the connection's own thread to reset it.
    pub(crate) fn order_reset(&self) {
        self.order(ORDER_RESET);
    }

    fn order(&self, order: u8) {
        self.order.store(order, Ordering::SeqCst);
        // Closing the reading half sends nothing to the client and wakes a thread that is blocked in read.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    pub(crate) fn ordered(&self) -> Option<Ending> {
        match self.order.load(Ordering::SeqCst) {
            ORDER_CLOSE => Some(Ending::Close),
            ORDER_RESET => Some(Ending::Reset),
            _ => None,
        }
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended.clone()
    }

    /// Whether the client has closed or reset, seen without reading what it sent.
    pub(crate) fn hung_up(&self) -> bool {
        #[cfg(target_os = "linux")]
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        #[cfg(not(target_os = "linux"))]
        let gone = PollFlags::HUP | PollFlags::ERR;
        let mut sockets = [PollFd::new(&self.stream, gone)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut sockets, Some(&at_once)), Ok(1..)) && sockets[0].revents().intersects(gone)
    }

    /// Makes the coming close an RST. Bytes already sent reach the client before it.
    pub(crate) fn arm_reset(&self) {
        let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// Makes the coming close wait until the client's system has acknowledged the FIN: even on loopback a packet may
    /// still be on its way when the call that sent it returns.
    pub(crate) fn arm_delivery(&self) {
        let _ = set_socket_linger(&self.stream, Some(FIN_DELIVERY));
    }
}
