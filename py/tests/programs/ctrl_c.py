"""Usage: ctrl_c.py CALL BASE_URL CA_FILE. Calls; when a line comes on standard input, sends itself SIGINT, and prints
how many milliseconds later the call ended with KeyboardInterrupt."""

import os
import signal
import sys
import threading
import time

import svctoken
from sandbox import CLIENT_ID, CLIENT_SECRET

call, base_url, ca_file = sys.argv[1:]
client = svctoken.Client.atlas(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, base_url=base_url, ca_file=ca_file)
sent = 0.0


def interrupt() -> None:
    global sent
    sys.stdin.readline()
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)


if call != "get_token":
    client.get_token()
threading.Thread(target=interrupt, daemon=True).start()
print("ready", flush=True)
try:
    if call == "stream":
        client.request("GET", "/echo", stream=True).read()
    elif call == "request":
        client.request("GET", "/echo")
    else:
        client.get_token()
except KeyboardInterrupt:
    print(round((time.monotonic() - sent) * 1000), flush=True)
