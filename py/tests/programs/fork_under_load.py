"""Usage: fork_under_load.py BASE_URL CA_FILE. A warm client, four threads busy in the parent, 16 forked children: every
side checks that each body is the answer to its own question. Prints how many were right and how many wrong."""

import os
import signal
import struct
import sys
import threading
import time

import svctoken
import svctoken.testing
from sandbox import CLIENT_ID, CLIENT_SECRET

CHILDREN, CHILD_REQUESTS, THREADS = 16, 50, 4
DEADLINE = time.monotonic() + 90

base_url, ca_file = sys.argv[1:]
client = svctoken.Client.atlas(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, base_url=base_url, ca_file=ca_file)


def ask(who: str) -> bool:
    try:
        answer = client.request("GET", "/echo", params={"who": who}, timeout=20)
        return answer.status_code == 200 and answer.json()["query"] == f"who={who}"
    except Exception as error:
        print(f"{who}: {error!r}", file=sys.stderr, flush=True)
        return False


class Asker(threading.Thread):
    """Asks until told to stop."""

    stop = threading.Event()

    def __init__(self, number: int) -> None:
        super().__init__(daemon=True)
        self.number, self.right, self.wrong = number, 0, 0

    def run(self) -> None:
        while not self.stop.is_set():
            if ask(f"parent-{self.number}-{self.right}"):
                self.right += 1
            else:
                self.wrong += 1


def child(number: int, result: int) -> None:
    # Half of them find their token ended, and so fetch one in the child.
    if number % 2:
        svctoken.testing.advance_clock(4000)
    right = sum(ask(f"child-{number}-{i}") for i in range(CHILD_REQUESTS))
    os.write(result, struct.pack("ii", right, CHILD_REQUESTS - right))


def fork(number: int, result: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            child(number, result)
        finally:
            os._exit(0)
    return pid


def wait(pid: int) -> bool:
    while time.monotonic() < DEADLINE:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


client.get_token()
askers = [Asker(number) for number in range(THREADS)]
for asker in askers:
    asker.start()
while min(asker.right + asker.wrong for asker in askers) < 5 and time.monotonic() < DEADLINE:
    time.sleep(0.001)
reading, writing = os.pipe()
children = [fork(number, writing) for number in range(CHILDREN)]
hung = [wait(pid) for pid in children].count(False)
while sum(asker.right + asker.wrong for asker in askers) < 400 and time.monotonic() < DEADLINE:
    time.sleep(0.001)
Asker.stop.set()
for asker in askers:
    asker.join(max(0.0, DEADLINE - time.monotonic()))
    hung += asker.is_alive()
os.close(writing)
with os.fdopen(reading, "rb") as results:
    pairs = list(struct.iter_unpack("ii", results.read()))
right = sum(pair[0] for pair in pairs) + sum(asker.right for asker in askers)
wrong = sum(pair[1] for pair in pairs) + sum(asker.wrong for asker in askers)
print(right, wrong, hung, len(pairs), flush=True)
os._exit(0)
