"""Bodies that are read while they are sent: what is Python's own."""

from __future__ import annotations

import _thread
import hashlib
import io
import os
import pathlib
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import svctoken
from sandbox import Space

BODY = bytes(index % 251 for index in range(300_000))


def taken(space: Space, data: Any, **options: Any) -> None:
    response = space.client().request("POST", "/upload", data=data, **options)
    assert response.json() == {"length": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}


def last(space: Space) -> dict[str, str]:
    return dict(space.report()["log"][-1]["headers"])


def test_what_data_may_be(space: Space, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    with path.open("rb") as file:
        files: list[Any] = [path, file, io.BytesIO(BODY), io.BufferedReader(io.BytesIO(BODY))]
        for data in files:
            taken(space, data)
            assert last(space)["content-length"] == str(len(BODY))
        assert not file.closed
    pieces: list[Any] = [BODY[:100_000], b"", bytearray(BODY[100_000:100_001]), memoryview(BODY)[100_001:]]
    iterables: list[Any] = [iter(pieces), (piece for piece in pieces), {BODY}]
    for data in iterables:
        taken(space, data)
        assert last(space)["transfer-encoding"] == "chunked"
    taken(space, iter(pieces), content_length=len(BODY))
    assert last(space)["content-length"] == str(len(BODY))


def test_a_file_is_sent_from_where_it_is(space: Space) -> None:
    file = io.BytesIO(b"before" + BODY)
    file.seek(6)
    taken(space, file)
    client = space.client()
    space.patch(rules=[{"path": "/upload", "nth": [1], "do": {"status": 503}}])
    file.seek(6)
    response = client.request("PUT", "/upload", data=file)
    assert response.json()["length"] == len(BODY) and response.attempts == 2, "and again from there"


def test_a_file_like_one_may_seek_without_saying_where_it_is(space: Space) -> None:
    class Quiet(io.BytesIO):
        def seek(self, *arguments: int) -> Any:
            super().seek(*arguments)

    answer = space.client().request("POST", "/upload", data=Quiet(b"12345")).json()
    assert answer["length"] == 5
    assert ["content-length", "5"] in space.report()["log"][-1]["headers"]


def test_what_cannot_seek_goes_in_chunks(space: Space) -> None:
    here, there = socket.socketpair()
    with here, there, there.makefile("rb") as file:

        def send() -> None:
            here.sendall(BODY)
            here.shutdown(socket.SHUT_WR)

        threading.Thread(target=send).start()
        taken(space, file)
    assert last(space)["transfer-encoding"] == "chunked"


def test_a_streamed_answer_is_a_body(space: Space) -> None:
    with space.client().request("GET", f"/bytes/{len(BODY)}", stream=True) as answer:
        taken(space, answer)


def test_wrong_bodies_name_the_fix(space: Space, tmp_path: pathlib.Path) -> None:
    client = space.client()
    data: Any
    for data, fix in (
        (io.StringIO("text"), "binary mode"),
        (iter(["text"]), "encode texts"),
        ({"a": 1}.items(), "list of pairs"),
        (7, "an iterable of bytes, not int"),
        (iter([7]), "int"),
    ):
        with pytest.raises(TypeError, match=fix) as caught:
            client.request("POST", "/upload", data=data)
        assert isinstance(caught.value, svctoken.InvalidArgumentError)
    with pytest.raises(svctoken.InvalidArgumentError, match="missing"):
        client.request("POST", "/upload", data=tmp_path / "missing")
    for data in (b"bytes", {"a": "form"}, tmp_path):
        with pytest.raises(svctoken.InvalidArgumentError, match="content_length"):
            client.request("POST", "/upload", data=data, content_length=5)
    with pytest.raises(svctoken.InvalidArgumentError, match="content_length"):
        client.request("POST", "/upload", json={}, content_length=5)
    with pytest.raises(svctoken.InvalidArgumentError, match="content_length"):
        client.request("POST", "/upload", data=iter([b""]), content_length=-1)
    with pytest.raises(TypeError, match="content_length"):
        client.request("POST", "/upload", data=iter([b""]), content_length="5")  # type: ignore[call-overload]
    assert space.report()["requests"] <= 1, "no more than the token's"


def test_what_a_source_raises_comes_out_as_it_is(space: Space) -> None:
    class Mine(Exception):
        pass

    mine = Mine("no more paper")

    def source() -> Iterator[bytes]:
        yield BODY
        raise mine

    with pytest.raises(Mine) as caught:
        space.client().request("POST", "/upload", data=source())
    assert caught.value is mine
    assert "in source" in "".join(traceback.format_exception(mine)), "its traceback leads to where it was raised"


def test_a_source_may_use_its_own_client(space: Space) -> None:
    client = space.client()

    def source() -> Iterator[bytes]:
        yield client.request("GET", "/bytes/100000").content
        yield client.request("GET", f"/bytes/{len(BODY)}").content[100_000:]

    response = client.request("POST", "/upload", data=source())
    assert response.json()["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_ctrl_c_ends_a_source_and_a_wait_for_a_server_that_reads_no_more(space: Space) -> None:
    client = space.client()
    client.get_token()

    def source() -> Iterator[bytes]:
        yield BODY
        _thread.interrupt_main()
        yield BODY

    with pytest.raises(KeyboardInterrupt):
        client.request("POST", "/upload", data=source())
    space.patch(rules=[{"path": "/upload", "do": {"hold_body": {"after_bytes": 1000, "gate": "g"}}}])

    def interrupt() -> None:
        space.wait(held={"g": 1})
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        client.request("POST", "/upload", data=(BODY for _ in range(1000)))


def test_other_threads_run_while_a_source_waits(new_space: Callable[..., Space]) -> None:
    space = new_space(rules=[{"path": "/upload", "do": {"hold_body": {"after_bytes": 1000, "gate": "g"}}}])
    client = space.client()
    answers: list[int] = []

    def upload() -> None:
        answers.append(client.request("POST", "/upload", data=(BODY for _ in range(100))).json()["length"])

    uploads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in uploads:
        thread.start()
    space.wait(held={"g": 4})
    assert client.request("GET", "/bytes/10").ok
    space.release("g")
    for thread in uploads:
        thread.join(20)
    assert answers == [100 * len(BODY)] * 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_path_of_a_pipe_goes_in_chunks(space: Space, tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(BODY,)).start()
    taken(space, pipe)
    assert last(space)["transfer-encoding"] == "chunked"
