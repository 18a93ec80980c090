"""A read-only store behind HTTPS: a CDN or any HTTP cache in front of a bucket.

Redirects are refused rather than followed, so that the configured address is the one that is asked, and no other scheme
can come in. Certificates are verified against the system's trust store (``SSL_CERT_FILE`` names another). An answer is
given up when its head takes too long or its body is too slow, however steadily it trickles: a timeout of a socket only
bounds the silence between two bytes.
"""

import contextlib
import socket
import threading
import time
from http import HTTPStatus

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from bundle_store.names import check_name
from bundle_store.port import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    StoreDeniedError,
    StoredObject,
    StoreUnavailableError,
)

CONNECT_TIMEOUT_S = 5.0
PATIENCE_S = 20.0
SLOWEST_BYTES_PER_S = 1 << 16
PIECE_BYTES = 1 << 16
RETRIES = urllib3.Retry(total=2, redirect=False, status=0, backoff_factor=0.2)


class HttpsStore:
    """A `Store` below one HTTPS address.

    It waits for `patience_s` for the head of an answer, and as long again for a body that is slower than
    `SLOWEST_BYTES_PER_S`.
    """

    def __init__(self, base: str, *, patience_s: float = PATIENCE_S) -> None:
        self.url = base
        self._patience_s = patience_s
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=patience_s)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=RETRIES)
        self._pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

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
            body = self._read(name, answer, max_bytes + 1)  # of an error page, too: the connection is kept
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

    def _read(self, name: str, answer: urllib3.BaseHTTPResponse, max_bytes: int) -> bytes:
        deadline = time.monotonic() + self._patience_s + max_bytes / SLOWEST_BYTES_PER_S
        body = bytearray()
        while piece := answer.read1(min(PIECE_BYTES, max_bytes - len(body)), decode_content=False):
            body += piece
            if time.monotonic() > deadline:
                raise StoreUnavailableError(f"{self.url}: {name}: the answer is too slow")
        return bytes(body)

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


class _Prompt(HTTPConnection):
    """A connection whose timeout bounds the head of an answer as a whole."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        is_late, seconds, connected = threading.Event(), self.timeout, self.sock

        def give_up() -> None:
            is_late.set()
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # past TLS, which another thread is reading

        timer = threading.Timer(seconds or PATIENCE_S, give_up)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()
            if is_late.is_set():  # whatever was made of half a head
                raise TimeoutError


class _PromptHttps(_Prompt, HTTPSConnection):
    """The same under TLS."""


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Prompt


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PromptHttps


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()).partition("?")[0] or type(reason).__name__
