from __future__ import annotations

import builtins
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import svctoken
from sandbox import TOKEN_PATH, Space
from svctoken import _native, exceptions

CLASSES = [cls for cls in vars(exceptions).values() if isinstance(cls, type) and issubclass(cls, BaseException)]


def test_every_code_of_the_core_has_its_class_and_no_class_is_left_over() -> None:
    assert list(exceptions.CLASSES) == [name for _, name, _, _ in _native.ERROR_CODES]
    for number, name, _, next_step in _native.ERROR_CODES:
        error = exceptions.CLASSES[name]("text")
        assert (error.code, error.name, error.next_step, str(error)) == (number, name, next_step, "text")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_is_below_the_base_and_exported(cls: type[BaseException]) -> None:
    assert issubclass(cls, svctoken.Error)
    assert getattr(svctoken, cls.__name__) is cls and cls.__name__ in svctoken.__all__
    assert cls.__doc__


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_is_pickled_and_copied_whole(cls: type[svctoken.Error]) -> None:
    error = cls(
        "message",
        what="what",
        next_step="next",
        stage="waiting",
        status=429,
        oauth_error="e",
        oauth_error_description="d",
        api_error_code="c",
        retry_after=1.5,
    )
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for twin in [*copies, copy.copy(error), copy.deepcopy(error)]:
        assert type(twin) is cls and str(twin) == "message" and vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("cls", "built_in"),
    [
        (svctoken.TimeoutError, builtins.TimeoutError),
        (svctoken.ConnectFailedError, builtins.ConnectionError),
        (svctoken.ConnectionLostError, OSError),
        (svctoken.InvalidConfigurationError, ValueError),
        (svctoken.InvalidArgumentError, ValueError),
        (svctoken.InvalidArgumentTypeError, TypeError),
        (svctoken.BadAnswerError, ValueError),
    ],
)
def test_the_expected_built_in_catches_it(cls: type[svctoken.Error], built_in: type[BaseException]) -> None:
    assert issubclass(cls, built_in)


def test_p13_an_error_of_the_server_carries_its_facts(new_space: Callable[..., Space]) -> None:
    client = new_space(clients=[{"id": "other", "secret": "other-secret-other-secret"}]).client()
    with pytest.raises(svctoken.ClientRefusedError) as caught:
        client.get_token()
    error = caught.value
    assert (error.code, error.name, error.stage) == (40, "client_refused", "token_answer")
    assert error.status == 401 and error.oauth_error == "invalid_client"
    assert str(error) == f"{error.what}. {error.next_step}"
    assert isinstance(error, svctoken.TokenError)


def test_p13_retry_after_is_in_seconds(new_space: Callable[..., Space]) -> None:
    rule = {"path": TOKEN_PATH, "do": {"status": 429, "headers": [["Retry-After", "120"]], "body": ""}}
    with pytest.raises(svctoken.RateLimitedError) as caught:
        new_space(rules=[rule]).client(timeout=1).get_token()
    assert caught.value.retry_after == pytest.approx(120, abs=2)


def test_nothing_listens(new_space: Callable[..., Space]) -> None:
    space = new_space(accept="refuse")
    with pytest.raises(ConnectionError) as caught:
        space.client(max_attempts=1).get_token()
    assert isinstance(caught.value, svctoken.ConnectFailedError)


def test_a_panic_is_an_exception_that_programs_expect(space: Space, capfd: pytest.CaptureFixture[str]) -> None:
    client: Any = space.client()

    class Panicking(dict[str, str]):
        def items(self) -> Any:
            # PyO3 goes on panicking when it meets its own exception, as it would in a chain of callbacks.
            raise panic("the text of the panic")

    with pytest.raises(svctoken.Error):
        client.get_token(timeout="makes PyO3 define its exception")
    panic = next(cls for cls in BaseException.__subclasses__() if cls.__name__ == "PanicException")
    with pytest.raises(svctoken.PanicError, match="the text of the panic") as caught:
        client.request("GET", "/echo", params=Panicking())
    assert caught.value.code == 90
    assert client.request("GET", "/echo").ok
