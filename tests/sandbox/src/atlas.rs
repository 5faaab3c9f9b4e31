//! The MongoDB Atlas Administration API: token and revoke endpoints, and a few API paths with its error bodies.

use serde_json::{Value, json};

use crate::client_authentication::{Refusal, by_basic};
use crate::http::{Body, Response, reason};
use crate::route::Exchange;
use crate::tokens::Owner;

const GROUPS: &str = "/api/atlas/v2/groups";
/// The first version of the projects resource: requests for this one or a later one are served as this one.
const GROUPS_VERSION: &str = "2023-01-01";
const ORGANISATION: &str = "5f0000000000000000000001";

pub(crate) fn answer(exchange: &Exchange<'_>) -> Response {
    match (exchange.request.path.as_str(), exchange.request.method.as_str()) {
        ("/api/oauth/token", "POST") => token(exchange),
        ("/api/oauth/revoke", "POST") => revoke(exchange),
        ("/api/oauth/token" | "/api/oauth/revoke", _) => {
            api_error(405, "UNEXPECTED_ERROR", "Only POST is allowed here.", json!([]))
        }
        _ => api(exchange),
    }
}

fn token(exchange: &Exchange<'_>) -> Response {
    let request = exchange.request;
    let mut guard = exchange.space.lock();
    let state = &mut *guard;
    let (client, authenticated) = match by_basic(&state.settings.clients, request) {
        Ok(client) => (client.id.clone(), true),
        Err(Refusal::WrongSecret(client)) => (client.id.clone(), false),
        Err(_) => return invalid_client(),
    };
    // The limit comes before the secret: it protects the endpoint, and guessing is what it is against.
    if let Some(per_minute) = state.settings.mints_per_minute
        && let Err(seconds) = state.admit_token_request(&client, per_minute)
    {
        let detail = format!("Rate limit of {per_minute} invocations per 1 minutes exceeded.");
        return api_error(429, "RATE_LIMITED", &detail, json!([request.path, per_minute, 1]))
            .header("Retry-After", seconds.to_string());
    }
    if !authenticated {
        return invalid_client();
    }
    match request.form_value("grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => return oauth_error(400, "unsupported_grant_type", "The grant type is not supported."),
        None => return oauth_error(400, "invalid_request", "Missing required parameter: grant_type."),
    }
    let owner = Owner { realm: None, client: &client };
    let living = state.tokens.count_living_of(owner, state.now_ms());
    if state.settings.living_tokens.is_some_and(|limit| living >= limit) {
        return oauth_error(
            403,
            "access_denied",
            "Access Token limit reached for this Service Account. Revoke tokens or wait until they expire.",
        );
    }
    let expires_in = state.settings.expires_in.clone();
    Response::json(200, &state.mint(exchange.number, owner, &expires_in, &[])).header("Cache-Control", "no-store")
}

fn revoke(exchange: &Exchange<'_>) -> Response {
    let request = exchange.request;
    let mut guard = exchange.space.lock();
    let state = &mut *guard;
    let Ok(client) = by_basic(&state.settings.clients, request) else { return invalid_client() };
    let Some(text) = request.form_value("token") else {
        return oauth_error(400, "invalid_request", "Missing required parameter: token.");
    };
    let now = state.now_ms();
    let owner = Owner { realm: None, client: &client.id };
    if state.tokens.find(&text).is_some_and(|token| token.owner() == owner) && state.tokens.revoke(&text, now) {
        state.counters.revocations += 1;
    }
    Response::new(200, Body::default())
}

fn api(exchange: &Exchange<'_>) -> Response {
    let request = exchange.request;
    if !exchange.space.lock().has_living_token(request) {
        return unauthorized();
    }
    match request.path.as_str() {
        // Atlas says 401, not 403, to a caller who is not a member of the project's organisation.
        "/api/atlas/v2/not-a-member" => unauthorized(),
        "/api/atlas/v2/forbidden" => {
            api_error(403, "USER_UNAUTHORIZED", "The caller lacks the role that this resource needs.", json!([]))
        }
        "/api/atlas/v2/limited" => api_error(
            429,
            "RATE_LIMITED_TOKEN_BUCKET",
            "The rate limit of this endpoint set is exhausted.",
            json!([request.path, "2", 10, "5", 60]),
        )
        .header("RateLimit-Limit", "10")
        .header("RateLimit-Remaining", "0")
        .header("Retry-After", "2"),
        path if path == GROUPS || path.starts_with("/api/atlas/v2/groups/") => groups(exchange),
        path => {
            let detail = format!("Cannot find resource {path}.");
            api_error(404, "RESOURCE_NOT_FOUND", &detail, json!([path]))
        }
    }
}

fn groups(exchange: &Exchange<'_>) -> Response {
    let request = exchange.request;
    if !accepts_groups_version(request.header("accept").unwrap_or_default()) {
        let detail =
            format!("The Accept header must name a version of this resource, the first being {GROUPS_VERSION}.");
        return api_error(406, "INVALID_VERSION_DATE", &detail, json!([]));
    }
    match (request.method.as_str(), request.path.strip_prefix("/api/atlas/v2/groups/")) {
        ("GET" | "HEAD", None) => list_groups(exchange),
        ("POST", None) => create_group(exchange),
        ("GET" | "HEAD", Some(id)) => {
            let found = projects(exchange).into_iter().find(|project| project["id"] == id);
            match found {
                Some(project) => versioned(200, &project),
                None => {
                    let detail = format!("Cannot find group {id}.");
                    api_error(404, "GROUP_NOT_FOUND", &detail, json!([id]))
                }
            }
        }
        _ => api_error(405, "UNEXPECTED_ERROR", "The method is not allowed for this resource.", json!([])),
    }
}

/// Atlas serves the newest version that is not after the one asked for.
fn accepts_groups_version(accept: &str) -> bool {
    accept.split(',').any(|media_type| {
        let version = media_type
            .trim()
            .strip_prefix("application/vnd.atlas.")
            .and_then(|rest| rest.split(';').next()?.strip_suffix("+json"));
        version.is_some_and(|version| {
            let shape: Vec<usize> = version.split('-').map(str::len).collect();
            let digits = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            digits && shape == [4, 2, 2] && version >= GROUPS_VERSION
        })
    })
}

fn list_groups(exchange: &Exchange<'_>) -> Response {
    let request = exchange.request;
    let number = |name: &str, default: usize| match request.query_value(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| *number >= 1)
            .ok_or_else(|| validation_error(name, &format!("must be a whole number of at least 1, not {text}"))),
    };
    let (page, per_page) = match (number("pageNum", 1), number("itemsPerPage", 100)) {
        (Ok(page), Ok(per_page)) => (page, per_page),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    if per_page > 500 {
        return validation_error("itemsPerPage", "must be at most 500");
    }
    let projects = projects(exchange);
    let counted = request.query_value("includeCount").as_deref() != Some("false");
    let start = (page - 1).saturating_mul(per_page).min(projects.len());
    let end = start.saturating_add(per_page).min(projects.len());

    let link = |page: usize, rel: &str| {
        let href =
            format!("{}{GROUPS}?includeCount={counted}&itemsPerPage={per_page}&pageNum={page}", exchange.origin(),);
        json!({ "href": href, "rel": rel })
    };
    let mut links = vec![link(page, "self")];
    if end < projects.len() {
        links.push(link(page + 1, "next"));
    }
    let mut answer = json!({ "links": links, "results": projects[start..end] });
    if counted {
        answer["totalCount"] = projects.len().into();
    }
    versioned(200, &answer)
}

fn create_group(exchange: &Exchange<'_>) -> Response {
    let body: Value = serde_json::from_slice(&exchange.request.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let (Some(name), Some(organisation)) = (text("name"), text("orgId")) else {
        let missing = if text("name").is_none() { "name" } else { "orgId" };
        return validation_error(missing, "must not be null");
    };
    exchange.space.lock().created_projects.push((name, organisation));
    let created = projects(exchange).pop().expect("one was created above");
    versioned(201, &created)
}

/// Every project: first the ones of the settings, then the created ones.
fn projects(exchange: &Exchange<'_>) -> Vec<Value> {
    let origin = exchange.origin();
    let state = exchange.space.lock();
    let configured = (1..=state.settings.projects).map(|index| (format!("project-{index}"), ORGANISATION.to_owned()));
    let all = configured.chain(state.created_projects.iter().cloned());
    all.enumerate()
        .map(|(index, (name, organisation))| {
            let id = format!("6400000000000000{:08x}", index + 1);
            json!({
                "clusterCount": 0,
                "created": "2024-01-01T00:00:00Z",
                "id": id,
                "links": [{ "href": format!("{origin}{GROUPS}/{id}"), "rel": "self" }],
                "name": name,
                "orgId": organisation,
            })
        })
        .collect()
}

fn versioned(status: u16, value: &Value) -> Response {
    let media_type = format!("application/vnd.atlas.{GROUPS_VERSION}+json;charset=utf-8");
    Response::new(status, Body::from(value.to_string().as_str())).header("Content-Type", media_type)
}

pub(crate) fn unauthorized() -> Response {
    api_error(401, "UNEXPECTED_ERROR", "You are not authorized for this resource.", json!([]))
}

fn validation_error(field: &str, description: &str) -> Response {
    let mut body = error_body(400, "VALIDATION_ERROR", "Validation Error", json!([]));
    body["badRequestDetail"] = json!({ "fields": [{ "field": field, "description": description }] });
    Response::json(400, &body)
}

fn api_error(status: u16, code: &str, detail: &str, parameters: Value) -> Response {
    Response::json(status, &error_body(status, code, detail, parameters))
}

fn error_body(status: u16, code: &str, detail: &str, parameters: Value) -> Value {
    json!({
        "detail": detail,
        "error": status,
        "errorCode": code,
        "parameters": parameters,
        "reason": reason(status),
    })
}

fn invalid_client() -> Response {
    // The real endpoint offers Digest here, which has nothing to do with the client's mistake.
    oauth_error(401, "invalid_client", "Invalid client credentials.").header(
        "WWW-Authenticate",
        r#"Digest realm="MMS Public API", domain="", nonce="c2FuZGJveA", algorithm=MD5, qop="auth", stale=false"#,
    )
}

pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Response {
    Response::json(status, &json!({ "error": error, "error_description": description }))
}
