"""A command gives the secret in a program that has asked the system to forget its children, from any thread."""

import signal
import subprocess
import sys
import threading

import svctoken

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
base_url, client_id, secret_file = sys.argv[1:]


def client(*command: str, scope: str) -> svctoken.Client:
    return svctoken.Client(
        client_id=client_id,
        client_secret_command=command,
        token_url=f"{base_url}/api/oauth/token",
        scope=scope,
    )


def report(name: str, *command: str) -> None:
    try:
        client(*command, scope=name).get_token()
        print(name, "ok", flush=True)
    except svctoken.Error as error:
        print(name, error.name, "it printed nothing" in str(error), flush=True)


report("main", "cat", secret_file)
thread = threading.Thread(target=report, args=("thread", "cat", secret_file))
thread.start()
thread.join()
# The program's own environment and PATH are the command's, also where the constructor reads no option there.
report("environment", "sh", "-c", 'test -n "$HOME$PATH" && cat "$0"', secret_file)
report("nothing", "true")
# The program's children are its own business as ever.
assert subprocess.run(["true"]).returncode == 0
