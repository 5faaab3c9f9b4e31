//! The admin API: [`Space`]'s methods over HTTP and JSON, for test programs in other languages.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::http::{self, NoRequest, Request};
use crate::peer::{Ending, Peer};
use crate::sandbox::Spaces;
use crate::settings::SettingsError;
use crate::space::{Space, UnknownCounter, Waited};
use crate::wire::Wire;

const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// Serves one admin connection on a thread of its own.
pub(crate) fn accept(spaces: &Arc<Spaces>, stream: TcpStream) {
    let Ok(peer) = Peer::new(stream) else { return };
    let spaces = Arc::clone(spaces);
    let spawned = thread::Builder::new().name("sandbox-admin".into()).spawn(move || {
        let mut wire = Wire::plain(Arc::new(peer));
        let mut buffer = Vec::new();
        let ending = loop {
            let (answer, last) = match http::read_request(&mut wire, &mut buffer) {
                Ok(request) => (answer(&spaces, &request), request.wants_close),
                Err(NoRequest::Bad(status, reason)) => (Err(Refusal(status, reason.into())), true),
                Err(NoRequest::Ended(ending)) => break ending,
            };
            if let Err(ending) = write(&mut wire, answer, last) {
                break ending;
            }
        };
        wire.end(ending);
    });
    // Without a thread the stream is dropped, which the client sees.
    drop(spawned);
}

/// A status and a JSON body.
type Answer = Result<(u16, Value), Refusal>;

struct Refusal(u16, String);

impl From<SettingsError> for Refusal {
    fn from(error: SettingsError) -> Self {
        Refusal(400, error.to_string())
    }
}

impl From<UnknownCounter> for Refusal {
    fn from(error: UnknownCounter) -> Self {
        Refusal(400, error.to_string())
    }
}

fn write(wire: &mut Wire, answer: Answer, last: bool) -> Result<(), Ending> {
    let (status, body) = answer.unwrap_or_else(|Refusal(status, text)| (status, json!({ "error": text })));
    let body = body.to_string();
    let connection = if last { "Connection: close\r\n" } else { "" };
    let text = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{connection}\r\n{body}",
        http::reason(status),
        body.len(),
    );
    wire.write(text.as_bytes())?;
    if last { Err(Ending::Close) } else { Ok(()) }
}

fn answer(spaces: &Spaces, request: &Request) -> Answer {
    let mut segments = request.path.split('/').skip(1);
    let route = (segments.next(), segments.next(), segments.next(), segments.next());
    let (name, verb) = match route {
        (Some("spaces"), None, None, None) if request.method == "POST" => {
            let space = spaces.create(&Value::Object(body(request)?))?;
            let (name, http, https, proxy) = (space.name(), space.http(), space.https(), space.proxy());
            return Ok((200, json!({ "space": name, "http": http, "https": https, "proxy": proxy })));
        }
        (Some("spaces"), Some(name), verb, None) => (name, verb.unwrap_or_default()),
        _ => return Err(no_such_endpoint(request)),
    };
    let space = spaces.find(name).ok_or_else(|| Refusal(404, format!("no space {name}")))?;
    let done = Ok((200, json!({})));
    match (request.method.as_str(), verb) {
        ("GET", "") => Ok((200, space.report())),
        ("PATCH", "") => {
            space.patch(&Value::Object(body(request)?))?;
            done
        }
        ("DELETE", "") => {
            spaces.remove(name);
            space.delete();
            done
        }
        ("POST", "wait") => wait(&space, body(request)?),
        ("POST", "release") => {
            let fields = body(request)?;
            let gate = fields.get("hold").and_then(Value::as_str);
            space.release(gate.ok_or_else(|| Refusal(400, "hold: expected the name of a gate".into()))?);
            done
        }
        ("POST", "advance") => {
            let milliseconds = body(request)?.get("ms").and_then(Value::as_u64);
            let milliseconds = milliseconds.ok_or_else(|| Refusal(400, "ms: expected milliseconds".into()))?;
            space.advance(Duration::from_millis(milliseconds));
            done
        }
        ("POST", "reset_connections") => {
            space.reset_connections();
            done
        }
        ("POST", "close_connections") => {
            space.close_connections();
            done
        }
        ("POST", "revoke_tokens") => {
            space.revoke_tokens();
            done
        }
        _ => Err(no_such_endpoint(request)),
    }
}

fn wait(space: &Space, mut until: Map<String, Value>) -> Answer {
    let timeout = match until.remove("timeout_ms") {
        None => DEFAULT_WAIT,
        Some(value) => Duration::from_millis(
            value.as_u64().ok_or_else(|| Refusal(400, format!("timeout_ms: expected milliseconds, got {value}")))?,
        ),
    };
    Ok(match space.wait(&until, timeout)? {
        Waited::Reached(report) => (200, report),
        Waited::TimedOut(report) => (408, report),
    })
}

/// The request's JSON object; no body at all is an empty one.
fn body(request: &Request) -> Result<Map<String, Value>, Refusal> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&request.body).map_err(|error| Refusal(400, format!("body: {error}")))
}

fn no_such_endpoint(request: &Request) -> Refusal {
    Refusal(404, format!("no endpoint {} {}", request.method, request.path))
}
