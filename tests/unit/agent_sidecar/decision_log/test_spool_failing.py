"""A disk that fails once, anywhere, and goes on: nothing taken is lost, and nothing is called durable that is not."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from spooled import entry, flaws, names, new_spool, segments

from agent_sidecar.decision_log import writing
from agent_sidecar.decision_log.errors import SpoolError
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.durable import StateError

OPERATIONS = ("open", "write", "ftruncate", "truncate", "rename", "unlink", "fsync", "fdatasync")


class FailingDisk:
    """Counts operations on the disk, and fails the one it was told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for name in OPERATIONS:
            patch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return operation(*arguments, **options)

        return run


def seal_and_go_on(one: Spool, other: Spool) -> Iterator[Callable[[], str]]:
    for number in range(3):
        yield lambda number=number: _append(one, f"a{number}")
        yield lambda number=number: _append(other, f"b{number}")
        yield lambda: _done(one.seal)
        yield lambda: _done(other.sync)
    yield lambda: _done(one.tend)
    yield lambda: _append(other, "c")
    yield lambda: _append(one, "d")


def roll_by_size_and_hour(one: Spool, other: Spool) -> Iterator[Callable[[], str]]:
    for number in range(8):
        hour = 12 + number // 3
        yield lambda number=number, hour=hour: _append(one, f"n{number}", hour)
        yield lambda number=number, hour=hour: _append(other, f"m{number}", hour)
    yield lambda: _done(other.sync)
    yield lambda: _done(one.tend)
    yield lambda: _append(other, "last", 15)


def _append(spool: Spool, name: str, hour: int = 12) -> str:
    spool.append(entry(name, size=600, ts=f"2026-03-01T{hour}:00:00.000Z"))
    return name


def _done(work: Callable[[], object]) -> str:
    work()
    return ""


@pytest.mark.parametrize("scene", [seal_and_go_on, roll_by_size_and_hour])
def test_failed_at_any_operation_nothing_taken_is_lost(
    scene: Callable[[Spool, Spool], Iterator[Callable[[], str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "TRY_AGAIN_S", 0.0)
    disk = FailingDisk(monkeypatch)
    operation, failed = 0, True
    while failed:
        directory = tmp_path / str(operation)
        one, other = (new_spool(directory, max_bytes=32_000) for _ in range(2))
        one.open()
        taken = []

        disk.left = operation
        for step in scene(one, other):
            try:
                taken.append(step())
            except StateError:
                continue
        failed, disk.left = disk.left < 0, -1
        one.close()
        other.close()

        assert set(filter(None, taken)) <= set(names(directory)), operation
        assert flaws(directory) == [], operation
        operation += 1
    assert operation > 30


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = new_spool(tmp_path)
    made.open()
    yield made
    made.close()


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str, *, when: Callable[[Any], bool] = lambda _: True) -> None:
    operation, failed = getattr(os, name), []

    def failing(argument: Any, *more: Any) -> Any:
        if not failed and when(argument):
            failed.append(argument)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return operation(argument, *more)

    monkeypatch.setattr(os, name, failing)


def test_a_sync_after_one_that_failed_vouches_for_nothing_that_the_disk_has_lost(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(entry("a"))
    before = segments(tmp_path)[0].stat().st_ino
    fail_once(monkeypatch, "fdatasync")  # whoever tends the spool hears of it, once; a reply still waits
    with pytest.raises(SpoolError, match="cannot be synced"):
        spool.sync()

    assert spool.sync() == 1

    assert segments(tmp_path)[0].stat().st_ino != before
    assert names(tmp_path) == ["a"]


def test_a_file_replaced_while_another_process_had_it_open_is_not_replaced_again(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_spool(tmp_path)
    other.append(entry("a"))
    spool.append(entry("b"))
    with monkeypatch.context() as patch:
        fail_once(patch, "fdatasync")
        with pytest.raises(SpoolError):
            spool.sync()
    spool.append(entry("c"))
    other.append(entry("d"))
    with monkeypatch.context() as patch:
        fail_once(patch, "fdatasync")  # of the file that it had open before
        with pytest.raises(SpoolError):
            other.sync()

    for each in (spool, other):
        each.append(entry("e"))
        each.sync()

    assert names(tmp_path) == ["a", "b", "c", "d", "e", "e"]
    assert flaws(tmp_path) == []
    other.close()


def test_an_older_segment_that_can_not_be_saved_keeps_later_syncs_from_succeeding(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(entry("a"))
    spool.seal()
    spool.append(entry("b"))
    finished = segments(tmp_path)[0]
    before = finished.stat().st_ino
    fail_once(monkeypatch, "fdatasync")
    fail_once(monkeypatch, "fsync")
    with pytest.raises(SpoolError):
        spool.sync()

    spool.sync()

    assert finished.stat().st_ino != before
    assert names(tmp_path) == ["a", "b"]


def test_whoever_skipped_a_segment_syncs_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_spool(tmp_path), new_spool(tmp_path)
    first.open()
    first.append(entry("a"))
    first.seal()
    synced: list[int] = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_ino) or fdatasync(file))
    second.append(entry("b"))

    second.sync()

    assert set(synced) == {path.stat().st_ino for path in segments(tmp_path)}
    first.close()
    second.close()


def test_a_segment_that_two_threads_find_lost_is_saved_for_both(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(entry("a"))
    spool.seal()
    spool.append(entry("b"))
    finished = segments(tmp_path)[0]
    before = finished.stat().st_ino
    fdatasync, fsync, both = os.fdatasync, os.fsync, threading.Barrier(2, timeout=10)

    def failing(file: int) -> None:
        if os.fstat(file).st_ino == before:
            both.wait()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", failing)
    monkeypatch.setattr(os, "fsync", lambda file: time.sleep(0.05) or fsync(file))  # the other one comes to wait

    with finished.open("rb"):  # no other file gets its inode
        with ThreadPoolExecutor(2) as threads:
            tended, synced = threads.submit(spool.tend), threads.submit(spool.sync)
        after = segments(tmp_path)[0].stat().st_ino

    assert synced.result() == 2
    assert tended.exception() is None
    assert after != before
    assert names(tmp_path) == ["a", "b"]
    assert flaws(tmp_path) == []


@pytest.mark.parametrize("after_it", [False, True], ids=["during the sync", "after it"])
@pytest.mark.parametrize("by_another", [False, True], ids=["by this process", "by another"])
def test_a_segment_that_is_finished_when_its_sync_has_failed_is_written_anew(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_another: bool, after_it: bool
) -> None:
    other = new_spool(tmp_path, syncs=False)
    finish = other.seal if by_another else spool.seal
    spool.append(entry("a"))
    spool.sync()
    spool.append(entry("b"))
    lost = segments(tmp_path)[0]
    before = lost.stat().st_ino
    fdatasync, failed = os.fdatasync, []

    def failing_once(file: int) -> None:
        if failed:
            return fdatasync(file)
        failed.append(file)
        if not after_it:
            finish()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", failing_once)
    with lost.open("rb"):  # no other file gets its inode
        with pytest.raises(SpoolError, match="cannot be synced"):
            spool.sync()
        if after_it:
            finish()
        spool.append(entry("c"))
        assert spool.sync() == 3

        assert lost.stat().st_ino != before
    assert names(tmp_path) == ["a", "b", "c"]
    assert flaws(tmp_path) == []
    other.close()


def test_a_segment_that_is_saved_late_has_its_name_on_the_disk_before_a_sync_succeeds(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(entry("a"))
    spool.seal()
    spool.append(entry("b"))
    spool.sync()
    with monkeypatch.context() as patch:
        fail_once(patch, "fdatasync")  # of the finished segment, which then cannot be written anew either
        fail_once(patch, "fsync")
        with pytest.raises(SpoolError):
            spool.tend()
    done: list[str] = []
    for name in ("rename", "fsync"):
        monkeypatch.setattr(os, name, _noting(done, getattr(os, name)))

    spool.sync()

    assert done[-2:] == ["rename", "fsync"]


def _noting(done: list[str], operation: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        done.append(operation.__name__)
        return operation(*arguments)

    return run
