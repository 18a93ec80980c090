import contextlib
import errno
import os
import threading
from pathlib import Path

import pytest

from bundle_store.file import FileStore
from bundle_store.names import ObjectNameError
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


def test_a_pipe_in_place_of_an_object_stops_nobody(store: FileStore) -> None:
    store.put(NAME, b"", if_etag=None)
    os.mkfifo(store._root / "metadata/1.root.json")

    with pytest.raises(StoreDeniedError, match="is no regular file"):
        store.get("metadata/1.root.json", max_bytes=10)
    with pytest.raises(StoreDeniedError, match="is no regular file"):
        store.put("metadata/1.root.json", b"", if_etag=None)


def test_a_link_to_a_device_is_no_object(store: FileStore) -> None:
    store.put(NAME, b"", if_etag=None)
    (store._root / "metadata/1.root.json").symlink_to("/dev/zero")

    with pytest.raises(StoreDeniedError, match="is no regular file"):
        store.get("metadata/1.root.json", max_bytes=10)


def test_a_write_replaces_a_link_and_not_what_it_leads_to(store: FileStore, tmp_path: Path) -> None:
    store.put(NAME, b"", if_etag=None)
    victim = tmp_path / "victim"
    victim.write_bytes(b"victim")
    etag = store.put("metadata/1.prod.json", b"victim", if_etag=None)
    (store._root / "metadata/1.prod.json").unlink()
    (store._root / "metadata/1.prod.json").symlink_to(victim)

    store.put("metadata/1.prod.json", b"new", if_etag=etag)

    assert victim.read_bytes() == b"victim"
    assert not (store._root / "metadata/1.prod.json").is_symlink()


def test_a_lock_that_leads_elsewhere_is_refused(store: FileStore, tmp_path: Path) -> None:
    store.put(NAME, b"", if_etag=None)
    (store._root / ".lock").unlink()
    (store._root / ".lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StoreDeniedError):
        store.put("metadata/1.root.json", b"", if_etag=None)

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "metadata/../../x", ".lock", "metadata/.new-x", "a//b", "a\n"])
def test_a_name_never_leaves_the_store(store: FileStore, name: str) -> None:
    for call in (lambda: store.get(name, max_bytes=1), lambda: store.put(name, b"", if_etag=None)):
        with pytest.raises(ObjectNameError):
            call()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "owner and mode"),
        (errno.ENOSPC, "make space"),
        (errno.EFBIG, "make space"),
        (errno.EROFS, "read-only"),
    ],
)
def test_what_a_person_must_change_is_not_tried_again(
    store: FileStore, number: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreDeniedError) as raised:
        store.put(NAME, b"", if_etag=None)

    assert hint in raised.value.hint


def test_other_accounts_may_read_what_was_written(store: FileStore) -> None:
    store.put(NAME, b"", if_etag=None)

    assert (store._root / NAME).stat().st_mode & 0o777 == 0o644
