"""The body of a request: what ``json`` and ``data`` may be."""

from __future__ import annotations

from collections.abc import Mapping

from . import _native

# As type checkers know it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ._options import BinaryReader, Bytes, Data

# Few calls of Python code for large bodies, and little memory.
_PIECE = 256 * 1024


def arguments_of(json: Any, data: Data | None, content_length: int | None) -> tuple[bytes | None, dict[str, object]]:
    """The body where it is bytes, and the native request's arguments that say what else it is."""
    if json is not None:
        if data is not None:
            raise _native.invalid_argument("json and data exclude each other: a request has one body", False)
        body: bytes | None = _json_body(json)
        arguments: dict[str, object] = {"default_content_type": "application/json"}
    elif isinstance(data, (Mapping, list, tuple)):
        body, arguments = None, {"form": data}
    elif data is None or isinstance(data, (bytes, bytearray, memoryview, str)):
        body, arguments = _bytes_body(data), {}
    else:
        return None, _stream(data, content_length)
    if content_length is not None:
        raise _native.invalid_argument("content_length is for data that is read while it is sent", False)
    return body, arguments


def _json_body(value: Any) -> bytes:
    import json

    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _native.invalid_argument(f"json cannot be written: {error}", isinstance(error, TypeError)) from error


def _bytes_body(data: Bytes | str | None) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise _native.invalid_argument(f"data is no text: {error.reason}", False) from error


def _stream(data: Any, content_length: int | None) -> dict[str, object]:
    """What is read while it is sent."""
    if isinstance(content_length, int) and content_length < 0:
        raise _native.invalid_argument("content_length must be 0 or more", False)
    if hasattr(data, "__fspath__"):
        if content_length is not None:
            raise _native.invalid_argument("content_length is not for a file, whose length is known", False)
        return {"body_file": data.__fspath__()}
    if hasattr(data, "read"):
        start = data.tell() if hasattr(data, "seekable") and data.seekable() else None
        if start is None:
            return {"body_source": (_reader(data), None, content_length)}
        if content_length is None:
            data.seek(0, 2)
            content_length = max(data.tell() - start, 0)
            data.seek(start)
        return {"body_source": (_reader(data), lambda: data.seek(start), content_length)}
    if hasattr(data, "__iter__"):
        return {"body_source": (_pieces(iter(data)), None, content_length)}
    raise _native.invalid_argument(
        "data must be bytes, a str, a mapping or a list of pairs, a path, a binary file, or an iterable of bytes, "
        f"not {type(data).__name__}",
        True,
    )


def _reader(file: BinaryReader) -> Callable[[], bytes]:
    def read() -> bytes:
        return _bytes(file.read(_PIECE), "open the file in binary mode")

    return read


def _pieces(iterator: Iterator[Any]) -> Callable[[], bytes]:
    """A function that gives the next piece that is not empty, and after the last an empty one."""

    def read() -> bytes:
        for piece in iterator:
            if given := _bytes(piece, "give a list of pairs for a form, and encode texts"):
                return given
        return b""

    return read


def _bytes(piece: Any, instead: str) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise _native.invalid_argument(f"data gave {type(piece).__name__}, not bytes: {instead}", True)
