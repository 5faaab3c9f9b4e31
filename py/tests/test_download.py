"""Answers downloaded to a file: what is Python's own."""

from __future__ import annotations

import _thread
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import svctoken
from sandbox import Space


def pattern(length: int) -> bytes:
    return bytes(index % 251 for index in range(length))


def left(folder: pathlib.Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != "caches")


def test_a_path_may_be_text_bytes_or_a_path(space: Space, tmp_path: pathlib.Path) -> None:
    client = space.client()
    path = tmp_path / "file"
    for length, given in enumerate((str(path), path, os.fsencode(path))):
        answer = client.download("GET", f"/bytes/{length}", given)  # type: ignore[arg-type]
        assert isinstance(answer, svctoken.Response) and answer.ok and answer.content == b""
        assert path.read_bytes() == pattern(length)
    assert left(tmp_path) == ["file"]


def test_the_files_mode_and_links_are_kept(space: Space, tmp_path: pathlib.Path) -> None:
    client = space.client()
    real, link, dangling = tmp_path / "real", tmp_path / "link", tmp_path / "dangling"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    client.download("GET", "/bytes/5", link)
    assert link.is_symlink() and real.read_bytes() == pattern(5) and real.stat().st_mode & 0o777 == 0o640
    dangling.symlink_to(tmp_path / "nowhere" / "file")
    client.download("GET", "/bytes/6", dangling)
    assert not dangling.is_symlink() and dangling.read_bytes() == pattern(6)
    before = os.umask(0o027)
    try:
        client.download("GET", "/bytes/6", tmp_path / "new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640, "as any new file"


def test_what_progress_raises_comes_out_and_leaves_nothing(space: Space, tmp_path: pathlib.Path) -> None:
    class Mine(Exception):
        pass

    mine = Mine("that is enough")

    def progress(received: int, total: int | None) -> None:
        assert (received, total) == (0, 1000)
        raise mine

    with pytest.raises(Mine) as caught:
        space.client().download("GET", "/bytes/1000", tmp_path / "file", progress=progress)
    assert caught.value is mine
    assert left(tmp_path) == []
    wrong: Any = 7
    with pytest.raises(TypeError, match="not callable"):
        space.client().download("GET", "/bytes/1000", tmp_path / "file", progress=wrong)


def test_ctrl_c_leaves_nothing(new_space: Callable[..., Space], tmp_path: pathlib.Path) -> None:
    space = new_space(rules=[{"path": "/bytes/*", "do": {"stall": {"after_body_bytes": 1000}}}])
    client = space.client()
    client.get_token()

    def interrupt() -> None:
        space.wait(requests=2)
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        client.download("GET", "/bytes/5000", tmp_path / "file")
    assert left(tmp_path) == []


def test_hooks_see_a_download(space: Space, tmp_path: pathlib.Path) -> None:
    client = space.client()
    seen: list[object] = []
    client.before_send = lambda method, url: {"X-Trace": f"{method} {url}"}
    client.after_receive = seen.append
    answer = client.download("GET", "/echo", tmp_path / "file")
    assert seen == [answer]
    assert b"GET /echo" in (tmp_path / "file").read_bytes()


@pytest.mark.timeout(60)
def test_the_example_shows_its_progress(space: Space, tmp_path: pathlib.Path) -> None:
    example = pathlib.Path(__file__).parent.parent / "examples" / "download.py"
    file = tmp_path / "file"
    options = space.options()
    environment = {f"MONGODB_ATLAS_{name}": options[name.lower()] for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET")}
    for path, code in (("/bytes/2000000", 0), ("/api/atlas/v2/nothing", 1)):
        command = [sys.executable, str(example), path, str(file)]
        ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=50)
        assert ended.returncode == code, ended.stderr
        assert file.read_bytes() == pattern(2_000_000)
        if code == 0:
            assert "2.0 MB" in ended.stderr or "2.00M" in ended.stderr
        else:
            assert "404" in ended.stderr
