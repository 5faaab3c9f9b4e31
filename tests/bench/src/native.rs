//! The contestants in Rust.

use std::error::Error;
use std::io::{Read, Write, stdin};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use svctoken::Client;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Once = Box<dyn FnMut() -> Result<()>>;

const PATH: &str = "/bytes/1024?anonymous=1";
const BODY: usize = 1024;
const LARGE_PATH: &str = "/bytes/8388608?anonymous=1";
const LARGE_BODY: usize = 8 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// Makes calls as it is told by lines on standard input, or one.
pub(crate) fn contestant(what: &str, only_once: bool) -> std::result::Result<(), String> {
    run(what, only_once).map_err(|error| format!("{what}: {error}"))
}

fn run(what: &str, only_once: bool) -> Result<()> {
    let mut once: Once = match what {
        "empty" => return Ok(()),
        "clock" => clock(),
        "token" => token()?,
        "request" => request()?,
        "raw" => raw()?,
        "ureq" => by_ureq()?,
        "stream" => stream()?,
        "ureq_stream" => stream_by_ureq()?,
        _ => return Err("no such contestant".into()),
    };
    once()?;
    if only_once {
        return Ok(());
    }
    println!("ready");
    for line in stdin().lines() {
        let times: u64 = line?.parse()?;
        let (wall, cpu) = (Instant::now(), cpu_time());
        for _ in 0..times {
            once()?;
        }
        println!("{} {}", wall.elapsed().as_nanos(), cpu_time() - cpu);
    }
    Ok(())
}

fn cpu_time() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// What the fresh path cannot be faster than.
fn clock() -> Once {
    let current = ArcSwap::from_pointee((i64::MAX, "x".repeat(700)));
    Box::new(move || {
        let now = clock_gettime(ClockId::Boottime);
        let token = current.load();
        if now.tv_sec * 1_000_000_000 + now.tv_nsec >= token.0 {
            return Err("ended".into());
        }
        std::hint::black_box(token.1.as_str());
        Ok(())
    })
}

fn token() -> Result<Once> {
    let client = Client::atlas()?;
    Ok(Box::new(move || {
        std::hint::black_box(client.get_token()?.as_str());
        Ok(())
    }))
}

fn request() -> Result<Once> {
    let client = Client::atlas()?;
    Ok(Box::new(move || check(client.request("GET", PATH).send()?.into_body().len())))
}

fn stream() -> Result<Once> {
    let client = Client::atlas()?;
    let mut piece = vec![0; PIECE];
    Ok(Box::new(move || count(&mut client.request("GET", LARGE_PATH).send_streaming()?, &mut piece)))
}

fn count(body: &mut impl Read, piece: &mut [u8]) -> Result<()> {
    let mut length = 0;
    loop {
        match body.read(piece)? {
            0 if length == LARGE_BODY => return Ok(()),
            0 => return Err(format!("an answer of {length} bytes").into()),
            more => length += more,
        }
    }
}

fn check(length: usize) -> Result<()> {
    if length == BODY { Ok(()) } else { Err(format!("an answer of {length} bytes").into()) }
}

fn base_url() -> Result<String> {
    Ok(std::env::var("MONGODB_ATLAS_BASE_URL")?)
}

fn ca_pem() -> Result<Vec<u8>> {
    Ok(std::fs::read(std::env::var("SVCTOKEN_CA_FILE")?)?)
}

fn by_ureq() -> Result<Once> {
    let (agent, url, authorization) = ureq_agent(PATH)?;
    Ok(Box::new(move || {
        let mut answer = agent.get(&url).header("Authorization", &authorization).call()?;
        check(answer.body_mut().read_to_vec()?.len())
    }))
}

fn stream_by_ureq() -> Result<Once> {
    let (agent, url, authorization) = ureq_agent(LARGE_PATH)?;
    let mut piece = vec![0; PIECE];
    Ok(Box::new(move || {
        let answer = agent.get(&url).header("Authorization", &authorization).call()?;
        count(&mut answer.into_body().into_reader(), &mut piece)
    }))
}

fn ureq_agent(path: &str) -> Result<(ureq::Agent, String, String)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&ca_pem()?)?]);
    let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build();
    let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().tls_config(tls).proxy(None).build());
    Ok((agent, format!("{}{path}", base_url()?), format!("Bearer {}", "x".repeat(700))))
}

/// Fixed bytes out, and the answer's bytes in.
fn raw() -> Result<Once> {
    let base_url = base_url()?;
    let (scheme, authority) = base_url.split_once("://").ok_or("no scheme")?;
    let (host, _) = authority.split_once(':').ok_or("no port")?;
    let socket = TcpStream::connect(authority)?;
    socket.set_nodelay(true)?;
    let token = "x".repeat(700);
    let message = format!("GET {PATH} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n");
    if scheme == "http" {
        return Ok(exchange(socket, message));
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca_pem()?)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let connection = ClientConnection::new(config, ServerName::try_from(host.to_owned())?)?;
    Ok(exchange(StreamOwned::new(connection, socket), message))
}

fn exchange(mut stream: impl Read + Write + 'static, message: String) -> Once {
    let mut buffer = vec![0; 16 * 1024];
    Box::new(move || {
        stream.write_all(message.as_bytes())?;
        stream.flush()?;
        let mut filled = 0;
        loop {
            match stream.read(&mut buffer[filled..])? {
                0 => return Err("the connection ended".into()),
                count => filled += count,
            }
            let head = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
            if head.is_some_and(|head| filled >= head + 4 + BODY) {
                return Ok(());
            }
        }
    })
}
