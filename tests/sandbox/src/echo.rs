//! Paths of no real server: what a client sent, and bodies of any size, both ways.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::atlas;
use crate::http::{Body, Response};
use crate::route::{Exchange, not_found};

pub(crate) fn echo(exchange: &Exchange<'_>) -> Response {
    let request = exchange.request;
    if !is_allowed(exchange) {
        return atlas::unauthorized();
    }
    Response::json(
        200,
        &json!({
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "body": String::from_utf8_lossy(&request.body),
            "body_base64": STANDARD.encode(&request.body),
        }),
    )
}

pub(crate) fn upload(exchange: &Exchange<'_>) -> Response {
    if !is_allowed(exchange) {
        return atlas::unauthorized();
    }
    let request = exchange.request;
    Response::json(200, &json!({ "length": request.body_length, "sha256": request.body_sha256 }))
}

pub(crate) fn bytes(exchange: &Exchange<'_>, length: &str) -> Response {
    let Ok(length) = length.parse() else { return not_found() };
    if !is_allowed(exchange) {
        return atlas::unauthorized();
    }
    Response::new(200, Body::Counting(length)).header("Content-Type", "application/octet-stream")
}

fn is_allowed(exchange: &Exchange<'_>) -> bool {
    exchange.request.query_value("anonymous").as_deref() == Some("1")
        || exchange.space.lock().has_living_token(exchange.request)
}
