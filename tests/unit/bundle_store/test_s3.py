"""What can go wrong between us and an S3 server, over real HTTP."""

import threading
from typing import Any

import boto3
import pytest
from s3_proxy import NO_ANSWER

from bundle_store.opening import open_store
from bundle_store.port import (
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreDeniedError,
    StoreUnavailableError,
    WritableStore,
)
from bundle_store.probe import UnsafeStoreError, probe_conditional_writes

NAME = "metadata/timestamp.json"


@pytest.fixture
def store(proxy: Any, s3_url: str) -> WritableStore:
    return open_store(s3_url)


def dropping(*names: str) -> Any:
    def request(_method: str, headers: dict[str, str]) -> None:
        for name in [name for name in headers if name.lower() in names]:
            del headers[name]

    return request


class TestTheProbe:
    def test_refuses_a_server_that_ignores_if_none_match(self, proxy: Any, store: WritableStore) -> None:
        proxy.request = dropping("if-none-match", "if-match")

        with pytest.raises(UnsafeStoreError, match="ignores If-None-Match"):
            probe_conditional_writes(store)

    def test_refuses_a_server_that_ignores_if_match(self, proxy: Any, store: WritableStore) -> None:
        proxy.request = dropping("if-match")

        with pytest.raises(UnsafeStoreError, match="ignores If-Match"):
            probe_conditional_writes(store)

    def test_costs_two_writes_once_the_object_is_there(self, proxy: Any, store: WritableStore) -> None:
        probe_conditional_writes(store)
        proxy.seen.clear()

        probe_conditional_writes(store)

        assert proxy.seen == ["PUT"] * 2  # the stale ETag is not tried without quotes, too


class TestAWrite:
    @pytest.mark.parametrize(
        ("status", "code"), [(409, "ConditionalRequestConflict"), (500, "InternalError"), (503, "SlowDown"), (429, "X")]
    )
    def test_with_an_open_outcome_is_sent_once_and_unknown(
        self, proxy: Any, store: WritableStore, s3_error: Any, status: int, code: str
    ) -> None:
        proxy.request = lambda *_: s3_error(status, code)

        with pytest.raises(StoreUnavailableError, match=f"answered {status} {code}"):
            store.put(NAME, b"one", if_etag=None)
        assert proxy.seen == ["PUT"]

    def test_whose_answer_is_lost_is_unknown_and_may_have_been_applied(self, proxy: Any, store: WritableStore) -> None:
        proxy.answer = lambda method, answer: NO_ANSWER if method == "PUT" else answer

        with pytest.raises(StoreUnavailableError):
            store.put(NAME, b"one", if_etag=None)
        assert proxy.seen == ["PUT"]
        found = store.get(NAME, max_bytes=10)
        assert found is not None
        assert found.body == b"one"

    def test_that_takes_too_long_is_unknown(
        self, proxy: Any, store: WritableStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bundle_store.s3.READ_TIMEOUT_S", 0.2)
        given_up = threading.Event()
        proxy.request = lambda *_: NO_ANSWER if given_up.wait(10) else None

        with pytest.raises(StoreUnavailableError, match=r"[Tt]imeout"):
            store.put(NAME, b"one", if_etag=None)
        given_up.set()
        assert proxy.seen == ["PUT"]

    def test_to_a_server_that_wants_bare_etags_succeeds(self, proxy: Any, store: WritableStore, s3_error: Any) -> None:
        """Ceph 16.2 compares If-Match with the bare digest, and answers 412 to the quoted one."""
        etag = store.put(NAME, b"one", if_etag=None)
        proxy.request = lambda _, headers: (
            s3_error(412, "PreconditionFailed") if headers.get("If-Match", "").startswith('"') else None
        )

        store.put(NAME, b"two", if_etag=etag)

        with pytest.raises(PreconditionFailedError):
            store.put(NAME, b"three", if_etag=etag)

    def test_to_a_server_without_conditional_writes_is_refused(
        self, proxy: Any, store: WritableStore, s3_error: Any
    ) -> None:
        proxy.request = lambda *_: s3_error(501, "NotImplemented")

        with pytest.raises(StoreDeniedError) as raised:
            store.put(NAME, b"one", if_etag=None)
        assert "conditional writes" in raised.value.hint

    def test_says_how_long_caches_may_keep_the_object(self, aws: str, bucket: str, store: WritableStore) -> None:
        store.put(NAME, b"{}", if_etag=None)
        store.put("metadata/1.root.json", b"{}", if_etag=None)
        store.put("targets/prod/0.demo.tar.gz", b"x", if_etag=None)

        def headers(name: str) -> tuple[str, str]:
            found = boto3.session.Session().client("s3").head_object(Bucket=bucket, Key=f"policies/{name}")
            return found["CacheControl"], found["ContentType"]

        assert headers(NAME) == ("no-cache", "application/json")
        assert headers("metadata/1.root.json") == ("public, max-age=31536000, immutable", "application/json")
        assert headers("targets/prod/0.demo.tar.gz") == ("public, max-age=31536000, immutable", "application/gzip")


class TestARead:
    def test_is_tried_again_after_a_server_error(self, proxy: Any, store: WritableStore, s3_error: Any) -> None:
        store.put(NAME, b"one", if_etag=None)
        errors = iter([s3_error(500, "InternalError")])
        proxy.request = lambda *_: next(errors, None)

        assert store.get(NAME, max_bytes=10) is not None

    def test_that_is_cut_off_is_unavailable(self, proxy: Any, store: WritableStore) -> None:
        store.put(NAME, b"0123456789", if_etag=None)

        def cut(_method: str, answer: Any) -> Any:
            answer.body = answer.body[:4]
            return answer

        proxy.answer = cut

        with pytest.raises(StoreUnavailableError):
            store.get(NAME, max_bytes=10)

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
    def test_with_wrong_credentials_is_denied(self, proxy: Any, store: WritableStore, s3_error: Any, code: str) -> None:
        proxy.request = lambda *_: s3_error(403, code)

        with pytest.raises(StoreDeniedError, match=f"403 {code}") as raised:
            store.get(NAME, max_bytes=10)
        assert "credentials" in raised.value.hint


@pytest.mark.parametrize("verb", ["get", "put"])
class TestASetUp:
    def ask(self, url: str, verb: str) -> None:
        store = open_store(url)
        if verb == "get":
            store.get(NAME, max_bytes=10)
        else:
            store.put(NAME, b"", if_etag=None)

    def test_without_the_bucket_is_named_as_such(self, aws: str, verb: str) -> None:
        with pytest.raises(StoreDeniedError, match="NoSuchBucket") as raised:
            self.ask("s3://no-such-bucket-here/policies", verb)
        assert "create the bucket" in raised.value.hint
        assert not isinstance(raised.value, ObjectNotFoundError)

    def test_without_credentials_says_how_to_give_them(
        self, s3_url: str, verb: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

        with pytest.raises(StoreDeniedError, match="credentials") as raised:
            self.ask(s3_url, verb)
        assert "AWS_ACCESS_KEY_ID" in raised.value.hint

    def test_with_an_unknown_profile_is_named_as_such(
        self, s3_url: str, verb: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")

        with pytest.raises(StoreDeniedError, match="nobody"):
            self.ask(s3_url, verb)

    def test_with_nobody_at_the_endpoint_is_unavailable(
        self, s3_url: str, verb: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

        with pytest.raises(StoreUnavailableError) as raised:
            self.ask(s3_url, verb)
        assert "AWS_ENDPOINT_URL" in raised.value.hint

    def test_with_an_endpoint_that_is_no_url_is_refused(
        self, s3_url: str, verb: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")

        with pytest.raises(StoreDeniedError):
            self.ask(s3_url, verb)
