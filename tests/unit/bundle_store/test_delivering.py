"""Whatever becomes of a write or of its answer: in the end the object is there once, or it is said that it is not."""

from typing import Any

import pytest
from s3_proxy import NO_ANSWER, Answer

from bundle_store.delivering import DifferentObjectError, deliver
from bundle_store.opening import open_records
from bundle_store.port import RecordsStore, StoreDeniedError, StoreUnavailableError
from policy_core.errors import InvalidError

NAME = "dt=2026-03-01/hr=12/web-1.jsonl.gz"
NOTES = {"records": "3"}


@pytest.fixture
def store(proxy: Any, s3_url: str) -> RecordsStore:
    return open_records(s3_url)


def stored(store: RecordsStore) -> bytes:
    found = store.get(NAME, max_bytes=100)
    assert found is not None
    return found.body


def first_put(answer: Answer) -> Any:
    """Let the server apply the first write, and change its answer."""
    left = [answer]
    return lambda method, found: left.pop() if method == "PUT" and left else found


def test_an_object_is_written_once_and_read_back(proxy: Any, store: RecordsStore) -> None:
    deliver(store, NAME, b"one", notes=NOTES)
    deliver(store, NAME, b"one", notes=NOTES)

    assert stored(store) == b"one"
    assert proxy.seen[:4] == ["PUT", "GET"] * 2


@pytest.mark.parametrize("status", [500, 503, 409, 412])
def test_a_write_that_was_applied_counts_whatever_was_answered(
    proxy: Any, store: RecordsStore, s3_error: Any, status: int
) -> None:
    proxy.answer = first_put(s3_error(status, "InternalError" if status != 412 else "PreconditionFailed"))

    deliver(store, NAME, b"one", notes=NOTES)

    assert stored(store) == b"one"


def test_a_write_whose_answer_is_lost_counts(proxy: Any, store: RecordsStore) -> None:
    proxy.answer = first_put(NO_ANSWER)

    deliver(store, NAME, b"one")

    assert stored(store) == b"one"


@pytest.mark.parametrize("status", [500, 503])
def test_a_write_that_was_not_applied_is_to_be_tried_again(
    proxy: Any, store: RecordsStore, s3_error: Any, status: int
) -> None:
    proxy.request = lambda method, _: s3_error(status, "SlowDown") if method == "PUT" else None

    with pytest.raises(StoreUnavailableError, match=str(status)):
        deliver(store, NAME, b"one")
    proxy.request = lambda *_: None
    deliver(store, NAME, b"one")

    assert stored(store) == b"one"


def test_a_write_that_was_not_applied_is_unknown_to_who_may_not_list(
    proxy: Any, store: RecordsStore, s3_error: Any
) -> None:
    proxy.request = lambda method, _: s3_error(503, "X") if method == "PUT" else s3_error(403, "AccessDenied")

    with pytest.raises(StoreUnavailableError, match="503"):
        deliver(store, NAME, b"one")


def test_a_write_that_cannot_be_read_back_does_not_count(proxy: Any, store: RecordsStore, s3_error: Any) -> None:
    proxy.request = lambda method, _: s3_error(503, "SlowDown") if method == "GET" else None

    with pytest.raises(StoreUnavailableError):
        deliver(store, NAME, b"one")


def test_a_server_that_says_yes_and_keeps_nothing_is_not_believed(
    proxy: Any, store: RecordsStore, s3_error: Any
) -> None:
    proxy.request = lambda method, _: Answer(200, [("ETag", '"x"')], b"") if method == "PUT" else None

    with pytest.raises(StoreUnavailableError, match="was written, and is not there"):
        deliver(store, NAME, b"one")


def test_what_is_refused_is_told(proxy: Any, store: RecordsStore, s3_error: Any) -> None:
    proxy.request = lambda *_: s3_error(403, "AccessDenied")

    with pytest.raises(StoreDeniedError):
        deliver(store, NAME, b"one")


@pytest.mark.parametrize("other", [b"two", b"one and much more" * 100])
def test_other_content_under_the_name_is_neither_replaced_nor_taken_for_ours(store: RecordsStore, other: bytes) -> None:
    store.put(NAME, other, if_etag=None)

    with pytest.raises(DifferentObjectError):
        deliver(store, NAME, b"one")
    found = store.get(NAME, max_bytes=10_000)
    assert found is not None
    assert found.body == other


def test_a_store_that_ignores_conditions_ends_with_the_same_object(proxy: Any, store: RecordsStore) -> None:
    def without_conditions(_method: str, headers: dict[str, str]) -> None:
        headers.pop("If-None-Match", None)

    proxy.request = without_conditions

    deliver(store, NAME, b"one")
    deliver(store, NAME, b"one")

    assert stored(store) == b"one"


def test_what_another_writer_may_spell_otherwise_is_compared_by_content(store: RecordsStore) -> None:
    def content(body: bytes) -> bytes:
        if not body.isascii():
            raise InvalidError("not ours")
        return body.lower()

    store.put(NAME, b"ONE", if_etag=None)
    deliver(store, NAME, b"one", content=content)

    store.put("other", b"\xff", if_etag=None)
    with pytest.raises(DifferentObjectError):
        deliver(store, "other", b"one", content=content)
