"""The Python driver: see ../README.md. Converts, calls, converts back, and judges nothing."""

import functools
import json
import logging
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

import svctoken
import svctoken.testing
import upload

Fields = list[tuple[str, str]]

SAFE = "~:/?,;@$*()! "
TIMES = {"timeout", "connect_timeout", "idle_timeout", "token_timeout"}
FLAGS = {"allow_http", "idempotent"}
COUNTS = {"max_attempts", "max_pages", "mint_budget", "max_response_bytes", "take", "stream", "stop_after", "cancel_after"}
COUNTS |= {"measure", "upload", "upload_length", "upload_fails", "upload_cancel"}
LISTS = {"allowed_origins", "resource", "client_secret_command"}
LOUD = "SVCTOKEN_DRIVER_LOUD" in os.environ


class Broken(Exception):
    """The runner asked for something that cannot be done."""


def show(value: object) -> None:
    """Shows on standard error what a program might print of a value, for the runner to search for secrets."""
    if not LOUD:
        return
    forms = [repr(value), str(value), f"{value!a}", repr(dir(value))]
    if isinstance(value, BaseException):
        forms += [repr(vars(value)), json.dumps(vars(value), default=repr)]
        forms += traceback.format_exception(value)
    try:
        # A token's facts are handed on whole; nothing else that can be pickled holds a token.
        forms += [] if isinstance(value, svctoken.TokenInfo) else [repr(pickle.dumps(value)), pickle.dumps(value, 0).decode("latin-1")]
    except (TypeError, AttributeError) as error:
        forms.append(repr(error))
    print(*forms, sep="\n", file=sys.stderr, flush=True)


def encode(value: object) -> str:
    return quote(value if isinstance(value, bytes) else str(value), safe=SAFE)


def answer(word: str, fields: list[tuple[str, object]]) -> None:
    line = "\t".join([word, *(f"{encode(key)}={encode(value)}" for key, value in fields)])
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def split(field: str) -> tuple[str, str]:
    key, _, value = field.partition("=")
    return unquote(key), value


def seconds(text: str) -> float:
    return float(text) / 1000


def convert(name: str, value: str) -> Any:
    text = unquote(value)
    if name in TIMES:
        return seconds(text)
    if name in COUNTS:
        return int(text)
    if name in FLAGS:
        return text == "true"
    return text


def secret_of(path: str) -> str:
    try:
        with open(path) as file:
            return next(file).rstrip("\n")
    except (OSError, StopIteration):
        raise LookupError("there is no secret today") from None


def of_another_type(kind: str, value: str) -> Any:
    text = unquote(value)
    types: dict[str, Callable[[], Any]] = {
        "number": lambda: float(text) if "." in text else int(text),
        "flag": lambda: text == "true",
        "null": lambda: None,
        "list": lambda: [text],
        "bytes": lambda: unquote_to_bytes(value),
    }
    if kind not in types:
        raise Broken("not expressible")
    return types[kind]()


def options_of(fields: Fields) -> tuple[dict[str, Any], dict[str, str]]:
    options: dict[str, Any] = {}
    environment: dict[str, str] = {}
    for key, value in fields:
        if key.startswith("env."):
            environment[key[4:]] = unquote(value)
        elif key.startswith(("headers.", "extra_params.", "hook.")):
            option, _, name = key.partition(".")
            options.setdefault(option, []).append((name, unquote(value)))
        elif "!" in key:
            name, _, kind = key.partition("!")
            options[name] = of_another_type(kind, value)
        elif key == "client_secret_callback":
            options[key] = functools.partial(secret_of, unquote(value))
        elif key in LISTS:
            options.setdefault(key, []).append(unquote(value))
        else:
            options[key] = convert(key, value)
    return options, environment


# The answers that a client's hook was given.
received: list[svctoken.Response] = []


def new_client(fields: Fields) -> svctoken.Client:
    options, environment = options_of(fields)
    hook = options.pop("hook", None)
    client = made_client(options, environment)
    if hook is not None:
        client.before_send = lambda method, url: hook
        client.after_receive = received.append
    return client


def made_client(options: dict[str, Any], environment: dict[str, str]) -> svctoken.Client:
    constructor = options.pop("constructor", "plain")
    for name in list(os.environ):
        if name.startswith(("SVCTOKEN_", "MONGODB_ATLAS_")):
            del os.environ[name]
    os.environ.update(environment)
    if constructor == "keycloak":
        return svctoken.Client.keycloak(options.pop("server_url"), options.pop("realm"), **options)
    if constructor == "issuer":
        return svctoken.Client.issuer(options.pop("issuer"), **options)
    constructors = {"plain": svctoken.Client, "atlas": svctoken.Client.atlas, "from_env": svctoken.Client.from_env}
    return constructors[constructor](**options)


def request_arguments(fields: Fields) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for key, value in fields:
        if key.startswith("query."):
            arguments.setdefault("params", []).append((key[6:], unquote(value)))
        elif key.startswith("header."):
            arguments.setdefault("headers", []).append((key[7:], unquote(value)))
        elif key.startswith("form."):
            arguments.setdefault("data", []).append((key[5:], unquote(value)))
        elif key == "json":
            arguments["json"] = json.loads(unquote(value))
        elif key == "body":
            arguments["data"] = unquote_to_bytes(value)
        else:
            arguments[key] = convert(key, value)
    return arguments


def error_fields(error: BaseException) -> tuple[str, list[tuple[str, object]]]:
    if isinstance(error, Streamed) and error.__cause__ is not None:
        word, fields = error_fields(error.__cause__)
        return word, [*fields, *error.args[0]]
    show(error)
    if not isinstance(error, svctoken.Error):
        return "foreign", [("type", type(error).__name__), ("message", error)]
    classes = [cls.__name__ for cls in type(error).__mro__ if cls not in (object, BaseException, Exception)]
    fields: list[tuple[str, object]] = [("code", error.code), ("name", error.name), ("message", error)]
    optional = {
        "stage": error.stage,
        "status": error.status,
        "oauth_error": error.oauth_error,
        "oauth_error_description": error.oauth_error_description,
        "api_error_code": error.api_error_code,
        "retry_after_ms": None if error.retry_after is None else round(error.retry_after * 1000),
        "class": ",".join(classes),
    }
    return "error", fields + [(key, value) for key, value in optional.items() if value is not None]


def token_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    return [("token", client.get_token(**arguments))]


def info_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    info = client.get_token_info(**arguments)
    show(info)
    scope = [] if info.scope is None else [("scope", info.scope)]
    facts = [("token", info.token), ("token_type", info.token_type), ("expires_in_ms", round(info.expires_in * 1000))]
    return facts + scope


def revoke_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    return [("result", str(client.revoke(**arguments)).lower())]


def introspect_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    answer = client.introspect(**arguments)
    show(answer)
    return [("body", json.dumps(answer))]


class Streamed(Exception):
    """A stream that ended by the error that is its cause, with these facts."""


def memory(name: str) -> int:
    """A number of /proc/self/status, in KiB; the peak is forgotten when the present is asked."""
    if name == "VmRSS":
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def stream_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    then, size = arguments.pop("then", None), arguments.pop("stream")
    stop_after, cancel_after = (arguments.pop(name, sys.maxsize) for name in ("stop_after", "cancel_after"))
    measure = arguments.pop("measure", None)
    pattern = memoryview(bytes(range(251)) * ((size + 251) // 251 + 1))
    length, matches, body = 0, True, b""

    def facts() -> list[tuple[str, object]]:
        measured = [("matches", str(matches).lower()), ("growth_kib", memory("VmHWM") - begin)] if measure else []
        return [("streamed", length), *measured]

    with client.request(**arguments, stream=True) as response:
        begin = memory("VmRSS") if measure else 0
        show(response)
        show(response.error())
        if then == "check":
            response.raise_for_status()
        try:
            for piece in response.iter_content(size):
                if measure:
                    matches = matches and piece == pattern[length % 251 : length % 251 + len(piece)]
                else:
                    body += piece
                length += len(piece)
                if length >= cancel_after:
                    arguments["cancel"].cancel()
                if length >= stop_after:
                    break
        except BaseException as error:
            raise Streamed(facts()) from error
    headers = [(f"header.{name}", value) for name, value in response.headers.pairs()]
    head = [("status", response.status_code), ("attempts", response.attempts), ("url", response.url), ("body", body)]
    return [*head, *facts(), *headers]


Facts = list[tuple[str, object]]


def measured(measure: object, call: Callable[[], Facts], more: Callable[[], Facts] = list) -> Facts:
    """What a call came to, with the memory that it took if that is to be measured, and with more facts."""

    def facts() -> Facts:
        return [*more(), *([("growth_kib", memory("VmHWM") - begin)] if measure else [])]

    begin = memory("VmRSS") if measure else 0
    try:
        result = call()
    except BaseException as error:
        raise Streamed(facts()) from error
    return [*result, *facts()]


def upload_result(client: svctoken.Client, arguments: dict[str, Any]) -> Facts:
    measure = arguments.pop("measure", None)
    done = upload.add_to(arguments)
    try:
        return measured(measure, lambda: request_result(client, arguments))
    finally:
        done()


def download_result(client: svctoken.Client, arguments: dict[str, Any]) -> Facts:
    then, stop, measure = (arguments.pop(name, None) for name in ("then", "progress_stop", "measure"))
    told: list[str] = []

    def progress(received: int, total: int | None) -> None:
        told.append(f"{received}/{'-' if total is None else total}")
        if stop is not None and received >= int(stop):
            raise RuntimeError("that is enough")

    def call() -> Facts:
        return answer_fields(client.download(path=arguments.pop("download"), progress=progress, **arguments), then)

    return measured(measure, call, lambda: [("progress_first", told[0]), ("progress_last", told[-1])] if told else [])


def request_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    if "download" in arguments:
        return download_result(client, arguments)
    if "upload" in arguments:
        return upload_result(client, arguments)
    if "stream" in arguments:
        return stream_result(client, arguments)
    then = arguments.pop("then", None)
    return answer_fields(client.request(**arguments), then)


def answer_fields(response: svctoken.Response, then: str | None) -> list[tuple[str, object]]:
    show(response)
    show(response.error())
    if then == "check":
        response.raise_for_status()
    headers = [(f"header.{name}", value) for name, value in response.headers.pairs()]
    return [
        ("status", response.status_code),
        ("attempts", response.attempts),
        ("url", response.url),
        ("body", response.content),
        *([("text", response.text)] if then == "text" else []),
        *([("received", len(received))] if received else []),
        *headers,
    ]


class Failed(Exception):
    """A list that ended with an error after so many pages or items."""

    def __init__(self, error: BaseException, count: int) -> None:
        self.error, self.count = error, count


def taken(list_: Iterator[Any], most: int | None) -> list[Any]:
    found: list[Any] = []
    try:
        while most is None or len(found) < most:
            found.append(next(list_))
            show(found[-1])
    except StopIteration:
        pass
    except BaseException as error:
        raise Failed(error, len(found)) from error
    return found


def pages_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    most = arguments.pop("take", None)
    pages: list[svctoken.Response] = taken(client.pages(**arguments), most)
    last = [("status", pages[-1].status_code), ("body", pages[-1].content)] if pages else []
    urls = " ".join(page.url for page in pages)
    return [("count", len(pages)), ("urls", urls), *last, *([("received", len(received))] if received else [])]


def items_result(client: svctoken.Client, arguments: dict[str, Any]) -> list[tuple[str, object]]:
    most = arguments.pop("take", None)
    items = taken(client.items(**arguments), most)
    return [("count", len(items)), ("body", json.dumps(items))]


# How many words come before the fields, where that is not 2.
WORDS = {"request": 4, "pages": 3, "items": 3}

RESULTS = {
    "get_token": token_result,
    "get_token_info": info_result,
    "introspect": introspect_result,
    "items": items_result,
    "pages": pages_result,
    "revoke": revoke_result,
    "request": request_result,
}


class Call:
    """One call on a thread of its own."""

    def __init__(self, run: Callable[[dict[str, Any]], list[tuple[str, object]]], arguments: dict[str, Any]) -> None:
        self.cancel = svctoken.CancelToken()
        self.result: tuple[str, list[tuple[str, object]]] = ("broken", [("message", "the call did not end")])
        self._run, self._arguments = run, {**arguments, "cancel": self.cancel}
        # Daemon, so that the driver can quit while a call still waits.
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        begin = time.monotonic()
        try:
            word, fields = "ok", self._run(self._arguments)
        except Failed as failed:
            word, fields = error_fields(failed.error)
            fields.append(("count", failed.count))
        except BaseException as error:  # noqa: BLE001: whatever comes out is the result
            word, fields = error_fields(error)
        self.result = (word, [*fields, ("elapsed_ms", round((time.monotonic() - begin) * 1000))])


class Events(logging.Handler):
    """Keeps the log events of all clients, which Python has one place for."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        show(vars(record))
        self.records.append(record)

    def taken(self) -> list[tuple[str, object]]:
        self.acquire()
        records, self.records = self.records, []
        self.release()
        return [(f"{index}.{key}", value) for index, record in enumerate(records) for key, value in facts_of(record)]


def facts_of(record: logging.LogRecord) -> list[tuple[str, object]]:
    event, fields = vars(record)["svctoken_event"], vars(record)["svctoken_fields"]
    named = [("severity", record.levelname.lower()), ("name", event), ("message", record.getMessage())]
    return [*named, *fields.items()]


class Driver:
    def __init__(self) -> None:
        self.events = Events()
        logging.getLogger("svctoken").addHandler(self.events)
        logging.getLogger("svctoken").setLevel(logging.DEBUG)
        self.clients: dict[str, svctoken.Client] = {}
        self.calls: dict[str, Call] = {}

    def client(self, name: str) -> svctoken.Client:
        if name not in self.clients:
            raise Broken(f"no client {name}")
        return self.clients[name]

    def call(self, name: str) -> Call:
        if name not in self.calls:
            raise Broken(f"no call {name}")
        return self.calls[name]

    def start(self, command: str, words: list[str], fields: Fields) -> None:
        client = self.client(words[1])
        arguments = request_arguments(fields)
        if command == "request":
            arguments["method"], arguments["url"] = words[2], words[3]
        elif command in ("pages", "items"):
            arguments["url"] = words[2]
        result = RESULTS[command]
        self.calls[words[0]] = Call(lambda arguments: result(client, arguments), arguments)

    def run(self, command: str, raw: list[str]) -> tuple[str, list[tuple[str, object]]]:
        words = [unquote(field) for field in raw]
        if command == "client":
            try:
                self.clients[words[0]] = new_client([split(field) for field in raw[1:]])
                show(self.clients[words[0]])
            except (Exception, svctoken.Error) as error:
                if isinstance(error, Broken):
                    raise
                return error_fields(error)
        elif command in RESULTS:
            self.start(command, words, [split(field) for field in raw[WORDS.get(command, 2) :]])
        elif command == "wait":
            call = self.call(words[0])
            call.thread.join()
            return call.result
        elif command == "cancel":
            self.call(words[0]).cancel.cancel()
        elif command == "invalidate_token":
            return "ok", [("result", str(self.client(words[0]).invalidate_token(words[1])).lower())]
        elif command == "clear_cache":
            try:
                self.client(words[0]).clear_cache()
            except svctoken.Error as error:
                return error_fields(error)
        elif command == "advance":
            svctoken.testing.advance_clock(seconds(words[0]))
        elif command == "stats":
            return "ok", list(self.client(words[0]).stats().items())
        elif command == "events":
            self.client(words[0])
            return "ok", self.events.taken()
        elif command == "close":
            self.client(words[0]).close()
        elif command == "describe":
            return "ok", [("text", repr(self.client(words[0])))]
        else:
            raise Broken(f"unknown command {command}")
        return "ok", []


def main() -> None:
    if LOUD:
        logging.basicConfig(level=logging.DEBUG)
    driver = Driver()
    for line in sys.stdin.buffer:
        command, *fields = line.decode().rstrip("\n").split("\t")
        if command == "quit":
            answer("ok", [])
            return
        try:
            answer(*driver.run(command, fields))
        except Broken as error:
            answer("broken", [("message", error)])


main()
