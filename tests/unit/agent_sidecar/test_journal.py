"""Journals: what was appended is read again, whatever the process or the disk did; damage is never read over."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_sidecar import journal as journals
from agent_sidecar.durable import StateError
from agent_sidecar.journal import Journal

NOW = 1_790_000_000.0
_OPEN = os.open


class Entry(msgspec.Struct, frozen=True, array_like=True):
    text: str
    until: float = NOW + 1e6


def fold(records: Iterable[Entry]) -> list[Entry]:
    return list(records)


def unfold(entries: list[Entry], now: float) -> list[Entry]:
    return [entry for entry in entries if entry.until > now]


def new_journal(folder: Path) -> Journal[Entry, list[Entry]]:
    return Journal(folder, "notes", Entry, fold=fold, unfold=unfold)


def opened(folder: Path, now: float = NOW) -> tuple[Journal[Entry, list[Entry]], list[str]]:
    journal = new_journal(folder)
    return journal, [entry.text for entry in journal.open(now)]


def write(folder: Path, *texts: str) -> Journal[Entry, list[Entry]]:
    journal, _ = opened(folder)
    for text in texts:
        journal.append(Entry(text))
    return journal


def segment(folder: Path) -> Path:
    """Return the segment that is appended to."""
    return max(folder.glob("notes.*.log"), key=lambda path: int(path.name.split(".")[1]))


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")

    assert opened(tmp_path)[1] == ["a", "b"]
    assert opened(tmp_path)[1] == ["a", "b"]


def test_what_was_appended_survives_kill_9_without_a_sync(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "import test_journal as t; t.write(Path(sys.argv[1]), 'a', 'b'); os.kill(os.getpid(), signal.SIGKILL)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)], check=False)

    assert done.returncode == -9
    assert opened(tmp_path)[1] == ["a", "b"]


def test_a_line_torn_by_a_crash_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    path = segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])

    journal, texts = opened(tmp_path)

    assert (texts, journal.forgot_at) == (["a"], None)


@pytest.mark.parametrize("place", [0, 5, 12, 20])
def test_an_altered_byte_is_damage_and_the_files_are_kept_aside(
    tmp_path: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "alpha", "beta")
    path = segment(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)

    journal, texts = opened(tmp_path)

    assert (texts, journal.forgot_at) == ([], NOW)
    assert (tmp_path / f"{path.name}.damaged").read_bytes() == content
    assert "journal_damaged" in caplog.messages


@pytest.mark.parametrize("name", ["notes.base", "notes.2.log"])
def test_a_missing_file_is_damage(tmp_path: Path, name: str) -> None:
    first = write(tmp_path, "a")
    for number in (2, 3):
        first._switch(first._create())
        first.append(Entry(str(number)))
    (tmp_path / name).unlink()

    journal, texts = opened(tmp_path)

    assert (texts, journal.forgot_at) == ([], NOW)


def test_that_something_was_forgotten_is_not_forgotten(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / "notes.base").write_bytes(b"")
    opened(tmp_path)

    journal, _ = opened(tmp_path, NOW + 60)

    assert journal.forgot_at == NOW


def test_a_format_of_a_newer_version_is_not_guessed_at(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / "notes.base").write_bytes(journals._line(b'{"format":2,"through":0,"at":0.0}'))

    assert opened(tmp_path)[0].forgot_at == NOW


def test_a_large_segment_is_folded_and_what_has_expired_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1000)
    journal = write(tmp_path, "kept")
    for number in range(100):
        journal.append(Entry(str(number), until=NOW + 1))
    before = journal.size_bytes

    journal.tend(threading.Lock(), NOW + 10)
    journal.append(Entry("new"))

    assert journal.size_bytes < before / 10
    assert len(list(tmp_path.glob("notes.*.log"))) == 1
    assert opened(tmp_path)[1] == ["kept", "new"]


def test_time_does_not_go_back_over_what_was_dropped(tmp_path: Path) -> None:
    write(tmp_path, "a")
    opened(tmp_path, NOW + 500)

    journal, _ = opened(tmp_path, NOW)

    assert journal.at == NOW + 500


class Disk:
    """Refuses what it is told to, once it is full; reading always works."""

    def __init__(self, patch: pytest.MonkeyPatch, *names: str) -> None:
        self.full = False
        for name in names:
            patch.setattr(os, name, self._refusing(getattr(os, name)))

    def _refusing(self, operation: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            if self.full and not (operation is _OPEN and arguments[1] & os.O_ACCMODE == os.O_RDONLY):
                raise OSError(28, "No space left on device")
            return operation(*arguments, **options)

        return run


@pytest.mark.parametrize("operations", [("write",), ("fsync",), ("write", "ftruncate"), ("fsync", "ftruncate")])
def test_a_full_disk_is_an_error_until_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operations: tuple[str, ...]
) -> None:
    journal = write(tmp_path, "a")
    disk = Disk(monkeypatch, *operations)
    disk.full = True
    with pytest.raises(StateError, match="notes: cannot be written: No space left"):
        journal.append(Entry("b"), durable=True)

    disk.full = False
    journal.tend(threading.Lock(), NOW)
    journal.append(Entry("c"), durable=True)

    found, texts = opened(tmp_path)
    assert ("c" in texts, found.forgot_at) == (True, None)


def test_a_line_the_disk_took_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = write(tmp_path, "a")
    with monkeypatch.context() as patch:
        whole = os.write
        patch.setattr(os, "write", lambda file, content: whole(file, content[:5]))
        with pytest.raises(StateError, match="the disk is full"):
            journal.append(Entry("b"))

    journal.append(Entry("c"))

    assert opened(tmp_path)[1] == ["a", "c"]


def test_a_start_on_a_full_disk_reads_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a")
    disk = Disk(monkeypatch, "open")
    disk.full = True
    journal, texts = opened(tmp_path)
    with pytest.raises(StateError, match="refuses a new file"):
        journal.append(Entry("b"))

    disk.full = False
    journal.tend(threading.Lock(), NOW)
    journal.append(Entry("c"))

    assert texts == ["a"]
    assert opened(tmp_path)[1] == ["a", "c"]


def test_damage_found_on_a_full_disk_is_not_forgotten_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "alpha")
    opened(tmp_path)
    base = tmp_path / "notes.base"
    base.write_bytes(base.read_bytes().replace(b"alpha", b"gamma"))
    disk = Disk(monkeypatch, "open")
    disk.full = True
    journal, _ = opened(tmp_path)

    disk.full = False
    with pytest.raises(StateError, match="cannot be folded"):
        journal.tend(threading.Lock(), NOW + 60)

    assert journal.forgot_at == NOW


def test_a_segment_given_up_while_it_is_synced_is_replaced(tmp_path: Path) -> None:
    journal = write(tmp_path, "a")
    os.close(journal._file)
    journal._file, journal._dirty = -1, True

    journal.tend(threading.Lock(), NOW)
    journal.append(Entry("b"))

    assert opened(tmp_path)[1] == ["a", "b"]


def test_a_segment_is_never_numbered_like_one_the_base_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise StateError("full")

    write(tmp_path, "a")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_create", refusing)
        opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(journals, "write_file", refusing)
        journal, _ = opened(tmp_path)
        journal._switch(journal._create())

    journal.append(Entry("b"))

    assert opened(tmp_path)[1] == ["a", "b"]


def test_a_disk_without_room_for_the_directory_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, "mkdir", "open")
    disk.full = True
    journal, texts = opened(tmp_path / "memory")
    with pytest.raises(StateError):
        journal.tend(threading.Lock(), NOW)

    disk.full = False
    journal.tend(threading.Lock(), NOW)
    journal.append(Entry("a"))

    assert texts == []
    assert opened(tmp_path / "memory")[1] == ["a"]


def test_a_kill_at_any_disk_operation_of_folding_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 10)
    names = ("open", "fsync", "replace", "close", "unlink")
    for stop_at in range(40):
        folder = tmp_path / str(stop_at)
        folder.mkdir()
        journal = write(folder, "a", "b")
        left = stop_at

        class Killed(BaseException):
            """The process is gone."""

        def counting(operation: Any) -> Any:
            def run(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return operation(*arguments, **options)

            return run

        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(os, name, counting(getattr(os, name)))
            try:
                journal.tend(threading.Lock(), NOW)
                journal.append(Entry("c"))
            except Killed:
                pass
            finished = left > 0
        found, texts = opened(folder)

        assert (texts[:2], found.forgot_at) == (["a", "b"], None)
        assert texts[2:] in ([], ["c"])
        if finished:
            return
    raise AssertionError("folding never ended")
