from __future__ import annotations

import os
import pickle
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import svctoken
from sandbox import CLIENT_ID, CLIENT_SECRET, Space
from svctoken import _native, _options

MINIMAL: dict[str, Any] = {"client_id": "id", "client_secret": CLIENT_SECRET, "token_url": "https://localhost/token"}

# The example key of RFC 8037 appendix A.1.
JWK = '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQH"}'


def samples(name: str, kind: str) -> list[Any]:
    special: dict[str, list[Any]] = {
        "auth_method": ["client_secret_post"],
        "auth_encoding": ["raw"],
        "cache": ["memory"],
        "token_url": ["https://localhost/t"],
        "issuer": ["https://localhost"],
        "revocation_url": ["https://localhost/r"],
        "introspection_url": ["https://localhost/i"],
        "base_url": ["https://localhost"],
        "allowed_origins": [["https://localhost"], ("https://localhost",), "https://localhost"],
    }
    kinds: dict[str, list[Any]] = {
        "text": ["text"],
        "secret": [CLIENT_SECRET],
        "duration": [1, 1.5, timedelta(seconds=2), Decimal("3"), float("inf"), 10**400],
        "count": [2],
        "flag": [True, False],
        "list": [["https://localhost/a"], ("https://localhost/b",)],
        "callback": [lambda: CLIENT_SECRET],
        "pairs": [{"X-A": "b"}, [("X-A", "b")], {"X-A": 1, "X-B": True, "X-C": None, "X-D": ["a", "b"]}],
    }
    return special.get(name, kinds[kind])


@pytest.mark.parametrize(("name", "kind"), [row[:2] for row in _native.OPTIONS])
def test_every_option_is_a_keyword_and_none_is_as_if_not_given(name: str, kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = dict(MINIMAL)
    values = samples(name, kind)
    if name == "client_secret_file":
        del options["client_secret"]
        (tmp_path / "secret").write_text(CLIENT_SECRET + "\n")
        values = [tmp_path / "secret", str(tmp_path / "secret")]
    if name in ("client_secret_command", "client_secret_callback"):
        del options["client_secret"]
    if name in ("private_key", "private_key_file"):
        del options["client_secret"]
        options["auth_method"] = "private_key_jwt"
        (tmp_path / "key").write_text(JWK)
        values = [JWK] if name == "private_key" else [tmp_path / "key", str(tmp_path / "key")]
    if name in ("ca_file", "client_cert_file", "client_key_file"):
        values = []
    for value in values:
        svctoken.Client(**{**options, name: value})
    if name not in options:
        svctoken.Client(**MINIMAL, **{name: None})


def test_the_typed_options_are_the_cores() -> None:
    assert list(get_type_hints(_options.Options)) == [row[0] for row in _native.OPTIONS]


@pytest.mark.parametrize(("name", "kind"), [row[:2] for row in _native.OPTIONS])
def test_an_option_of_a_wrong_type_is_refused_by_name(name: str, kind: str) -> None:
    wrong: list[Any] = [object(), b"bytes", 3 + 4j]
    wrong += {"flag": [1, "true"], "count": ["3", True, 1.5, 0, -1], "duration": ["3", True, 0, -1, float("nan")]}.get(
        kind, []
    )
    wrong += {"text": [1, True, ["x"]], "secret": [1, ["x"]], "list": [1, [1], {"a": "b"}]}.get(kind, [])
    wrong += {"pairs": ["text", ["x"], {"a": object()}, {1: "x"}]}.get(kind, [])
    for value in wrong:
        with pytest.raises(svctoken.InvalidConfigurationError, match=name) as caught:
            svctoken.Client(**{**MINIMAL, name: value})
        assert caught.value.code == 11 and caught.value.stage == "configuration"


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"client_id": None}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"client_secret": "a\nb"}, "client_secret"),
        ({"client_secret": "\udcff"}, "lone surrogates"),
        ({"client_secret": None, "client_secret_file": "/nonexistent/secret"}, "client_secret_file"),
        ({"token_url": "localhost/token"}, "token_url"),
        ({"token_url": "http://example.com/token"}, "allow_http"),
        ({"client_sercet": "x"}, "Did you mean client_secret?"),
        ({"cache": "nonsense"}, "cache"),
    ],
)
def test_bad_options_name_the_field_and_the_way_out(options: dict[str, Any], fragment: str) -> None:
    with pytest.raises(svctoken.Error) as caught:
        svctoken.Client(**{**MINIMAL, **options})
    assert fragment in str(caught.value) and caught.value.code in (11, 12)


def bad_calls(client: svctoken.Client, arguments: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(next(iter(given)), lambda given=given: client.request("GET", "/echo", **given)) for given in arguments]


def test_bad_arguments_name_the_field_before_any_network(space: Space) -> None:
    client: Any = space.client()
    types = bad_calls(
        client,
        [
            {"timeout": "3"},
            {"timeout": True},
            {"max_response_bytes": 1.5},
            {"max_response_bytes": True},
            {"cancel": object()},
            {"params": "a=b"},
            {"params": 5},
            {"params": {"a": object()}},
            {"params": ["ab", 3]},
            {"headers": {1: "x"}},
            {"accept": 1},
            {"data": 5, "content_type": "text/plain"},
            {"json": object()},
            {"json": {"a": b""}},
        ],
    )
    types += [
        ("timeout", lambda: client.get_token(timeout="3")),
        ("cancel", lambda: client.get_token(cancel=1)),
        ("timeout", lambda: client.get_token_info(timeout=[])),
        ("method", lambda: client.request(b"GET", "/echo")),
        ("url", lambda: client.request("GET", None)),
        ("token", lambda: client.invalidate_token(None)),
        ("seconds", lambda: _native.advance_clock("3")),  # type: ignore[arg-type]
        ("realm", lambda: svctoken.Client.keycloak("https://localhost", 5)),  # type: ignore[arg-type]
        ("server_url", lambda: svctoken.Client.keycloak(None, "r")),  # type: ignore[arg-type]
        ("issuer", lambda: svctoken.Client.issuer(None)),  # type: ignore[arg-type]
    ]
    values = bad_calls(
        client,
        [
            {"timeout": 0},
            {"timeout": -1},
            {"timeout": float("nan")},
            {"timeout": timedelta(0)},
            {"max_response_bytes": 0},
            {"max_response_bytes": -1},
            {"json": float("nan")},
            {"json": 1, "data": b""},
            {"data": "\udcff"},
        ],
    )
    values += [
        ("timeout", lambda: client.get_token(timeout=0)),
        ("timeout", lambda: client.get_token_info(timeout=-0.5)),
        ("method", lambda: client.request("G T", "/echo")),
        ("/a b", lambda: client.request("GET", "/a b")),
        ("x-a", lambda: client.request("GET", "/echo", headers={"x-a": "a\r\nb"})),
        ("authorization", lambda: client.request("GET", "/echo", headers={"authorization": "x"})),
    ]
    for (field, call), error in [*((c, TypeError) for c in types), *((c, ValueError) for c in values)]:
        with pytest.raises(error) as caught:
            call()
        assert isinstance(caught.value, svctoken.InvalidArgumentError) and caught.value.code == 10, field
        assert field in str(caught.value).lower()
        assert caught.value.stage == "argument" and str(caught.value).endswith(caught.value.next_step)
    assert space.report()["requests"] == 0


def test_the_environment_is_os_environ_at_construction(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_ATLAS_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("MONGODB_ATLAS_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("MONGODB_ATLAS_BASE_URL", space.http)
    for client in (svctoken.Client.atlas(), svctoken.Client.from_env()):
        assert client.request("GET", "/api/atlas/v2/groups").ok
    monkeypatch.delenv("MONGODB_ATLAS_CLIENT_ID")
    with pytest.raises(svctoken.InvalidConfigurationError, match="client_id"):
        svctoken.Client.atlas()
    # Options given beat it; a client without a preset does not read it.
    assert svctoken.Client.atlas(client_id=CLIENT_ID).get_token()
    monkeypatch.setenv("SVCTOKEN_CLIENT_ID", CLIENT_ID)
    with pytest.raises(svctoken.InvalidConfigurationError, match="client_id"):
        svctoken.Client(base_url=space.http)


def test_an_environment_that_is_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "UNRELATED", "\udcff")
    monkeypatch.setenv("MONGODB_ATLAS_CLIENT_ID", CLIENT_ID)
    monkeypatch.setitem(os.environ, "MONGODB_ATLAS_CLIENT_SECRET", "\udcff")
    with pytest.raises(svctoken.InvalidConfigurationError, match="MONGODB_ATLAS_CLIENT_SECRET is not UTF-8"):
        svctoken.Client.atlas()


def test_keycloak(space: Space) -> None:
    client = svctoken.Client.keycloak(space.http, "demo", client_id="app", client_secret="app-secret-app-secret-app-secret")
    assert client.request("GET", "/admin/realms").json()[0]["realm"] == "demo"


def test_issuer(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVCTOKEN_CLIENT_SECRET", "app-secret-app-secret-app-secret")
    client = svctoken.Client.issuer(f"{space.http}/realms/demo", client_id="app", base_url=space.http)
    assert repr(client) == f'<svctoken.Client client_id="app" issuer="{space.http}/realms/demo">'
    assert client.request("GET", "/admin/realms").json()[0]["realm"] == "demo"
    with pytest.raises(svctoken.InvalidConfigurationError, match="issuer is given twice"):
        svctoken.Client.issuer("https://localhost", issuer="https://localhost")


def test_p07_nothing_shows_a_secret(space: Space) -> None:
    client = space.client(headers={"X-Key": "header-secret"})
    token = client.get_token()
    info = client.get_token_info()
    shown = [repr(client), str(client), repr(info), str(info), repr(client.request("GET", "/echo")), str(client.stats())]
    with pytest.raises(svctoken.Error) as caught:
        space.client(client_id=CLIENT_ID + "-unknown").get_token()
    shown += [str(caught.value), repr(caught.value), repr(vars(caught.value)), str(pickle.dumps(caught.value))]
    for text in shown:
        assert CLIENT_SECRET not in text and token not in text and "header-secret" not in text
    assert CLIENT_ID in repr(client) and "svctoken" in repr(client)
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(client)


def test_a_subclass_is_made_by_every_constructor(space: Space) -> None:
    class Mine(svctoken.Client):
        def groups(self) -> int:
            count: int = self.request("GET", "/api/atlas/v2/groups").json()["totalCount"]
            return count

    mine = Mine.atlas(**space.options())
    assert isinstance(mine, Mine) and mine.groups() == 3
