from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, Space


def pytest_configure() -> None:
    # A shell has what it starts in the background ignore Ctrl-C, and the programs of these tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    program = os.environ.get("SVCTOKEN_SANDBOX")
    if not program:
        raise pytest.UsageError("set SVCTOKEN_SANDBOX to the path of the program svctoken-sandbox")
    sandbox = Sandbox(program)
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis or Valkey of this run's own, from the machine's packages."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if not program:
        assert "CI" not in os.environ, "CI needs valkey-server or redis-server"
        pytest.skip("neither valkey-server nor redis-server is installed")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "notice"]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any("Ready to accept connections" in line for line in process.stdout), "it ended"
        yield f"redis://127.0.0.1:{port}"
        process.kill()


@pytest.fixture
def space(new_space: Callable[..., Space]) -> Space:
    return new_space()


@pytest.fixture
def new_space(sandbox: Sandbox) -> Iterator[Callable[..., Space]]:
    spaces: list[Space] = []

    def new(**settings: object) -> Space:
        spaces.append(sandbox.space(**settings))
        return spaces[-1]

    yield new
    for space in spaces:
        space.delete()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("MONGODB_ATLAS_", "SVCTOKEN_")) and name != "SVCTOKEN_SANDBOX":
            monkeypatch.delenv(name)
    # Tokens of a test are nobody else's.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
