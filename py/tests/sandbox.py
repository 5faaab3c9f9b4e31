"""Starts the sandbox program and speaks its admin API."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import urllib.error
import urllib.request
from typing import Any

import svctoken

CLIENT_ID = "mdb_sa_id_0123456789abcdef01234567"
CLIENT_SECRET = "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox"

# The machine's own proxy settings are not for loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sandbox:
    """The running program. It ends when its standard input does."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        greeting = json.loads(self._process.stdout.readline())
        self._admin = greeting["admin"]
        descriptor, self.ca_file = tempfile.mkstemp(suffix=".pem")
        with os.fdopen(descriptor, "w") as file:
            file.write(greeting["ca_pem"])

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._admin + path, data=data, method=method)
        with _opener.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def space(self, **settings: object) -> Space:
        return Space(self, self.call("POST", "/spaces", settings))

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            os.unlink(self.ca_file)


class Space:
    """One test's own servers and counters."""

    def __init__(self, sandbox: Sandbox, answer: dict[str, str]) -> None:
        self._sandbox, self._path = sandbox, "/spaces/" + answer["space"]
        self.http, self.https, self.ca_file = answer["http"], answer["https"], sandbox.ca_file

    def options(self, *, tls: bool = False, **options: Any) -> dict[str, Any]:
        """What `Client.atlas` takes to reach this space."""
        base = {"base_url": self.https, "ca_file": self.ca_file} if tls else {"base_url": self.http}
        return {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **base, **options}

    def client(self, *, tls: bool = False, **options: Any) -> svctoken.Client:
        return svctoken.Client.atlas(**self.options(tls=tls, **options))

    def patch(self, **settings: object) -> None:
        self._sandbox.call("PATCH", self._path, settings)

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = self._sandbox.call("GET", self._path)
        return report

    def wait(self, **counters: object) -> None:
        """Blocks until all the counters are reached; fails after 10 s, or `timeout_ms`."""
        self._sandbox.call("POST", self._path + "/wait", {"timeout_ms": 10_000, **counters})

    def release(self, gate: str) -> None:
        self._sandbox.call("POST", self._path + "/release", {"hold": gate})

    def delete(self) -> None:
        self._sandbox.call("DELETE", self._path)


def hold(gate: str, path: str) -> list[dict[str, object]]:
    """The rules of a space where requests for `path` wait at `gate`."""
    return [{"path": path, "do": {"hold": gate}}]


TOKEN_PATH = "/api/oauth/token"
