"""PyPI imagekitio 4, unmodified, against Freshet. What it needs is told in checks.py.

This client knows no retries, and makes no request without a key.
"""

from checks import *

use_client("python4")

from imagekitio import ImageKit
from imagekitio.constants.url import URL
from imagekitio.exceptions.BadRequestException import BadRequestException
from imagekitio.exceptions.ForbiddenException import ForbiddenException
from imagekitio.exceptions.TooManyRequestsException import TooManyRequestsException

URL.API_BASE_URL = ADMIN


def client(key, base):
    return ImageKit(private_key=key, public_key="public", url_endpoint=base)


account, small = client(KEY, BASE), client(SMALL_KEY, SMALL_BASE)


def purge(url, of=account):
    answer = of.purge_cache(file_url=url)
    expect_request_id(answer.request_id)
    return answer


def status(request_id, of=account):
    return of.get_purge_cache_status(purge_cache_id=request_id)


def expect_refusal(kind, code, message, call):
    error = expect_error(kind, call)
    expect_equal(error.response_metadata.http_status_code, code, "status")
    expect_equal(error.message, message, "message")
    expect(error.response_help, "no help")
    return error


@check("purge of an exact URL")
def _():
    purged, kept = f"{BASE}/photos/2024/harbour.jpg?tr=w-60", f"{BASE}/photos/2024/harbour.jpg?tr=w-60,q-70"
    store(purged, kept)
    answer = purge(purged)
    expect_equal(answer.response_metadata.http_status_code, 201, "status")
    expect_equal(answer.response_metadata.raw, {"requestId": answer.request_id}, "body")
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
        return account.url(
            {
                "path": "/photos/2024/night/city.jpg",
                "transformation": [{"width": 64, "height": 48}, {"rotation": 90}],
                "transformation_position": position,
            }
        )

    plain = f"{BASE}/photos/2024/night/city.jpg?tr=w-64,h-48:rt-90"
    in_query, in_path = build("query"), build("path")
    expect(in_query != plain, "the client escapes what stands in the query")
    store(plain, in_path)
    expect_stored(in_query)
    purge(in_query)
    expect_purged(plain)
    expect_stored(in_path)
    purge(in_path)
    expect_purged(in_path)


@check("status until Completed")
def _():
    request_id = purge(f"{BASE}/photos/2024/*").request_id
    wait_until_completed(lambda: status(request_id).status)
    answer = status(request_id).response_metadata
    expect_equal(answer.http_status_code, 200, "status")
    expect_equal(answer.raw, {"status": "Completed"}, "body")


@check("request id that is not known")
def _():
    message = "No request found for this requestId."
    expect_refusal(BadRequestException, 400, message, lambda: status(UNKNOWN_ID))


@check("request id of another account")
def _():
    request_id = purge(f"{BASE}/art/marble.jpg").request_id
    message = "No request found for this requestId."
    expect_refusal(BadRequestException, 400, message, lambda: status(request_id, small))


@check("wrong key")
def _():
    wrong = client("private_of_nobody_0123456789", BASE)
    url = f"{BASE}/photos/2024/harbour.jpg?tr=w-66"
    store(url)
    for call in (lambda: purge(url, wrong), lambda: status(UNKNOWN_ID, wrong)):
        expect_refusal(ForbiddenException, 403, "Your account cannot be authenticated.", call)
    expect_stored(url)


@check("URLs that are not eligible")
def _():
    kept = f"{BASE}/photos/2024/harbour.jpg?tr=w-68"
    store(kept)
    message = "The URL is not valid for cache purging."
    for url in (f"{BASE}/photos*", f"{BASE}/photos/*", f"{BASE}/photos/*/harbour.jpg", "photos/2024/harbour.jpg"):
        expect_refusal(BadRequestException, 400, message, lambda: purge(url))
    expect_stored(kept)


@check("URL of another account")
def _():
    theirs = f"{SMALL_BASE}/photos/2023/dunes.jpg?tr=w-69"
    store(theirs)
    message = "The URL is not valid for cache purging."
    for url in (theirs, f"{SMALL_BASE}/photos/2023/*", "https://elsewhere.test/photos/2023/dunes.jpg"):
        expect_refusal(BadRequestException, 400, message, lambda: purge(url))
    expect_stored(theirs)


@check("allowance used up")
def _():
    urls = [f"{SMALL_BASE}/photos/2023/dunes.jpg?tr=w-{width}" for width in (70, 71, 72)]
    store(*urls)
    expect_error(BadRequestException, lambda: purge(f"{SMALL_BASE}/photos*", small))  # Not charged.
    request_ids = [purge(url, small).request_id for url in urls[:2]]
    expect_purged(*urls[:2])
    error = expect_error(TooManyRequestsException, lambda: purge(urls[2], small))
    expect_equal(error.response_metadata.http_status_code, 429, "status")
    expect(error.message and error.response_help, "no message, or no help")
    expect_allowance_fields(error.response_metadata.headers)
    expect_stored(urls[2])
    wait_until_completed(lambda: status(request_ids[0], small).status)


run()
