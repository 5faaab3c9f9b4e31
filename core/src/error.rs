//! The one error type.
//!
//! One type, because a caller asks an error the same few questions whatever failed: which code, at which stage, may
//! I try again, what do I do. Finer types would force every binding to translate each of them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the core returns.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $next_step:literal;)+) => {
        /// What failed, as a number that is the same in every language and never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),+];

            /// The name: `token_limit`.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)+ }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(ErrorCode::$variant => concat!($($doc),+).trim_start(),)+ }
            }

            /// What to do about it, where the error itself knows no better.
            pub fn next_step(self) -> &'static str {
                match self { $(ErrorCode::$variant => $next_step,)+ }
            }
        }
    };
}

error_codes! {
    /// An argument of this call is wrong.
    InvalidArgument = 10, "invalid_argument", "Correct the argument the message names.";
    /// An option of the client is wrong or missing.
    InvalidConfiguration = 11, "invalid_configuration", "Correct the option the message names.";
    /// The credential could not be read from its source.
    CredentialUnavailable = 12, "credential_unavailable", "Make the named source readable for this process.";
    /// The URL is outside the origins that may get the token.
    OriginRefused = 13, "origin_refused", "Use a path, or add the origin to allowed_origins if it may see the token.";
    /// The client was closed.
    Closed = 14, "closed", "Make a new client.";
    /// The call's time was over.
    Timeout = 20, "timeout", "Try again, or give the call a longer timeout.";
    /// The caller cancelled.
    Cancelled = 21, "cancelled", "Nothing: the caller asked for it.";
    /// The host name could not be resolved.
    ResolveFailed = 30, "resolve_failed", "Check the host name and this machine's name servers.";
    /// No connection could be made.
    ConnectFailed = 31, "connect_failed", "Check that the server runs and that no firewall is between.";
    /// The TLS handshake or the certificate check failed.
    TlsFailed = 32, "tls_failed", "Check the server's certificate; give a private CA by ca_file.";
    /// The connection broke before the answer was whole.
    ConnectionLost = 33, "connection_lost", "Check what the request did, then send it again.";
    /// The proxy refused or failed.
    ProxyFailed = 34, "proxy_failed", "Check the proxy's address and credentials.";
    /// The authorization server refused the client's credential.
    ClientRefused = 40, "client_refused", "Check client_id and client_secret: wrong, expired, or of another server.";
    /// The authorization server denied access for another reason than the credential.
    AccessDenied = 41, "access_denied", "Check the service account's access list and roles on the server.";
    /// Too many tokens of this account are alive.
    TokenLimit = 42, "token_limit", "Wait until one expires, and share one token among all processes.";
    /// The server limits the rate of requests.
    RateLimited = 43, "rate_limited", "Wait as long as retry_after says.";
    /// The authorization server answered another OAuth error.
    OauthError = 44, "oauth_error", "Read the server's description, and check token_url, scope and auth_method.";
    /// The server is unavailable.
    ServerUnavailable = 45, "server_unavailable", "Try again later.";
    /// The authorization server's answer holds no usable token.
    BadTokenAnswer = 46, "bad_token_answer", "Check that token_url is the token endpoint and no gateway answers for it.";
    /// The API answered with an error status, and the caller asked for that to be an error.
    HttpStatus = 50, "http_status", "Read the answer's status and body.";
    /// The answer is larger than allowed.
    AnswerTooLarge = 51, "answer_too_large", "Raise max_response_bytes, or ask for less.";
    /// The answer is not HTTP, or not what its headers say.
    BadAnswer = 52, "bad_answer", "Check that the URL leads to an HTTP server; a gateway may have spoilt the answer.";
    /// A redirect was not followed.
    RedirectRefused = 53, "redirect_refused", "Ask the new address itself, if it can be trusted.";
    /// The token cache failed.
    Cache = 60, "cache", "Check the cache's folder or server.";
    /// A bug in svctoken was caught before it could end the program.
    Panic = 90, "panic", "Report this as a bug of svctoken.";
    /// svctoken could not do its work on this machine.
    Internal = 91, "internal", "Check this process's limits on threads, memory and descriptors.";
}

impl ErrorCode {
    /// The code of that number.
    pub(crate) fn from_number(number: u64) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|code| u64::from(code.number()) == number)
    }

    /// The number: 42.
    pub fn number(self) -> u32 {
        self as u32
    }
}

/// At which step of a call something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Making the client.
    Configuration,
    /// Reading the call's arguments.
    Argument,
    /// Waiting for a token that another caller's request will bring.
    Waiting,
    /// Looking up a host name.
    Resolving,
    /// Opening a connection.
    Connecting,
    /// The TLS handshake.
    Tls,
    /// Sending a request.
    Sending,
    /// Reading an answer.
    Receiving,
    /// Judging the authorization server's answer.
    TokenAnswer,
    /// Judging the API's answer.
    Answer,
}

impl Stage {
    pub(crate) const ALL: [Stage; 10] = [
        Stage::Configuration,
        Stage::Argument,
        Stage::Waiting,
        Stage::Resolving,
        Stage::Connecting,
        Stage::Tls,
        Stage::Sending,
        Stage::Receiving,
        Stage::TokenAnswer,
        Stage::Answer,
    ];

    pub(crate) fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// The name: `token_answer`.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Configuration => "configuration",
            Stage::Argument => "argument",
            Stage::Waiting => "waiting",
            Stage::Resolving => "resolving",
            Stage::Connecting => "connecting",
            Stage::Tls => "tls",
            Stage::Sending => "sending",
            Stage::Receiving => "receiving",
            Stage::TokenAnswer => "token_answer",
            Stage::Answer => "answer",
        }
    }
}

/// Why a call failed. One word wide; clones share their content.
#[derive(Clone)]
pub struct Error(Arc<Facts>);

#[derive(Clone)]
struct Facts {
    code: ErrorCode,
    stage: Stage,
    what: String,
    next_step: Option<String>,
    status: Option<u16>,
    oauth_error: Option<String>,
    oauth_error_description: Option<String>,
    api_error_code: Option<String>,
    retry_after: Option<Duration>,
    may_pass: bool,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, stage: Stage, what: impl Into<String>) -> Error {
        Error(Arc::new(Facts {
            code,
            stage,
            what: what.into(),
            next_step: None,
            status: None,
            oauth_error: None,
            oauth_error_description: None,
            api_error_code: None,
            retry_after: None,
            may_pass: false,
        }))
    }

    /// For bindings: an argument of their host's has a type or form that never reaches the core.
    pub fn invalid_argument(what: impl Into<String>) -> Error {
        Error::argument(what)
    }

    /// For bindings: a panic that they caught before it could reach their host.
    pub fn panic(payload: &(dyn Any + Send)) -> Error {
        let text =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Error::new(
            ErrorCode::Panic,
            Stage::Argument,
            format!("svctoken panicked: {}", text.unwrap_or("without a text")),
        )
    }

    /// An option of the client is wrong.
    pub(crate) fn configuration(what: impl Into<String>) -> Error {
        Error::new(ErrorCode::InvalidConfiguration, Stage::Configuration, what)
    }

    /// An option has a value that is none of its choices.
    pub(crate) fn unknown_choice(option: &str, given: &str, choices: &str) -> Error {
        Error::configuration(format!("{option} is {given:?}; it can be {choices}"))
    }

    /// An argument of a call is wrong.
    pub(crate) fn argument(what: impl Into<String>) -> Error {
        Error::new(ErrorCode::InvalidArgument, Stage::Argument, what)
    }

    pub(crate) fn with_next_step(self, next_step: impl Into<String>) -> Error {
        self.change(|facts| facts.next_step = Some(next_step.into()))
    }

    pub(crate) fn with_status(self, status: u16) -> Error {
        self.change(|facts| facts.status = Some(status))
    }

    pub(crate) fn with_oauth(self, error: Option<String>, description: Option<String>) -> Error {
        self.change(|facts| {
            facts.oauth_error = error;
            facts.oauth_error_description = description;
        })
    }

    pub(crate) fn with_api_error_code(self, code: Option<String>) -> Error {
        self.change(|facts| facts.api_error_code = code)
    }

    pub(crate) fn with_retry_after(self, retry_after: Option<Duration>) -> Error {
        self.change(|facts| facts.retry_after = retry_after)
    }

    /// Says that the failure, of a kind that usually lasts, may be gone at the next try.
    pub(crate) fn that_may_pass(self) -> Error {
        self.change(|facts| facts.may_pass = true)
    }

    pub(crate) fn may_pass(&self) -> bool {
        self.0.may_pass
    }

    pub(crate) fn at_stage(self, stage: Stage) -> Error {
        self.change(|facts| facts.stage = stage)
    }

    /// Says first what was being done: "requesting a token from …".
    pub(crate) fn while_doing(self, what: &str) -> Error {
        self.change(|facts| facts.what = format!("{what}: {}", facts.what))
    }

    fn change(mut self, change: impl FnOnce(&mut Facts)) -> Error {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What failed.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// At which step.
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// What happened, without the next step. Holds no secret.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What to do about it.
    pub fn next_step(&self) -> &str {
        self.0.next_step.as_deref().unwrap_or(self.0.code.next_step())
    }

    /// The HTTP status of the answer that was the failure, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The answer's OAuth error code (RFC 6749 section 5.2), such as `invalid_client`.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// The server's description, at most 300 characters, without control characters.
    pub fn oauth_error_description(&self) -> Option<&str> {
        self.0.oauth_error_description.as_deref()
    }

    /// The code that the API's answer has for the error, such as Atlas's `GROUP_NOT_FOUND`, at most 300 characters: its
    /// body's `errorCode` or `error`, its header X-Error-Code, or else the `type` of a problem (RFC 9457 section 3.1.1).
    pub fn api_error_code(&self) -> Option<&str> {
        self.0.api_error_code.as_deref()
    }

    /// How long to wait before trying again, if the server or svctoken's own memory of the failure says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.what().trim_end_matches('.'), self.next_step())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &*self.0;
        f.debug_struct("Error")
            .field("code", &facts.code)
            .field("stage", &facts.stage)
            .field("what", &facts.what)
            .field("next_step", &self.next_step())
            .field("status", &facts.status)
            .field("oauth_error", &facts.oauth_error)
            .field("oauth_error_description", &facts.oauth_error_description)
            .field("api_error_code", &facts.api_error_code)
            .field("retry_after", &facts.retry_after)
            .finish()
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn p13_every_code_has_its_own_number_name_meaning_and_next_step() {
        let numbers: HashSet<u32> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        let names: HashSet<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert!(code.meaning().ends_with('.') && !code.meaning().starts_with(' '), "{code:?}");
            assert!(code.next_step().ends_with('.'), "{code:?}");
        }
    }

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn p13_the_text_says_what_happened_and_what_to_do() {
        let error = Error::configuration("client_id is missing");
        assert_eq!(error.to_string(), "client_id is missing. Correct the option the message names.");
    }
}
