"""Service-account tokens, and the requests made with them.

A program that holds a service account's client id and secret calls :meth:`Client.get_token` and
:meth:`Client.request` and never thinks about tokens again::

    import svctoken

    client = svctoken.Client.atlas()
    token = client.get_token()
    r = client.request("GET", "/api/atlas/v2/groups", params={"itemsPerPage": 100}, timeout=30)
    r.raise_for_status()
    print(r.status_code, r.json()["totalCount"])
"""

from . import _log as _log
from . import exceptions
from ._client import Client
from ._native import CancelToken, __version__
from ._response import Headers, Response, StreamingResponse
from .exceptions import (
    AccessDeniedError,
    AnswerTooLargeError,
    BadAnswerError,
    BadTokenAnswerError,
    CacheError,
    CancelledError,
    ClientRefusedError,
    ClosedError,
    ConnectFailedError,
    ConnectionError,
    ConnectionLostError,
    CredentialUnavailableError,
    Error,
    HTTPStatusError,
    InternalError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    InvalidConfigurationError,
    OAuthError,
    OriginRefusedError,
    PanicError,
    ProxyFailedError,
    RateLimitedError,
    RedirectRefusedError,
    ResolveFailedError,
    ServerUnavailableError,
    TimeoutError,
    TlsFailedError,
    TokenError,
    TokenLimitError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._token_info import TokenInfo
else:

    def __getattr__(name: str) -> object:
        # Its dataclass and its datetime take longer to import than all else, and few programs name it.
        if name == "TokenInfo":
            from ._token_info import TokenInfo

            return TokenInfo
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = (
    "AccessDeniedError",
    "AnswerTooLargeError",
    "BadAnswerError",
    "BadTokenAnswerError",
    "CacheError",
    "CancelToken",
    "CancelledError",
    "Client",
    "ClientRefusedError",
    "ClosedError",
    "ConnectFailedError",
    "ConnectionError",
    "ConnectionLostError",
    "CredentialUnavailableError",
    "Error",
    "HTTPStatusError",
    "Headers",
    "InternalError",
    "InvalidArgumentError",
    "InvalidArgumentTypeError",
    "InvalidConfigurationError",
    "OAuthError",
    "OriginRefusedError",
    "PanicError",
    "ProxyFailedError",
    "RateLimitedError",
    "RedirectRefusedError",
    "ResolveFailedError",
    "Response",
    "ServerUnavailableError",
    "StreamingResponse",
    "TimeoutError",
    "TlsFailedError",
    "TokenError",
    "TokenInfo",
    "TokenLimitError",
    "__version__",
    "exceptions",
)
