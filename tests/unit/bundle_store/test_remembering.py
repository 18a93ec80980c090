"""What one command reads twice, it is given from memory; what somebody else may have changed, it is not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bundle_store.file import FileStore
from bundle_store.port import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoredObject,
    StoreUnavailableError,
    WritableStore,
)
from bundle_store.probe import probe_conditional_writes
from bundle_store.remembering import RememberingStore
from policy_core.trust.layout import TIMESTAMP

ROLE = "metadata/2.prod.json"
ROOT = "metadata/2.root.json"
PENDING = "pending/prod/3.json"


@dataclass
class Counting:
    """The store behind; `fail` is raised after the next write, which is applied."""

    store: WritableStore
    reads: list[str] = field(default_factory=list)
    fail: Exception | None = None
    url: str = "file:///counting"

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        self.reads.append(name)
        return self.store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)

    def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
        etag = self.store.put(name, body, if_etag=if_etag)
        if self.fail:
            raise self.fail
        return etag


@pytest.fixture
def behind(tmp_path: Path) -> Counting:
    return Counting(FileStore(tmp_path, url=tmp_path.as_uri()))


@pytest.fixture
def store(behind: Counting) -> RememberingStore:
    return RememberingStore(behind)


@pytest.mark.parametrize("name", [ROLE, ROOT, TIMESTAMP, "targets/prod/0.acme.tar.gz"])
def test_what_was_read_is_not_read_again(store: RememberingStore, behind: Counting, name: str) -> None:
    etag = behind.put(name, b"one", if_etag=None)

    found = [store.get(name, max_bytes=10) for _ in range(3)]

    assert found == [StoredObject(b"one", etag)] * 3
    assert behind.reads == [name]


@pytest.mark.parametrize("name", [ROLE, TIMESTAMP])
def test_what_was_written_is_not_read(store: RememberingStore, behind: Counting, name: str) -> None:
    etag = store.put(name, b"one", if_etag=None)

    assert store.get(name, max_bytes=10) == StoredObject(b"one", etag)
    assert behind.reads == []


def test_what_waits_for_signatures_is_read_each_time(store: RememberingStore, behind: Counting) -> None:
    etag = store.put(PENDING, b"one", if_etag=None)
    assert store.get(PENDING, max_bytes=10) == StoredObject(b"one", etag)

    changed = behind.put(PENDING, b"two", if_etag=etag)

    assert store.get(PENDING, max_bytes=10) == StoredObject(b"two", changed)


def test_a_root_that_is_not_there_is_asked_for_once(store: RememberingStore, behind: Counting) -> None:
    for _ in range(2):
        with pytest.raises(ObjectNotFoundError):
            store.get(ROOT, max_bytes=10)

    assert behind.reads == [ROOT]


def test_another_object_that_is_not_there_may_come(store: RememberingStore, behind: Counting) -> None:
    with pytest.raises(ObjectNotFoundError):
        store.get(ROLE, max_bytes=10)
    behind.put(ROLE, b"one", if_etag=None)

    assert store.get(ROLE, max_bytes=10) is not None


class TestAfterAWriteThatFailed:
    """Lost, or without an answer: whoever was there may have moved the timestamp and brought a root."""

    @pytest.fixture(params=["lost", "unknown"])
    def fail(self, request: pytest.FixtureRequest, store: RememberingStore, behind: Counting) -> Callable[[], None]:
        behind.put(TIMESTAMP, b"one", if_etag=None)

        def fail() -> None:
            if request.param == "lost":
                with pytest.raises(PreconditionFailedError):
                    store.put(TIMESTAMP, b"mine", if_etag="another")
            else:
                behind.fail = StoreUnavailableError("no answer")
                with pytest.raises(StoreUnavailableError):
                    store.put(ROLE, b"mine", if_etag=None)
                behind.fail = None

        return fail

    def test_the_timestamp_is_read_again(
        self, store: RememberingStore, behind: Counting, fail: Callable[[], None]
    ) -> None:
        old = store.get(TIMESTAMP, max_bytes=10)
        assert old is not None
        behind.put(TIMESTAMP, b"two", if_etag=old.etag)

        fail()

        new = store.get(TIMESTAMP, max_bytes=10)
        assert new is not None
        assert new.body == b"two"

    def test_roots_are_asked_for_again(
        self, store: RememberingStore, behind: Counting, fail: Callable[[], None]
    ) -> None:
        with pytest.raises(ObjectNotFoundError):
            store.get(ROOT, max_bytes=10)
        behind.put(ROOT, b"root", if_etag=None)

        fail()

        assert store.get(ROOT, max_bytes=10) is not None


def test_a_probe_is_no_write_that_failed(store: RememberingStore, behind: Counting) -> None:
    behind.put(TIMESTAMP, b"one", if_etag=None)
    store.get(TIMESTAMP, max_bytes=10)

    probe_conditional_writes(store)

    assert store.get(TIMESTAMP, max_bytes=10) is not None
    assert behind.reads == [TIMESTAMP]


def test_bytes_whose_write_failed_are_not_taken_for_written(store: RememberingStore, behind: Counting) -> None:
    behind.put(ROLE, b"somebody's", if_etag=None)

    with pytest.raises(PreconditionFailedError):
        store.put(ROLE, b"mine", if_etag=None)

    found = store.get(ROLE, max_bytes=100)
    assert found is not None
    assert found.body == b"somebody's"


def test_limits_hold_in_memory_too(store: RememberingStore) -> None:
    store.put(ROLE, b"12345", if_etag=None)

    with pytest.raises(ObjectTooLargeError, match="longer than 4 bytes"):
        store.get(ROLE, max_bytes=4)


def test_a_remembered_etag_saves_the_body(store: RememberingStore) -> None:
    etag = store.put(TIMESTAMP, b"one", if_etag=None)

    assert store.get(TIMESTAMP, max_bytes=10, unless_etag=etag) is None
