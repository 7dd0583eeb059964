"""PyPI imagekitio 5, unmodified, against Freshet. What it needs is told in checks.py."""

import os

from checks import *

use_client("python5")

import httpx
import imagekitio
from imagekitio import ImageKit, omit

# The requests that left, retries among them.
sent = []
counting = httpx.Client(event_hooks={"request": [sent.append]})


def client(key):
    return ImageKit(private_key=key, base_url=ADMIN, http_client=counting)


account = client(KEY).cache.invalidation
small = client(SMALL_KEY).cache.invalidation


def purge(url):
    request_id = account.create(url=url).request_id
    expect_request_id(request_id)
    return request_id


def expect_refusal(kind, status, message, call):
    error = expect_error(kind, call)
    expect_equal(error.status_code, status, "status")
    expect_equal(error.body["message"], message, "message")
    expect(isinstance(error.body["help"], str), "no help")
    return error


@check("purge of an exact URL")
def _():
    purged, kept = f"{BASE}/photos/2024/harbour.jpg?tr=w-60", f"{BASE}/photos/2024/harbour.jpg?tr=w-60,q-70"
    store(purged, kept)
    answer = account.with_raw_response.create(url=purged)
    expect_equal(answer.status_code, 201, "status")
    expect_equal(list(answer.json()), ["requestId"], "members")
    expect_request_id(answer.parse().request_id)
    expect_purged(purged)
    expect_stored(kept)


@check("purge of the same URL again")
def _():
    url = f"{BASE}/photos/2024/harbour.jpg?tr=w-62"
    for _ in range(3):
        store(url)
        purge(url)
        purge(url)
        expect_purged(url)


@check("purge of a folder by a wildcard")
def _():
    inside = [f"{BASE}/photos/2024/{name}?tr=w-63" for name in ("harbour.jpg", "forest.jpg", "night/city.jpg")]
    outside = f"{BASE}/photos/2023/dunes.jpg?tr=w-63"
    store(outside, *inside)
    purge(f"{BASE}/photos/2024/*")
    expect_purged(*inside)
    expect_stored(outside)


@check("purge of URLs that the client built")
def _():
    def build(position):
        return client(KEY).helper.build_url(
            url_endpoint=BASE,
            src="/photos/2024/night/city.jpg",
            transformation=[{"width": 64, "height": 48}, {"rotation": 90}],
            transformation_position=position,
        )

    in_query, in_path = build("query"), build("path")
    expect(in_query != in_path, in_query)
    store(in_query, in_path)
    purge(in_query)
    expect_purged(in_query)
    expect_stored(in_path)
    purge(in_path)
    expect_purged(in_path)


@check("members that are not known are ignored")
def _():
    url = f"{BASE}/photos/2023/beach.jpg?tr=w-65"
    store(url)
    expect_request_id(account.create(url=url, extra_body={"remark": {"of": ["ours"]}}).request_id)
    expect_purged(url)


@check("status until Completed")
def _():
    request_id = purge(f"{BASE}/photos/2024/*")
    wait_until_completed(lambda: account.get(request_id).status)
    answer = account.with_raw_response.get(request_id)
    expect_equal(answer.status_code, 200, "status")
    expect_equal(answer.json(), {"status": "Completed"}, "body")


@check("base URL from the environment")
def _():
    os.environ["IMAGE_KIT_BASE_URL"] = ADMIN
    try:
        request_id = ImageKit(private_key=KEY).cache.invalidation.create(url=f"{BASE}/art/poster.png").request_id
    finally:
        del os.environ["IMAGE_KIT_BASE_URL"]
    expect_request_id(request_id)


@check("request id that is not known")
def _():
    message = "No request found for this requestId."
    expect_refusal(imagekitio.BadRequestError, 400, message, lambda: account.get(UNKNOWN_ID))


@check("request id of another account")
def _():
    request_id = purge(f"{BASE}/art/marble.jpg")
    message = "No request found for this requestId."
    expect_refusal(imagekitio.BadRequestError, 400, message, lambda: small.get(request_id))


@check("wrong key")
def _():
    wrong = client("private_of_nobody_0123456789").cache.invalidation
    url = f"{BASE}/photos/2024/harbour.jpg?tr=w-66"
    store(url)
    for call in (lambda: wrong.create(url=url), lambda: wrong.get(UNKNOWN_ID)):
        expect_refusal(imagekitio.PermissionDeniedError, 403, "Your account cannot be authenticated.", call)
    expect_stored(url)


@check("no key")
def _():
    url, without = f"{BASE}/photos/2024/harbour.jpg?tr=w-67", {"Authorization": omit}
    store(url)
    message = "Your request does not contain private API key."
    for call in (
        lambda: account.create(url=url, extra_headers=without),
        lambda: account.get(UNKNOWN_ID, extra_headers=without),
    ):
        expect_refusal(imagekitio.AuthenticationError, 401, message, call)
    expect_stored(url)


@check("URLs that are not eligible")
def _():
    kept = f"{BASE}/photos/2024/harbour.jpg?tr=w-68"
    store(kept)
    message = "The URL is not valid for cache purging."
    for url in (f"{BASE}/photos*", f"{BASE}/photos/*", f"{BASE}/photos/*/harbour.jpg", "photos/2024/harbour.jpg"):
        expect_refusal(imagekitio.BadRequestError, 400, message, lambda: account.create(url=url))
    expect_stored(kept)


@check("no URL")
def _():
    message = "Your request is missing URL parameter."
    expect_refusal(imagekitio.BadRequestError, 400, message, lambda: account.create(url=omit))


@check("URL of another account")
def _():
    theirs = f"{SMALL_BASE}/photos/2023/dunes.jpg?tr=w-69"
    store(theirs)
    message = "The URL is not valid for cache purging."
    for url in (theirs, f"{SMALL_BASE}/photos/2023/*", "https://elsewhere.test/photos/2023/dunes.jpg"):
        expect_refusal(imagekitio.BadRequestError, 400, message, lambda: account.create(url=url))
    expect_stored(theirs)


@check("allowance used up, and no retry")
def _():
    urls = [f"{SMALL_BASE}/photos/2023/dunes.jpg?tr=w-{width}" for width in (70, 71, 72)]
    store(*urls)
    expect_error(imagekitio.BadRequestError, lambda: small.create(url=f"{SMALL_BASE}/photos*"))  # Not charged.
    request_ids = [small.create(url=url).request_id for url in urls[:2]]
    expect_purged(*urls[:2])
    before = len(sent)
    error = expect_error(imagekitio.RateLimitError, lambda: small.create(url=urls[2]))
    expect_equal(len(sent) - before, 1, "requests that left")
    expect_equal(error.status_code, 429, "status")
    expect(error.body["message"], "no message")
    expect_allowance_fields(error.response.headers)
    expect_stored(urls[2])
    wait_until_completed(lambda: small.get(request_ids[0]).status)


run()
