"""What needs a process of its own: signals, fork, subinterpreters, the end of the program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import svctoken
from sandbox import TOKEN_PATH, Space, hold

HERE = Path(__file__).parent


@contextmanager
def program(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, str(HERE / "programs" / name), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted_after(call: str, base_url: str, ca_file: str, waiting: Callable[[], object]) -> int:
    with program("ctrl_c.py", call, base_url, ca_file) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        waiting()
        output, errors = process.communicate("now\n", timeout=20)
        assert output, errors
        return int(output)


@pytest.mark.parametrize(
    ("call", "settings", "tls", "waits"),
    [
        ("get_token", {"rules": hold("gate", TOKEN_PATH)}, False, {"held": {"gate": 1}}),
        ("get_token", {"rules": hold("gate", TOKEN_PATH)}, True, {"held": {"gate": 1}}),
        ("get_token", {"tls_fault": "stall_handshake"}, True, {"connections": 1}),
        ("get_token", {"accept": "stall"}, False, {"connections": 1}),
        ("request", {"rules": hold("gate", "/echo*")}, False, {"held": {"gate": 1}}),
        ("request", {"rules": hold("gate", "/echo*")}, True, {"held": {"gate": 1}}),
        ("request", {"rules": [{"path": "/echo*", "do": {"stall": {"after_body_bytes": 1}}}]}, False, {"requests": 2}),
        ("stream", {"rules": [{"path": "/echo*", "do": {"stall": {"after_body_bytes": 1}}}]}, False, {"requests": 2}),
    ],
)
def test_p08_ctrl_c_ends_a_wait_within_100_ms(
    new_space: Callable[..., Space], call: str, settings: dict[str, object], tls: bool, waits: dict[str, object]
) -> None:
    space = new_space(**settings)
    base_url = space.https if tls else space.http
    assert interrupted_after(call, base_url, space.ca_file, lambda: space.wait(**waits)) < 100


def connecting(port: int) -> int:
    """How many connections to the port wait for its answer (state SYN_SENT)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/net/tcp shows who is connecting on Linux only")
def test_p08_ctrl_c_ends_a_connect_within_100_ms(space: Space) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # Fills the queue that nobody accepts from: the next connection waits for its first answer.
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        before = connecting(port)

        def until_connecting() -> None:
            while connecting(port) <= before:
                pass

        assert interrupted_after("get_token", f"http://127.0.0.1:{port}", space.ca_file, until_connecting) < 100
        for filler in fillers:
            filler.close()


@pytest.fixture
def handler() -> Iterator[Callable[[Callable[[], None]], None]]:
    before = signal.getsignal(signal.SIGUSR1)

    def install(run: Callable[[], None]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: run())

    yield install
    signal.signal(signal.SIGUSR1, before)


def signal_when_held(space: Space) -> threading.Thread:
    def send() -> None:
        space.wait(held={"gate": 1})
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_p08_what_another_signals_handler_raises_comes_out(
    new_space: Callable[..., Space], handler: Callable[[Callable[[], None]], None]
) -> None:
    def fail() -> None:
        raise LookupError("from the handler")

    handler(fail)
    space = new_space(rules=hold("gate", TOKEN_PATH))
    sender = signal_when_held(space)
    with pytest.raises(LookupError, match="from the handler"):
        space.client().get_token()
    sender.join(10)


def test_p08_a_handler_that_raises_nothing_runs_and_the_call_goes_on(
    new_space: Callable[..., Space], handler: Callable[[Callable[[], None]], None]
) -> None:
    space = new_space(rules=hold("gate", TOKEN_PATH))
    handler(lambda: space.release("gate"))
    sender = signal_when_held(space)
    assert space.client().get_token(timeout=20)
    sender.join(10)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("tls", [False, True])
def test_p08_forked_children_and_their_parent_read_their_own_answers(space: Space, tls: bool) -> None:
    with program("fork_under_load.py", space.https if tls else space.http, space.ca_file) as process:
        output, errors = process.communicate(timeout=110)
    assert output, errors
    right, wrong, hung, children = map(int, output.split())
    assert (wrong, hung, children) == (0, 0, 16), errors
    assert right >= 1000


@pytest.mark.parametrize(("cache", "token_requests"), [("memory", 2), ("file", 1)])
def test_p08_a_child_forked_during_a_token_request_waits_for_no_thread_of_its_parent(
    new_space: Callable[..., Space], cache: str, token_requests: int
) -> None:
    space = new_space(rules=hold("gate", TOKEN_PATH))
    client = space.client(cache=cache)
    tokens: list[str] = []
    waiting = threading.Thread(target=lambda: tokens.append(client.get_token(timeout=20)))
    waiting.start()
    space.wait(held={"gate": 1})
    pid = os.fork()
    if pid == 0:
        # Nothing of pytest's may run in the child.
        status = 1
        try:
            status = 0 if client.get_token(timeout=20) and client.request("GET", "/echo", timeout=20).ok else 2
        finally:
            os._exit(status)
    try:
        # Through files it gets what its parent gets.
        space.wait(held={"gate": token_requests})
    finally:
        space.release("gate")
        status = os.waitpid(pid, 0)[1]
    waiting.join(20)
    assert os.waitstatus_to_exitcode(status) == 0 and tokens
    assert space.report()["token_requests"] == token_requests
    assert client.request("GET", "/echo", timeout=20).ok


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_a_subinterpreter_is_refused() -> None:
    code = """
import svctoken
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
print(interpreters.run_string(interpreters.create(), "import svctoken"))
"""
    ended = run(code)
    assert "ImportError" in ended.stdout + ended.stderr, ended


def test_p08_nothing_keeps_the_process_alive(new_space: Callable[..., Space]) -> None:
    space = new_space(rules=hold("gate", TOKEN_PATH))
    code = f"""
import svctoken
client = svctoken.Client.atlas(**{space.options()!r})
try:
    client.get_token(timeout=0.1)
except svctoken.TimeoutError:
    print("left")
"""
    assert run(code).stdout == "left\n"


def test_importing_is_light() -> None:
    heavy = {"asyncio", "dataclasses", "datetime", "inspect", "json", "logging", "re", "ssl", "typing", "typing_extensions"}
    ended = run(f"""
import sys
before = set(sys.modules)
import svctoken
print(({heavy} & set(sys.modules)) - before)
""")
    assert ended.stdout == "set()\n", ended
    assert "TokenInfo" in svctoken.__all__ and svctoken.TokenInfo.__name__ == "TokenInfo"
    assert not hasattr(svctoken, "Nothing")


def test_the_version_is_one() -> None:
    from importlib.metadata import version

    assert svctoken.__version__ == version("svctoken")
