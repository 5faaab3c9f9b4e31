from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import svctoken
from sandbox import CLIENT_ID, CLIENT_SECRET, Space

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_quick_start_runs_as_it_stands(space: Space) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    atlas = {"CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET, "BASE_URL": space.http}
    environment = {**os.environ, **{f"MONGODB_ATLAS_{name}": value for name, value in atlas.items()}}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30
    )
    assert ended.stdout == "200 3\n", ended.stderr
    assert svctoken.__doc__ is not None
    assert re.findall(r"\S.*", svctoken.__doc__.split("::")[-1]) == re.findall(r"\S.*", program)
