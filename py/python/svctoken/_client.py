"""The client: what a program holds."""

from __future__ import annotations

import os
from collections.abc import Iterator

from . import _native
from ._body import arguments_of
from ._response import Response, StreamingResponse

# As type checkers know it; importing typing, json or dataclasses takes longer than all of svctoken.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Literal, overload

    from typing_extensions import Self, Unpack

    from ._options import Data, Options, Pairs, Path, Seconds
    from ._token_info import TokenInfo


class Client(_native.Client):
    """Gets tokens and makes requests with them.

    ``Client(**options)`` reads nothing from the environment; :meth:`atlas`, :meth:`keycloak`, :meth:`issuer` and
    :meth:`from_env` do.
    A wrong or missing option raises :class:`InvalidConfigurationError`, naming it, before any network.

    A client may be used from any number of threads at once, and in a forked child. Clients with the same options share
    one token in a process. Calls block their thread, not the others; Ctrl-C ends them.
    """

    before_send: Callable[[str, str], Pairs | None] | None = None
    """Called once for each :meth:`request` and each of the :meth:`pages`, however often it is sent, before anything else is done: with its method and
    URL as they were given. The headers it returns (such as traceparent) are sent unless the call gives one of that name;
    what a caller may not set, it may not either. What it raises ends the call."""
    after_receive: Callable[[Response | StreamingResponse], object] | None = None
    """Called once with the answer of each :meth:`request`, and each page, that has one, of any status, before the caller gets it. What
    it raises ends the call."""

    def __new__(cls, **options: Unpack[Options]) -> Self:
        return super().__new__(cls, "plain", options, os.environ, None, None)

    @classmethod
    def atlas(cls, **options: Unpack[Options]) -> Self:
        """A client of MongoDB Atlas. Options not given come from ``SVCTOKEN_*`` and from
        ``MONGODB_ATLAS_CLIENT_ID``, ``MONGODB_ATLAS_CLIENT_SECRET`` and ``MONGODB_ATLAS_BASE_URL`` in
        :data:`os.environ`."""
        return super().__new__(cls, "atlas", options, os.environ, None, None)

    @classmethod
    def keycloak(cls, server_url: str, realm: str, **options: Unpack[Options]) -> Self:
        """A client of a Keycloak realm. ``/auth`` belongs to ``server_url`` on servers that have it; ``base_url`` is
        the API, and the Keycloak server itself unless given. Other options not given come from ``SVCTOKEN_*``."""
        return super().__new__(cls, "keycloak", options, os.environ, server_url, realm)

    @classmethod
    def issuer(cls, url: str, **options: Unpack[Options]) -> Self:
        """A client of the server with that issuer identifier, written as the server writes it: its metadata (RFC 8414,
        OpenID Connect Discovery 1.0) names its endpoints, and is asked for when the first token is. Other options not
        given come from ``SVCTOKEN_*``."""
        return super().__new__(cls, "issuer", options, os.environ, url, None)

    @classmethod
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """A client from :data:`os.environ`: ``SVCTOKEN_`` and an option's name in upper case, times in seconds. If
        ``MONGODB_ATLAS_CLIENT_ID`` is set, as :meth:`atlas`."""
        return super().__new__(cls, "from_env", options, os.environ, None, None)

    def get_token_info(
        self, *, timeout: Seconds | None = None, cancel: _native.CancelToken | None = None
    ) -> TokenInfo:
        """As :meth:`get_token`, with what is known about the token."""
        from ._token_info import token_info

        return token_info(*self._token_facts(timeout, cancel))

    def introspect(
        self,
        token: str | None = None,
        *,
        timeout: Seconds | None = None,
        cancel: _native.CancelToken | None = None,
    ) -> dict[str, Any]:
        """What the server knows of an access token (RFC 7662): of ``token``, or if that is None of the current one,
        which is got as :meth:`get_token` gets it.

        The answer has at least ``active``, a bool; which claims else is the server's business. A token that is not
        active is no error, and nothing follows from it here: some servers say so to clients the token is not for.

        Raises :class:`InvalidConfigurationError` without an ``introspection_url``,
        :class:`CredentialUnavailableError` with a ready access token, :class:`BadAnswerError` if the answer has no
        ``active``, and :class:`Error`.
        """
        import json

        answer: dict[str, Any] = json.loads(self._introspect(token, timeout, cancel))
        return answer

    if TYPE_CHECKING:

        @overload
        def request(
            self,
            method: str,
            url: str,
            *,
            params: Pairs | None = None,
            headers: Pairs | None = None,
            json: Any = None,
            data: Data | None = None,
            content_type: str | None = None,
            content_length: int | None = None,
            accept: str | None = None,
            timeout: Seconds | None = None,
            max_response_bytes: int | None = None,
            max_attempts: int | None = None,
            idempotent: bool | None = None,
            stream: Literal[False] = False,
            idle_timeout: Seconds | None = None,
            cancel: _native.CancelToken | None = None,
        ) -> Response: ...

        @overload
        def request(
            self,
            method: str,
            url: str,
            *,
            params: Pairs | None = None,
            headers: Pairs | None = None,
            json: Any = None,
            data: Data | None = None,
            content_type: str | None = None,
            content_length: int | None = None,
            accept: str | None = None,
            timeout: Seconds | None = None,
            max_response_bytes: int | None = None,
            max_attempts: int | None = None,
            idempotent: bool | None = None,
            stream: Literal[True],
            idle_timeout: Seconds | None = None,
            cancel: _native.CancelToken | None = None,
        ) -> StreamingResponse: ...

        @overload
        def request(
            self,
            method: str,
            url: str,
            *,
            params: Pairs | None = None,
            headers: Pairs | None = None,
            json: Any = None,
            data: Data | None = None,
            content_type: str | None = None,
            content_length: int | None = None,
            accept: str | None = None,
            timeout: Seconds | None = None,
            max_response_bytes: int | None = None,
            max_attempts: int | None = None,
            idempotent: bool | None = None,
            stream: bool,
            idle_timeout: Seconds | None = None,
            cancel: _native.CancelToken | None = None,
        ) -> Response | StreamingResponse: ...

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Pairs | None = None,
        headers: Pairs | None = None,
        json: Any = None,
        data: Data | None = None,
        content_type: str | None = None,
        content_length: int | None = None,
        accept: str | None = None,
        timeout: Seconds | None = None,
        max_response_bytes: int | None = None,
        max_attempts: int | None = None,
        idempotent: bool | None = None,
        stream: bool = False,
        idle_timeout: Seconds | None = None,
        cancel: _native.CancelToken | None = None,
    ) -> Response | StreamingResponse:
        """A request with the token, its answer read whole, or with ``stream=True`` its body left to be read as it
        comes. Any HTTP status is an answer.

        ``url`` is a path on ``base_url``'s origin, or a URL of it or of one of ``allowed_origins``. ``params`` are
        added to its query. The body is ``json``, written by :func:`json.dumps`, or ``data``: bytes as they are, a str
        as UTF-8, a mapping, a list or a tuple of pairs as a form, or what is read while it is sent, below; None is no
        body. ``timeout`` is the whole call, in seconds or as a timedelta, and ``max_response_bytes`` the largest body
        of the answer; None is the client's, 60 s and 64 MiB unless set.

        A ``data`` that is a path (as of pathlib), an open binary file or an iterable of bytes, but for lists and tuples,
        is read while it is sent, in memory that does not grow, and is never closed. The server is asked first whether it wants the body, as for any of
        more than 1 MiB (``Expect: 100-continue``), and given 1 s to say so. It is told the length of files and of what can
        seek, and else ``content_length``, in bytes, if that is given; without, the body goes in chunks. What was begun to
        be read is sent again only if it is a path or can seek. What reading it raises ends the call, and is raised as it
        is. ``timeout`` covers the sending too.

        Failed connections and answers of 429 are tried again, and so are 408, 502, 503, 504 and broken connections
        where that cannot do the request's work twice: for GET, HEAD, PUT, DELETE and OPTIONS, and for a POST or PATCH
        with ``idempotent=True`` or an Idempotency-Key header. ``max_attempts`` is how often in all, 1 to 10; None is
        the client's, 3 unless set. Redirects are followed: 301, 302 and 303 for GET and HEAD, 307 and 308 for every
        method, at most 5; to another origin for GET and HEAD without a body only, and without the token or any header
        but Accept, Range and User-Agent.

        With ``stream=True`` the ``timeout`` runs to the answer's head; after it each read waits at most
        ``idle_timeout`` for a byte, 30 s unless given, and ``cancel`` ends it as well. ``max_response_bytes`` counts
        only if it is given. What is tried or sent again, and redirects, end with the head too. Of an answer of 300 or
        above up to 64 KiB of the body are read at once, for its error to tell what they say.

        Raises :class:`InvalidArgumentError` or :class:`OriginRefusedError` before any network,
        :class:`RedirectRefusedError` where a redirect leads where it may not, and :class:`Error`.
        """
        body, body_arguments = arguments_of(json, data, content_length)
        arguments: dict[str, object] = {
            **body_arguments,
            "params": params,
            "headers": headers,
            "content_type": content_type,
            "accept": accept,
            "timeout": timeout,
            "max_response_bytes": max_response_bytes,
            "max_attempts": max_attempts,
            "idempotent": idempotent,
            "idle_timeout": idle_timeout,
            "cancel": cancel,
        }
        if stream:
            return self._exchange_streaming(method, url, body, arguments)
        return self._exchange(method, url, body, arguments, None)

    def download(
        self,
        method: str,
        url: str,
        path: Path,
        *,
        params: Pairs | None = None,
        headers: Pairs | None = None,
        json: Any = None,
        data: Data | None = None,
        content_type: str | None = None,
        content_length: int | None = None,
        accept: str | None = None,
        timeout: Seconds | None = None,
        max_response_bytes: int | None = None,
        max_attempts: int | None = None,
        idempotent: bool | None = None,
        idle_timeout: Seconds | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        cancel: _native.CancelToken | None = None,
    ) -> Response:
        """As :meth:`request` with ``stream=True``, with the body of an answer of 200 to 299 written to the file at ``path``,
        in memory that does not grow; the :class:`Response` has no content then. Any other answer leaves the file alone, and
        has up to 64 KiB of its body, for :meth:`Response.raise_for_status` to tell what they say.

        What comes is written to a temporary file in the same folder, ``.NAME.….part``, which takes the place of an older file
        when it is whole, with that one's permissions: at ``path`` there is never a part of a body. If the call fails, the
        temporary is removed; a process that is killed leaves it. Nothing is synced to the disk. Where ``path`` is a symbolic
        link, the file it leads to is replaced. A Content-Encoding of gzip is undone, and a gzip file left as it is.

        ``progress`` is called with the number of bytes that came, after decoding, and of all, or None where the answer does
        not tell: when the body begins, with 0, then at most every 100 ms, and once when all came. What it raises ends the
        call, and is raised as it is.

        Raises beside what :meth:`request` and reading its stream do :class:`InvalidArgumentError`, before any network, where
        no file can be made there or ``path`` is something else than a file, and :class:`InternalError` where it cannot be
        written.
        """
        body, body_arguments = arguments_of(json, data, content_length)
        arguments: dict[str, object] = {
            **body_arguments,
            "params": params,
            "headers": headers,
            "content_type": content_type,
            "accept": accept,
            "timeout": timeout,
            "max_response_bytes": max_response_bytes,
            "max_attempts": max_attempts,
            "idempotent": idempotent,
            "idle_timeout": idle_timeout,
            "progress": progress,
            "cancel": cancel,
        }
        file = os.fspath(path)
        return self._answered(self._download(method, url, file, body, self._with_default_headers(method, url, arguments)))

    def pages(
        self,
        url: str,
        *,
        params: Pairs | None = None,
        headers: Pairs | None = None,
        accept: str | None = None,
        timeout: Seconds | None = None,
        max_response_bytes: int | None = None,
        max_attempts: int | None = None,
        max_pages: int | None = None,
        cancel: _native.CancelToken | None = None,
    ) -> Iterator[Response]:
        """The pages of a list: the answer to a GET request, and then those that each page names as its next, by a ``Link``
        header (RFC 8288) or by ``links`` in its JSON body, as Atlas does. Every page is an answer of any status; there is
        none after one that is not 200 to 299.

        A page is asked for when the iterator is, as by :meth:`request`; ``timeout`` is each page's, and ``params`` are the
        first's only, as a link brings its own query. At most ``max_pages`` are read, None is 1000: if there are more, that
        is an :class:`AnswerTooLargeError` after the last of them. To stop before the end, leave the loop.

        Raises beside what :meth:`request` does :class:`OriginRefusedError` for a link to another origin than the first
        page's, and :class:`BadAnswerError` for one that is no URL or leads to a page that was read.
        """
        arguments: dict[str, object] = {
            "params": params,
            "headers": headers,
            "accept": accept,
            "timeout": timeout,
            "max_response_bytes": max_response_bytes,
            "max_attempts": max_attempts,
            "cancel": cancel,
        }
        return self._pages(url, arguments, _native.PageCursor(max_pages, None))

    def items(
        self,
        url: str,
        *,
        member: str | None = None,
        params: Pairs | None = None,
        headers: Pairs | None = None,
        accept: str | None = None,
        timeout: Seconds | None = None,
        max_response_bytes: int | None = None,
        max_attempts: int | None = None,
        max_pages: int | None = None,
        cancel: _native.CancelToken | None = None,
    ) -> Iterator[Any]:
        """The items on the :meth:`pages` of a list, one after the other, read by :func:`json.loads`: the elements of a page
        that is a JSON array, or of the member ``member`` of its JSON object, which is ``results`` for None.

        Raises as :meth:`pages` does, :class:`HTTPStatusError` on a page whose status is 400 or above, and
        :class:`BadAnswerError` on one that has no such array.
        """
        arguments: dict[str, object] = {
            "params": params,
            "headers": headers,
            "accept": accept,
            "timeout": timeout,
            "max_response_bytes": max_response_bytes,
            "max_attempts": max_attempts,
            "cancel": cancel,
        }
        return self._items(url, arguments, _native.PageCursor(max_pages, member))

    def _pages(self, url: str, arguments: dict[str, object], cursor: _native.PageCursor) -> Iterator[Response]:
        headers = arguments["headers"]
        if isinstance(headers, Iterator):
            arguments["headers"] = list(headers)
        next_url: str | None = url
        while next_url is not None:
            yield self._exchange("GET", next_url, None, arguments, cursor)
            next_url = cursor.next_url()

    def _items(self, url: str, arguments: dict[str, object], cursor: _native.PageCursor) -> Iterator[Any]:
        for page in self._pages(url, arguments, cursor):
            page.raise_for_status()
            body = page.json()
            items = body.get(cursor.member) if isinstance(body, dict) else body
            if not isinstance(items, list):
                raise cursor.no_items(page.status_code)
            yield from items

    def _exchange(
        self,
        method: str,
        url: str,
        body: bytes | None,
        arguments: dict[str, object],
        cursor: _native.PageCursor | None,
    ) -> Response:
        arguments = self._with_default_headers(method, url, arguments)
        return self._answered(self._send(method, url, body, arguments, cursor))

    def _answered(self, native: _native.Response) -> Response:
        response = Response(native)
        after_receive = self.after_receive
        if after_receive is not None:
            after_receive(response)
        return response

    def _exchange_streaming(
        self, method: str, url: str, body: bytes | None, arguments: dict[str, object]
    ) -> StreamingResponse:
        arguments = self._with_default_headers(method, url, arguments)
        response = StreamingResponse(*self._send_streaming(method, url, body, arguments))
        after_receive = self.after_receive
        if after_receive is not None:
            after_receive(response)
        return response

    def _with_default_headers(self, method: str, url: str, arguments: dict[str, object]) -> dict[str, object]:
        before_send = self.before_send
        return arguments if before_send is None else {**arguments, "default_headers": before_send(method, url)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a svctoken.Client holds a secret and is not pickled: make one in each process")
