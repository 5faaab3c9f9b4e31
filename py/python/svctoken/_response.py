"""An answer, with the names that users of requests know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from . import _native
    from .exceptions import Error


class Headers(Mapping[str, str]):
    """The headers of an answer, by name without case. A name that came repeatedly has its values joined by ``", "``;
    :meth:`get_all` keeps them apart."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = tuple((name.lower(), value) for name, value in pairs)

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def get_all(self, name: str) -> list[str]:
        """Every value of that name in order, without case; an empty list if there is none."""
        name = name.lower()
        return [value for known, value in self._pairs if known == name]

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every header as it came, in order, names in lower case."""
        return self._pairs

    def __repr__(self) -> str:
        return f"Headers({list(self._pairs)!r})"


class _Answer:
    """What every answer tells of itself."""

    def __init__(self, native: _native.Response) -> None:
        self._native = native

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self._native.status_code

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return self._native.ok

    @property
    def url(self) -> str:
        """The URL that answered, with its query: where the last redirect led, if any was followed."""
        return self._native.url

    @property
    def attempts(self) -> int:
        """How many requests were sent for it: the first, those tried again, sent again after a 401, and redirected."""
        return self._native.attempts

    @cached_property
    def headers(self) -> Headers:
        """The headers, by name without case."""
        return Headers(self._native.header_pairs())

    def error(self) -> Error | None:
        """The :class:`HTTPStatusError` that a status of 400 or above stands for, with what the body says of it; not
        raised."""
        return self._native.error()

    def raise_for_status(self) -> None:
        """Raises :meth:`error` if the status is 400 or above."""
        error = self.error()
        if error is not None:
            raise error

    def __repr__(self) -> str:
        return f"<svctoken.{type(self).__name__} [{self.status_code}]>"


class Response(_Answer):
    """An answer, read whole. Any HTTP status is an answer; :meth:`raise_for_status` makes an error of 400 and above."""

    @cached_property
    def content(self) -> bytes:
        """The body, with any Content-Encoding of gzip undone."""
        return self._native.content()

    @property
    def text(self) -> str:
        """The body as text, in its :attr:`encoding`. Raises :class:`BadAnswerError` if it is none."""
        try:
            return self._native.text()
        except ValueError as error:
            charset = self._native.charset()
            if charset is None or charset in ("utf-8", "utf8"):
                raise
            try:
                return self.content.decode(charset)
            except (LookupError, ValueError):
                raise error from None

    @property
    def encoding(self) -> str:
        """The charset that the Content-Type names, in lower case; ``"utf-8"`` if it names none."""
        return self._native.charset() or "utf-8"

    def json(self, **kwargs: Any) -> Any:
        """The body as JSON, read by :func:`json.loads`, which gets ``kwargs``. Raises :class:`BadAnswerError`, a
        :class:`ValueError`, if it is not."""
        import json

        try:
            return json.loads(self.content, **kwargs)
        except (ValueError, RecursionError):
            self._native.check_json()
            raise


class StreamingResponse(_Answer):
    """An answer whose body is read as it comes, in memory that does not grow. Any HTTP status is an answer.

    Iterate over it, or over :meth:`iter_content`, or :meth:`read` it as a file. Read to its end, its connection serves
    the next request; closed or dropped before, the connection is closed, unless the rest is here within 10 ms and at
    most 64 KiB. One thread reads at a time: what another, or a signal's handler, wants to read meanwhile is an
    :class:`InvalidArgumentError`. Ctrl-C, the call's ``cancel`` and :meth:`close` end a read.

    Reading raises :class:`TimeoutError` when no byte came for the call's ``idle_timeout``, :class:`CancelledError`,
    :class:`ConnectionLostError`, :class:`BadAnswerError`, and :class:`AnswerTooLargeError` beyond the call's
    ``max_response_bytes``; and every later read the same. :meth:`error` reads the first 64 KiB of the body, which stay
    to be read.
    """

    def __init__(self, native: _native.Response, body: _native.Body) -> None:
        super().__init__(native)
        self._body = body

    def iter_content(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """The body in pieces as they come, of at most ``chunk_size`` bytes or 1 MiB, with any Content-Encoding of gzip undone.
        What came before an error is handed out first."""
        while piece := self._body.read_some(chunk_size):
            yield piece

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content()

    def read(self, size: int | None = -1, /) -> bytes:
        """``size`` bytes, fewer only at the end; without one, or if it is negative, all that is left. What came before an
        error is lost."""
        if size == 0:
            return b""
        return self._body.read(None if isinstance(size, int) and size < 0 else size)

    def close(self) -> None:
        """Reads no more: a read in progress ends within 50 ms with an :class:`InvalidArgumentError`, as every later one
        does. Never waits; any thread and any signal's handler may call it. Closing again changes nothing."""
        self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
