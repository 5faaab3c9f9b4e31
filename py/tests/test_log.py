"""Log events as records of the logger ``svctoken``."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import svctoken
import svctoken.testing
from sandbox import CLIENT_SECRET, TOKEN_PATH, Space, hold
from svctoken import _log

LOGGER = logging.getLogger("svctoken")


class Kept(logging.Handler):
    """Keeps the records; `act` is called with each first."""

    def __init__(self, act: Callable[[str], None] = lambda name: None) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._act = act

    def handle(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        self._act(event(record))
        return True

    def events(self) -> list[str]:
        return [event(record) for record in self.records]


def event(record: logging.LogRecord) -> str:
    name: str = vars(record)["svctoken_event"]
    return name


@pytest.fixture
def listen() -> Iterator[Callable[..., Kept]]:
    added: list[Kept] = []

    def add(level: int = logging.DEBUG, act: Callable[[str], None] = lambda name: None) -> Kept:
        added.append(Kept(act))
        LOGGER.addHandler(added[-1])
        LOGGER.setLevel(level)
        return added[-1]

    yield add
    LOGGER.setLevel(logging.NOTSET)
    for handler in added:
        LOGGER.removeHandler(handler)


def test_a_first_token_tells_its_story_in_order_and_a_fresh_one_nothing(
    space: Space, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "svctoken")
    client = space.client()
    token = client.get_token()
    facts = [(record.levelname, event(record)) for record in caplog.records]
    assert facts == [("DEBUG", "token_requested"), ("INFO", "token_received"), ("DEBUG", "token_waited")]
    requested, received, _ = caplog.records
    assert requested.name == "svctoken" and requested.getMessage().startswith(f"requesting a token from {space.http}")
    assert vars(requested)["svctoken_fields"] == {"reason": "no_token", "attempt": "1", "server": space.http}
    assert vars(received)["svctoken_fields"]["lifetime_ms"] == "3600000"
    assert client.get_token() is token and len(caplog.records) == 3
    assert client.invalidate_token(token)
    assert (caplog.records[-1].levelname, event(caplog.records[-1])) == ("WARNING", "token_condemned")


def test_what_nobody_reads_costs_no_call_into_python(
    space: Space, listen: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(_log, "emit", lambda level, name, message, fields: called.append(name))
    listen(logging.WARNING)
    client = space.client()
    client.invalidate_token(client.get_token())
    assert called == ["token_condemned"]
    logging.disable()
    try:
        client.invalidate_token(client.get_token())
    finally:
        logging.disable(logging.NOTSET)
    assert called == ["token_condemned"]


def test_a_level_set_later_is_seen_by_the_next_call(space: Space, listen: Callable[..., Kept]) -> None:
    kept, client = listen(logging.INFO), space.client()
    client.get_token()
    assert kept.events() == ["token_received"]
    LOGGER.setLevel(logging.DEBUG)
    svctoken.testing.advance_clock(4000)
    client.get_token()
    assert kept.events() == ["token_received", "token_requested", "token_received", "token_waited"]


def test_a_handler_that_raises_harms_no_call(
    space: Space, listen: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: unraisable.append(told.exc_type))

    def fail(name: str) -> None:
        raise LookupError(name)

    kept = listen(act=fail)
    client = space.client()
    assert client.request("GET", "/echo").ok
    assert client.invalidate_token(client.get_token()) is True
    assert kept.events() == ["token_requested", "token_received", "token_waited", "token_condemned"]
    assert unraisable == [LookupError] * 4


@pytest.mark.parametrize("at", ["token_waited", "token_condemned"])
def test_p08_ctrl_c_in_a_handler_comes_out_of_the_call(space: Space, listen: Callable[..., Kept], at: str) -> None:
    def interrupt(name: str) -> None:
        if name == at:
            raise KeyboardInterrupt

    listen(act=interrupt)
    client = space.client()
    with pytest.raises(KeyboardInterrupt):
        client.invalidate_token(client.get_token())
    assert client.get_token()


def test_p08_ctrl_c_in_a_handler_ends_a_call_that_would_wait(
    new_space: Callable[..., Space], listen: Callable[..., Kept]
) -> None:
    def interrupt(name: str) -> None:
        if name == "token_delayed":
            raise KeyboardInterrupt

    listen(act=interrupt)
    client = new_space(mints_per_minute=0).client(max_attempts=1)
    with pytest.raises(svctoken.RateLimitedError):
        client.get_token(timeout=0.5)
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.get_token(timeout=300)
    assert time.monotonic() - before < 2


def test_a_slow_handler_does_not_hold_up_other_threads(space: Space, listen: Callable[..., Kept]) -> None:
    inside, go = threading.Event(), threading.Event()

    def block(name: str) -> None:
        if name == "token_requested":
            inside.set()
            assert go.wait(10)

    other = space.client(scope="other")
    other.get_token()
    listen(act=block)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(space.client().get_token)
        assert inside.wait(10)
        assert other.get_token() and other.request("GET", "/echo").ok and not call.done()
        go.set()
        assert call.result(10)


def test_a_forked_child_logs_its_own_events(space: Space, listen: Callable[..., Kept]) -> None:
    inside, go = threading.Event(), threading.Event()

    def block(name: str) -> None:
        # In the parent alone: a token request's thread is inside a handler while the process forks.
        if name == "token_received" and not inside.is_set():
            inside.set()
            assert go.wait(20)

    # Through files the child would find its parent's token.
    kept, client = listen(act=block), space.client(cache="memory")
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.get_token)
        assert inside.wait(10)
        kept.records.clear()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                client.get_token(timeout=10)
                os.write(writing, json.dumps(kept.events()).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as result:
            events = json.loads(result.read())
        os.waitpid(pid, 0)
        assert events == ["token_requested", "token_received", "token_waited"]
        go.set()
        assert call.result(10)


PROGRAM = """
import logging, sys, threading
import svctoken
logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(svctoken_event)s %(message)s %(svctoken_fields)s")
"""


def start(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM + code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_p08_a_program_ends_in_the_middle_of_a_token_request(new_space: Callable[..., Space]) -> None:
    for round in range(8):
        space = new_space(rules=hold("gate", TOKEN_PATH))
        code = f"""
client = svctoken.Client.atlas(**{space.options()!r})
threading.Thread(target=client.get_token, daemon=True).start()
sys.stdin.readline()
"""
        with start(code) as process:
            space.wait(held={"gate": 1})
            # The token comes while the interpreter ends: a little before, a little after.
            if round % 2:
                space.release("gate")
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
            if not round % 2:
                space.release("gate")
            try:
                _, errors = process.communicate(timeout=20)
            finally:
                process.kill()
            assert process.returncode == 0, errors
            assert "DEBUG token_requested" in errors and "Traceback" not in errors, errors


def test_p01_a_handler_that_takes_its_time_keeps_no_other_process_waiting(space: Space) -> None:
    client = f"svctoken.Client.atlas(**{space.options()!r})"
    code = f"""
class Slow(logging.Handler):
    def emit(self, record):
        if record.svctoken_event == "token_received":
            print("inside", flush=True)
            sys.stdin.readline()

logging.getLogger("svctoken").addHandler(Slow())
print({client}.get_token())
"""
    with start(code) as process:
        try:
            assert process.stdout and process.stdout.readline() == "inside\n"
            other = [sys.executable, "-c", f"import svctoken; print({client}.get_token(timeout=10))"]
            token = subprocess.run(other, capture_output=True, text=True, timeout=30)
            output, _ = process.communicate("\n", timeout=20)
        finally:
            process.kill()
    assert token.stdout and token.stdout == output, token.stderr
    assert space.report()["token_requests"] == 1


def test_p07_logging_at_its_loudest_shows_no_secret(new_space: Callable[..., Space]) -> None:
    space = new_space(rules=[{"path": "/unauthorized", "do": {"status": 401}}])
    code = f"""
logging.raiseExceptions = True
options = {space.options()!r}
client = svctoken.Client.atlas(**options)
token = client.get_token()
client.request("GET", "/echo?key=query-secret")
client.request("GET", "/unauthorized")
client.invalidate_token(client.get_token())
try:
    svctoken.Client.atlas(**{{**options, "client_secret": "another-secret-another-secret"}}).get_token()
except svctoken.Error:
    logging.getLogger("program").exception("caught", extra={{"svctoken_event": "", "svctoken_fields": ""}})
print(token)
"""
    with start(code) as process:
        token, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    for told in ("token_received", "hold_opened", "token_request_failed", "ClientRefusedError"):
        assert told in errors
    for secret in (CLIENT_SECRET, "another-secret", token.strip(), "query-secret"):
        assert secret and secret not in errors


def test_a_program_without_logging_is_told_nothing(new_space: Callable[..., Space]) -> None:
    space = new_space()
    code = f"""
import svctoken
client = svctoken.Client.atlas(**{space.options()!r})
client.invalidate_token(client.get_token())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
