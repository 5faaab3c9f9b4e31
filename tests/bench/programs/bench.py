"""A contestant in Python: bench.py WHAT [--once], see tests/bench/README.md. Imports only what WHAT needs."""

import sys

PATH = "/bytes/1024?anonymous=1"
LARGE_PATH = "/bytes/8388608?anonymous=1"
LARGE = 8 * 1024 * 1024
PIECE = 64 * 1024
TOKEN = "x" * 700


def of_attribute():
    class Cache:
        def __init__(self):
            self.token = TOKEN

        def get_token(self):
            return self.token

    return Cache().get_token


def of_token():
    import svctoken

    return svctoken.Client.atlas().get_token


def of_import():
    import svctoken

    return lambda: svctoken


def of_request():
    import svctoken

    client = svctoken.Client.atlas()
    return lambda: client.request("GET", PATH).content


def of_stream():
    import svctoken

    client = svctoken.Client.atlas()

    def once():
        with client.request("GET", LARGE_PATH, stream=True) as response:
            count(response)

    return once


def count(pieces):
    length = sum(map(len, pieces))
    if length != LARGE:
        raise SystemExit(f"an answer of {length} bytes")


def url_and_ca(path=PATH):
    import os

    return os.environ["MONGODB_ATLAS_BASE_URL"] + path, os.environ["SVCTOKEN_CA_FILE"]


def curl_handle(path):
    import pycurl

    url, ca = url_and_ca(path)
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.CAINFO, ca)
    handle.setopt(pycurl.HTTPHEADER, ["Authorization: Bearer " + TOKEN])
    handle.setopt(pycurl.TIMEOUT, 60)
    handle.setopt(pycurl.NOSIGNAL, 1)
    return pycurl, handle


def of_pycurl_stream():
    pycurl, handle = curl_handle(LARGE_PATH)
    handle.setopt(pycurl.BUFFERSIZE, PIECE)

    def once():
        pieces = []
        handle.setopt(pycurl.WRITEFUNCTION, lambda piece: pieces.append(len(piece)))
        handle.perform()
        if sum(pieces) != LARGE:
            raise SystemExit(f"an answer of {sum(pieces)} bytes")

    return once


def of_pycurl():
    from io import BytesIO

    pycurl, handle = curl_handle(PATH)

    def once():
        body = BytesIO()
        handle.setopt(pycurl.WRITEDATA, body)
        handle.perform()
        return body.getvalue()

    return once


def of_pyreqwest():
    from pathlib import Path

    from pyreqwest.client import SyncClientBuilder

    url, ca = url_and_ca()
    client = SyncClientBuilder().add_root_certificate_pem(Path(ca).read_bytes()).build()
    return lambda: client.get(url).bearer_auth(TOKEN).build().send().bytes()


def httpx_client(ca):
    import ssl

    import httpx

    return httpx.Client(verify=ssl.create_default_context(cafile=ca), headers={"Authorization": "Bearer " + TOKEN})


def of_httpx():
    url, ca = url_and_ca()
    client = httpx_client(ca)
    return lambda: client.get(url).content


def of_httpx_stream():
    url, ca = url_and_ca(LARGE_PATH)
    client = httpx_client(ca)

    def once():
        with client.stream("GET", url) as response:
            count(response.iter_bytes())

    return once


def of_requests_stream():
    import requests

    url, ca = url_and_ca(LARGE_PATH)
    session = requests.Session()
    session.trust_env = False
    session.verify = ca
    session.headers["Authorization"] = "Bearer " + TOKEN

    def once():
        with session.get(url, stream=True, timeout=60) as response:
            count(response.iter_content(PIECE))

    return once


def oauthlib_session():
    from oauthlib.oauth2 import BackendApplicationClient
    from requests_oauthlib import OAuth2Session

    facts = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}
    session = OAuth2Session(client=BackendApplicationClient("id"), token=facts)
    session.trust_env = False
    return session


def of_oauthlib_token():
    client = oauthlib_session()._client
    # What it does before each request: is the token there and alive, and into the header.
    return lambda: client.add_token("https://localhost/", headers={})


def of_requests_oauthlib():
    url, ca = url_and_ca()
    # It refuses to send a token over http otherwise, loopback or not.
    import os

    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    session = oauthlib_session()
    session.verify = ca
    return lambda: session.get(url, timeout=60).content


def main():
    what = sys.argv[1]
    if what == "empty":
        return
    try:
        once = globals()["of_" + what]()
    except ImportError as error:
        print(f"missing: {error}", flush=True)
        return
    got = once()
    if isinstance(got, bytes) and len(got) != 1024:
        raise SystemExit(f"an answer of {len(got)} bytes")
    if len(sys.argv) > 2:
        return
    import time

    print("ready", flush=True)
    for line in sys.stdin:
        times = range(int(line))
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        for _ in times:
            once()
        print(time.perf_counter_ns() - wall, time.process_time_ns() - cpu, flush=True)


main()
