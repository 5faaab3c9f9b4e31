from __future__ import annotations

import base64
import enum
import json
from collections.abc import Callable
from typing import Any

import pytest
import svctoken
from sandbox import Space


class Colour(enum.IntEnum):
    RED = 7


def echo(space: Space, method: str = "POST", path: str = "/echo", **arguments: Any) -> dict[str, Any]:
    response = space.client().request(method, path, **arguments)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def test_a_request_carries_the_token_and_an_answer_has_the_names_of_requests(space: Space) -> None:
    client = space.client()
    response = client.request("GET", "/api/atlas/v2/groups", params={"itemsPerPage": 2}, timeout=30)
    assert response.status_code == 200 and response.ok and response.attempts == 1
    assert response.url == space.http + "/api/atlas/v2/groups?itemsPerPage=2"
    assert response.json()["totalCount"] == 3
    assert json.loads(response.content) == json.loads(response.text) == response.json()
    assert response.headers["CONTENT-TYPE"].startswith("application/vnd.atlas.2023-01-01+json")
    assert response.error() is None
    sent = dict(space.report()["log"][-1]["headers"])
    assert sent["authorization"] == "Bearer " + client.get_token()


def test_headers_are_a_mapping_without_case(new_space: Callable[..., Space]) -> None:
    rule = {"path": "/echo*", "do": {"status": 200, "headers": [["X-One", "1"], ["X-Two", "a"], ["x-two", "b"]]}}
    headers = new_space(rules=[rule]).client().request("GET", "/echo").headers
    assert headers["x-one"] == headers["X-ONE"] == "1"
    assert headers["X-Two"] == "a, b" and headers.get_all("X-TWO") == ["a", "b"]
    assert "x-TWO" in headers and "absent" not in headers and headers.get("absent") is None
    assert [pair for pair in headers.pairs() if pair[0].startswith("x-")] == [
        ("x-one", "1"),
        ("x-two", "a"),
        ("x-two", "b"),
    ]
    assert len(headers) == len(list(headers)) == len({name for name, _ in headers.pairs()})


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": 1, "b": 2.5, "c": True, "d": False, "e": None, "f": "x y"}, "a=1&b=2.5&c=true&d=false&f=x+y"),
        ({"a": ["x", None, 1], "b": ("y",), "c": []}, "a=x&a=1&b=y"),
        ([("b", "1"), ("a", "2"), ("b", "3")], "b=1&a=2&b=3"),
        ({"a": Colour.RED}, "a=7"),
        ({"ü": "&="}, "%C3%BC=%26%3D"),
    ],
)
def test_params(space: Space, params: Any, query: str) -> None:
    assert echo(space, params=params)["query"] == query


def test_headers_and_accept_are_sent(space: Space) -> None:
    sent = echo(space, headers={"X-Count": 3, "X-None": None, "X-Many": ["a", "b"]}, accept="text/plain")["headers"]
    assert ["x-count", "3"] in sent and ["accept", "text/plain"] in sent
    assert [value for name, value in sent if name == "x-many"] in (["a", "b"], ["a, b"])
    assert not [name for name, _ in sent if name == "x-none"]


@pytest.mark.parametrize(
    ("arguments", "body", "content_type"),
    [
        ({"json": {"a": [1, "ü", None]}}, b'{"a":[1,"\\u00fc",null]}', "application/json"),
        ({"json": [], "content_type": "application/vnd.atlas.2025-03-12+json"}, b"[]", "application/vnd.atlas.2025-03-12+json"),
        ({"json": False}, b"false", "application/json"),
        ({"data": b"\x00\xff"}, b"\x00\xff", None),
        ({"data": bytearray(b"abc"), "content_type": "text/plain"}, b"abc", "text/plain"),
        ({"data": memoryview(b"abcdef")[::2]}, b"ace", None),
        ({"data": "ü"}, b"\xc3\xbc", None),
        ({"data": {"a": ["1", 2], "b": None, "c": True}}, b"a=1&a=2&c=true", "application/x-www-form-urlencoded"),
        ({"data": [("a", "x y"), ("a", "&")]}, b"a=x+y&a=%26", "application/x-www-form-urlencoded"),
        ({"data": {"a": 1}, "content_type": "application/x-test"}, b"a=1", "application/x-test"),
        ({"data": {}}, b"", None),
        ({}, b"", None),
    ],
)
def test_bodies(space: Space, arguments: dict[str, Any], body: bytes, content_type: str | None) -> None:
    answer = echo(space, **arguments)
    assert base64.b64decode(answer["body_base64"]) == body
    assert dict(answer["headers"]).get("content-type") == content_type


def test_an_answer_that_is_not_what_was_asked_for(new_space: Callable[..., Space]) -> None:
    rules = [{"path": "/echo", "do": {"status": 200, "body_base64": "/w=="}}]
    response = new_space(rules=rules).client().request("GET", "/echo")
    assert response.content == b"\xff"
    with pytest.raises(svctoken.BadAnswerError):
        _ = response.text
    with pytest.raises(ValueError) as caught:
        response.json()
    assert isinstance(caught.value, svctoken.BadAnswerError) and caught.value.stage == "answer"


def test_json_that_is_too_deep_is_an_error_of_ours(new_space: Callable[..., Space]) -> None:
    client = new_space(rules=[{"path": "/echo", "do": {"status": 200, "body": "[" * 100_000}}]).client()
    with pytest.raises(svctoken.BadAnswerError):
        client.request("GET", "/echo").json()
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(svctoken.InvalidArgumentError, match="json cannot be written"):
        client.request("POST", "/echo", json=deep)


def test_an_error_status_is_an_answer_until_asked(space: Space) -> None:
    response = space.client().request("GET", "/api/atlas/v2/groups/000000000000000000000000")
    assert response.status_code == 404 and not response.ok
    error = response.error()
    assert isinstance(error, svctoken.HTTPStatusError) and error.status == 404
    assert "GROUP_NOT_FOUND" in str(error)
    with pytest.raises(svctoken.HTTPStatusError, match="GROUP_NOT_FOUND"):
        response.raise_for_status()


def test_what_a_hook_raises_ends_the_call(space: Space) -> None:
    client = space.client()
    seen: list[object] = []

    def before_send(method: str, url: str) -> None:
        seen.append((method, url))

    client.before_send, client.after_receive = before_send, seen.append
    response = client.request("GET", "/echo")
    assert seen == [("GET", "/echo"), response]

    def fails(*_: object) -> None:
        raise RuntimeError("the hook's own")

    client.after_receive = fails
    with pytest.raises(RuntimeError, match="own"):
        client.request("GET", "/echo")
    requests = space.report()["requests"]
    client.before_send = fails
    with pytest.raises(RuntimeError, match="own"):
        client.request("GET", "/echo")
    client.before_send = lambda method, url: 5  # type: ignore[assignment,return-value]
    with pytest.raises(svctoken.InvalidArgumentTypeError, match="before_send"):
        client.request("GET", "/echo")
    assert space.report()["requests"] == requests


def test_max_response_bytes(space: Space) -> None:
    client = space.client()
    assert len(client.request("GET", "/bytes/1000", max_response_bytes=1000).content) == 1000
    with pytest.raises(svctoken.AnswerTooLargeError):
        client.request("GET", "/bytes/1001", max_response_bytes=1000)


def test_requests_over_tls(space: Space) -> None:
    client = space.client(tls=True)
    assert client.request("GET", "/bytes/70000").content == bytes(i % 251 for i in range(70_000))


def test_a_certificate_that_nobody_vouches_for(space: Space) -> None:
    with pytest.raises(ConnectionError) as caught:
        space.client(tls=True, ca_file=None).get_token()
    assert isinstance(caught.value, svctoken.TlsFailedError)
    assert space.report()["requests"] == 0


def test_p07_the_token_goes_to_no_other_origin(space: Space) -> None:
    with pytest.raises(svctoken.OriginRefusedError) as caught:
        space.client().request("GET", "http://127.0.0.1:9/echo")
    assert caught.value.code == 13
    assert space.report()["requests"] == 0
