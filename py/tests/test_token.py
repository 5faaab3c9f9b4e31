from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
import svctoken
import svctoken.testing
from sandbox import TOKEN_PATH, Space, hold


def test_the_token_is_one_str_object_while_it_is_the_same(space: Space) -> None:
    client = space.client()
    first = client.get_token()
    assert type(first) is str
    assert client.get_token() is first
    assert client.get_token(timeout=5) is first
    assert client.get_token_info().token is first
    svctoken.testing.advance_clock(4000)
    second = client.get_token()
    assert second != first
    assert client.get_token() is second
    assert space.report()["token_requests"] == 2


def test_p01_threads_on_a_cold_cache_make_one_token_request(new_space: Callable[..., Space]) -> None:
    space = new_space(rules=hold("gate", TOKEN_PATH))
    client = space.client()
    ready = threading.Barrier(33)

    def ask() -> str:
        ready.wait(10)
        return client.get_token(timeout=20)

    with ThreadPoolExecutor(32) as threads:
        calls = [threads.submit(ask) for _ in range(32)]
        ready.wait(10)
        space.wait(held={"gate": 1})
        space.release("gate")
        tokens = [call.result(20) for call in calls]
    assert all(token is tokens[0] for token in tokens)
    assert space.report()["token_requests"] == 1


def test_other_threads_run_while_a_call_waits(new_space: Callable[..., Space]) -> None:
    space = new_space(rules=[*hold("token", TOKEN_PATH), *hold("answer", "/echo*")])
    client = space.client()
    calls: dict[str, Callable[[], object]] = {
        "token": client.get_token,
        "answer": lambda: client.request("GET", "/echo"),
    }
    for gate, call in calls.items():

        caller = ThreadPoolExecutor(1)
        waiting = caller.submit(call)
        # This thread could not come this far, nor count, while the caller held the interpreter.
        space.wait(held={gate: 1})
        ticks = sum(1 for _ in itertools.takewhile(lambda n: n < 100_000, itertools.count()))
        assert ticks == 100_000 and not waiting.done()
        space.release(gate)
        assert waiting.result(10)
        caller.shutdown()


def test_token_info(new_space: Callable[..., Space]) -> None:
    space = new_space(token_fields={"scope": "read write"})
    client = space.client()
    info = client.get_token_info()
    assert info.token_type == "Bearer"
    assert info.scope == "read write"
    assert 3590 < info.expires_in <= 3600
    # Other tests have moved the clock of this process.
    now = info.expires_at - timedelta(seconds=info.expires_in)
    assert now.tzinfo is timezone.utc and now > datetime.now(timezone.utc) - timedelta(seconds=1)
    svctoken.testing.advance_clock(timedelta(seconds=100))
    later = client.get_token_info()
    assert later.expires_in == pytest.approx(info.expires_in - 100, abs=5)
    assert later.expires_at - info.expires_at < timedelta(seconds=5)


def test_p03_invalidate_token_works_by_compare(space: Space) -> None:
    client = space.client()
    first = client.get_token()
    assert client.invalidate_token("another") is False
    assert client.get_token() is first
    assert client.invalidate_token(first) is True
    assert client.invalidate_token(first) is False
    assert client.get_token() != first
    assert space.report()["token_requests"] == 2


def test_p09_a_call_ends_at_its_timeout(new_space: Callable[..., Space]) -> None:
    client = new_space(rules=hold("gate", TOKEN_PATH)).client()
    for timeout in (0.05, timedelta(milliseconds=50)):
        with pytest.raises(TimeoutError) as caught:
            client.get_token(timeout=timeout)
        assert isinstance(caught.value, svctoken.TimeoutError)
        assert caught.value.code == 20


@pytest.mark.parametrize("what", ["token", "answer"])
def test_p09_cancel_ends_a_call_from_another_thread(new_space: Callable[..., Space], what: str) -> None:
    rules = {"token": hold("gate", TOKEN_PATH), "answer": hold("gate", "/echo*")}[what]
    space = new_space(rules=rules)
    client, cancel = space.client(), svctoken.CancelToken()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(lambda: client.request("GET", "/echo", cancel=cancel))
        space.wait(held={"gate": 1})
        assert not cancel.cancelled
        cancel.cancel()
        assert cancel.cancelled
        with pytest.raises(svctoken.CancelledError):
            call.result(10)
    with pytest.raises(svctoken.CancelledError):
        client.request("GET", "/echo", cancel=cancel)


def test_a_closed_client_refuses(space: Space) -> None:
    with space.client() as client:
        client.get_token()
    client.close()
    for call in (client.get_token, client.get_token_info, lambda: client.request("GET", "/echo")):
        with pytest.raises(svctoken.ClosedError):
            call()


def test_stats_count(space: Space) -> None:
    client = space.client()
    client.request("GET", "/echo")
    stats = client.stats()
    assert stats["token_requests"] == stats["tokens_received"] == stats["requests"] == 1
    assert all(type(count) is int for count in stats.values())
