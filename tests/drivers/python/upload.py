"""Bodies of requests that the library reads while it sends them, as tests/drivers/README.md says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PIECE = 64 * 1024
PATTERN = bytes(range(251)) * (PIECE // 251 + 2)


def pieces(count: int, fails: int | None, cancel_after: int | None, cancel: Callable[[], None]) -> Iterator[bytes]:
    position = 0
    end = count if fails is None else min(count, fails)
    while position < end:
        if cancel_after is not None and position >= cancel_after:
            cancel()
        piece = PATTERN[position % 251 :][: min(PIECE, end - position)]
        yield piece
        position += len(piece)
    if fails is not None:
        raise RuntimeError("no more paper")


def add_to(arguments: dict[str, Any]) -> Callable[[], None]:
    """Puts the body in place of the fields that describe it; what is returned is to be called afterwards."""
    names = ("upload", "upload_as", "upload_length", "upload_fails", "upload_cancel")
    count, way, length, fails, cancel_after = (arguments.pop(name, None) for name in names)
    source = pieces(int(count), fails, cancel_after, arguments["cancel"].cancel)
    if length is not None:
        arguments["content_length"] = length
    if way == "bytes":
        arguments["data"] = b"".join(source)
    elif way in ("file", "object", "repeatable"):
        file = tempfile.NamedTemporaryFile("wb", delete=False)
        with file:
            for piece in source:
                file.write(piece)
        path = Path(file.name)
        if way == "file":
            arguments["data"] = path
            return path.unlink
        opened = path.open("rb")
        path.unlink()
        arguments["data"] = opened
        return opened.close
    else:
        arguments["data"] = source
    return lambda: None
