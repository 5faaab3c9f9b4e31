//! The client: tokens and requests.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;

use svctoken_core::{CallOptions, Client, ClientBuilder, Error, Preset, RequestBuilder, Result, Token};

use crate::boundary::{Out, c_string, call, copy, given, text, value};
use crate::config::svctoken_config;
use crate::error::{svctoken_code, svctoken_error};
use crate::options::svctoken_options;
use crate::response::svctoken_response;
use crate::stats::svctoken_stats;
use crate::token::svctoken_token_info;

/// Gets tokens and makes requests with them. May be used by any number of threads at once, and in a forked child.
/// Clients with the same options share one token in a process.
pub struct svctoken_client(Client);

impl svctoken_client {
    pub(crate) fn core(&self) -> &Client {
        &self.0
    }

    fn token(&self, options: Option<&svctoken_options>) -> Result<Token> {
        match options {
            None => self.0.get_token(),
            Some(options) => self.0.get_token_with(options.call()?),
        }
    }
}

fn make(
    preset: impl FnOnce() -> Result<Preset>,
    config: Option<&svctoken_config>,
    client: Out<'_, Option<Box<svctoken_client>>>,
    error: Out<'_, Option<Box<svctoken_error>>>,
) -> svctoken_code {
    call(error, || {
        let slot = given(client, "client")?;
        let builder = config.map_or_else(|| Ok(ClientBuilder::new()), svctoken_config::builder)?;
        let made = builder.preset(&preset()?)?;
        slot.write(Some(Box::new(svctoken_client(made))));
        Ok(())
    })
}

/// Makes a client of the given options alone; the environment is not read.
///
/// Fails with SVCTOKEN_INVALID_CONFIGURATION or SVCTOKEN_CREDENTIAL_UNAVAILABLE, naming the option. No network is
/// used, here and in the other constructors. `*client` is to be freed with svctoken_client_free.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_new(
    config: Option<&svctoken_config>,
    client: Option<&mut MaybeUninit<Option<Box<svctoken_client>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    make(|| Ok(Preset::Plain), config, client, error)
}

/// Makes a client of MongoDB Atlas. What `config`, which may be NULL, does not say comes from SVCTOKEN_* and then from
/// MONGODB_ATLAS_CLIENT_ID, MONGODB_ATLAS_CLIENT_SECRET and MONGODB_ATLAS_BASE_URL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_new_atlas(
    config: Option<&svctoken_config>,
    client: Option<&mut MaybeUninit<Option<Box<svctoken_client>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    make(|| Ok(Preset::Atlas), config, client, error)
}

/// Makes a client of a Keycloak realm. The option base_url is the API, by default the Keycloak server itself. What
/// `config`, which may be NULL, does not say comes from SVCTOKEN_*.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_new_keycloak(
    server_url: *const c_char,
    realm: *const c_char,
    config: Option<&svctoken_config>,
    client: Option<&mut MaybeUninit<Option<Box<svctoken_client>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    let preset = || {
        let server_url = text(server_url, "server_url")?.into();
        Ok(Preset::Keycloak { server_url, realm: text(realm, "realm")?.into() })
    };
    make(preset, config, client, error)
}

/// Makes a client of the server with that issuer identifier, written as the server writes it: its metadata (RFC 8414,
/// OpenID Connect Discovery 1.0) names its endpoints, and is asked for when the first token is. What `config`, which may
/// be NULL, does not say comes from SVCTOKEN_*.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_new_issuer(
    issuer: *const c_char,
    config: Option<&svctoken_config>,
    client: Option<&mut MaybeUninit<Option<Box<svctoken_client>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    make(|| Ok(Preset::Issuer { issuer: text(issuer, "issuer")?.into() }), config, client, error)
}

/// Makes a client from the environment: SVCTOKEN_ and an option's name in upper case, times in seconds. If
/// MONGODB_ATLAS_CLIENT_ID is set, as svctoken_client_new_atlas. What `config`, which may be NULL, says wins.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_new_from_env(
    config: Option<&svctoken_config>,
    client: Option<&mut MaybeUninit<Option<Box<svctoken_client>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    make(|| Ok(Preset::FromEnvironment), config, client, error)
}

/// Frees a client; NULL is allowed. Not while a call uses it. Its token stays for other clients of the process, and good
/// at the server: see svctoken_client_revoke.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_free(client: Option<Box<svctoken_client>>) {
    value((), || drop(client));
}

/// Gets the access token: from memory while it is fresh, requested where it is not. Blocks only when a token is to be
/// waited for, at most for the timeout. `options` may be NULL.
///
/// `*token` is NUL-terminated and the caller's, to be freed with svctoken_string_free.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_get_token(
    client: Option<&svctoken_client>,
    options: Option<&svctoken_options>,
    token: Option<&mut MaybeUninit<*mut c_char>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (given(client, "client")?, given(token, "token")?);
        slot.write(CString::into_raw(c_string(client.token(options)?.as_str())));
        Ok(())
    })
}

/// As svctoken_client_get_token, copied with its NUL into `buffer` of `size` bytes. While the token is fresh this
/// neither allocates nor waits: about as cheap as reading the clock. A token has at most 16384 characters.
///
/// `*length`, which may be NULL, becomes the token's length without its NUL. If the buffer is too small the call fails
/// with SVCTOKEN_INVALID_ARGUMENT, leaves the buffer alone and writes `*length` all the same; the next token may be
/// longer. `buffer` may be NULL if `size` is 0.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_copy_token(
    client: Option<&svctoken_client>,
    options: Option<&svctoken_options>,
    buffer: *mut c_char,
    size: usize,
    length: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let token = given(client, "client")?.token(options)?;
        let needed = token.as_str().len();
        if let Some(length) = length {
            length.write(needed);
        }
        if !copy(token.as_str(), buffer, size) {
            return Err(Error::invalid_argument(format!(
                "buffer has {size} bytes, or is NULL; the token and its NUL need {}",
                needed + 1
            )));
        }
        Ok(())
    })
}

/// Gets the access token and its facts, as svctoken_client_get_token gets it. `*info` is to be freed with
/// svctoken_token_info_free.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_get_token_info(
    client: Option<&svctoken_client>,
    options: Option<&svctoken_options>,
    info: Option<&mut MaybeUninit<Option<Box<svctoken_token_info>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (given(client, "client")?, given(info, "info")?);
        slot.write(Some(Box::new(svctoken_token_info::new(&client.token(options)?))));
        Ok(())
    })
}

/// Says that a server refused this token with a 401, for those who send it themselves. Never blocks.
///
/// `*was_current`, which may be NULL, becomes true if it was the current token, which the next call that needs one will
/// replace; false if another has taken its place already, and then nothing happens.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_invalidate_token(
    client: Option<&svctoken_client>,
    token: *const c_char,
    was_current: Option<&mut MaybeUninit<bool>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let current = given(client, "client")?.0.invalidate_token(text(token, "token")?);
        if let Some(slot) = was_current {
            slot.write(current);
        }
        Ok(())
    })
}

/// Revokes the access token at the server (RFC 7009) and forgets it: the one in memory, or where there is none the one
/// that is shared with other processes. None is requested in order to be revoked. Blocks, at most for the timeout.
/// `options` may be NULL.
///
/// `*revoked`, which may be NULL, becomes true if there was one; false, and nothing is done, if not. If a refresh token
/// came with it (old Keycloak servers open a session for each token), that is revoked too, which ends the session. A token that another
/// call or process has fetched meanwhile stays. Other processes that hold the revoked token notice by their next 401.
/// svctoken_client_free never revokes: call this before.
///
/// Fails with SVCTOKEN_INVALID_CONFIGURATION without a revocation_url, with SVCTOKEN_CREDENTIAL_UNAVAILABLE with a ready
/// access token, and with what the server says; the token then stays. Where the server may have revoked it all the same
/// (the connection was lost, the time was over, a 5xx other than 503), it is not used any more, and the next call of
/// this function is about it again, until another token comes.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_revoke(
    client: Option<&svctoken_client>,
    options: Option<&svctoken_options>,
    revoked: Option<&mut MaybeUninit<bool>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let client = &given(client, "client")?.0;
        let done = options.map_or_else(|| client.revoke(), |options| client.revoke_with(options.call()?))?;
        if let Some(slot) = revoked {
            slot.write(done);
        }
        Ok(())
    })
}

/// Asks the server what it knows of an access token (RFC 7662): of `token`, or if that is NULL of the current one, which is
/// got as svctoken_client_get_token gets it. Blocks, at most for the timeout. `options` may be NULL.
///
/// `*json` is the server's JSON object as it wrote it, NUL-terminated and the caller's, to be freed with
/// svctoken_string_free. It has at least "active", true or false; which claims else is the server's business. A token
/// that is not active is no error, and nothing follows from it here: some servers say so to clients the token is not for.
///
/// Fails with SVCTOKEN_INVALID_CONFIGURATION without an introspection_url, with SVCTOKEN_CREDENTIAL_UNAVAILABLE with a
/// ready access token, with SVCTOKEN_BAD_ANSWER if the answer has no "active", with the errors of getting a token, and
/// with what the server says.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_introspect(
    client: Option<&svctoken_client>,
    token: *const c_char,
    options: Option<&svctoken_options>,
    json: Option<&mut MaybeUninit<*mut c_char>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (&given(client, "client")?.0, given(json, "json")?);
        let token = (!token.is_null()).then(|| text(token, "token")).transpose()?;
        let options = options.map_or_else(|| Ok(CallOptions::default()), |options| options.call().cloned())?;
        slot.write(CString::into_raw(c_string(&client.introspect_text(token, &options)?)));
        Ok(())
    })
}

/// Forgets the token in this process and in the store, what failed before, and the hold: the next call requests a token,
/// and with no delay but the server's own Retry-After and the budget, which stay. For those who have changed something
/// at the server.
///
/// The server is not asked, and the token stays good; see svctoken_client_revoke. Other processes go on with the one they
/// have in memory. A token request under way goes on, and its token is kept. With a ready access token there is nothing
/// to forget. Fails with SVCTOKEN_CACHE if the store could not be written; this process has forgotten the token all the
/// same.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_clear_cache(
    client: Option<&svctoken_client>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || given(client, "client")?.0.clear_cache())
}

/// Makes a request with the token and reads its answer whole. Any HTTP status is an answer, and SVCTOKEN_OK; see
/// svctoken_response_check. Blocks, at most for the timeout.
///
/// `url` is a path on base_url's origin, such as "/api/atlas/v2/groups", or a URL of that origin or of one of
/// allowed_origins. `options` may be NULL. Fails with SVCTOKEN_INVALID_ARGUMENT or SVCTOKEN_ORIGIN_REFUSED before any
/// network, with the errors of getting a token, and with the network's. `*response` is to be freed with
/// svctoken_response_free.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_request(
    client: Option<&svctoken_client>,
    method: *const c_char,
    url: *const c_char,
    options: Option<&svctoken_options>,
    response: Option<&mut MaybeUninit<Option<Box<svctoken_response>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (given(client, "client")?, given(response, "response")?);
        let request = request(client, method, url, options)?;
        slot.write(Some(Box::new(svctoken_response::new(request.send()?))));
        Ok(())
    })
}

/// As svctoken_client_request, with the answer's body left to be read by svctoken_response_read, in memory that does
/// not grow.
///
/// The timeout runs to the answer's head; after it each read waits at most the options' idle_timeout for a byte, and
/// their cancel ends it as well. max_response_bytes counts only if the options give it. What is tried or sent again,
/// and redirects, end with the head too: a body that breaks off is an error of svctoken_response_read. Of an answer of
/// 300 or above up to 64 KiB of the body are read at once, within the timeout, for svctoken_response_check to tell what
/// they say.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_request_stream(
    client: Option<&svctoken_client>,
    method: *const c_char,
    url: *const c_char,
    options: Option<&svctoken_options>,
    response: Option<&mut MaybeUninit<Option<Box<svctoken_response>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (given(client, "client")?, given(response, "response")?);
        let request = request(client, method, url, options)?;
        slot.write(Some(Box::new(svctoken_response::of_stream(request.send_streaming()?))));
        Ok(())
    })
}

pub(crate) fn request<'a>(
    client: &'a svctoken_client,
    method: *const c_char,
    url: *const c_char,
    options: Option<&'a svctoken_options>,
) -> Result<RequestBuilder<'a>> {
    let request = client.0.request(text(method, "method")?, text(url, "url")?);
    match options {
        None => Ok(request),
        Some(options) => options.apply(request),
    }
}

/// Reads the client's counters. Those of tokens are shared by all clients of the same options in this process.
/// `*stats` is to be freed with svctoken_stats_free.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_client_get_stats(
    client: Option<&svctoken_client>,
    stats: Option<&mut MaybeUninit<Option<Box<svctoken_stats>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (given(client, "client")?, given(stats, "stats")?);
        slot.write(Some(Box::new(svctoken_stats::new(client.0.stats()))));
        Ok(())
    })
}
