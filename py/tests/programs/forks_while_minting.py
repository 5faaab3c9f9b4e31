"""Usage: forks_while_minting.py BASE_URL CACHE TOKEN_TIMEOUT COMMANDS. Asks for a token, and forks at a line on standard
input: the child has what its parent has open, locks too. For each line from the descriptor COMMANDS it asks for a token
itself, and ends when they do. Parent and child print their tokens."""

import os
import sys
import threading

import svctoken
from sandbox import CLIENT_ID, CLIENT_SECRET

base_url, cache, token_timeout, commands = sys.argv[1:]
client = svctoken.Client.atlas(
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
    base_url=base_url,
    cache=cache,
    token_timeout=float(token_timeout),
)


def ask(who: str) -> None:
    print(who, client.get_token(timeout=30), flush=True)


asking = threading.Thread(target=ask, args=("parent",), daemon=True)
asking.start()
sys.stdin.readline()
if os.fork() == 0:
    with os.fdopen(int(commands)) as lines:
        for _ in lines:
            ask("child")
    os._exit(0)
print("forked", flush=True)
asking.join()
sys.stdin.read()
