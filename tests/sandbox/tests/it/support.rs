//! A client that sees every byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use svctoken_sandbox::{Sandbox, Space, Waited};

/// No answer that is coming takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// Long enough to say that nothing is coming.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

pub(crate) const CLIENT: &str = "mdb_sa_id_0123456789abcdef01234567";
pub(crate) const SECRET: &str = "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox";
pub(crate) const ACCEPT: (&str, &str) = ("Accept", "application/vnd.atlas.2025-03-12+json");

pub(crate) trait Socket: Read + Write + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for StreamOwned<ClientConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

pub(crate) struct Connection {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Connection {
    pub(crate) fn plain(origin: &str) -> Connection {
        Connection { socket: Box::new(tcp(origin)), buffer: Vec::new() }
    }

    /// The handshake's error is the TLS library's, or the socket's.
    pub(crate) fn tls(space: &Space, sandbox: &Sandbox) -> io::Result<Connection> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(sandbox.ca_pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut stream = StreamOwned::new(tls, tcp(space.https()));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection { socket: Box::new(stream), buffer: Vec::new() })
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        self.socket.tcp()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
        self.socket.flush().unwrap();
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: sandbox.test\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        self.send(&[text.as_bytes(), body].concat());
    }

    pub(crate) fn exchange(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request(method, path, headers, body);
        self.read_answer(method)
    }

    pub(crate) fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.exchange("GET", path, headers, b"")
    }

    pub(crate) fn post_form(&mut self, path: &str, credentials: &str, form: &str) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(credentials));
        let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        self.exchange("POST", path, &headers, form.as_bytes())
    }

    /// Asks Atlas's endpoint for a token, as the default client.
    pub(crate) fn ask_token(&mut self) -> Answer {
        self.post_form("/api/oauth/token", &format!("{CLIENT}:{SECRET}"), "grant_type=client_credentials")
    }

    /// An `Authorization` value with a fresh token.
    pub(crate) fn bearer(&mut self) -> String {
        let answer = self.ask_token();
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("Bearer {}", answer.json()["access_token"].as_str().unwrap())
    }

    pub(crate) fn read_answer(&mut self, method: &str) -> Answer {
        let mut answer = self.read_head().unwrap();
        let length = answer.header("content-length").map(|length| length.parse().unwrap());
        answer.body = if method == "HEAD" || answer.status == 204 {
            Vec::new()
        } else if answer.header("transfer-encoding") == Some("chunked") {
            self.read_chunks().concat()
        } else if let Some(length) = length {
            self.take(length).unwrap()
        } else {
            let (rest, end) = self.read_to_end();
            end.unwrap();
            rest
        };
        answer
    }

    pub(crate) fn read_head(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.need_more()?;
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap().split(' ');
        Ok(Answer {
            version: words.next().unwrap().to_owned(),
            status: words.next().unwrap().parse().unwrap(),
            headers: lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        })
    }

    pub(crate) fn read_chunks(&mut self) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).unwrap();
            let chunk = self.take(size).unwrap();
            assert_eq!(self.line(), "");
            if size == 0 {
                return chunks;
            }
            chunks.push(chunk);
        }
    }

    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8(self.buffer[..at].to_vec()).unwrap();
                self.buffer.drain(..at + 2);
                return line;
            }
            self.need_more().unwrap();
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.need_more()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything up to the end of the connection, and how it ended. Ok is FIN, over TLS after a close_notify.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, io::Result<()>) {
        let end = loop {
            match self.read_more() {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        (std::mem::take(&mut self.buffer), end)
    }

    /// The bytes that come before a silence. Panics when the connection ends.
    pub(crate) fn read_until_silence(&mut self) -> Vec<u8> {
        self.tcp().set_read_timeout(Some(SILENCE)).unwrap();
        let error = loop {
            if let Err(error) = self.need_more() {
                break error;
            }
        };
        self.tcp().set_read_timeout(Some(LIMIT)).unwrap();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "not silent but {error}");
        std::mem::take(&mut self.buffer)
    }

    fn need_more(&mut self) -> io::Result<()> {
        match self.read_more()? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        // Linux interrupts a read that has a time limit when the process is stopped and continued.
        let read = loop {
            match self.socket.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    pub(crate) fn assert_closed(&mut self) {
        let (rest, end) = self.read_to_end();
        assert!(rest.is_empty() && end.is_ok(), "expected FIN, got {rest:?} and {end:?}");
    }

    pub(crate) fn assert_reset(&mut self) {
        let (rest, end) = self.read_to_end();
        let kind = end.as_ref().map_err(io::Error::kind);
        assert!(rest.is_empty() && kind == Err(ErrorKind::ConnectionReset), "expected RST, got {rest:?} and {end:?}");
    }
}

fn tcp(origin: &str) -> TcpStream {
    let stream = TcpStream::connect(address(origin)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

pub(crate) fn address(origin: &str) -> String {
    origin.rsplit("//").next().unwrap().replace("localhost", "127.0.0.1")
}

/// A sandbox with one space.
pub(crate) struct Setup {
    pub(crate) space: Arc<Space>,
    pub(crate) sandbox: Sandbox,
}

pub(crate) fn setup(settings: Value) -> Setup {
    let sandbox = Sandbox::start();
    let space = sandbox.create_space(&settings).unwrap();
    Setup { space, sandbox }
}

/// One rule for every path.
pub(crate) fn with_action(action: Value) -> Setup {
    setup(json!({ "rules": [{ "do": action }] }))
}

impl Setup {
    pub(crate) fn connect(&self) -> Connection {
        Connection::plain(self.space.http())
    }

    pub(crate) fn connect_tls(&self) -> Connection {
        Connection::tls(&self.space, &self.sandbox).unwrap()
    }

    pub(crate) fn wait(&self, until: Value) -> Value {
        match self.space.wait(until.as_object().unwrap(), LIMIT).unwrap() {
            Waited::Reached(report) => report,
            Waited::TimedOut(report) => panic!("waited in vain for {until}: {report}"),
        }
    }
}
