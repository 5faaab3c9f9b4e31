"""The options of a client, for type checkers. The core has the table; a test compares the two."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypedDict, Union

Scalar = Union[str, int, float, bool, None]
"""A value of a header or parameter: None leaves it out, a bool is ``true`` or ``false``."""
Pairs = Union[Mapping[str, Union[Scalar, Iterable[Scalar]]], Iterable[tuple[str, Union[Scalar, Iterable[Scalar]]]]]
"""Names with values, as a mapping or as pairs. A list of values repeats its name."""
Seconds = Union[float, timedelta]
"""A length of time above zero, in seconds or as a timedelta."""
Path = Union[str, "os.PathLike[str]"]


class Options(TypedDict, total=False):
    """What ``Client(**options)`` takes. None is as if the option were not given."""

    client_id: str | None
    client_secret: str | None
    client_secret_file: Path | None
    token_url: str | None
    base_url: str | None
    allowed_origins: Iterable[str] | None
    auth_method: str | None
    auth_encoding: str | None
    scope: str | None
    audience: str | None
    resource: Iterable[str] | None
    extra_params: Pairs | None
    timeout: Seconds | None
    connect_timeout: Seconds | None
    token_timeout: Seconds | None
    cache: str | None
    accept: str | None
    user_agent: str | None
    headers: Pairs | None
    max_attempts: int | None
    max_response_bytes: int | None
    allow_http: bool | None
    ca_file: Path | None
