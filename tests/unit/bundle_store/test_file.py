import contextlib
import os
import threading
from pathlib import Path

import pytest

from bundle_store.file import FileStore
from bundle_store.port import ObjectNotFoundError, PreconditionFailedError, StoreDeniedError

NAME = "metadata/timestamp.json"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", url="file:///store")


def test_of_many_writers_one_wins_each_round(store: FileStore) -> None:
    """Threads stand for processes: the lock is per open file."""
    etag = store.put(NAME, b"start", if_etag=None)
    won: list[str] = []

    def write(number: int) -> None:
        with contextlib.suppress(PreconditionFailedError):
            won.append(store.put(NAME, b"%d" % number, if_etag=etag))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    found = store.get(NAME, max_bytes=10)
    assert found is not None
    assert found.etag == won[0]


def test_a_failed_write_leaves_neither_part_nor_temporary(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = store.put(NAME, b"one", if_etag=None)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match="No space left on device"):
        store.put(NAME, b"two", if_etag=etag)
    monkeypatch.undo()

    assert [path.name for path in (Path(store._root) / "metadata").iterdir()] == ["timestamp.json"]
    assert store.get(NAME, max_bytes=10, unless_etag=etag) is None


def test_a_directory_in_the_way_is_not_found(store: FileStore) -> None:
    store.put("metadata/x/y.json", b"", if_etag=None)

    with pytest.raises(ObjectNotFoundError):
        store.get("metadata/x", max_bytes=10)


def test_a_file_where_the_store_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(StoreDeniedError, match="no directory"):
        FileStore(tmp_path / "file", url="file:///file").put(NAME, b"", if_etag=None)


def test_other_accounts_may_read_what_was_written(store: FileStore) -> None:
    store.put(NAME, b"", if_etag=None)

    assert (store._root / NAME).stat().st_mode & 0o777 == 0o644
