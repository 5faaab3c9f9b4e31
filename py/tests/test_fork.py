"""A process that forks while it holds the lock of the machine's or the fleet's token: nobody waits for its child, which
cannot know that it has the lock too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox import TOKEN_PATH, Space

HERE = Path(__file__).parent
GRACE = 1
"""What a holder of the lock is given beyond its token_timeout, in seconds."""
SLACK = 3
"""What a busy machine may need beyond that."""


class Family:
    """A parent in the middle of its token request, and its child."""

    def __init__(self, process: subprocess.Popen[str], commands: int) -> None:
        self.parent, self._commands = process, commands

    def child_asks(self) -> None:
        os.write(self._commands, b"get\n")

    def hear(self, who: str) -> str:
        assert self.parent.stdout
        name, token = self.parent.stdout.readline().split()
        assert name == who
        return str(token)


@contextmanager
def family(space: Space, cache: str, token_timeout: float) -> Iterator[Family]:
    reading, writing = os.pipe()
    arguments = [space.http, cache, str(token_timeout), str(reading)]
    command = [sys.executable, "-W", "ignore", str(HERE / "programs" / "forks_while_minting.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, pass_fds=[reading]
    ) as process:
        os.close(reading)
        try:
            space.wait(token_requests=1)
            assert process.stdin and process.stdout
            process.stdin.write("fork\n")
            process.stdin.flush()
            assert process.stdout.readline() == "forked\n"
            yield Family(process, writing)
        finally:
            # The child ends with its commands.
            os.close(writing)
            process.kill()


@contextmanager
def others(space: Space, cache: str, token_timeout: float) -> Iterator[Callable[[], set[str]]]:
    """Three more processes, which ask at once; gives what they get."""
    options = space.options(cache=cache, token_timeout=token_timeout)
    code = f"import svctoken\nprint(svctoken.Client.atlas(**{options!r}).get_token(timeout=30))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        yield lambda: {process.communicate(timeout=40)[0].strip() for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()


def requests(space: Space) -> int:
    return int(space.report()["token_requests"])


@pytest.fixture
def held(new_space: Callable[..., Space]) -> Space:
    """Its first token request is held at a gate."""
    return new_space(rules=[{"path": TOKEN_PATH, "nth": [1], "do": {"hold": "gate"}}])


@pytest.fixture(params=["file", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file:{tmp_path / 'store'}"
    return str(request.getfixturevalue("redis_url"))


def test_p08_a_parent_that_has_its_token_frees_the_lock_that_its_child_has_too(held: Space, cache: str) -> None:
    with family(held, cache, 15) as parent, others(held, cache, 15) as tokens:
        held.release("gate")
        token = parent.hear("parent")
        assert tokens() == {token}
        assert requests(held) == 1
        client = held.client(cache=cache)
        assert client.get_token() == token and client.invalidate_token(token)
        began = time.monotonic()
        assert client.get_token() != token
        assert time.monotonic() - began < SLACK, "the child holds a lock that is free"
        assert requests(held) == 2


def test_p08_the_idle_child_of_a_parent_that_was_killed_keeps_nobody(held: Space, cache: str) -> None:
    with family(held, cache, 2) as parent, others(held, cache, 2) as tokens:
        killed = time.monotonic()
        parent.parent.kill()
        (token,) = tokens()
        assert token and time.monotonic() - killed < 2 + GRACE + SLACK
        assert requests(held) == 2
        # The child goes on having the lock; the next token costs no more than the look at who holds it.
        client = held.client(cache=cache, token_timeout=2)
        assert client.get_token() == token and client.invalidate_token(token)
        began = time.monotonic()
        assert client.get_token() != token
        assert time.monotonic() - began < GRACE + SLACK
        assert requests(held) == 3


def test_p08_a_child_of_one_that_mints_gets_its_parents_token(held: Space, cache: str) -> None:
    with family(held, cache, 15) as parent:
        parent.child_asks()
        with pytest.raises(OSError):
            held.wait(token_requests=2, timeout_ms=500)
        held.release("gate")
        said = {tuple(parent.parent.stdout.readline().split()) for _ in range(2)} if parent.parent.stdout else set()
        assert {who for who, _ in said} == {"parent", "child"} and len({token for _, token in said}) == 1
        assert requests(held) == 1


def test_p08_a_child_whose_parent_was_killed_passes_by_the_lock_it_has_itself(held: Space, cache: str) -> None:
    with family(held, cache, 2) as parent:
        parent.parent.kill()
        began = time.monotonic()
        parent.child_asks()
        assert parent.hear("child")
        assert time.monotonic() - began < 2 + GRACE + SLACK
        assert requests(held) == 2
