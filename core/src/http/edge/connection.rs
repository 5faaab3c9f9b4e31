//! Our sockets as ureq's transports.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use ureq::Timeout;
use ureq::http::uri::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as UreqResolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use crate::clock::{self, BootTime};
use crate::config::url::Url;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::dial::Dialer;
use crate::http::edge::current::{current_wait, in_current};
use crate::http::edge::{BUFFER, LARGEST_HEAD, OUTPUT_BUFFER, other};
use crate::http::interim::{self, Beginning};
use crate::net::stream::Stream;
use crate::wait::Wait;

/// ureq asks for addresses before it looks into its pool; so it gets none, and the connector, which alone knows that a
/// new connection is needed, looks the name up.
#[derive(Debug)]
pub(super) struct NoLookUp;

impl UreqResolver for NoLookUp {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

pub(super) struct Connect {
    pub(super) dialer: Dialer,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

impl Connector for Connect {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> std::result::Result<Option<Connection>, ureq::Error> {
        self.open(details.uri).map(Some).map_err(other)
    }
}

impl Connect {
    fn open(&self, uri: &Uri) -> Result<Connection> {
        let url = Url::parse(&uri.to_string()).map_err(|why| Error::argument(format!("the URL {uri} {why}")))?;
        let stream = self.dialer.dial(&url.origin, &current_wait())?;
        in_current(|exchange| exchange.progress.reused = false);
        let buffers = LazyBuffers::new(BUFFER, OUTPUT_BUFFER);
        Ok(Connection { stream, buffers, in_use: true, idle_since: clock::now(), cut: None, awaits_head: false })
    }
}

/// A connection as ureq's pool keeps it.
pub(super) struct Connection {
    stream: Stream,
    buffers: LazyBuffers,
    /// Bytes went through since the last time ureq asked whether the connection is open.
    in_use: bool,
    /// By the boot clock, so that a suspend makes it old.
    idle_since: BootTime,
    /// A request's body did not go out whole, so no other may follow it.
    cut: Option<Cut>,
    /// The head of an answer is to come, and before it perhaps interim answers, which are not handed on.
    awaits_head: bool,
}

enum Cut {
    /// The server had something to say before.
    Answered,
    /// The server took no more, and may have said why.
    Refused(Error),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Reads what there is; 0 is the end.
    fn receive(&mut self, wait: &Wait) -> Result<usize> {
        let count = self.stream.read(self.buffers.input_append_buf(), wait)?;
        self.buffers.input_appended(count);
        if count > 0 {
            in_current(|exchange| exchange.progress.answered = true);
        }
        Ok(count)
    }

    /// As [`receive`](Connection::receive), but not waiting.
    fn take_what_is_here(&mut self) -> std::result::Result<bool, ureq::Error> {
        let wait = current_wait();
        match self.receive(&wait.at_once()) {
            Err(error) if error.code() == ErrorCode::Timeout && wait.check().is_ok() => {
                Err(ureq::Error::Io(ErrorKind::WouldBlock.into()))
            }
            received => received.map(|count| count > 0).map_err(other),
        }
    }

    /// As [`receive`](Connection::receive), without what comes before an answer: ureq refuses a 100 that has headers.
    fn receive_answer(&mut self, wait: &Wait) -> Result<usize> {
        loop {
            let count = self.receive(wait)?;
            while self.awaits_head {
                match interim::beginning(self.buffers.input()) {
                    Beginning::Continue(length) | Beginning::Interim(length) => self.buffers.input_consume(length),
                    Beginning::Answer => self.awaits_head = false,
                    Beginning::Unclear => break,
                }
            }
            if count == 0 || !self.buffers.input().is_empty() {
                return Ok(count);
            }
        }
    }

    /// Sends a part of the body, unless the server does not want it any more: then its answer is to be read.
    fn transmit_body(&mut self, amount: usize) -> Result<()> {
        if self.cut.is_some() {
            return Ok(());
        }
        self.cut = match self.send_body(amount) {
            Ok(cut) => cut,
            Err(error) if error.code() == ErrorCode::ConnectionLost => Some(Cut::Refused(error)),
            Err(error) => return Err(error),
        };
        in_current(|exchange| exchange.body_unwanted = self.cut.is_some());
        Ok(())
    }

    fn send_body(&mut self, amount: usize) -> Result<Option<Cut>> {
        let wait = current_wait();
        let mut sent = 0;
        let mut has_spoken = !self.buffers.input().is_empty();
        loop {
            // What is small is there before anybody would answer.
            if !self.awaits_head || !in_current(|exchange| exchange.large_body) {
                return self.stream.write_all(&self.buffers.output()[sent..amount], &wait).map(|()| None);
            }
            if has_spoken && self.has_answered(&wait)? {
                self.begin_answer();
                // A success may be said before the body was read, and go on as it comes.
                if interim::is_success(self.buffers.input()) {
                    continue;
                }
                return Ok(Some(Cut::Answered));
            }
            if sent == amount {
                return Ok(None);
            }
            let written = self.stream.write_unless_answered(&self.buffers.output()[sent..amount], &wait)?;
            sent += written.unwrap_or(0);
            has_spoken = written.is_none();
        }
    }

    /// Whether the server, which has said something or ended, has begun to answer, or ended. Interim answers are dropped:
    /// one may come at any time (RFC 9110 section 15.2), and the first, to an expectation, later than it was waited for.
    fn has_answered(&mut self, wait: &Wait) -> Result<bool> {
        loop {
            match interim::beginning(self.buffers.input()) {
                Beginning::Answer => return Ok(true),
                Beginning::Continue(length) | Beginning::Interim(length) => {
                    self.buffers.input_consume(length);
                    if self.buffers.input().is_empty() {
                        return Ok(false);
                    }
                }
                // Too much for a head, which ureq tells; or an end.
                Beginning::Unclear if self.buffers.input().len() > LARGEST_HEAD || self.receive(wait)? == 0 => {
                    return Ok(true);
                }
                Beginning::Unclear => {}
            }
        }
    }

    /// Leaves the rest to ureq, which waits for more than what was there when it looked last, unless some of that was
    /// taken since.
    fn begin_answer(&mut self) {
        self.awaits_head = false;
        self.put_before_input(0, &[]);
    }

    /// Waits for "100 Continue", for an answer, or until `longest` is over and the body goes without.
    fn await_continue(&mut self, longest: Duration) -> std::result::Result<bool, ureq::Error> {
        let wait = current_wait();
        let expectation = wait.limited("the time to say 100 Continue", longest);
        let mut is_wanted = false;
        loop {
            match interim::beginning(self.buffers.input()) {
                // ureq would ask again and again for the rest of the line.
                Beginning::Answer if interim::has_first_line(self.buffers.input()) => {
                    self.begin_answer();
                    return Ok(true);
                }
                Beginning::Continue(length) => {
                    is_wanted = true;
                    self.put_before_input(length, &[]);
                }
                Beginning::Interim(length) => self.put_before_input(length, &[]),
                Beginning::Unclear if is_wanted && self.buffers.input().is_empty() => {
                    self.put_before_input(0, interim::CONTINUE);
                    return Ok(true);
                }
                _ if self.buffers.input().len() > LARGEST_HEAD => {
                    return Err(ureq::Error::LargeResponseHeader(self.buffers.input().len(), LARGEST_HEAD));
                }
                Beginning::Answer | Beginning::Unclear => match self.receive(&expectation) {
                    Ok(0) => {
                        let what = format!("{} closed the connection instead of an answer", self.stream.peer());
                        return Err(other(Error::new(ErrorCode::ConnectionLost, Stage::Receiving, what)));
                    }
                    Ok(_) => {}
                    Err(error) if error.code() == ErrorCode::Timeout && wait.check().is_ok() => {
                        in_current(|exchange| exchange.expectation_ignored = !is_wanted);
                        return Err(ureq::Error::Timeout(Timeout::Await100));
                    }
                    Err(error) => return Err(other(error)),
                },
            }
        }
    }

    /// Has ureq read these bytes in place of the first `length`. The input is moved to the front of its buffer, where ureq's
    /// own use of that for a body finds room for sure.
    fn put_before_input(&mut self, length: usize, bytes: &[u8]) {
        let input = [bytes, &self.buffers.input()[length..]].concat();
        self.buffers.input_consume(self.buffers.input().len());
        self.buffers.input_append_buf()[..input.len()].copy_from_slice(&input);
        self.buffers.input_appended(input.len());
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, next: NextTimeout) -> std::result::Result<(), ureq::Error> {
        self.in_use = true;
        if next.reason == Timeout::SendBody {
            return self.transmit_body(amount).map_err(other);
        }
        self.awaits_head = true;
        let wait = current_wait();
        let before = self.stream.bytes_written();
        let output = &self.buffers.output()[..amount];
        let written = match in_current(|exchange| exchange.forwarded_to.take()) {
            Some(origin) => self.stream.write_all(&in_absolute_form(output, &origin), &wait),
            None => self.stream.write_all(output, &wait),
        };
        if self.stream.bytes_written() > before {
            in_current(|exchange| exchange.progress.left = true);
        }
        written.map_err(other)
    }

    fn await_input(&mut self, next: NextTimeout) -> std::result::Result<bool, ureq::Error> {
        self.in_use = true;
        if next.reason == Timeout::Await100 {
            return self.await_continue(*next.after);
        }
        if in_current(|exchange| exchange.at_once) {
            return self.take_what_is_here();
        }
        let received = self.receive_answer(&current_wait());
        let has_ended = match &received {
            Ok(count) => *count == 0,
            Err(error) => error.code() == ErrorCode::ConnectionLost,
        };
        let said_nothing = has_ended && self.awaits_head;
        match self.cut.take_if(|cut| said_nothing && matches!(cut, Cut::Refused(_))) {
            // What it did is all there is to tell.
            Some(Cut::Refused(error)) => Err(other(error)),
            _ => received.map(|count| count > 0).map_err(other),
        }
    }

    /// ureq asks twice: when it puts a connection back, and when it takes it out again. Only the second answer
    /// matters, as whatever came in between is seen then; so the first costs no system call.
    fn is_open(&mut self) -> bool {
        if self.cut.is_some() {
            return false;
        }
        if std::mem::take(&mut self.in_use) {
            self.idle_since = clock::now();
            return true;
        }
        let young = clock::now().since(self.idle_since) < in_current(|exchange| exchange.longest_idle);
        let open = young && self.stream.is_quiet();
        in_current(|exchange| exchange.progress.reused = open);
        open
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// A request as a forwarding proxy wants it, with the whole URL in its first line (RFC 9112 section 3.2.2); ureq writes
/// that line at once, and only its path.
fn in_absolute_form(output: &[u8], origin: &str) -> Vec<u8> {
    let method = output.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
    [&output[..method], origin.as_bytes(), &output[method..]].concat()
}
