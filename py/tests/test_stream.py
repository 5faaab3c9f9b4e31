"""Answers read as streams: what is Python's own."""

from __future__ import annotations

import gc
import io
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest
import svctoken
from sandbox import Space

STALLED = [{"path": "/bytes/*", "do": {"stall": {"after_body_bytes": 1000}}}]


def pattern(length: int) -> bytes:
    return bytes(index % 251 for index in range(length))


def test_a_stream_is_read_as_a_file_and_by_iteration(space: Space) -> None:
    client = space.client()
    with client.request("GET", "/bytes/100000", stream=True) as response:
        assert isinstance(response, svctoken.StreamingResponse)
        assert response.ok and response.headers["content-length"] == "100000" and response.error() is None
        assert response.read(0) == b""
        first = response.read(70_000)
        assert len(first) == 70_000
        rest = response.read()
        assert first + rest == pattern(100_000)
        assert response.read() == response.read(5) == b""
    assert b"".join(client.request("GET", "/bytes/100000", stream=True)) == pattern(100_000)
    pieces = list(client.request("GET", "/bytes/1000", stream=True).iter_content(7))
    assert max(map(len, pieces)) == 7 and b"".join(pieces) == pattern(1000)
    copy = io.BytesIO()
    shutil.copyfileobj(client.request("GET", "/bytes/300000", stream=True), copy)
    assert copy.getvalue() == pattern(300_000)
    assert space.report()["connections"] == 1, "every stream gave its connection back"


def test_wrong_sizes_and_a_closed_response_are_refused(space: Space) -> None:
    response = space.client().request("GET", "/bytes/1000", stream=True)
    for size in (0, -1):
        with pytest.raises(svctoken.InvalidArgumentError, match="chunk_size"):
            next(response.iter_content(size))
    with pytest.raises(TypeError, match="size"):
        response.read("5")  # type: ignore[arg-type]
    with pytest.raises(svctoken.InvalidArgumentError, match="idle_timeout"):
        space.client().request("GET", "/bytes/1", stream=True, idle_timeout=0)
    response.close()
    response.close()
    with pytest.raises(ValueError, match="closed"):
        response.read()


def test_a_stream_that_is_forgotten_gives_its_connection_up(new_space: Callable[..., Space]) -> None:
    space = new_space(rules=STALLED)
    response = space.client().request("GET", "/bytes/5000", stream=True)
    assert next(iter(response)) == pattern(1000)
    del response
    gc.collect()
    space.wait(closed_connections=1)


def test_p08_other_threads_run_while_a_read_waits_and_a_cancel_ends_it(new_space: Callable[..., Space]) -> None:
    space, cancel = new_space(rules=STALLED), svctoken.CancelToken()
    response = space.client().request("GET", "/bytes/5000", stream=True, cancel=cancel)
    assert len(response.read(1000)) == 1000
    # Runs only if the waiting read leaves the interpreter to it.
    threading.Timer(0.05, cancel.cancel).start()
    with pytest.raises(svctoken.CancelledError):
        response.read(1)
    with pytest.raises(svctoken.CancelledError):
        response.read(1)
    space.wait(closed_connections=1)


def test_a_broken_stream_hands_out_what_came_and_then_the_error(new_space: Callable[..., Space]) -> None:
    rule = {"path": "/echo", "do": {"status": 200, "body_size": 1000, "content_length": 5000}}
    client = new_space(rules=[rule]).client()
    pieces = []
    with pytest.raises(svctoken.ConnectionLostError):
        for piece in client.request("GET", "/echo", stream=True):
            pieces.append(piece)
    assert b"".join(pieces) == b"x" * 1000
    with pytest.raises(svctoken.ConnectionLostError):
        client.request("GET", "/echo", stream=True).read()


def test_a_forked_child_neither_reads_nor_spoils_its_parents_stream(space: Space) -> None:
    response = space.client().request("GET", "/bytes/3000000", stream=True)
    begin = response.read(1000)
    child = os.fork()
    if child == 0:
        try:
            response.read(1)
        except svctoken.ConnectionLostError:
            del response
            gc.collect()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert begin + response.read() == pattern(3_000_000)


def read_in_a_thread(response: svctoken.StreamingResponse) -> tuple[threading.Thread, list[Exception]]:
    """A thread that waits for a byte, and what ends it."""
    ended: list[Exception] = []

    def read() -> None:
        try:
            response.read(1)
        except Exception as error:
            ended.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while getattr(sys._current_frames().get(reader.ident or 0), "f_code", None) is not type(response).read.__code__:
        time.sleep(0.001)
    # Of what is called from there no frame tells.
    time.sleep(0.05)
    return reader, ended


def stalled(new_space: Callable[..., Space]) -> svctoken.StreamingResponse:
    response = new_space(rules=STALLED).client().request("GET", "/bytes/5000", stream=True, idle_timeout=20)
    assert len(response.read(1000)) == 1000
    return response


@pytest.mark.timeout(60)
def test_p08_close_waits_for_no_reader_and_ends_it(new_space: Callable[..., Space]) -> None:
    response = stalled(new_space)
    reader, ended = read_in_a_thread(response)
    with pytest.raises(svctoken.InvalidArgumentError, match="read already"):
        response.read(1)
    response.close()
    reader.join(10)
    assert [str(error) for error in ended] == [str(pytest.raises(svctoken.InvalidArgumentError, response.read).value)]
    assert "closed" in str(ended[0])


@pytest.mark.timeout(60)
def test_p08_a_signals_handler_closes_the_response_it_interrupts(new_space: Callable[..., Space]) -> None:
    response = stalled(new_space)
    refused: list[Exception] = []

    def handle(*_: object) -> None:
        try:
            response.read(1)
        except svctoken.InvalidArgumentError as error:
            refused.append(error)
        response.close()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(svctoken.InvalidArgumentError, match="closed"):
            response.read(1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(refused) == 1 and "read already" in str(refused[0])


@pytest.mark.timeout(60)
def test_p08_a_forked_child_closes_what_another_thread_was_reading(new_space: Callable[..., Space]) -> None:
    response = stalled(new_space)
    reader, _ = read_in_a_thread(response)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            response.read(1)
        except svctoken.InvalidArgumentError as error:
            response.close()
            os._exit(0 if "forked" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert reader.is_alive()
    response.close()
    reader.join(10)
    assert not reader.is_alive()


def test_a_piece_of_any_size_may_be_asked_for(space: Space) -> None:
    pieces = list(space.client().request("GET", "/bytes/3000000", stream=True).iter_content(sys.maxsize))
    assert b"".join(pieces) == pattern(3_000_000) and max(map(len, pieces)) <= 1024 * 1024


def test_hooks_see_streams_before_their_bodies(space: Space) -> None:
    client, received = space.client(), list[object]()
    client.before_send = lambda method, url: {"x-of-the-hook": url}
    client.after_receive = received.append
    response = client.request("GET", "/echo", stream=True)
    assert received == [response]
    assert b'"/echo"' in response.read()
    assert ["x-of-the-hook", "/echo"] in space.report()["log"][-1]["headers"]
