//! The client.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use svctoken::{CallOptions, ClientBuilder, Error, InterruptCheck, Preset, RequestBuilder, Token};

use crate::convert;
use crate::error::{Failure, boundary};
use crate::interrupt::{raised, waiting};
use crate::log;
use crate::pages::PageCursor;
use crate::request;
use crate::response::Response;
use crate::stream::Body;

/// What ``svctoken.Client`` is built on.
#[pyclass(frozen, subclass, module = "svctoken._native")]
pub(crate) struct Client {
    core: svctoken::Client,
    handed_out: ArcSwapOption<HandedOut>,
    /// Also the core's, but of this client alone: a method of an object that holds the client makes a cycle.
    secret_callback: Option<convert::HostFunction>,
}

/// A token's text as the one `str` that all callers get: making it anew would cost more than all else.
struct HandedOut {
    generation: u64,
    text: Py<PyString>,
}

/// Token, type, scope, end in seconds since 1970, seconds left.
#[derive(IntoPyObject)]
struct TokenFacts(Py<PyString>, &'static str, Option<String>, f64, f64);

#[pymethods]
impl Client {
    #[new]
    fn new(
        py: Python<'_>,
        preset: &str,
        options: &Bound<'_, PyDict>,
        environ: &Bound<'_, PyAny>,
        server: &Bound<'_, PyAny>,
        realm: &Bound<'_, PyAny>,
    ) -> PyResult<Client> {
        boundary(py, || {
            let preset = match preset {
                "atlas" => Preset::Atlas,
                "from_env" => Preset::FromEnvironment,
                "keycloak" => Preset::Keycloak {
                    server_url: convert::text_argument("server_url", server)?,
                    realm: convert::text_argument("realm", realm)?,
                },
                "issuer" => Preset::Issuer { issuer: convert::text_argument("issuer", server)? },
                _ => Preset::Plain,
            };
            let environment = convert::environment(environ)?;
            let (config, secret_callback) = convert::config(options)?;
            let builder = ClientBuilder::from_config(config).environment(environment).on_log(log::hook());
            log::look_at_level(py)?;
            // Files are read.
            let core = py.detach(|| builder.preset(&preset))?;
            Ok(Client { core, handed_out: ArcSwapOption::empty(), secret_callback })
        })
    }

    /// The access token: from memory while it is fresh, requested where it is not. While the token is the same, so is
    /// the str object.
    ///
    /// Blocks only when a token is to be waited for, at most for ``timeout`` seconds (a number or a timedelta; None is
    /// the client's timeout, 60 s unless set). ``cancel`` is a CancelToken that ends the wait. Ctrl-C ends it as well.
    /// Raises svctoken.Error.
    #[pyo3(signature = (*, timeout=None, cancel=None))]
    fn get_token(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
        cancel: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyString>> {
        boundary(py, || {
            let token = self.token(py, timeout, cancel)?;
            Ok(self.text_of(py, &token))
        })
    }

    fn _token_facts(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
        cancel: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<TokenFacts> {
        boundary(py, || {
            let token = self.token(py, timeout, cancel)?;
            let ends = token.expires_at().duration_since(UNIX_EPOCH).unwrap_or_default();
            let scope = token.scope().map(str::to_owned);
            let expires_in = token.expires_in().as_secs_f64();
            Ok(TokenFacts(self.text_of(py, &token), token.token_type(), scope, ends.as_secs_f64(), expires_in))
        })
    }

    /// Says that a server refused this token with a 401, for those who send it themselves.
    ///
    /// True if it was the current token: the next call that needs one replaces it. False if another has taken its
    /// place already, and then nothing happens. Never blocks.
    fn invalidate_token(&self, py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<bool> {
        boundary(py, || {
            let token = convert::text_argument("token", token)?;
            log::look_at_level(py)?;
            // Other processes may hold the lock of the file for a moment.
            let was_current = py.detach(|| self.core.invalidate_token(&token));
            raised()?;
            Ok(was_current)
        })
    }

    /// Revokes the access token at the server (RFC 7009) and forgets it: the one in memory, or where there is none the
    /// one that is shared with other processes. None is requested in order to be revoked.
    ///
    /// True if there was one; False, and nothing is done, if not. If a refresh token came with it (old Keycloak servers
    /// open a session for each token), that is revoked too, which ends the session. A token that another call or process has fetched
    /// meanwhile stays. Other processes that hold the revoked token notice by their next 401. Call this before close(),
    /// which never revokes.
    ///
    /// ``timeout``, ``cancel`` and Ctrl-C as in get_token. Raises InvalidConfigurationError without a ``revocation_url``,
    /// CredentialUnavailableError with a ready access token, and svctoken.Error with what the server says; the token
    /// then stays. Where the server may have revoked it all the same (the connection was lost, the time was over, a 5xx
    /// other than 503), it is not used any more, and the next call is about it again, until another token comes.
    #[pyo3(signature = (*, timeout=None, cancel=None))]
    fn revoke(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
        cancel: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        boundary(py, || {
            let options = call_options(timeout, cancel)?;
            waiting(py, |interrupt| self.core.revoke_with(&CallOptions { interrupt, ..options }))
        })
    }

    fn _introspect(
        &self,
        py: Python<'_>,
        token: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
        cancel: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        boundary(py, || {
            let token = token.map(|token| convert::text_argument("token", token)).transpose()?;
            let options = call_options(timeout, cancel)?;
            waiting(py, |interrupt| self.core.introspect_text(token.as_deref(), &CallOptions { interrupt, ..options }))
        })
    }

    /// Forgets the token in this process and in the store, what failed before, and the hold: the next call requests a
    /// token, and with no delay but the server's own Retry-After and the budget, which stay. For those who have changed
    /// something at the server.
    ///
    /// The server is not asked, and the token stays good; see revoke(). Other processes go on with the one they have in
    /// memory. A token request under way goes on, and its token is kept. With a ready access token there is nothing to
    /// forget. Raises svctoken.CacheError if the store could not be written; this process has forgotten the token all
    /// the same.
    fn clear_cache(&self, py: Python<'_>) -> PyResult<()> {
        boundary(py, || waiting(py, |_| self.core.clear_cache()))
    }

    /// ``arguments`` are the facade's keywords, None where one was not given. The next page of ``pages`` is asked for, if
    /// those are given.
    fn _send(
        &self,
        py: Python<'_>,
        method: &Bound<'_, PyAny>,
        url: &Bound<'_, PyAny>,
        body: Option<&[u8]>,
        arguments: &Bound<'_, PyDict>,
        pages: Option<&PageCursor>,
    ) -> PyResult<Response> {
        boundary(py, || {
            let request = self.request(method, url, body, arguments)?;
            let core = waiting(py, |check| {
                let request = interruptible(request, check);
                match pages {
                    Some(pages) => request
                        .send_page(&mut pages.lock())?
                        .ok_or_else(|| Error::invalid_argument("there is no page after the last")),
                    None => request.send(),
                }
            })?;
            Ok(Response { core })
        })
    }

    /// As `_send`, the head and the body apart.
    fn _send_streaming(
        &self,
        py: Python<'_>,
        method: &Bound<'_, PyAny>,
        url: &Bound<'_, PyAny>,
        body: Option<&[u8]>,
        arguments: &Bound<'_, PyDict>,
    ) -> PyResult<(Response, Body)> {
        boundary(py, || {
            let request = self.request(method, url, body, arguments)?;
            let sent = waiting(py, |check| interruptible(request, check).send_streaming())?;
            let (core, body) = sent.into_parts();
            Ok((Response { core }, Body::new(body)))
        })
    }

    /// As `_send`, the body written to a file.
    fn _download(
        &self,
        py: Python<'_>,
        method: &Bound<'_, PyAny>,
        url: &Bound<'_, PyAny>,
        path: &Bound<'_, PyAny>,
        body: Option<&[u8]>,
        arguments: &Bound<'_, PyDict>,
    ) -> PyResult<Response> {
        boundary(py, || {
            let path = convert::path(path)?;
            let request = self.request(method, url, body, arguments)?;
            let core = waiting(py, |check| interruptible(request, check).download(path))?;
            Ok(Response { core })
        })
    }

    /// What was done so far, by name: ``token_requests``, ``tokens_received``, ``failed_refreshes`` and
    /// ``condemned_tokens`` of all clients in this process with the same options; ``requests``, ``resends`` (after a
    /// 401), ``retries`` (after a failure) and ``redirects`` of this one.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        for (name, count) in self.core.stats().entries() {
            stats.set_item(name, count)?;
        }
        Ok(stats)
    }

    /// Refuses further calls with svctoken.ClosedError. Calls in progress end as they would; the token stays for
    /// other clients. Closing again changes nothing.
    fn close(&self) {
        self.core.close();
        self.handed_out.store(None);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.secret_callback.as_deref().map_or(Ok(()), |function| visit.call(function))
    }

    fn __repr__(&self) -> String {
        let Some(client_id) = self.core.client_id() else {
            return "<svctoken.Client with a ready access token>".into();
        };
        match (self.core.issuer_identifier(), self.core.token_url()) {
            (Some(issuer), _) => format!("<svctoken.Client client_id={client_id:?} issuer={issuer:?}>"),
            (None, token_url) => {
                let token_url = token_url.unwrap_or_default();
                format!("<svctoken.Client client_id={client_id:?} token_url={token_url:?}>")
            }
        }
    }
}

impl Client {
    fn request<'a>(
        &'a self,
        method: &Bound<'_, PyAny>,
        url: &Bound<'_, PyAny>,
        body: Option<&'a [u8]>,
        arguments: &Bound<'_, PyDict>,
    ) -> Result<RequestBuilder<'a>, Failure> {
        let target = (convert::text_argument("method", method)?, convert::text_argument("url", url)?);
        let request = request::with_arguments(self.core.request(target.0, target.1), arguments)?;
        Ok(body.into_iter().fold(request, |request, body| request.body(body)))
    }

    /// A fresh token is handed out as the thread is, attached: to detach would cost more than all else.
    fn token(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
        cancel: Option<&Bound<'_, PyAny>>,
    ) -> Result<Token, Failure> {
        let options = call_options(timeout, cancel)?;
        if options.timeout != Some(Duration::ZERO)
            && let Some(token) = self.core.fresh_token()
        {
            return Ok(token);
        }
        waiting(py, |interrupt| self.core.get_token_with(&CallOptions { interrupt, ..options }))
    }

    fn text_of(&self, py: Python<'_>, token: &Token) -> Py<PyString> {
        let generation = token.generation();
        if let Some(handed_out) = &*self.handed_out.load()
            && handed_out.generation == generation
        {
            return handed_out.text.clone_ref(py);
        }
        let text = PyString::new(py, token.as_str()).unbind();
        self.handed_out.store(Some(Arc::new(HandedOut { generation, text: text.clone_ref(py) })));
        text
    }
}

fn interruptible(request: RequestBuilder<'_>, check: Option<InterruptCheck>) -> RequestBuilder<'_> {
    check.into_iter().fold(request, RequestBuilder::interrupt)
}

fn call_options(timeout: Option<&Bound<'_, PyAny>>, cancel: Option<&Bound<'_, PyAny>>) -> Result<CallOptions, Failure> {
    let timeout = timeout.map(|timeout| convert::time("timeout", timeout)).transpose()?;
    let cancel = cancel.map(convert::cancel).transpose()?;
    Ok(CallOptions { timeout, cancel, ..CallOptions::default() })
}
