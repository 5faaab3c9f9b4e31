"""The options of a client, and what its methods take, for type checkers. The core has the table; a test compares the two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol, TypedDict, Union

Pairs = Union[Mapping[str, object], Iterable[tuple[str, object]]]
"""Names with values, as a mapping or as pairs. A value is a str, an int, a float, a bool (``true`` or ``false``), None
(which leaves it out), or an iterable of these, which repeats its name. ``object``, because type checkers lose their way
in a union of all that."""
Seconds = Union[float, timedelta]
"""A length of time above zero, in seconds or as a timedelta."""
Path = Union[str, "os.PathLike[str]"]
Bytes = Union[bytes, bytearray, memoryview]


class BinaryReader(Protocol):
    """An open binary file, or what can be read like one."""

    def read(self, size: int, /) -> Bytes: ...


Form = Union[Mapping[str, object], Sequence[tuple[str, object]]]
"""A form's fields, as a mapping, a list or a tuple; values as of :data:`Pairs`."""
Data = Union[Bytes, str, Form, "os.PathLike[str]", BinaryReader, Iterable[Bytes]]
"""What a request's body may be beside JSON; see :meth:`svctoken.Client.request`."""


class Options(TypedDict, total=False):
    """What ``Client(**options)`` takes. None is as if the option were not given."""

    client_id: str | None
    client_secret: str | None
    client_secret_file: Path | None
    client_secret_command: Iterable[str] | None
    client_secret_callback: Callable[[], str] | None
    client_secret_2: str | None
    private_key: str | None
    private_key_file: Path | None
    key_id: str | None
    access_token: str | None
    token_url: str | None
    issuer: str | None
    revocation_url: str | None
    introspection_url: str | None
    base_url: str | None
    allowed_origins: Iterable[str] | None
    auth_method: str | None
    auth_encoding: str | None
    signing_alg: str | None
    assertion_audience: str | None
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
    mint_budget: int | None
    max_response_bytes: int | None
    allow_http: bool | None
    proxy: str | None
    ca_file: Path | None
    client_cert_file: Path | None
    client_key_file: Path | None
