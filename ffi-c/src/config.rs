//! Options of a client.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};

use svctoken_core::{ClientBuilder, Config, Error, LogHook, Result, Value};

use crate::boundary::{UserData, read_text, value};
use crate::error::{SVCTOKEN_INVALID_ARGUMENT, SVCTOKEN_OK, SVCTOKEN_PANIC, svctoken_code};
use crate::log::{hook, svctoken_log_callback};
use crate::secret::{function, svctoken_secret_callback};

/// Options of a client in the making. Not to be used by two threads at once. Values are copied; a config may serve for
/// any number of clients, and be freed as soon as they are made.
///
/// A setter that is given a wrong value returns a code, and the config makes no client any more: its constructor fails
/// with an error that names the option. So a program may look at the constructor's code alone.
#[derive(Default)]
pub struct svctoken_config {
    config: Config,
    lists: BTreeMap<&'static str, Vec<String>>,
    pairs: BTreeMap<&'static str, Vec<(String, String)>>,
    first_error: Option<Error>,
    log: Option<LogHook>,
}

impl svctoken_config {
    /// A builder with the options, or the error of the first setter that failed.
    pub(crate) fn builder(&self) -> Result<ClientBuilder> {
        if let Some(error) = &self.first_error {
            return Err(error.clone());
        }
        let builder = ClientBuilder::from_config(self.config.clone());
        Ok(match &self.log {
            Some(log) => builder.on_log(log.clone()),
            None => builder,
        })
    }

    fn set(&mut self, name: &str, value: Value) -> svctoken_code {
        match self.config.set(name, value) {
            Ok(()) => SVCTOKEN_OK,
            Err(error) => {
                let code = error.code().number();
                self.first_error.get_or_insert(error);
                code
            }
        }
    }

    fn set_text(&mut self, name: &str, text: *const c_char) -> svctoken_code {
        self.set(name, read_text(text).map_or_else(wrong, |text| Value::Text(text.into())))
    }

    fn add_text(&mut self, name: &'static str, text: *const c_char) -> svctoken_code {
        let list = self.lists.entry(name).or_default();
        let value = read_text(text).map_or_else(wrong, |text| {
            list.push(text.into());
            Value::List(list.clone())
        });
        self.set(name, value)
    }

    fn add_pair(&mut self, name: &'static str, key: *const c_char, text: *const c_char) -> svctoken_code {
        let pairs = self.pairs.entry(name).or_default();
        let value = read_text(key).and_then(|key| Ok((key, read_text(text)?))).map_or_else(wrong, |(key, text)| {
            pairs.push((key.into(), text.into()));
            Value::Pairs(pairs.clone())
        });
        self.set(name, value)
    }
}

fn wrong(found: &str) -> Value {
    Value::Other(found.into())
}

fn change(
    config: Option<&mut svctoken_config>,
    change: impl FnOnce(&mut svctoken_config) -> svctoken_code,
) -> svctoken_code {
    value(SVCTOKEN_PANIC, || config.map_or(SVCTOKEN_INVALID_ARGUMENT, change))
}

/// A config without any option, to be freed with svctoken_config_free. NULL only in case of a bug.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_new() -> Option<Box<svctoken_config>> {
    value(None, || Some(Box::default()))
}

/// Frees a config and wipes the secret in it; NULL is allowed. Clients made with it stay.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_free(config: Option<Box<svctoken_config>>) {
    value((), || drop(config));
}

/// The client identifier (RFC 6749 section 2.2). Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_client_id(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("client_id", text))
}

/// The client secret (RFC 6749 section 2.3.1). Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_client_secret(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("client_secret", text))
}

/// A file that holds the client secret; one line break at its end is left out. It is read when the client is made, and
/// again when it has changed. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_client_secret_file(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("client_secret_file", text))
}

/// Adds one. A program and its arguments, run without a shell, whose output is the client secret; one line break at its
/// end is left out. It is run when a token is first needed, and again when the server refuses the secret, for at most
/// 30 s. In the environment its words are separated by spaces alone. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_add_client_secret_command(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.add_text("client_secret_command", text))
}

/// A function that returns the client secret. It is called when a token is first needed, and again when the server
/// refuses the secret; one call at a time for each client, on a thread of svctoken's own where the language has no event
/// loop. Default: none.
///
/// `callback` answers by svctoken_secret_answer_set or svctoken_secret_answer_fail. Callers that need a token wait for it,
/// as long as their timeouts allow. It must not use a client of this config, nor leave by longjmp or a C++ exception.
/// Several clients of one config may call it at once. `user_data` and `release` as with svctoken_config_set_log. NULL for
/// `callback` is refused.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_client_secret_callback(
    config: Option<&mut svctoken_config>,
    callback: svctoken_secret_callback,
    user_data: *mut c_void,
    release: Option<extern "C" fn(user_data: *mut c_void)>,
) -> svctoken_code {
    change(config, |config| {
        let value = match callback {
            Some(callback) => Value::Callback(function(callback, UserData::new(user_data, release))),
            None => wrong("NULL"),
        };
        config.set("client_secret_callback", value)
    })
}

/// A second client secret, tried when the server refuses the first, and kept while it works. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_client_secret_2(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("client_secret_2", text))
}

/// The private key of private_key_jwt: PEM (PKCS #8, PKCS #1 or SEC 1) or JWK (RFC 7517), without a passphrase.
/// Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_private_key(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("private_key", text))
}

/// A file that holds the private key, read when the client is made. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_private_key_file(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("private_key_file", text))
}

/// The key's name at the server, which assertions bear as kid (RFC 7515 section 4.1.4). Default: the JWK's kid, else
/// none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_key_id(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("key_id", text))
}

/// An access token that is ready to use, instead of an id and a secret: used until an API refuses it, and then an error.
/// Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_access_token(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("access_token", text))
}

/// The token endpoint (RFC 6749 section 3.2). Where it is given, the issuer is asked nothing. Default: the preset's,
/// else the issuer's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_token_url(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("token_url", text))
}

/// The authorization server's issuer identifier (RFC 8414 section 2), as the server writes it: its metadata names the
/// endpoints. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_issuer(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("issuer", text))
}

/// The revocation endpoint (RFC 7009). A preset knows it where token_url is the preset's too. Default: the
/// preset's, else the issuer's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_revocation_url(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("revocation_url", text))
}

/// The introspection endpoint (RFC 7662). A preset knows it where token_url is the preset's too. Default: the
/// preset's, else the issuer's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_introspection_url(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("introspection_url", text))
}

/// The API: where relative paths go, and the origin that gets the token. Default: the preset's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_base_url(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("base_url", text))
}

/// Adds one. Further origins that may get the token. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_add_allowed_origin(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.add_text("allowed_origins", text))
}

/// How the client authenticates at the token endpoint: client_secret_basic or client_secret_post (RFC 6749 section
/// 2.3.1), client_secret_jwt or private_key_jwt (RFC 7523 section 2.2), tls_client_auth or self_signed_tls_client_auth
/// (RFC 8705 section 2). Default: client_secret_basic; client_secret_post where an issuer's metadata has that alone of
/// the two.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_auth_method(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("auth_method", text))
}

/// How client_secret_basic encodes id and secret: form (RFC 6749 section 2.3.1) or raw (for servers that compare
/// undecoded bytes). Default: form.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_auth_encoding(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("auth_encoding", text))
}

/// How assertions are signed (RFC 7518 section 3.1): HS256, HS384 or HS512 with the secret; RS256, RS384, RS512, PS256,
/// PS384 or PS512 with an RSA key, ES256 or ES384 with one on P-256 or P-384, EdDSA with an Ed25519 key. The first of a
/// kind is its default. Default: the JWK's alg, else by the key.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_signing_alg(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("signing_alg", text))
}

/// Whom assertions are for (aud, RFC 7523 section 3): the server's issuer or its token endpoint. Default: the issuer
/// where it is known, else token_url.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_assertion_audience(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("assertion_audience", text))
}

/// The scope asked for, separated by spaces (RFC 6749 section 3.3). Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_scope(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("scope", text))
}

/// The audience parameter some servers ask for. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_audience(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("audience", text))
}

/// Adds one. Resource indicators (RFC 8707). Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_add_resource(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.add_text("resource", text))
}

/// Adds one. Further parameters of the token request. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_add_extra_param(
    config: Option<&mut svctoken_config>,
    name: *const c_char,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.add_pair("extra_params", name, text))
}

/// How long a whole call may take: waiting, requesting a token, connecting, sending and reading. In milliseconds,
/// above zero. Default: 60 s.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_timeout(
    config: Option<&mut svctoken_config>,
    milliseconds: i64,
) -> svctoken_code {
    change(config, |config| config.set("timeout", Value::Milliseconds(milliseconds as f64)))
}

/// How long opening one connection may take: name look-up, TCP and TLS. In milliseconds, above zero. Default: 10 s.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_connect_timeout(
    config: Option<&mut svctoken_config>,
    milliseconds: i64,
) -> svctoken_code {
    change(config, |config| config.set("connect_timeout", Value::Milliseconds(milliseconds as f64)))
}

/// How long one token request may take. In milliseconds, above zero. Default: 15 s.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_token_timeout(
    config: Option<&mut svctoken_config>,
    milliseconds: i64,
) -> svctoken_code {
    change(config, |config| config.set("token_timeout", Value::Milliseconds(milliseconds as f64)))
}

/// Where tokens are kept: memory (of this process), file (one token for all processes of this user, in the user's cache
/// folder), file:FOLDER (an absolute path), or redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] (one token for all
/// machines that use it; rediss:// with TLS, and plain redis:// to another machine only with allow_http). Default: file
/// for Atlas, else memory.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_cache(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("cache", text))
}

/// The Accept header of API requests. Default: the preset's.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_accept(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("accept", text))
}

/// The User-Agent header of every request. Default: svctoken/VERSION (OS;ARCHITECTURE).
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_user_agent(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("user_agent", text))
}

/// Adds one. Headers of every API request; never sent to the token endpoint. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_add_header(
    config: Option<&mut svctoken_config>,
    name: *const c_char,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.add_pair("headers", name, text))
}

/// How often a request or a token request is tried in all when the server or the network fails, the first included; at
/// most 10. 1 or more. Default: 3.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_max_attempts(config: Option<&mut svctoken_config>, count: u64) -> svctoken_code {
    change(config, |config| config.set("max_attempts", Value::Number(count as f64)))
}

/// How many token requests a minute this process, or all that share its cache, may send for one client_id at one token
/// endpoint; further ones wait. 1 or more. Default: 10 for Atlas, else none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_mint_budget(config: Option<&mut svctoken_config>, count: u64) -> svctoken_code {
    change(config, |config| config.set("mint_budget", Value::Number(count as f64)))
}

/// The largest answer body, after decoding, in bytes. 1 or more. Default: 64 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_max_response_bytes(
    config: Option<&mut svctoken_config>,
    count: u64,
) -> svctoken_code {
    change(config, |config| config.set("max_response_bytes", Value::Number(count as f64)))
}

/// Permits http to hosts that are not this machine. Default: false.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_allow_http(config: Option<&mut svctoken_config>, flag: bool) -> svctoken_code {
    change(config, |config| config.set("allow_http", Value::Flag(flag)))
}

/// The proxy of every request, token requests included: http://, https://, socks5:// or
/// socks5h://[USER:PASSWORD@]HOST[:PORT]; or direct, for none whatever the environment says. Default: the environment's,
/// where that is read.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_proxy(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("proxy", text))
}

/// A PEM file of certificate authorities trusted beside the platform's. Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_ca_file(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("ca_file", text))
}

/// A PEM file of the client's certificate, followed by those between it and its authority. Servers that ask for one are
/// shown it (RFC 8705): those of token_url, revocation_url, introspection_url, issuer, base_url and
/// allowed_origins, and the endpoints that the issuer names, no others.
/// Default: none.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_client_cert_file(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("client_cert_file", text))
}

/// A PEM file of the certificate's private key (PKCS #8, PKCS #1 or SEC 1), without a passphrase. Default:
/// client_cert_file.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_client_key_file(
    config: Option<&mut svctoken_config>,
    text: *const c_char,
) -> svctoken_code {
    change(config, |config| config.set_text("client_key_file", text))
}

/// Has the log events of the clients that are made with this config handed to `callback`, in place of one that was set
/// before; the README lists the events. Default: none, and NULL sets none. Clients made earlier keep theirs.
///
/// `callback` is called where an event happens: on the threads that use a client, and on a short-lived thread of the
/// library's own, several of them at once. A call or a token request that others wait for waits meanwhile, so it should
/// return soon. It must not use a client of the same options, nor leave by longjmp or a C++ exception.
///
/// `release`, which may be NULL, is called with `user_data` once, when `callback` will not be called any more: after the
/// config and every client made with it were freed, and a token request that was in flight has ended. That may be after
/// the last _free has returned, on the library's own thread. A program that ends sooner, or a forked child, may never
/// see the call. The rules for `callback` hold for it too. Without a callback, and on failure, `user_data` is not taken
/// and `release` not called.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_config_set_log(
    config: Option<&mut svctoken_config>,
    callback: svctoken_log_callback,
    user_data: *mut c_void,
    release: Option<extern "C" fn(user_data: *mut c_void)>,
) -> svctoken_code {
    change(config, |config| {
        config.log = callback.map(|callback| hook(callback, UserData::new(user_data, release)));
        SVCTOKEN_OK
    })
}
