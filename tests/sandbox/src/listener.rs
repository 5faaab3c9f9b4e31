//! A loopback port that can be opened and closed again without losing its number.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

/// Room for a test that opens hundreds of connections at once.
const BACKLOG: i32 = 1024;

/// Every port that was taken in this process.
static HAD: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
/// After so many the ports of the machine are used up, and one comes again.
const MOST_REFUSED: usize = 100;

pub(crate) struct Port {
    address: SocketAddr,
    /// Bound and never listening: it keeps the number while the port refuses connections.
    _reservation: OwnedFd,
    running: Option<Running>,
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Port {
    /// Takes a free port of 127.0.0.1 that no space of this process had before: a program that keeps what it knows of
    /// an origin must never take one space for an earlier one. Connections are refused until `open`.
    pub(crate) fn reserve() -> io::Result<Self> {
        let mut had = HAD.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = Vec::new();
        loop {
            let reservation = bound_socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let address = SocketAddrV4::try_from(getsockname(&reservation)?)?;
            if had.insert(address.port()) || refused.len() == MOST_REFUSED {
                return Ok(Port { address: address.into(), _reservation: reservation, running: None });
            }
            // Held until another is found, or the same one would be offered again.
            refused.push(reservation);
        }
    }

    pub(crate) fn number(&self) -> u16 {
        self.address.port()
    }

    /// Accepts connections from now on; `accepted` is called on the accepting thread. Does nothing on an open port.
    pub(crate) fn open(&mut self, mut accepted: impl FnMut(TcpStream) + Send + 'static) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let socket = bound_socket(self.address)?;
        listen(&socket, BACKLOG)?;
        let listener = TcpListener::from(socket);
        let stop = Arc::new(AtomicBool::new(false));
        let told_to_stop = Arc::clone(&stop);
        let thread = thread::Builder::new().name("sandbox-accept".into()).spawn(move || {
            for stream in listener.incoming() {
                if told_to_stop.load(Ordering::SeqCst) {
                    return;
                }
                match stream {
                    Ok(stream) => accepted(stream),
                    // Out of descriptors, mostly: trying again at once would only burn the processor.
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
            }
        })?;
        self.running = Some(Running { stop, thread });
        Ok(())
    }

    /// Refuses connections from now on. Accepted ones live on.
    pub(crate) fn close(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.stop.store(true, Ordering::SeqCst);
        // Wakes the thread from accept.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        let _ = running.thread.join();
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.close();
    }
}

fn bound_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    // A program that this one starts must not keep the port. (SOCK_CLOEXEC does not exist everywhere.)
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    // Lets the listening socket share the number with its reservation.
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}
