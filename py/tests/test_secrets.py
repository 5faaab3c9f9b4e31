"""Where secrets come from, as far as it is Python's own: functions of the program, its signals, its end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import svctoken
from sandbox import CLIENT_ID, CLIENT_SECRET, Space

HERE = Path(__file__).parent


def client(space: Space, function: Callable[[], str]) -> svctoken.Client:
    return svctoken.Client(
        client_id=CLIENT_ID,
        client_secret_callback=function,
        token_url=f"{space.http}/api/oauth/token",
        base_url=space.http,
    )


def test_a_function_is_called_once_for_all_threads_and_not_on_theirs(space: Space) -> None:
    threads: list[int] = []

    def secret() -> str:
        threads.append(threading.get_ident())
        return CLIENT_SECRET

    asked = client(space, secret)
    assert not threads, "not before a token is needed"
    callers = [threading.Thread(target=asked.get_token) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(threads) == 1 and threads[0] not in {caller.ident for caller in callers}
    assert asked.request("GET", "/echo").status_code == 200


def test_p13_what_a_function_raises_or_returns_instead_of_a_secret_is_told(space: Space) -> None:
    def sealed() -> str:
        raise LookupError("the vault is sealed")

    def exits() -> str:
        raise SystemExit(3)

    cases: list[tuple[Callable[[], object], str]] = [
        (sealed, "LookupError: the vault is sealed"),
        (exits, "SystemExit"),
        (lambda: None, "a NoneType"),
        (lambda: b"bytes", "a bytes"),
        (lambda: "\ud800", "lone surrogates"),
        (lambda: "", "empty"),
        (lambda: "two\nlines", "line break"),
    ]
    for function, words in cases:
        with pytest.raises(svctoken.CredentialUnavailableError, match="client_secret_callback") as caught:
            client(space, function).get_token()  # type: ignore[arg-type]
        assert words in str(caught.value)


def test_a_function_that_calls_its_own_client_is_refused_at_once(space: Space) -> None:
    clients: list[svctoken.Client] = []
    asked = client(space, lambda: clients[0].get_token())
    clients.append(asked)
    began = time.monotonic()
    with pytest.raises(svctoken.CredentialUnavailableError, match="calls the client"):
        asked.get_token()
    assert time.monotonic() - began < 10


def test_p08_a_function_that_hangs_holds_neither_the_callers_time_nor_the_interpreter(space: Space) -> None:
    release = threading.Event()

    def secret() -> str:
        release.wait(30)
        return CLIENT_SECRET

    asked = client(space, secret)
    with pytest.raises(svctoken.TimeoutError, match="client_secret_callback"):
        asked.get_token(timeout=0.1)
    release.set()
    assert asked.get_token()


def test_a_client_that_its_function_holds_is_collected(space: Space) -> None:
    class Vault:
        def __init__(self) -> None:
            self.client = client(space, self.secret)

        def secret(self) -> str:
            return CLIENT_SECRET

    vault = Vault()
    vault.client.get_token()
    watched = weakref.ref(vault)
    del vault
    until = time.monotonic() + 10
    # The thread that asked may let go of it a moment later.
    while watched() is not None and time.monotonic() < until:
        gc.collect()
    assert watched() is None


def test_a_command_works_where_the_program_ignores_the_ends_of_its_children(space: Space, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(CLIENT_SECRET + "\n")
    program = [sys.executable, str(HERE / "programs" / "secret_command.py"), space.http, CLIENT_ID, str(secret)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30, env=dict(os.environ))
    expected = "main ok\nthread ok\nenvironment ok\nnothing credential_unavailable True\n"
    assert done.stdout == expected, done.stderr
