//! Keycloak's realm endpoints, with its shapes of error.

use serde_json::{Value, json};

use crate::atlas::oauth_error;
use crate::client_authentication::{Refusal, by_assertion, by_basic, by_certificate, by_post};
use crate::http::{Body, Response};
use crate::route::{Exchange, not_found};
use crate::settings::{Client, Realm};
use crate::state::State;
use crate::tokens::Owner;

/// Where a realm's metadata is, by OpenID Connect Discovery; by RFC 8414 the realm follows.
pub(crate) const METADATA: &str = ".well-known/openid-configuration";

/// `endpoint` is the path within the realm, `prefix` what stands before `/realms` (nothing, or `/auth`).
pub(crate) fn answer(exchange: &Exchange<'_>, prefix: &str, name: &str, endpoint: &str) -> Response {
    let mut guard = exchange.space.lock();
    let state = &mut *guard;
    let Some(realm) = state.settings.realms.get(name) else {
        return Response::json(404, &json!({ "error": "Realm does not exist" }));
    };
    match (endpoint, exchange.request.method.as_str()) {
        (METADATA, "GET" | "HEAD") => metadata(realm, &exchange.origin(), prefix, name),
        ("protocol/openid-connect/certs", "GET" | "HEAD") => Response::json(200, &json!({ "keys": [] })),
        _ if !realm.enabled => oauth_error(403, "access_denied", "Realm not enabled"),
        ("protocol/openid-connect/token", "POST") => token(state, exchange, prefix, name),
        ("protocol/openid-connect/revoke", "POST") => revoke(state, exchange, prefix, name),
        ("protocol/openid-connect/token/introspect", "POST") => introspect(state, exchange, prefix, name),
        ("protocol/openid-connect/logout", "POST") => logout(state, exchange, prefix, name),
        (METADATA, _) => method_not_allowed(),
        (path, _) if path.starts_with("protocol/openid-connect/") => method_not_allowed(),
        _ => not_found(),
    }
}

/// The admin API's list of realms, open to every living token that a realm issued.
pub(crate) fn admin_realms(exchange: &Exchange<'_>) -> Response {
    let state = exchange.space.lock();
    let admitted = state.living_token(exchange.request).is_some_and(|token| token.owner().realm.is_some());
    if !admitted {
        return Response::json(401, &json!({ "error": "HTTP 401 Unauthorized" }));
    }
    let realms: Vec<Value> = state.settings.realms.keys().map(|name| json!({ "realm": name })).collect();
    Response::json(200, &realms.into())
}

fn token(state: &mut State, exchange: &Exchange<'_>, prefix: &str, name: &str) -> Response {
    let request = exchange.request;
    match request.form_value("grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => return oauth_error(400, "unsupported_grant_type", "Unsupported grant_type"),
        None => return oauth_error(400, "invalid_request", "Missing form parameter: grant_type"),
    }
    let client = match authenticate(state, exchange, prefix, name) {
        Ok(client) => client.id.clone(),
        Err(refusal) => return refused(&refusal, name),
    };
    let realm = &state.settings.realms[name];
    let expires_in = realm.expires_in.clone().unwrap_or_else(|| state.settings.expires_in.clone());
    let scope = match request.form_value("scope") {
        Some(asked) if !asked.is_empty() => format!("profile email {asked}"),
        _ => "profile email".to_owned(),
    };
    let server_fields = [("refresh_expires_in", json!(0)), ("not-before-policy", json!(0)), ("scope", json!(scope))];
    let owner = Owner { realm: Some(name), client: &client };
    Response::json(200, &state.mint(exchange.number, owner, &expires_in, &server_fields))
        .header("Cache-Control", "no-store")
        .header("Pragma", "no-cache")
}

fn revoke(state: &mut State, exchange: &Exchange<'_>, prefix: &str, name: &str) -> Response {
    let client = match authenticate(state, exchange, prefix, name) {
        Ok(client) => client.id.clone(),
        Err(refusal) => return refused(&refusal, name),
    };
    let Some(text) = exchange.request.form_value("token") else {
        return oauth_error(400, "invalid_request", "Token not provided");
    };
    let now = state.now_ms();
    if state.settings.token_fields.get("refresh_token").is_some_and(|issued| *issued == text) {
        state.counters.sessions_ended += 1;
        return Response::new(200, Body::default());
    }
    let Some(token) = state.tokens.find(&text).filter(|token| token.lives(now)) else {
        // Not a slip: Keycloak's answer is a success that holds an error.
        return oauth_error(200, "invalid_token", "Invalid token");
    };
    if token.owner() != (Owner { realm: Some(name), client: &client }) {
        return oauth_error(400, "invalid_token", "Unmatching clients");
    }
    if state.tokens.revoke(&text, now) {
        state.counters.revocations += 1;
    }
    Response::new(200, Body::default())
}

fn introspect(state: &mut State, exchange: &Exchange<'_>, prefix: &str, name: &str) -> Response {
    let Ok(client) = authenticate(state, exchange, prefix, name).map(|client| client.id.clone()) else {
        return oauth_error(401, "invalid_request", "Authentication failed.");
    };
    let Some(text) = exchange.request.form_value("token") else {
        return oauth_error(400, "invalid_request", "Token not provided");
    };
    let now = state.now_ms();
    let asker = Owner { realm: Some(name), client: &client };
    let Some(token) = state.tokens.find(&text).filter(|token| token.lives(now) && token.owner() == asker) else {
        return Response::json(200, &json!({ "active": false }));
    };
    Response::json(
        200,
        &json!({
            "active": true,
            "client_id": client,
            "exp": token.expires_ms / 1000,
            "iat": token.issued_ms / 1000,
            "iss": issuer(&exchange.origin(), prefix, name),
            "token_type": "Bearer",
        }),
    )
}

fn logout(state: &mut State, exchange: &Exchange<'_>, prefix: &str, name: &str) -> Response {
    if let Err(refusal) = authenticate(state, exchange, prefix, name) {
        return refused(&refusal, name);
    }
    match exchange.request.form_value("refresh_token") {
        None => oauth_error(400, "invalid_request", "No refresh token"),
        Some(given) if state.settings.token_fields.get("refresh_token").is_some_and(|issued| *issued == given) => {
            state.counters.sessions_ended += 1;
            Response::new(204, Body::default())
        }
        Some(_) => oauth_error(400, "invalid_grant", "Invalid refresh token"),
    }
}

fn metadata(realm: &Realm, origin: &str, prefix: &str, name: &str) -> Response {
    let issuer = issuer(origin, prefix, name);
    let endpoint = |path: &str| format!("{issuer}/protocol/openid-connect/{path}");
    let methods = json!([
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
    ]);
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": endpoint("auth"),
        "token_endpoint": endpoint("token"),
        "introspection_endpoint": endpoint("token/introspect"),
        "revocation_endpoint": endpoint("revoke"),
        "end_session_endpoint": endpoint("logout"),
        "jwks_uri": endpoint("certs"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["none"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    });
    for (name, value) in &realm.metadata {
        document[name] = value.clone();
    }
    let members = document.as_object_mut().expect("made above");
    members.retain(|_, value| !value.is_null());
    Response::json(200, &document)
}

fn issuer(origin: &str, prefix: &str, name: &str) -> String {
    format!("{origin}{prefix}/realms/{name}")
}

/// By Basic where there is an Authorization header, by an assertion where there is one, by certificate where the client
/// is known by one, else by the form.
fn authenticate<'a>(
    state: &'a mut State,
    exchange: &Exchange<'_>,
    prefix: &str,
    name: &str,
) -> Result<&'a Client, Refusal<'a>> {
    let now = (state.now_ms() / 1000) as i64;
    let State { settings, used_assertions, .. } = state;
    let (clients, request) = (&settings.realms[name].clients, exchange.request);
    if request.header("authorization").is_some() {
        by_basic(clients, request)
    } else if request.form_value("client_assertion").is_some() {
        by_assertion(clients, request, &[issuer(&exchange.origin(), prefix, name)], now, used_assertions)
    } else if let Some(outcome) = by_certificate(clients, request, exchange.certificate.as_deref()) {
        outcome
    } else {
        by_post(clients, request)
    }
}

fn refused(refusal: &Refusal<'_>, realm: &str) -> Response {
    const DESCRIPTION: &str = "Invalid client or Invalid client credentials";
    match refusal {
        Refusal::NoCredentials | Refusal::UnknownClient => oauth_error(401, "invalid_client", DESCRIPTION),
        Refusal::WrongSecret(_) => oauth_error(401, "unauthorized_client", DESCRIPTION),
        Refusal::WrongCertificate(why) => oauth_error(401, "invalid_client", why),
        Refusal::WrongAssertion(why) => oauth_error(400, "invalid_client", why),
        Refusal::Unreadable => {
            Response::new(401, Body::default()).header("WWW-Authenticate", format!("Basic realm=\"{realm}\""))
        }
    }
}

fn method_not_allowed() -> Response {
    Response::json(405, &json!({ "error": "HTTP 405 Method Not Allowed" }))
}
