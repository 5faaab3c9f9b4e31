from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import svctoken
from sandbox import Space

GROUPS = "/api/atlas/v2/groups"
ONE = {"itemsPerPage": 1}


def queries(space: Space) -> list[str]:
    return [request["query"] for request in space.report()["log"] if request["path"] == GROUPS]


def test_pages_are_an_iterator_of_responses_and_asked_for_one_by_one(space: Space) -> None:
    pages = space.client().pages(GROUPS, params=ONE)
    assert isinstance(pages, Iterator) and queries(space) == []
    first = next(pages)
    assert isinstance(first, svctoken.Response) and first.json()["results"][0]["name"] == "project-1"
    assert len(queries(space)) == 1
    assert [page.json()["results"][0]["name"] for page in pages] == ["project-2", "project-3"]
    assert len(queries(space)) == 3
    assert next(pages, None) is None


def test_items_are_decoded_objects_of_all_pages(space: Space) -> None:
    items = space.client().items(GROUPS, params={"itemsPerPage": 2})
    assert next(items)["name"] == "project-1" and next(items)["name"] == "project-2"
    assert len(queries(space)) == 1
    assert [item["name"] for item in items] == ["project-3"]


def test_headers_of_an_iterator_go_with_every_page(space: Space) -> None:
    headers: Any = iter([("X-Call", "h")])
    assert len(list(space.client().pages(GROUPS, params=ONE, headers=headers))) == 3
    sent = [dict(request["headers"]) for request in space.report()["log"] if request["path"] == GROUPS]
    assert [headers.get("x-call") for headers in sent] == ["h", "h", "h"]


def test_hooks_are_given_each_page_and_its_url(space: Space) -> None:
    client = space.client()
    asked: list[tuple[str, str]] = []
    answered: list[str] = []

    def before_send(method: str, url: str) -> dict[str, str]:
        asked.append((method, url))
        return {"X-Trace": str(len(asked))}

    client.before_send = before_send
    client.after_receive = lambda response: answered.append(response.url)
    assert len(list(client.items(GROUPS, params=ONE))) == 3
    assert asked == [("GET", GROUPS), ("GET", answered[1]), ("GET", answered[2])]
    assert answered[1].startswith(space.http + GROUPS + "?") and "pageNum=2" in answered[1]
    sent = [dict(request["headers"]) for request in space.report()["log"] if request["path"] == GROUPS]
    assert [headers["x-trace"] for headers in sent] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"max_pages": 0}, ValueError, "max_pages must be 1 or more"),
        ({"max_pages": "3"}, TypeError, "max_pages must be an int, not a str"),
        ({"member": 3}, TypeError, "member must be a str, not an int"),
    ],
)
def test_what_is_wrong_is_said_at_once(space: Space, arguments: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named) as raised:
        space.client().items(GROUPS, **arguments)
    assert isinstance(raised.value, svctoken.InvalidArgumentError)
    assert queries(space) == []


def test_a_cancel_between_pages_ends_the_list(space: Space) -> None:
    cancel = svctoken.CancelToken()
    pages = space.client().pages(GROUPS, params=ONE, cancel=cancel)
    next(pages)
    cancel.cancel()
    with pytest.raises(svctoken.CancelledError):
        next(pages)
    assert next(pages, None) is None and len(queries(space)) == 1


def test_a_list_ends_with_the_error_of_a_page(new_space: Callable[..., Space]) -> None:
    rule = {"path": GROUPS, "nth": [2], "do": {"status": 403, "body": '{"errorCode": "NO"}'}}
    client = new_space(rules=[rule]).client()
    names = []
    with pytest.raises(svctoken.HTTPStatusError, match="NO"):
        for item in client.items(GROUPS, params=ONE):
            names.append(item["name"])
    assert names == ["project-1"]
