"""Many requests at once while the network and the server fail at random: every call ends, and nothing is left over."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sandbox import Space

REQUESTS = int(os.environ.get("SVCTOKEN_LOAD", "1000"))
AT_ONCE = 64
FAULTS: list[dict[str, object]] = [
    {"status": 503},
    {"status": 429, "headers": [["Retry-After", "0"]]},
    {"html": True},
    {"reset": "before_answer"},
    {"reset": "after_head"},
    {"reset": {"after_body_bytes": 20}},
    {"close": "before_answer"},
    {"close": "after_answer"},
    {"status": 200, "body": "half", "content_length": 500},
    {"delay_ms": 30},
    {"drip_ms": 1},
]


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_p09_every_call_ends_while_everything_fails(new_space: Callable[..., Space]) -> None:
    seed = int(os.environ.get("SVCTOKEN_SEED", random.randrange(10**9)))
    chance = random.Random(seed)
    # One request in eight meets a fault.
    struck = chance.sample(range(1, REQUESTS + 1), REQUESTS // 8)
    rules = [{"path": "/echo", "nth": struck[i :: len(FAULTS)], "do": fault} for i, fault in enumerate(FAULTS)]
    space = new_space(rules=rules)
    client = space.client(timeout=30, max_attempts=10)
    client.get_token()
    threads, memory = threading.active_count(), 0

    def call(number: int) -> None:
        response = client.request("GET", "/echo", params={"number": number})
        assert response.status_code == 200 and response.json()["query"] == f"number={number}"

    begin = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        warm = REQUESTS // 4
        for begun, end in ((0, warm), (warm, REQUESTS)):
            list(pool.map(call, range(begun, end), timeout=120))
            grown, memory = resident_kib() - memory, resident_kib()
    took = time.monotonic() - begin
    report = space.report()
    # One that an earlier test left may have ended meanwhile.
    assert threading.active_count() <= threads
    # Those of the requests, by the kernel's count, and connections beyond one for each of them.
    assert len(os.listdir("/proc/self/task")) <= threads + 8
    assert report["open_connections"] <= AT_ONCE + 1
    assert report["requests"] >= REQUESTS + 1 and report["mints"] == 1
    assert grown < 16 * 1024, f"{grown} KiB more after the first quarter"
    stats = client.stats()
    assert stats["requests"] == REQUESTS and stats["retries"] > 0
    print(f"{REQUESTS} requests, {AT_ONCE} at once, {stats['retries']} retries, {took:.1f} s, seed {seed}")
