//! Log events: what a person asks who wonders why a token was requested, or why it took so long.
//!
//! The core prints nothing. Events go to the `log` crate under the target `svctoken`, and to the hook a client was
//! given. None holds a secret, a token, a query or a server's whole answer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::ErrorCode;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For those who look for something.
    Debug,
    /// A token came, or was revoked.
    Info,
    /// Something failed or was refused; the message says what svctoken does about it.
    Warning,
}

impl Severity {
    /// The name: `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warning => "warning",
        }
    }
}

/// Something worth a log line.
#[derive(Clone, Debug)]
pub struct LogEvent {
    severity: Severity,
    name: &'static str,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl LogEvent {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What kind it is, one of the names in the README: `token_received`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence's facts by name; times are whole milliseconds and their names end in `_ms`.
    pub fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }
}

/// Gets every event of a client. Called on the thread where it happens, a token request's own included, so it must not
/// wait; a call of the same client from there that would wait for that request ends with `invalid_argument` at once. A
/// panic in it is caught and forgotten.
pub type LogHook = Arc<dyn Fn(&LogEvent) + Send + Sync>;

/// Why a token is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NoToken,
    Stale,
    Ending,
    Refused,
}

/// What a try of a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    Error(ErrorCode),
}

/// Where a client's events go.
#[derive(Clone, Default)]
pub(crate) struct Log {
    hook: Option<LogHook>,
}

impl Log {
    pub(crate) fn new(hook: Option<LogHook>) -> Log {
        Log { hook }
    }

    pub(crate) fn token_requested(&self, server: &dyn fmt::Display, reason: Reason, attempt: u32) {
        let (word, because) = match reason {
            Reason::NoToken => ("no_token", "there is none"),
            Reason::Stale => ("stale", "the present one is in the last part of its life"),
            Reason::Ending => ("ending", "the present one ends soon"),
            Reason::Refused => ("refused", "an API refused the present one"),
        };
        self.emit(Severity::Debug, "token_requested", || {
            let message = format!("requesting a token from {server}, because {because}");
            (message, vec![("reason", word.into()), ("attempt", attempt.to_string()), ("server", server.to_string())])
        });
    }

    pub(crate) fn token_found(&self, left: Duration) {
        self.emit(Severity::Debug, "token_found", || {
            let message = format!("another process has fetched a token that lives for another {} s", left.as_secs());
            (message, vec![("left_ms", ms(left))])
        });
    }

    pub(crate) fn cache_unavailable(&self, why: &str) {
        self.emit(Severity::Warning, "cache_unavailable", || {
            (format!("tokens are kept in memory only: {why}"), vec![("reason", why.into())])
        });
    }

    pub(crate) fn token_received(&self, server: &dyn fmt::Display, lifetime: Duration, took: Duration) {
        self.emit(Severity::Info, "token_received", || {
            let message =
                format!("a token from {server} that lives {} s, in {} ms", lifetime.as_secs(), took.as_millis());
            (message, vec![("server", server.to_string()), ("lifetime_ms", ms(lifetime)), ("took_ms", ms(took))])
        });
    }

    pub(crate) fn token_request_failed(&self, error: &crate::Error, again_in: Option<Duration>) {
        self.emit(Severity::Warning, "token_request_failed", || {
            let mut fields = vec![("error", error.code().name().into())];
            let then = match again_in {
                Some(pause) => {
                    fields.push(("again_in_ms", ms(pause)));
                    format!("trying again in {} ms", pause.as_millis())
                }
                None => "giving up for now".into(),
            };
            if let Some(status) = error.status() {
                fields.push(("status", status.to_string()));
            }
            (format!("no token: {}; {then}", error.code().meaning().trim_end_matches('.')), fields)
        });
    }

    pub(crate) fn metadata_read(&self, issuer: &str, took: Duration) {
        self.emit(Severity::Debug, "metadata_read", || {
            let message = format!("{issuer} has told where its endpoints are, in {} ms", took.as_millis());
            (message, vec![("issuer", issuer.into()), ("took_ms", ms(took))])
        });
    }

    pub(crate) fn metadata_kept(&self, issuer: &str, error: &crate::Error) {
        self.emit(Severity::Warning, "metadata_kept", || {
            let why = error.code().meaning().trim_end_matches('.');
            let message =
                format!("{issuer} could not be asked again where its endpoints are, so the old are used: {why}");
            (message, vec![("issuer", issuer.into()), ("error", error.code().name().into())])
        });
    }

    pub(crate) fn token_kept(&self, left: Duration) {
        self.emit(Severity::Warning, "token_kept", || {
            let message = format!("the present token is served until it ends, for another {} s", left.as_secs());
            (message, vec![("left_ms", ms(left))])
        });
    }

    pub(crate) fn token_waited(&self, took: Duration) {
        self.emit(Severity::Debug, "token_waited", || {
            (format!("a call waited {} ms for a token", took.as_millis()), vec![("took_ms", ms(took))])
        });
    }

    pub(crate) fn token_delayed(&self, error: &crate::Error, wait: Duration) {
        self.emit(Severity::Debug, "token_delayed", || {
            let message =
                format!("waiting up to {} ms before a token is requested: {}", wait.as_millis(), error.what());
            (message, vec![("error", error.code().name().into()), ("wait_ms", ms(wait))])
        });
    }

    pub(crate) fn token_condemned(&self, replaceable: bool) {
        self.emit(Severity::Warning, "token_condemned", || {
            let then = if replaceable {
                "it will be replaced"
            } else {
                "it was a ready one, and there is no credential to request another with"
            };
            (format!("an API refused the token with 401; {then}"), Vec::new())
        });
    }

    pub(crate) fn hold_opened(&self, length: Duration) {
        self.emit(Severity::Warning, "hold_opened", || {
            let message = format!(
                "an API refuses fresh tokens too, so the token is not the problem; none is replaced for {} s",
                length.as_secs()
            );
            (message, vec![("hold_ms", ms(length))])
        });
    }

    pub(crate) fn request_resent(&self, status: u16, reason: &'static str, send: u32) {
        self.emit(Severity::Debug, "request_resent", || {
            let message = format!("sending a request again after a {status} ({reason}), for the {send}. time");
            (message, vec![("reason", reason.into()), ("send", send.to_string())])
        });
    }

    pub(crate) fn token_revoked(&self, server: &dyn fmt::Display) {
        self.emit(Severity::Info, "token_revoked", || {
            (format!("the token was revoked at {server}"), vec![("server", server.to_string())])
        });
    }

    pub(crate) fn cache_cleared(&self) {
        self.emit(Severity::Debug, "cache_cleared", || {
            ("the token and what failed before were forgotten".into(), Vec::new())
        });
    }

    pub(crate) fn secret_changed(&self, source: &str) {
        self.emit(Severity::Info, "secret_changed", || {
            (format!("going over to another client secret, from {source}"), vec![("source", source.into())])
        });
    }

    pub(crate) fn secret_unavailable(&self, source: &str, error: &crate::Error) {
        self.emit(Severity::Warning, "secret_unavailable", || {
            (error.what().into(), vec![("source", source.into()), ("error", error.code().name().into())])
        });
    }

    pub(crate) fn request_retried(&self, server: &dyn fmt::Display, outcome: Outcome, attempt: u32, wait: Duration) {
        self.emit(Severity::Debug, "request_retried", || {
            let (because, fact) = match outcome {
                Outcome::Status(status) => (format!("an answer of {status}"), ("status", status.to_string())),
                Outcome::Error(code) => {
                    let meaning = code.meaning().trim_end_matches('.');
                    (format!("this: {meaning}"), ("error", code.name().to_string()))
                }
            };
            let wait_ms = wait.as_millis();
            let message =
                format!("trying a request to {server} for the {attempt}. time in {wait_ms} ms, after {because}");
            let facts = [("server", server.to_string()), ("attempt", attempt.to_string()), ("wait_ms", ms(wait))];
            (message, std::iter::once(fact).chain(facts).collect())
        });
    }

    pub(crate) fn redirect_followed(&self, status: u16, server: &dyn fmt::Display, with_token: bool) {
        self.emit(Severity::Debug, "redirect_followed", || {
            let how = if with_token { "" } else { ", another origin and so without the token" };
            let message = format!("following a {status} to {server}{how}");
            let facts = [
                ("status", status.to_string()),
                ("server", server.to_string()),
                ("with_token", with_token.to_string()),
            ];
            (message, facts.to_vec())
        });
    }

    pub(crate) fn api_deprecated(&self, path: &str, deprecation: Option<&str>, sunset: Option<&str>) {
        self.emit(Severity::Warning, "api_deprecated", || {
            let until = sunset.map(|sunset| format!(" and may end on {sunset}")).unwrap_or_default();
            let known = [("deprecation", deprecation), ("sunset", sunset)];
            let known = known.into_iter().filter_map(|(name, text)| Some((name, text?.to_string())));
            let fields = std::iter::once(("path", path.to_string())).chain(known).collect();
            (format!("the API says that {path}, in the version asked for, is deprecated{until}"), fields)
        });
    }

    fn emit(
        &self,
        severity: Severity,
        name: &'static str,
        made: impl FnOnce() -> (String, Vec<(&'static str, String)>),
    ) {
        let level = match severity {
            Severity::Debug => log::Level::Debug,
            Severity::Info => log::Level::Info,
            Severity::Warning => log::Level::Warn,
        };
        let logged = log::log_enabled!(target: "svctoken", level);
        if !logged && self.hook.is_none() {
            return;
        }
        let (message, fields) = made();
        if logged {
            log::log!(target: "svctoken", level, "{name}: {message}");
        }
        if let Some(hook) = &self.hook {
            let event = LogEvent { severity, name, message, fields };
            // The host's code must not harm a token request that others wait for.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(&event)));
        }
    }
}

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn an_event_reaches_the_hook_and_a_panic_in_it_nobody() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let log = Log::new(Some(Arc::new(move |event: &LogEvent| {
            sink.lock().expect("no panic holds it").push((event.name(), event.fields().to_vec()));
            assert!(event.name() != "hold_opened", "the host's own bug");
        })));
        log.hold_opened(Duration::from_secs(60));
        log.token_received(&"https://a.example", Duration::from_secs(3600), Duration::from_millis(5));
        let seen = seen.lock().expect("no panic holds it");
        assert_eq!(seen[0], ("hold_opened", vec![("hold_ms", "60000".into())]));
        assert_eq!(seen[1].0, "token_received");
    }
}
