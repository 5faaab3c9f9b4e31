"""A token with its facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone


@dataclass(frozen=True)
class TokenInfo:
    """A token with its facts. ``repr()`` does not show the token."""

    token: str = field(repr=False)
    """The token, as it stands behind ``Bearer``."""
    token_type: str
    """Always ``"Bearer"``."""
    scope: str | None
    """The scope the server granted, if it named one."""
    expires_at: datetime
    """When it ends by this machine's clock, in UTC."""
    expires_in: float
    """How many seconds it still lives."""


def token_info(token: str, token_type: str, scope: str | None, expires_at: float, expires_in: float) -> TokenInfo:
    """``expires_at`` is in seconds since 1970."""
    return TokenInfo(token, token_type, scope, datetime.fromtimestamp(expires_at, timezone.utc), expires_in)
