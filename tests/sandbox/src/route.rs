//! Which server answers a path when no rule does.

use serde_json::json;

use crate::http::{Request, Response};
use crate::space::Space;
use crate::{atlas, echo, keycloak};

/// One request on its way to an answer.
pub(crate) struct Exchange<'a> {
    pub(crate) space: &'a Space,
    /// The request's number in the log.
    pub(crate) number: u64,
    pub(crate) tls: bool,
    /// The client's, as TLS was shown it.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) request: &'a Request,
}

impl Exchange<'_> {
    /// Scheme and host as the client sees them, for the absolute URLs in answers.
    pub(crate) fn origin(&self) -> String {
        let (scheme, own) = if self.tls { ("https", self.space.https()) } else { ("http", self.space.http()) };
        match self.request.header("host") {
            Some(host) => format!("{scheme}://{host}"),
            None => own.to_owned(),
        }
    }
}

pub(crate) fn answer(exchange: &Exchange<'_>) -> Response {
    let path = exchange.request.path.as_str();
    if path.starts_with("/echo") {
        return echo::echo(exchange);
    }
    if path.starts_with("/upload") {
        return echo::upload(exchange);
    }
    if let Some(length) = path.strip_prefix("/bytes/") {
        return echo::bytes(exchange, length);
    }
    if path.starts_with("/api/") {
        return atlas::answer(exchange);
    }
    let (prefix, keycloak_path) = match path.strip_prefix("/auth") {
        Some(rest) => ("/auth", rest),
        None => ("", path),
    };
    if let Some(realm) = path.strip_prefix("/.well-known/oauth-authorization-server") {
        let (prefix, realm) = realm.strip_prefix("/auth").map_or(("", realm), |realm| ("/auth", realm));
        return match realm.strip_prefix("/realms/") {
            Some(name) => keycloak::answer(exchange, prefix, name, keycloak::METADATA),
            None => not_found(),
        };
    }
    if keycloak_path == "/admin/realms" {
        return keycloak::admin_realms(exchange);
    }
    if let Some((realm, endpoint)) = keycloak_path.strip_prefix("/realms/").and_then(|rest| rest.split_once('/')) {
        return keycloak::answer(exchange, prefix, realm, endpoint);
    }
    not_found()
}

pub(crate) fn not_found() -> Response {
    Response::json(404, &json!({ "error": "Not Found" }))
}
