"""A first run, as the README tells it: the server with its own config, an image, and its purges with curl.

Runs from the repository's root, and takes the two ports that the config names. Leaves nothing behind.
"""

import json
import signal
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ADMIN = "http://127.0.0.1:8081"
IMAGE = "http://127.0.0.1:8080/demo/photos/2024/harbour.jpg?tr=w-300,h-200"
FOLDER = "http://127.0.0.1:8080/demo/photos/2024/*"
LEDGER = Path("freshet.redb")
# From start to the first answer; the build went before.
START_S = 60
COMPLETED_S = 20
STOP_S = 10

# Straight to this machine, whatever proxy the environment names.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
counts = {True: 0, False: 0}


def check(holds, name, detail=""):
    counts[bool(holds)] += 1
    print(f"ok {name}" if holds else f"FAILED {name} {detail}")


def wait_until_it_answers(server):
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with direct.open(f"{ADMIN}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.1)
    return False


def fetch():
    """The image, and its Cache-Status."""
    with direct.open(IMAGE, timeout=30) as answer:
        return answer.read(), answer.headers.get("Cache-Status", "")


def size(jpeg):
    """Width and height, as the first frame header says (ITU-T T.81, B.2.2)."""
    if not jpeg.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], struct.unpack_from(">H", jpeg, at + 2)[0]
        # C4, C8 and CC lie among the frame headers, and are none.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", jpeg, at + 5)
            return width, height
        at += 2 + length
    return None


def curl(*arguments):
    """The status, and the body."""
    command = ["curl", "--noproxy", "*", "-sS", "-m", "30", "-w", "\n%{http_code}", "-u", "private_demo:", *arguments]
    body, status = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.rsplit("\n", 1)
    return int(status), body


def purge(url):
    """The request's id."""
    body = json.dumps({"url": url})
    status, answer = curl("-d", body, "-H", "content-type: application/json", f"{ADMIN}/v1/files/purge")
    check(status == 201, f"purge of {url} is accepted", f"{status} {answer}")
    return json.loads(answer)["requestId"]


def check_completed(request_id):
    end = time.monotonic() + COMPLETED_S
    while True:
        status, answer = curl(f"{ADMIN}/v1/files/purge/{request_id}")
        completed = status == 200 and json.loads(answer) == {"status": "Completed"}
        if completed or status != 200 or time.monotonic() >= end:
            return check(completed, f"purge {request_id} is Completed", f"{status} {answer}")
        time.sleep(0.05)


def first_run(server):
    answers = wait_until_it_answers(server)
    check(answers, "the server answers", f"exit code {server.poll()}")
    if not answers:
        return
    image, cache_status = fetch()
    check(size(image) == (300, 200), "the image is 300x200", size(image))
    check(cache_status and "hit" not in cache_status, "the first request is no hit", cache_status)
    again, cache_status = fetch()
    check("hit" in cache_status and again == image, "the second request is a hit", cache_status)
    for url in (IMAGE, FOLDER):
        request_id = purge(url)
        cache_status = fetch()[1]
        check(cache_status and "hit" not in cache_status, "the next request is no hit", cache_status)
        cache_status = fetch()[1]
        check("hit" in cache_status, "the request after that is a hit", cache_status)
        check_completed(request_id)


def stop(server):
    """SIGTERM to the server alone: cargo run has become it."""
    server.send_signal(signal.SIGTERM)
    try:
        code = server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        code = f"none within {STOP_S} s"
    check(code == 0, "the server ends well on SIGTERM", f"exit code {code}")


had_ledger = LEDGER.exists()
server = subprocess.Popen(["cargo", "run", "--release"], stdin=subprocess.DEVNULL)
try:
    first_run(server)
except (OSError, ValueError, KeyError, struct.error) as error:
    check(False, "the first run", repr(error))
finally:
    stop(server)
    if not had_ledger:
        LEDGER.unlink(missing_ok=True)
print(f"smoke: {counts[True]} passed, {counts[False]} failed")
sys.exit(1 if counts[False] else 0)
