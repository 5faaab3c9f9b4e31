from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def check(*command: str, folder: Path) -> None:
    ended = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=170)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.timeout(180)
def test_the_stubs_agree_with_the_module(tmp_path: Path) -> None:
    check("mypy.stubtest", "svctoken", "--allowlist", str(HERE / "stubtest-allowlist.txt"), folder=tmp_path)


@pytest.mark.timeout(180)
def test_the_package_its_example_and_its_tests_are_typed(tmp_path: Path) -> None:
    check("mypy", "--strict", f"--cache-dir={tmp_path}", ".", folder=HERE)
    check("mypy", "--strict", f"--cache-dir={tmp_path}", "-p", "svctoken", folder=tmp_path)
