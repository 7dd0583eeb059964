"""What the two Python suites share: the server they run against, images fetched in plain HTTP, and the count.

The server is named by the environment; `tests/suite/clients.rs` starts one and sets these variables:

    FRESHET_ADMIN       the purge API, as in http://127.0.0.1:8081
    FRESHET_PROXY       address and port that images are served on, as in 127.0.0.1:8080
    FRESHET_BASE        an account's URL endpoint; FRESHET_PROXY serves it, whatever host it names
    FRESHET_KEY         the account's private key
    FRESHET_SMALL_BASE  the same of an account that may purge two URLs a month, and has purged none
    FRESHET_SMALL_KEY

A check purges what others have stored: each stores what it needs itself, and they run one after the other.
"""

import http.client
import os
import re
import sys
import time
import traceback
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_S = 20
UNKNOWN_ID = "0123456789abcdef01234567"
MONTH_MS = 31 * 24 * 60 * 60 * 1000

try:
    ADMIN, PROXY, BASE, KEY, SMALL_BASE, SMALL_KEY = (
        os.environ[f"FRESHET_{name}"] for name in ("ADMIN", "PROXY", "BASE", "KEY", "SMALL_BASE", "SMALL_KEY")
    )
except KeyError as absent:
    sys.exit(f"{absent} is not set: see tests/clients/checks.py")
os.environ["NO_PROXY"] = "*"  # The server is on this machine.

_checks = []


def use_client(name):
    """Makes what tests/clients/fetch installed as `name` the place that imports come from."""
    folder = Path(__file__).parent / ".cache" / name
    if not (folder / "fetched").exists():
        sys.exit(f"{name} is not there: run tests/clients/fetch")
    sys.path.insert(0, str(folder))


def check(name):
    """Registers a check under the name it is reported by."""

    def register(function):
        _checks.append((name, function))
        return function

    return register


def expect(holds, what):
    """Not `assert`: `python -O` drops that."""
    if not holds:
        raise AssertionError(what)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: {got!r}, not {wanted!r}")


def expect_error(kind, call):
    """The error of this very class that `call` ends with."""
    try:
        answer = call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {answer!r}")


def expect_request_id(request_id):
    expect(re.fullmatch("[0-9a-f]{24}", str(request_id)), f"no request id: {request_id!r}")


def expect_allowance_fields(fields):
    """What a 429 says of an allowance of 2: ImageKit's three fields, and that a retry can't help."""
    expect_equal(fields.get("x-should-retry"), "false", "x-should-retry")
    expect_equal(fields.get("x-ratelimit-limit"), "2", "x-ratelimit-limit")
    reset, interval = int(fields["x-ratelimit-reset"]), int(fields["x-ratelimit-interval"])
    expect(0 < reset <= interval <= MONTH_MS, f"reset {reset} ms, interval {interval} ms")
    expect(int(fields["retry-after"]) > 0, f"retry-after {fields['retry-after']}")


def is_hit(url):
    """Fetches an image; whether it came from the cache. `hit` stands in the Cache-Status of hits alone."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(PROXY, timeout=PATIENCE_S)
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request("GET", path, headers={"Host": parts.netloc})
        response = connection.getresponse()
        body = response.read()
        expect_equal(response.status, 200, url)
        expect(len(body) > 0, f"{url} is empty")
        status = response.getheader("Cache-Status")
        expect(status is not None, f"{url} has no Cache-Status")
        return "hit" in status
    finally:
        connection.close()


def store(*urls):
    """Sees to it that these images are in the cache."""
    for url in urls:
        is_hit(url)
        expect(is_hit(url), f"{url} is no hit when it is fetched again")


def expect_stored(*urls):
    for url in urls:
        expect(is_hit(url), f"{url} was purged")


def expect_purged(*urls):
    for url in urls:
        expect(not is_hit(url), f"{url} was not purged")


def wait_until_completed(status):
    """Asks until the purge is complete; every answer before that must be Pending."""
    end = time.monotonic() + PATIENCE_S
    while (answer := status()) != "Completed":
        expect_equal(answer, "Pending", "status")
        expect(time.monotonic() < end, f"still Pending after {PATIENCE_S} s")
        time.sleep(0.01)


def run():
    """Runs all checks; ends the process with 0 if all of them hold."""
    failed = 0
    for name, function in _checks:
        try:
            function()
            print(f"ok {name}")
        except Exception:
            failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}")
    print(f"{len(_checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not _checks else 0)
