"""A read-only store behind HTTPS: a CDN or any HTTP cache in front of a bucket.

Redirects are refused rather than followed, so that the configured address is the one that is asked, and no other scheme
can come in. Certificates are verified against the system's trust store (``SSL_CERT_FILE`` names another).
"""

from http import HTTPStatus

import urllib3

from bundle_store.names import check_name
from bundle_store.port import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    StoreDeniedError,
    StoredObject,
    StoreUnavailableError,
)

TIMEOUT = urllib3.Timeout(connect=5, read=20)  # seconds
RETRIES = urllib3.Retry(total=2, redirect=False, status=0, backoff_factor=0.2)


class HttpsStore:
    """A `Store` below one HTTPS address."""

    def __init__(self, base: str) -> None:
        self.url = base
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=RETRIES)

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return the object, or None if its ETag is still `unless_etag`; raises as `Store.get`."""
        headers = {"Accept-Encoding": "identity"}  # lengths and digests are those of the stored bytes
        if unless_etag:
            headers["If-None-Match"] = unless_etag
        try:
            answer = self._pool.request(
                "GET", self._address(name), headers=headers, redirect=False, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailableError(f"{self.url}: {name}: {_reason(error)}") from error
        try:
            body = answer.read(max_bytes + 1, decode_content=False)  # of an error page, too: the connection is kept
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailableError(f"{self.url}: {name}: {_reason(error)}") from error
        finally:
            answer.close()  # a response that was read to its end has given its connection back already
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        self._check_status(name, answer.status)
        if len(body) > max_bytes:
            raise ObjectTooLargeError(f"{self.url}: {name} is longer than {max_bytes} bytes")
        announced = answer.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) != len(body):
            raise StoreUnavailableError(f"{self.url}: {name}: the answer was cut off after {len(body)} bytes")
        return StoredObject(body=body, etag=answer.headers.get("ETag", ""))

    def _address(self, name: str) -> str:
        return f"{self.url}/{check_name(name)}"

    def _check_status(self, name: str, status: int) -> None:
        if status == HTTPStatus.OK:
            return
        answered = f"{self.url}: {name}: the server answered {status}"
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise ObjectNotFoundError(f"{self.url}: {name} is not there")
        if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or status >= 500:
            raise StoreUnavailableError(answered)
        if 300 <= status < 400:
            raise StoreDeniedError(answered, hint="redirects are not followed: configure the final address")
        raise StoreDeniedError(answered, hint="hosts need read access to metadata/ and their channel below targets/")


class ForeignRepository(HttpsStore):
    """Somebody else's TUF repository, over http or https: never a host's store.

    Names are taken as they are, already percent-encoded: others name their roles and targets as they like.
    """

    def _address(self, name: str) -> str:
        return f"{self.url}/{name.lstrip('/')}"


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()).partition("?")[0] or type(reason).__name__
