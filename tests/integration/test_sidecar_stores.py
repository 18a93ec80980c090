"""The sidecar as a process against the stores there are: an S3 API over HTTP, and a TLS server."""

import functools
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from sidecar_bench import Bench, Process, new_bench, until
from signed_store import bundle, rules
from tls_front import certificate

from bundle_store.file import FileStore
from bundle_store.port import ObjectNotFoundError

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        yield made


def wait_for_polls(sidecar: Process, count: int) -> dict[str, Any]:
    """Wait for so many more polls and return the status after them."""
    before = sidecar.ask()["polls"]
    found: dict[str, Any] = until(lambda: (now := sidecar.ask())["polls"] > before + count and now, "more polls")
    return found


def mirror(bench: Bench, bucket: str) -> None:
    """Copy the signed store into a bucket, the timestamp last."""
    import boto3

    client = boto3.session.Session().client("s3")
    files = [path for path in bench.store.directory.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path == bench.store.timestamp):
        name = path.relative_to(bench.store.directory).as_posix()
        client.put_object(Bucket=bucket, Key=f"policies/{name}", Body=path.read_bytes())


def test_a_release_in_s3_is_swapped_in_and_nothing_new_costs_no_verification(bench: Bench, bucket: str) -> None:
    bench.store.publish(ALLOW)
    mirror(bench, bucket)
    sidecar = bench.start("--store", f"s3://{bucket}/policies").wait_for(1)
    assert sidecar.decide()["decision"] is True
    verified_at = sidecar.ask()["verified_at"]

    assert wait_for_polls(sidecar, 3)["verified_at"] == verified_at  # 304: a 200 would be verified anew

    bench.store.publish(DENY)
    mirror(bench, bucket)
    sidecar.wait_for(2)
    assert sidecar.decide()["decision"] is False
    assert sidecar.stop() == 0


@dataclass
class Cache:
    """A TLS server in front of a folder; `answers` holds path and status of what it was asked."""

    url: str = ""
    is_away: bool = False
    answers: list[tuple[str, int]] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, cache: Cache, store: FileStore, *arguments: Any) -> None:
        self._cache = cache
        self._store = store
        super().__init__(*arguments)

    def do_GET(self) -> None:
        status, body, etag = self._answer(self.path.removeprefix("/policies/"))
        self._cache.answers.append((self.path.rpartition("/")[2], status))
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, name: str) -> tuple[int, bytes, str]:
        if self._cache.is_away:
            return HTTPStatus.BAD_GATEWAY, b"", ""
        known = self.headers.get("If-None-Match", "").strip('"')
        try:
            found = self._store.get(name, max_bytes=1 << 24, unless_etag=known)
        except ObjectNotFoundError:
            return HTTPStatus.NOT_FOUND, b"", ""
        return (HTTPStatus.OK, found.body, found.etag) if found else (HTTPStatus.NOT_MODIFIED, b"", known)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client may hang up: it does not trust us, or has ended."""


@pytest.fixture
def cache(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    cache = Cache()
    store = FileStore(bench.store.directory, url=bench.store.url)
    server = _Server(("127.0.0.1", 0), functools.partial(_Handler, cache, store))
    pem = certificate(bench.folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    cache.url = f"https://127.0.0.1:{server.server_port}/policies"
    yield cache
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_release_behind_https_is_swapped_in_and_nothing_new_is_one_request(bench: Bench, cache: Cache) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start("--store", cache.url).wait_for(1)
    cache.answers.clear()

    wait_for_polls(sidecar, 3)

    assert set(cache.answers) == {("timestamp.json", HTTPStatus.NOT_MODIFIED)}
    bench.store.publish(DENY)
    sidecar.wait_for(2)
    assert sidecar.decide()["decision"] is False
    assert sidecar.stop() == 0


def test_a_store_that_goes_away_and_comes_back_changes_no_decision(bench: Bench, cache: Cache) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start("--store", cache.url).wait_for(1)

    cache.is_away = True
    until(lambda: sidecar.ask()["state"] == "unreachable", "an unreachable store")
    assert sidecar.decide()["decision"] is True
    bench.store.publish(DENY)
    cache.is_away = False

    sidecar.wait_for(2)
    assert (sidecar.ask()["state"], sidecar.ask()["failure"]) == ("fresh", None)
    assert [event["event"] for event in sidecar.events()].count("store_unreachable") == 1


def test_a_server_whose_certificate_is_not_trusted_is_not_believed(
    bench: Bench, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    bench.store.publish(ALLOW)
    sidecar = bench.start("--store", cache.url).wait_for(0)

    failure = until(lambda: sidecar.ask()["failure"], "a failed poll")

    assert "certificate" in failure["message"].lower()
    assert sidecar.decide()["context"]["reason_code"] == "policy_unavailable"
    assert cache.answers == []
