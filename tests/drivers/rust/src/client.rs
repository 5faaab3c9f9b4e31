//! `client`: constructors and options, as a Rust user writes them.

use crate::fields::{Fields, milliseconds, not_expressible, number, text};
use crate::{Broken, Events, loud};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use svctoken::{Client, ClientBuilder, Environment, Error, LogEvent, Preset};

/// How many answers a client's hook was given.
pub(crate) static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// Options given in several fields.
#[derive(Default)]
struct Gathered {
    allowed_origins: Vec<String>,
    resource: Vec<String>,
    client_secret_command: Vec<String>,
    extra_params: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    hook: Vec<(String, String)>,
}

pub(crate) fn make(mut fields: Fields, events: &Events) -> Result<Result<Client, Error>, Broken> {
    let sink = events.clone();
    let mut builder = Client::builder().on_log(Arc::new(move |event: &LogEvent| {
        loud::show(event);
        sink.lock().expect("nothing panics while it holds this lock").push(event.clone());
    }));
    let mut gathered = Gathered::default();
    let mut constructor = "plain".to_owned();
    let [mut server_url, mut realm, mut issuer] = [const { String::new() }; 3];
    let mut environment = Vec::new();
    while let Some((key, value)) = fields.pair()? {
        let value = text(value)?;
        match key.as_str() {
            "constructor" => constructor = value,
            "server_url" => server_url = value,
            "realm" => realm = value,
            "issuer" if constructor == "issuer" => issuer = value,
            _ => match key.strip_prefix("env.") {
                Some(name) => environment.push((name.to_owned(), value)),
                None => builder = set(builder, &mut gathered, &key, value)?,
            },
        }
    }
    // As if the process had been started with these and no others of ours.
    let is_ours = |name: &str| name.starts_with("SVCTOKEN_") || name.starts_with("MONGODB_ATLAS_");
    let others = std::env::vars().filter(|(name, _)| !is_ours(name));
    builder = set_gathered(builder, gathered).environment(Environment::from_pairs(others.chain(environment)));
    loud::show(&builder);
    Ok(match constructor.as_str() {
        "plain" => builder.build(),
        "atlas" => builder.atlas(),
        "keycloak" => builder.keycloak(server_url, realm),
        "issuer" => builder.preset(&Preset::Issuer { issuer }),
        "from_env" => builder.from_env(),
        _ => return Err(Broken(format!("unknown constructor {constructor}"))),
    })
}

/// What a driver's function answers.
fn first_line(path: &str) -> Result<String, &'static str> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().map(str::to_owned).ok_or("there is no secret today")
}

fn set(builder: ClientBuilder, gathered: &mut Gathered, key: &str, value: String) -> Result<ClientBuilder, Broken> {
    Ok(match key {
        "client_id" => builder.client_id(value),
        "client_secret" => builder.client_secret(value),
        "client_secret_file" => builder.client_secret_file(value),
        "client_secret_callback" => builder.client_secret_callback(move || first_line(&value)),
        "client_secret_2" => builder.client_secret_2(value),
        "private_key" => builder.private_key(value),
        "private_key_file" => builder.private_key_file(value),
        "key_id" => builder.key_id(value),
        "access_token" => builder.access_token(value),
        "token_url" => builder.token_url(value),
        "issuer" => builder.issuer(value),
        "introspection_url" => builder.introspection_url(value),
        "revocation_url" => builder.revocation_url(value),
        "base_url" => builder.base_url(value),
        "auth_method" => builder.auth_method(value),
        "auth_encoding" => builder.auth_encoding(value),
        "signing_alg" => builder.signing_alg(value),
        "assertion_audience" => builder.assertion_audience(value),
        "scope" => builder.scope(value),
        "audience" => builder.audience(value),
        "timeout" => builder.timeout(milliseconds(&value)?),
        "connect_timeout" => builder.connect_timeout(milliseconds(&value)?),
        "token_timeout" => builder.token_timeout(milliseconds(&value)?),
        "cache" => builder.cache(value),
        "accept" => builder.accept(value),
        "user_agent" => builder.user_agent(value),
        "max_attempts" => builder.max_attempts(number(&value)?),
        "mint_budget" => builder.mint_budget(number(&value)?),
        "max_response_bytes" => builder.max_response_bytes(number(&value)?),
        "allow_http" => builder.allow_http(value.parse().map_err(|_| not_expressible())?),
        "proxy" => builder.proxy(value),
        "ca_file" => builder.ca_file(value),
        "client_cert_file" => builder.client_cert_file(value),
        "client_key_file" => builder.client_key_file(value),
        "allowed_origins" => {
            gathered.allowed_origins.push(value);
            builder
        }
        "resource" => {
            gathered.resource.push(value);
            builder
        }
        "client_secret_command" => {
            gathered.client_secret_command.push(value);
            builder
        }
        _ => {
            match key.split_once('.') {
                Some(("extra_params", name)) => gathered.extra_params.push((name.to_owned(), value)),
                Some(("headers", name)) => gathered.headers.push((name.to_owned(), value)),
                Some(("hook", name)) => gathered.hook.push((name.to_owned(), value)),
                _ => return Err(not_expressible()),
            }
            builder
        }
    })
}

fn set_gathered(mut builder: ClientBuilder, gathered: Gathered) -> ClientBuilder {
    let Gathered { allowed_origins, resource, client_secret_command, extra_params, headers, hook } = gathered;
    if !hook.is_empty() {
        builder = builder.before_send(Arc::new(move |_, _| hook.clone()));
        builder = builder.after_receive(Arc::new(|response| {
            loud::show(response);
            RECEIVED.fetch_add(1, Ordering::SeqCst);
        }));
    }
    if !allowed_origins.is_empty() {
        builder = builder.allowed_origins(allowed_origins);
    }
    if !resource.is_empty() {
        builder = builder.resource(resource);
    }
    if !client_secret_command.is_empty() {
        builder = builder.client_secret_command(client_secret_command);
    }
    if !extra_params.is_empty() {
        builder = builder.extra_params(extra_params);
    }
    if !headers.is_empty() {
        builder = builder.headers(headers);
    }
    builder
}
