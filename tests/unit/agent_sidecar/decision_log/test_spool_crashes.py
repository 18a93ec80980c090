"""Cut short at every single disk operation, a spool loses nothing it has taken, and goes on without a flaw."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spooled import entry, flaws, names, new_spool, segments

from agent_sidecar.decision_log.spool import Spool

OPERATIONS = ("open", "write", "pwrite", "ftruncate", "truncate", "rename", "unlink", "fsync", "fdatasync", "close")


class Crash(BaseException):
    """The process is gone: nothing below may catch this and tidy up."""


class Disk:
    """Counts operations on the disk, and crashes at the one it was told; half of what is written then arrives."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for name in OPERATIONS:
            patch.setattr(os, name, self._counting(getattr(os, name), is_write=name == "write"))

    def _counting(self, operation: Callable[..., Any], *, is_write: bool) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if self.left == 0:
                self.left = -2  # what `finally` does goes through: a dead process holds no lock and no file
                if is_write:
                    operation(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise Crash
            self.left -= 1
            return operation(*arguments, **options)

        return run


def append_and_seal(spool: Spool) -> Iterator[str]:
    spool.open()
    for number in range(3):
        for name in (f"a{number}", f"b{number}"):
            spool.append(entry(name))
            yield name
        spool.seal()
    spool.tend()
    spool.append(entry("c"), entry("d"))
    yield from ("c", "d")
    spool.checkpoint()
    spool.tend()


def roll_by_size(spool: Spool) -> Iterator[str]:
    spool.open()
    for number in range(60):
        name = f"n{number}"
        spool.append(entry(name, size=600))
        yield name


def change_the_hour(spool: Spool) -> Iterator[str]:
    spool.open()
    spool.append(entry("a", ts="2026-03-01T13:00:00.000Z"))
    yield "a"
    spool.append(entry("b", ts="2026-03-01T14:00:00.000Z"))
    yield "b"


@pytest.mark.parametrize("scene", [append_and_seal, roll_by_size, change_the_hour])
@pytest.mark.parametrize("options", [{}, {"drops_oldest": True}, {"is_alone": True}], ids=str)
def test_crashed_at_any_operation_nothing_taken_is_lost(
    scene: Callable[[Spool], Iterator[str]], options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    operation, ended = 0, False
    while not ended:
        directory = tmp_path / str(operation)
        taken: list[str] = []
        spool = new_spool(directory, max_bytes=200_000, **options)
        disk.left = operation
        try:
            taken.extend(scene(spool))  # what came before the crash stays in it
            ended = True
        except Crash:
            pass
        disk.left = -2
        spool._processes.close()  # a dead process holds no lock

        again = new_spool(directory, **options)
        again.open()
        again.append(entry("after"))
        again.tend()

        found = names(directory)
        assert len(found) == len(set(found))
        assert [name for name in found if name in {*taken, "after"}] == [*taken, "after"]
        assert flaws(directory) == []
        assert not list(directory.glob("*.damaged"))
        assert not list(directory.glob(".tmp-*"))
        operation += 1
    assert operation > 15


def test_crashed_while_it_gives_up_segments_what_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    operation, ended = 0, False
    while not ended:
        directory = tmp_path / str(operation)
        spool = new_spool(directory, max_bytes=30_000, drops_oldest=True)
        spool.open()
        for number in range(45):
            spool.append(entry(number, size=500))
        disk.left = operation
        try:
            for number in range(45, 60):
                spool.append(entry(number, size=500))
            ended = True
        except Crash:
            pass
        disk.left = -2

        again = new_spool(directory, max_bytes=30_000, drops_oldest=True)
        again.open()
        again.append(entry("after"))

        found = names(directory)
        assert found[-1] == "after"
        assert [int(name) for name in found[:-1]] == list(range(int(found[0]), int(found[-2]) + 1))
        assert flaws(directory) == ["dropped"]
        operation += 1
    assert operation > 15


def test_another_process_goes_on_where_one_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_spool(tmp_path), new_spool(tmp_path)
    first.open()
    disk = Disk(monkeypatch)
    taken = []
    for number in range(40):
        disk.left = number % 20
        try:
            first.append(entry(f"first-{number}"))
            taken.append(f"first-{number}")
            first.seal()
        except Crash:
            first = new_spool(tmp_path)  # joins, as a worker that is started again
        disk.left = -2
        second.append(entry(f"second-{number}"))
        taken.append(f"second-{number}")

    found = names(tmp_path)
    assert [name for name in found if name in taken] == taken
    assert len(found) == len(set(found))
    second.tend()
    assert flaws(tmp_path) == []
    assert len(segments(tmp_path)) > 5
