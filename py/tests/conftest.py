from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, Space


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    program = os.environ.get("SVCTOKEN_SANDBOX")
    if not program:
        raise pytest.UsageError("set SVCTOKEN_SANDBOX to the path of the program svctoken-sandbox")
    sandbox = Sandbox(program)
    yield sandbox
    sandbox.stop()


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
