//! The client: a handle, and what is asked of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use napi::bindgen_prelude::{Either, External, Object};
use napi_derive::napi;
use svctoken::{CallOptions, Client, ClientBuilder, Environment, Preset, Token, duration_of_milliseconds};

use crate::call::{Calls, Outcome, REQUESTS};
use crate::convert;
use crate::error::{ErrorFacts, caught, guarded};
use crate::log::Listening;
use crate::question;
use crate::token_wait::{TokenWait, Waiter};

/// A client, shared with the calls in progress.
pub(crate) struct NativeClient {
    pub(crate) client: Client,
    pub(crate) listening: Arc<Listening>,
    wait: Arc<TokenWait>,
}

/// An access token with its facts.
#[napi(object, object_from_js = false)]
#[derive(Clone)]
pub(crate) struct TokenFacts {
    /// Differs for each token of the process; never 0.
    pub generation: f64,
    pub token: String,
    pub token_type: String,
    pub scope: Option<String>,
    /// In milliseconds.
    pub expires_in: f64,
    /// In milliseconds since 1970.
    pub expires_at: f64,
}

impl TokenFacts {
    pub(crate) fn of(token: &Token) -> TokenFacts {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        TokenFacts {
            generation: token.generation() as f64,
            token: token.as_str().into(),
            token_type: token.token_type().into(),
            scope: token.scope().map(Into::into),
            expires_in: milliseconds(token.expires_in()),
            expires_at: milliseconds(token.expires_at().duration_since(UNIX_EPOCH).unwrap_or_default()),
        }
    }
}

/// Which constructor is meant, with its own arguments.
#[napi(object, object_to_js = false)]
pub(crate) struct Constructor {
    /// `plain`, `atlas`, `keycloak`, `issuer` or `from_env`.
    pub preset: String,
    pub server_url: Option<String>,
    pub realm: Option<String>,
    pub issuer: Option<String>,
}

/// Makes a client of options by their names in JavaScript; `environment` is what the constructor may read, and `number`
/// what its log events come with.
#[napi(catch_unwind, ts_return_type = "ErrorFacts | ExternalObject<NativeClient>")]
pub(crate) fn create_client(
    calls: &External<Calls>,
    number: u32,
    constructor: Constructor,
    options: Object<'_>,
    environment: HashMap<String, String>,
) -> napi::Result<Either<ErrorFacts, External<NativeClient>>> {
    let config = match convert::config(&options, &question::secret_callback(number, calls))? {
        Ok(config) => config,
        Err(failure) => return Ok(Either::A(failure.into())),
    };
    Ok(guarded(|| {
        let preset = match constructor.preset.as_str() {
            "atlas" => Preset::Atlas,
            "keycloak" => Preset::Keycloak {
                server_url: constructor.server_url.unwrap_or_default(),
                realm: constructor.realm.unwrap_or_default(),
            },
            "issuer" => Preset::Issuer { issuer: constructor.issuer.unwrap_or_default() },
            "from_env" => Preset::FromEnvironment,
            _ => Preset::Plain,
        };
        let listening = Listening::new(number, calls);
        let builder = ClientBuilder::from_config(config).environment(Environment::from_pairs(environment));
        let client = builder.on_log(listening.hook()).preset(&preset)?;
        listening.set(false);
        let wait = Arc::new(TokenWait::new(client.clone()));
        Ok(External::new(NativeClient { client, listening, wait }))
    }))
}

/// The generation of the token that a call gets now and without waiting, 0 if there is none: what `index.js` asks
/// before it hands out the text it keeps.
#[napi]
pub(crate) fn fresh_generation(client: &External<NativeClient>) -> f64 {
    let generation = caught(|| Ok(client.client.fresh_token().map_or(0, |token| token.generation())));
    generation.map_or(0.0, |generation| generation as f64)
}

/// The token if it is to be had without waiting; else none, and the call is settled later. `timeout` is in
/// milliseconds.
#[napi]
pub(crate) fn get_token(
    calls: &External<Calls>,
    client: &External<NativeClient>,
    call: u32,
    timeout: Option<f64>,
    cancellable: bool,
) -> Either<ErrorFacts, Option<TokenFacts>> {
    guarded(|| {
        let NativeClient { client, wait, .. } = &**client;
        let timeout = timeout.map(|timeout| duration_of_milliseconds(timeout).unwrap_or(Duration::ZERO));
        if timeout == Some(Duration::ZERO) {
            // The core has the words for it.
            return Ok(Some(TokenFacts::of(
                &client.get_token_with(&CallOptions { timeout, ..CallOptions::default() })?,
            )));
        }
        if let Some(token) = client.token_without_waiting(wait.is_waiting()) {
            return Ok(Some(TokenFacts::of(&token)));
        }
        let (began, timeout) = (Instant::now(), timeout.unwrap_or_else(|| client.timeout()));
        if cancellable {
            let (wait, owner) = (wait.clone(), Arc::downgrade(&calls.0));
            calls.0.cancels.on_cancel(call, Box::new(move || wait.leave(call, &owner)));
        }
        let waiter = Waiter { call, calls: calls.0.clone(), began, timeout };
        wait.join(waiter).inspect_err(|_| calls.0.cancels.forget(call)).map(|()| None)
    })
}

/// As the core's `Client::invalidate_token`.
#[napi]
pub(crate) fn invalidate_token(client: &External<NativeClient>, token: String) -> Either<ErrorFacts, bool> {
    guarded(|| Ok(client.client.invalidate_token(&token)))
}

/// As the core's `Client::revoke`, settled later. `timeout` is in milliseconds.
#[napi]
pub(crate) fn revoke(
    calls: &External<Calls>,
    client: &External<NativeClient>,
    call: u32,
    timeout: Option<f64>,
    cancellable: bool,
) -> Either<ErrorFacts, ()> {
    guarded(|| {
        let client = client.client.clone();
        let (options, due) = call_options(calls, &client, call, timeout, cancellable);
        calls.0.run(&REQUESTS, call, due, move || Ok(Outcome::Revoked(client.revoke_with(&options)?)))
    })
}

/// As the core's `Client::introspect_text`, settled later. `timeout` is in milliseconds.
#[napi]
pub(crate) fn introspect(
    calls: &External<Calls>,
    client: &External<NativeClient>,
    call: u32,
    token: Option<String>,
    timeout: Option<f64>,
    cancellable: bool,
) -> Either<ErrorFacts, ()> {
    guarded(|| {
        let client = client.client.clone();
        let (options, due) = call_options(calls, &client, call, timeout, cancellable);
        let introspected = move || client.introspect_text(token.as_deref(), &options);
        calls.0.run(&REQUESTS, call, due, move || Ok(Outcome::Introspected(introspected()?)))
    })
}

/// The options of a call that begins now, and when it is due.
fn call_options(
    calls: &External<Calls>,
    client: &Client,
    call: u32,
    timeout: Option<f64>,
    cancellable: bool,
) -> (CallOptions, Instant) {
    let began = Instant::now();
    let timeout = timeout.map(|timeout| duration_of_milliseconds(timeout).unwrap_or(Duration::ZERO));
    let cancel = Some(calls.0.cancels.token(call, cancellable));
    let due = began + timeout.unwrap_or_else(|| client.timeout());
    (CallOptions { timeout, began: Some(began), cancel, interrupt: None }, due)
}

/// As the core's `Client::clear_cache`, settled later: a store may be slow.
#[napi]
pub(crate) fn clear_cache(
    calls: &External<Calls>,
    client: &External<NativeClient>,
    call: u32,
) -> Either<ErrorFacts, ()> {
    guarded(|| {
        let client = client.client.clone();
        let due = Instant::now() + client.timeout();
        calls.0.run(&REQUESTS, call, due, move || client.clear_cache().map(|()| Outcome::Done).map_err(Into::into))
    })
}

/// A counter by its name in the core.
#[napi(object, object_from_js = false)]
pub(crate) struct CounterFacts {
    pub name: String,
    pub count: f64,
}

/// What was done so far.
#[napi]
pub(crate) fn stats(client: &External<NativeClient>) -> Either<ErrorFacts, Vec<CounterFacts>> {
    guarded(|| {
        let facts = |(name, count): (&str, u64)| CounterFacts { name: name.into(), count: count as f64 };
        Ok(client.client.stats().entries().into_iter().map(facts).collect())
    })
}

/// Refuses further calls of this client.
#[napi]
pub(crate) fn close(client: &External<NativeClient>) -> Either<ErrorFacts, ()> {
    guarded(|| {
        client.client.close();
        Ok(())
    })
}

/// What a log line may show of a client.
#[napi(object, object_from_js = false)]
pub(crate) struct ClientFacts {
    pub client_id: Option<String>,
    pub token_url: Option<String>,
    pub issuer: Option<String>,
}

/// What a log line may show of the client.
#[napi]
pub(crate) fn describe(client: &External<NativeClient>) -> Either<ErrorFacts, ClientFacts> {
    guarded(|| {
        let client = &client.client;
        Ok(ClientFacts {
            client_id: client.client_id().map(Into::into),
            token_url: client.token_url(),
            issuer: client.issuer_identifier().map(Into::into),
        })
    })
}
