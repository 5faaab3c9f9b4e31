"""What type checkers must accept as it stands; checked by mypy --strict, never run."""

from datetime import datetime, timedelta
from pathlib import Path

import svctoken
import svctoken.testing


def example() -> str | None:
    options_of_every_form = svctoken.Client(
        client_id="id",
        client_secret_file=Path("secret"),
        token_url="https://localhost/token",
        timeout=timedelta(seconds=30),
        connect_timeout=5,
        headers={"X-A": 1, "X-B": ["a", "b"]},
        extra_params=[("a", "b")],
        allowed_origins=["https://localhost"],
        scope=None,
    )
    options_of_every_form.close()
    svctoken.Client.issuer("https://sso.example", client_id="id", client_secret="secret").close()
    cancel = svctoken.CancelToken()
    with svctoken.Client.atlas() as client:
        token: str = client.get_token(timeout=1.5, cancel=cancel)
        info: svctoken.TokenInfo = client.get_token_info()
        ends: datetime = info.expires_at
        response = client.request("POST", "/a", params={"n": 1, "flag": True}, json={"ends": str(ends)}, timeout=30)
        try:
            response.raise_for_status()
        except svctoken.TokenError as error:
            again: float | None = error.retry_after
            return None if again is None else error.oauth_error
        except svctoken.TimeoutError:
            client.invalidate_token(token)
        whole: svctoken.Response = client.request("GET", "/a", stream=False)
        with client.request("GET", "/b", stream=True, idle_timeout=timedelta(seconds=5)) as stream:
            pieces: list[bytes] = [stream.read(5), *stream, *stream.iter_content(4096), whole.content]
            print(pieces, stream.status_code)
        either: svctoken.Response | svctoken.StreamingResponse = client.request("GET", "/a", stream=bool(pieces))
        client.request("POST", "/a", data=[("a", "b")] if either.ok else (("a", 1),))
        for page in client.pages("/a", params={"n": 1}, max_pages=10, cancel=cancel):
            page.raise_for_status()
        names: list[str] = [item["name"] for item in client.items("/a", member="data", timeout=5)]
        revoked: bool = client.revoke(timeout=timedelta(seconds=5), cancel=cancel)
        active: bool = client.introspect(token, timeout=5)["active"]
        if not (revoked or active or client.introspect()):
            client.clear_cache()
        svctoken.testing.advance_clock(60)
        return names[0] if names else response.headers.get("content-type")


def wrong() -> None:
    svctoken.Client(client_sercet="x")  # type: ignore[call-arg]
    svctoken.Client(timeout="3")  # type: ignore[arg-type]
    svctoken.Client.atlas().get_token(5)  # type: ignore[call-arg]
    svctoken.Client.atlas().request("POST", "/a", data={"a": 1}.items())  # type: ignore[arg-type]
