"""Hosts behind a real nginx with the configuration of docs/how-to/serve-through-a-cache.md; a bucket is behind it."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from nginx_server import Nginx, Request, nginx
from polled_host import Host
from signed_store import SignedStore, bundle, rules

from bundle_store.names import cache_control

PAGE = Path(__file__).parents[2] / "docs/how-to/serve-through-a-cache.md"
TIMESTAMP = "/metadata/timestamp.json"
CACHE_S = 2.1  # nginx counts whole seconds: one may last nearly two
ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)


@dataclass
class Cached:
    """A signed store, the bucket it is copied to, and the cache in front of that."""

    store: SignedStore
    bucket: str
    cache: Nginx
    tmp_path: Path

    @property
    def url(self) -> str:
        return self.cache.url

    @property
    def root(self) -> bytes:
        return self.store.root

    @property
    def s3(self) -> Any:
        return boto3.session.Session().client("s3", aws_access_key_id="testing", aws_secret_access_key="testing")

    def let_in(self) -> None:
        """Give the cache the rights that the page gives it; moto knows neither endpoints nor prefixes."""
        policy = json.loads(block("json").replace("acme-policies/agents", f"{self.bucket}/policies"))
        for statement in policy["Statement"]:
            del statement["Condition"]
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    def publish(self, blob: bytes) -> None:
        self.store.versions["targets"] += 1  # signed anew each time, and what has a number never changes
        self.store.publish(blob)
        self.upload()

    def upload(self) -> None:
        """Copy everything to the bucket, the timestamp last, and wait until the cache asks for that again."""
        files = [path for path in self.store.directory.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == self.store.timestamp):
            name = path.relative_to(self.store.directory).as_posix()
            self.s3.put_object(
                Bucket=self.bucket, Key=f"policies/{name}", Body=path.read_bytes(), CacheControl=cache_control(name)
            )
        time.sleep(CACHE_S)

    def host(self, name: str = "host") -> Host:
        return Host(self.tmp_path / name, self).start()

    def ask(self, method: str, name: str) -> urllib3.BaseHTTPResponse:
        pool = urllib3.PoolManager(ca_certs=str(self.cache.certificate), retries=False)
        return pool.request(method, f"{self.cache.url}{name}")


def block(language: str) -> str:
    """Return what the page shows in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


@pytest.fixture
def cached(bucket: str, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cached]:
    certificate = tmp_path / "tls.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", tmp_path / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.write_text(certificate.read_text() + (tmp_path / "certificate.pem").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    running = nginx(
        block("nginx").replace("200 5s;", "200 1s;"),
        folder=tmp_path / "nginx",
        certificate=certificate,
        behind=aws.removeprefix("http://"),
        prefix=f"{bucket}/policies",
    )
    with running as cache:
        made = Cached(SignedStore(tmp_path / "store"), bucket, cache, tmp_path)
        made.let_in()
        made.publish(ALLOW)
        yield made


def names(requests: list[Request]) -> list[str]:
    return [request.name for request in requests]


def test_a_host_needs_no_credentials_and_a_poll_with_nothing_new_is_one_small_request(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    host = cached.host()
    host.poll()
    assert host.decide() == "allow"
    cached.cache.requests()

    host.poll()

    (request,) = cached.cache.requests()
    assert (request.name, request.status) == (TIMESTAMP, 304)
    assert request.bytes_up + request.bytes_down <= 1200
    host.stop()


def test_a_release_reaches_all_hosts_and_each_object_leaves_the_bucket_once(cached: Cached) -> None:
    hosts = [cached.host(f"host-{number}") for number in range(5)]
    for host in hosts:
        host.poll()
    cached.publish(DENY)
    cached.cache.requests()

    for host in hosts:
        host.poll()

    fetched = [request for request in cached.cache.requests() if request.status == 200]
    assert {host.decide() for host in hosts} == {"deny"}
    assert len([request for request in fetched if request.name.startswith("/targets/")]) == 5
    immutable = [request for request in fetched if request.name != TIMESTAMP and request.cache != "HIT"]
    assert len(immutable) == len(set(names(immutable)))  # each one once
    for host in hosts:
        host.stop()


def test_a_new_root_is_seen_although_its_name_was_asked_for_in_vain(cached: Cached) -> None:
    host = cached.host()
    host.poll()
    host.poll(full=True)
    asked = [request for request in cached.cache.requests() if request.name == "/metadata/2.root.json"]
    assert [(request.status, request.cache) for request in asked] == [(404, "MISS")] * 2
    cached.store.rotate_root()
    cached.upload()

    host.poll(full=True)

    assert (host.path / "tuf/root_history/2.root.json").exists()
    host.stop()


def test_what_no_host_needs_is_not_handed_out(cached: Cached) -> None:
    for name in ("pending/prod/1.json", "probe/conditional-writes", "metadata/notes.txt"):
        cached.s3.put_object(Bucket=cached.bucket, Key=f"policies/{name}", Body=b"not yours")

    answers = {
        name: cached.ask("GET", name).status
        for name in ("/pending/prod/1.json", "/probe/conditional-writes", "/metadata/notes.txt", "/", "/metadata/",
                     "/metadata/../pending/prod/1.json", "/targets/prod/%2e%2e/%2e%2e/pending/prod/1.json")
    }  # fmt: skip

    assert set(answers.values()) == {404}


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nothing_is_written_through_the_cache(cached: Cached, method: str) -> None:
    assert cached.ask(method, TIMESTAMP).status == 403


def test_with_the_bucket_away_hosts_know_it_keep_their_policy_and_are_back_at_once(cached: Cached) -> None:
    host = cached.host()
    host.poll()
    cached.s3.delete_bucket_policy(Bucket=cached.bucket)
    time.sleep(CACHE_S)

    assert host.poll() == "unreachable"
    assert host.decide() == "allow"
    cached.let_in()
    assert host.poll() == "unchanged"
    host.stop()
