//! Ways through proxies: what is said by [`proxy`](super::proxy), over a connection to one.

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::net::proxy::{self, Refusal};
use crate::net::stream::Stream;
use crate::wait::Wait;

pub(crate) use crate::net::proxy::Target;

/// Has an HTTP proxy lead the connection to `target`, a host and port.
pub(crate) fn by_connect(
    stream: &mut Stream,
    target: &str,
    user_agent: &str,
    authorization: Option<&str>,
    wait: &Wait,
) -> Result<()> {
    let mut answer = Vec::new();
    let mut say = || {
        stream.write_all(proxy::connect_head(target, user_agent, authorization).as_bytes(), wait)?;
        loop {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer, wait)? {
                0 => return Err(closed(stream)),
                count => answer.extend_from_slice(&buffer[..count]),
            }
            if proxy::is_connected(&answer).map_err(|refusal| failed(stream, target, refusal))? {
                return Ok(());
            }
        }
    };
    say().map_err(|error| while_opening(error, target))
}

/// Has a SOCKS 5 proxy lead the connection to `target`; a credential is told if the proxy wants one.
pub(crate) fn by_socks(
    stream: &mut Stream,
    target: &Target<'_>,
    credential: Option<(&str, &str)>,
    wait: &Wait,
) -> Result<()> {
    let target_text = target.to_string();
    let mut say = || {
        let refused = |stream: &Stream, refusal| failed(stream, &target_text, refusal);
        stream.write_all(proxy::socks_greeting(credential.is_some()), wait)?;
        let answer = read_exactly(stream, wait)?;
        let wants = proxy::socks_wants_credential(answer, credential.is_some());
        if wants.map_err(|refusal| refused(stream, refusal))? {
            let (user, password) = credential.unwrap_or_default();
            stream.write_all(&proxy::socks_credential(user, password), wait)?;
            let answer = read_exactly(stream, wait)?;
            proxy::socks_logged_in(answer).map_err(|refusal| refused(stream, refusal))?;
        }
        let request = proxy::socks_connect(target).map_err(|refusal| refused(stream, refusal))?;
        stream.write_all(&request, wait)?;
        let answer = read_exactly(stream, wait)?;
        let rest = proxy::socks_connected(answer).map_err(|refusal| refused(stream, refusal))?;
        for _ in 0..rest {
            read_exactly::<1>(stream, wait)?;
        }
        Ok(())
    };
    say().map_err(|error| while_opening(error, &target_text))
}

/// What an HTTP proxy that answers so to a request it should pass on has against it.
pub(crate) fn forwarding_refused(proxy: &str, target: &str, status: u16, head: &str) -> Error {
    let refusal = proxy::refused(status, head);
    error_of(&format!("the proxy {proxy}"), target, refusal)
}

/// Not a byte more than wanted: what follows is the server's.
fn read_exactly<const COUNT: usize>(stream: &mut Stream, wait: &Wait) -> Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let mut filled = 0;
    while filled < COUNT {
        match stream.read(&mut bytes[filled..], wait)? {
            0 => return Err(closed(stream)),
            count => filled += count,
        }
    }
    Ok(bytes)
}

fn closed(stream: &Stream) -> Error {
    let what = format!("{} closed the connection", stream.peer());
    Error::new(ErrorCode::ConnectionLost, Stage::Connecting, what)
}

fn failed(stream: &Stream, target: &str, refusal: Refusal) -> Error {
    error_of(stream.peer(), target, refusal)
}

fn error_of(proxy: &str, target: &str, refusal: Refusal) -> Error {
    let what = format!("{proxy} {} (on the way to {target})", refusal.what);
    let mut error = Error::new(ErrorCode::ProxyFailed, Stage::Connecting, what);
    if let Some(status) = refusal.status {
        error = error.with_status(status);
    }
    if let Some(next_step) = refusal.next_step {
        error = error.with_next_step(next_step);
    }
    if refusal.may_pass { error.that_may_pass() } else { error }
}

/// A lost connection is the proxy's failure; a timeout or cancel keeps its own code.
fn while_opening(error: Error, target: &str) -> Error {
    match error.code() {
        ErrorCode::ConnectionLost => {
            let what = format!("on the way to {target} {}", error.what());
            Error::new(ErrorCode::ProxyFailed, Stage::Connecting, what).that_may_pass()
        }
        ErrorCode::ProxyFailed => error,
        _ => error.at_stage(Stage::Connecting).while_doing(&format!("opening the way to {target}")),
    }
}
