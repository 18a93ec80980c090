"""What every writable store promises, asked of each kind over its real interface."""

import pytest

from bundle_store.names import ObjectNameError
from bundle_store.opening import open_records, open_store
from bundle_store.port import (
    ListedObject,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    RecordsStore,
    StoredObject,
    WritableStore,
)
from bundle_store.probe import PROBE_OBJECT, probe_conditional_writes

NAME = "metadata/timestamp.json"


@pytest.fixture
def store(store_url: str) -> WritableStore:
    return open_store(store_url)


def test_what_was_put_is_read_back(store: WritableStore) -> None:
    etag = store.put(NAME, b"one", if_etag=None)

    assert store.get(NAME, max_bytes=3) == StoredObject(b"one", etag)


def test_an_absent_object_is_not_found(store: WritableStore) -> None:
    with pytest.raises(ObjectNotFoundError, match=f"{NAME} is not there"):
        store.get(NAME, max_bytes=10)


def test_an_unchanged_object_is_not_sent_again(store: WritableStore) -> None:
    etag = store.put(NAME, b"one", if_etag=None)

    assert store.get(NAME, max_bytes=10, unless_etag=etag) is None


def test_a_changed_object_is_sent(store: WritableStore) -> None:
    old = store.put(NAME, b"one", if_etag=None)
    new = store.put(NAME, b"two", if_etag=old)

    assert store.get(NAME, max_bytes=10, unless_etag=old) == StoredObject(b"two", new)


def test_a_longer_object_than_wanted_is_refused(store: WritableStore) -> None:
    store.put(NAME, b"12345", if_etag=None)

    with pytest.raises(ObjectTooLargeError, match="longer than 4 bytes"):
        store.get(NAME, max_bytes=4)


def test_an_empty_object_is_an_object(store: WritableStore) -> None:
    store.put(NAME, b"", if_etag=None)

    assert store.get(NAME, max_bytes=0) is not None


def test_creating_what_exists_is_refused(store: WritableStore) -> None:
    store.put(NAME, b"one", if_etag=None)

    with pytest.raises(PreconditionFailedError, match="exists already"):
        store.put(NAME, b"two", if_etag=None)
    found = store.get(NAME, max_bytes=10)
    assert found is not None
    assert found.body == b"one"


def test_replacing_another_version_is_refused(store: WritableStore) -> None:
    first = store.put(NAME, b"one", if_etag=None)
    store.put(NAME, b"two", if_etag=first)

    with pytest.raises(PreconditionFailedError, match="changed"):
        store.put(NAME, b"three", if_etag=first)


def test_replacing_what_is_gone_is_refused(store: WritableStore) -> None:
    etag = store.put("metadata/1.root.json", b"one", if_etag=None)

    with pytest.raises(PreconditionFailedError, match=r"is gone|changed"):  # S3 says 404, Ceph 412
        store.put(NAME, b"two", if_etag=etag)


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "metadata/../../x", "metadata//x", ".lock", "a/.hidden", "a\nb", "a b", "ä", "a/"],
)
def test_a_name_that_could_leave_the_store_is_refused(store: WritableStore, name: str) -> None:
    with pytest.raises(ObjectNameError):
        store.put(name, b"", if_etag=None)
    with pytest.raises(ObjectNameError):
        store.get(name, max_bytes=1)


def test_a_store_with_conditional_writes_passes_the_probe(store: WritableStore) -> None:
    probe_conditional_writes(store)
    probe_conditional_writes(store)

    assert store.get(PROBE_OBJECT, max_bytes=100) is not None


def test_messages_name_the_store(store: WritableStore, store_url: str) -> None:
    with pytest.raises(ObjectNotFoundError, match=f"^{store_url}: "):
        store.get(NAME, max_bytes=1)


@pytest.fixture
def records(store_url: str) -> RecordsStore:
    return open_records(store_url)


def test_notes_are_kept_beside_an_object(records: RecordsStore) -> None:
    etag = records.put("hosts/web-1/a.json", b"one", if_etag=None, notes={"records": "7"})

    assert records.get("hosts/web-1/a.json", max_bytes=3) == StoredObject(b"one", etag, {"records": "7"})


def test_a_listing_is_in_the_order_of_names(records: RecordsStore) -> None:
    for name in ("dt=2/b", "dt=1/hr=02/c", "dt=1/hr=01/d", "other/e"):
        records.put(name, name.encode(), if_etag=None, notes={"n": "1"})

    assert [found.name for found in records.listing()] == ["dt=1/hr=01/d", "dt=1/hr=02/c", "dt=2/b", "other/e"]
    assert list(records.listing("dt=1")) == [ListedObject("dt=1/hr=01/d", 12), ListedObject("dt=1/hr=02/c", 12)]
    assert [found.name for found in records.listing("dt=", after="dt=1/hr=01/d")] == ["dt=1/hr=02/c", "dt=2/b"]
    assert list(records.listing("absent/")) == []


def test_a_listing_of_more_than_a_page_is_complete(records: RecordsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundle_store.s3.LISTING_PAGE", 10)
    names = [f"hosts/{number:02}" for number in range(25)]
    for name in names:
        records.put(name, b"", if_etag=None)

    assert [found.name for found in records.listing("hosts/")] == names
