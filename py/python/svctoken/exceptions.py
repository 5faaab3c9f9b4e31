"""What svctoken raises: one tree below :class:`Error`.

Every class that stands for one of the core's error codes has its name in ``name``; the families in between
(:class:`ConnectionError`, :class:`TokenError`) gather what is usually handled alike. Where a built-in says the same,
the class derives from it as well. All of them can be pickled and copied, and none holds a secret.
"""

from __future__ import annotations

import builtins

from ._native import ERROR_CODES

_CODES = {name: (number, next_step) for number, name, _meaning, next_step in ERROR_CODES}


class Error(Exception):
    """Base of everything that svctoken raises. ``str()`` says what happened and what to do."""

    name: str = "internal"
    """The code's name, the same in every language: ``"token_limit"``."""
    code: int
    """The code's number, the same in every language: 42."""
    what: str
    """What happened."""
    next_step: str
    """What to do about it."""
    stage: str | None
    """At which step: configuration, argument, waiting, resolving, connecting, tls, sending, receiving, token_answer
    or answer."""
    status: int | None
    """The HTTP status of the answer that was the failure, if there was one."""
    oauth_error: str | None
    """The answer's OAuth error code (RFC 6749 section 5.2), such as ``"invalid_client"``."""
    oauth_error_description: str | None
    """The server's own description, at most 300 characters."""
    api_error_code: str | None
    """The code that the API's answer has for the error, such as Atlas's ``"GROUP_NOT_FOUND"``: its body's ``errorCode`` or
    ``error``, its header X-Error-Code, or else the ``type`` of a problem (RFC 9457)."""
    retry_after: float | None
    """In how many seconds to try again, if that is known."""

    def __init__(
        self,
        message: str = "",
        *,
        what: str | None = None,
        next_step: str | None = None,
        stage: str | None = None,
        status: int | None = None,
        oauth_error: str | None = None,
        oauth_error_description: str | None = None,
        api_error_code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code, usual_step = _CODES[self.name]
        self.what = message if what is None else what
        self.next_step = usual_step if next_step is None else next_step
        self.stage = stage
        self.status = status
        self.oauth_error = oauth_error
        self.oauth_error_description = oauth_error_description
        self.api_error_code = api_error_code
        self.retry_after = retry_after


class InvalidArgumentError(Error, ValueError):
    """An argument of a call is wrong."""

    name = "invalid_argument"


class InvalidArgumentTypeError(InvalidArgumentError, TypeError):
    """An argument of a call has a type it cannot have."""


class InvalidConfigurationError(Error, ValueError):
    """An option of the client is wrong, missing or unknown."""

    name = "invalid_configuration"


class CredentialUnavailableError(Error):
    """The credential could not be read from its source."""

    name = "credential_unavailable"


class OriginRefusedError(Error, ValueError):
    """The URL is outside the origins that may get the token."""

    name = "origin_refused"


class ClosedError(Error, RuntimeError):
    """The client was closed."""

    name = "closed"


class TimeoutError(Error, builtins.TimeoutError):
    """The call's time was over."""

    name = "timeout"


class CancelledError(Error):
    """The call's ``cancel`` was cancelled."""

    name = "cancelled"


class ConnectionError(Error, builtins.ConnectionError):
    """No connection, or a broken one. Base of the classes for each way."""

    name = "connection_lost"


class ResolveFailedError(ConnectionError):
    """The host name could not be resolved."""

    name = "resolve_failed"


class ConnectFailedError(ConnectionError):
    """No connection could be made."""

    name = "connect_failed"


class TlsFailedError(ConnectionError):
    """The TLS handshake or the certificate check failed."""

    name = "tls_failed"


class ConnectionLostError(ConnectionError):
    """The connection broke before the answer was whole."""

    name = "connection_lost"


class ProxyFailedError(ConnectionError):
    """The proxy refused or failed."""

    name = "proxy_failed"


class TokenError(Error):
    """The authorization server gave no token. Base of the classes for each reason."""

    name = "oauth_error"


class ClientRefusedError(TokenError):
    """The authorization server refused the client's credential."""

    name = "client_refused"


class AccessDeniedError(TokenError):
    """The authorization server denied access for another reason than the credential."""

    name = "access_denied"


class TokenLimitError(TokenError):
    """Too many tokens of this account are alive."""

    name = "token_limit"


class RateLimitedError(TokenError):
    """The server limits the rate of requests."""

    name = "rate_limited"


class OAuthError(TokenError):
    """The authorization server answered another OAuth error."""

    name = "oauth_error"


class ServerUnavailableError(TokenError):
    """The server is unavailable."""

    name = "server_unavailable"


class BadTokenAnswerError(TokenError):
    """The authorization server's answer holds no usable token."""

    name = "bad_token_answer"


class HTTPStatusError(Error):
    """The API answered with a status of 400 or above, and the caller asked for that to be an error."""

    name = "http_status"


class AnswerTooLargeError(Error):
    """The answer is larger than ``max_response_bytes``."""

    name = "answer_too_large"


class BadAnswerError(Error, ValueError):
    """The answer is not HTTP, or its body is not what was asked for."""

    name = "bad_answer"


class RedirectRefusedError(Error):
    """A redirect was not followed."""

    name = "redirect_refused"


class CacheError(Error):
    """The token cache failed."""

    name = "cache"


class PanicError(Error, RuntimeError):
    """A bug in svctoken was caught before it could end the program."""

    name = "panic"


class InternalError(Error, RuntimeError):
    """svctoken could not do its work on this machine."""

    name = "internal"


CLASSES: dict[str, type[Error]] = {
    cls.name: cls
    for cls in (
        InvalidArgumentError,
        InvalidConfigurationError,
        CredentialUnavailableError,
        OriginRefusedError,
        ClosedError,
        TimeoutError,
        CancelledError,
        ResolveFailedError,
        ConnectFailedError,
        TlsFailedError,
        ConnectionLostError,
        ProxyFailedError,
        ClientRefusedError,
        AccessDeniedError,
        TokenLimitError,
        RateLimitedError,
        OAuthError,
        ServerUnavailableError,
        BadTokenAnswerError,
        HTTPStatusError,
        AnswerTooLargeError,
        BadAnswerError,
        RedirectRefusedError,
        CacheError,
        PanicError,
        InternalError,
    )
}
"""The class of each of the core's error codes, by the code's name."""
