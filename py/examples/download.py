"""Downloads from Atlas with a progress bar: ``python download.py PATH FILE [ACCEPT]``.

    python download.py /api/atlas/v2/groups/ID/clusters/HOST/logs/mongodb.gz mongodb.gz application/vnd.atlas.2025-03-12+gzip

Reads MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET. The bar is tqdm's, if that is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import svctoken


def plain_bar() -> Callable[[int, int | None], None]:
    def progress(received: int, total: int | None) -> None:
        share = f"{received / total:6.1%}" if total else "      "
        print(f"\r{share} {received / 1e6:10.1f} MB", end="", file=sys.stderr, flush=True)

    return progress


def bar() -> Callable[[int, int | None], None]:
    try:
        from tqdm import tqdm
    except ImportError:
        return plain_bar()
    shown = tqdm(unit="B", unit_scale=True)

    def progress(received: int, total: int | None) -> None:
        shown.total = total
        shown.update(received - shown.n)

    return progress


def main(path: str, file: str, accept: str | None = None) -> None:
    with svctoken.Client.atlas() as client:
        response = client.download("GET", path, file, accept=accept, progress=bar())
    print(file=sys.stderr)
    response.raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:])
