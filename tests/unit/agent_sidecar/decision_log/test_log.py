"""What decisions are written to: how denials are told of, and who waits for the disk."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import Asking
from spooled import NOON, flaws, new_spool, records

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.log import DecisionLog, NoLog
from agent_sidecar.decision_log.records import Decided, Spoken
from agent_sidecar.decision_log.settings import Durability, LogSettings, log_settings
from agent_sidecar.decision_log.spool import SpoolError
from agent_sidecar.durable import StateError
from policy_core.decision import Answer
from policy_core.model import Decision

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "x"}, "resource": {"type": "t", "id": "i"}}


def decided(name: str) -> Decided:
    answer = Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", decision_id=name)
    return Decided(Asked(REQUEST), answer, NOON, 1, Spoken.AUTHZEN, is_trial=False)


def new_log(directory: Path, durability: Durability = Durability.PROCESS, **options: Any) -> DecisionLog:
    spool = new_spool(directory, **options)
    spool.open()
    settings = LogSettings(durability=durability)
    return DecisionLog(spool, settings, clock=lambda: NOON, host={}, shipper=None)


def types(directory: Path) -> list[str]:
    return [each["type"] for each in records(directory)]


def test_a_decision_is_in_the_log_before_write_returns(tmp_path: Path) -> None:
    log = new_log(tmp_path)

    assert log.write(decided("d-1"), Asking()) <= log.durable

    (found,) = records(tmp_path)
    assert (found["type"], found["answer"]["decision_id"]) == ("decision", "d-1")
    assert found["ts"] == "2026-03-01T12:00:00.000Z"


def test_denials_while_nothing_can_be_written_are_counted_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = new_log(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _full)
        for number in range(3):
            with pytest.raises(SpoolError, match="the disk is full"):
                log.write(decided(f"d-{number}"), Asking())
        assert log.status().denied == 3
        assert "the disk is full" in log.status().problem

    log.write(decided("d-3"), Asking())
    log.write(decided("d-4"), Asking())

    assert types(tmp_path) == ["unlogged", "decision", "decision"]
    first = records(tmp_path)[0]
    assert (first["count"], first["since"]) == (3, "2026-03-01T12:00:00.000Z")
    assert "the disk is full" in first["reason"]
    assert log.status().problem == ""
    assert flaws(tmp_path) == []


def test_events_of_the_host_are_records_too(tmp_path: Path) -> None:
    log = new_log(tmp_path)

    log.event("activated", {"release": 7, "channel": "prod"})
    log.event("started", {})

    assert [(each["type"], each.get("release")) for each in records(tmp_path)] == [("activated", 7), ("started", None)]


def test_a_log_that_refuses_an_event_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    monkeypatch.setattr(os, "write", _full)

    log.event("activated", {"release": 7})

    assert records(tmp_path) == []


def test_what_is_told_beside_decisions_is_denied_unlogged_like_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = new_log(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _full)
        with pytest.raises(SpoolError, match="the disk is full"):
            log.note("searched", {"found": 1})

    assert log.note("searched", {"found": 2}) <= log.durable

    assert [(each["type"], each.get("count", each.get("found"))) for each in records(tmp_path)] == [
        ("unlogged", 1), ("searched", 2),
    ]  # fmt: skip
    assert log.status().denied == 1


def test_who_waits_is_called_once_the_disk_has_it(tmp_path: Path) -> None:
    log = new_log(tmp_path, Durability.HOST)
    told = _run(log, lambda: [log.write(decided(f"d-{number}"), Asking()) for number in range(5)])

    assert told == [(number, True) for number in range(1, 6)]
    assert types(tmp_path) == ["decision"] * 5


def test_who_asks_before_anything_is_synced_waits_too(tmp_path: Path) -> None:
    log = new_log(tmp_path, Durability.HOST)
    told: list[bool] = []
    position = log.write(decided("d-1"), Asking())
    log.wait(position, "d-1", told.append)

    assert position > log.durable
    assert told == []
    _run(log, lambda: [log.write(decided("d-2"), Asking())])
    assert told == [True]


def test_what_the_disk_would_not_sync_is_withheld_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = new_log(tmp_path, Durability.HOST)
    monkeypatch.setattr(os, "fdatasync", _broken)

    told = _run(log, lambda: [log.write(decided("d-1"), Asking())])
    monkeypatch.undo()
    log.write(decided("d-2"), Asking())

    assert told == [(1, False)]
    assert types(tmp_path) == ["decision", "withheld", "decision"]
    assert records(tmp_path)[1]["decision_ids"] == ["d-1"]
    assert flaws(tmp_path) == []


def test_a_sync_that_fails_for_nobody_is_no_record(tmp_path: Path) -> None:
    log = new_log(tmp_path, Durability.HOST)
    log.withhold([], StateError("decision log: cannot be synced"))
    log.write(decided("d-1"), Asking())

    assert types(tmp_path) == ["decision"]


def test_a_bug_while_the_disk_syncs_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path, Durability.HOST)

    with monkeypatch.context() as patch:
        patch.setattr(log.spool, "sync", lambda: 1 // 0)
        told = _run(log, lambda: [log.write(decided("d-1"), Asking())])

    assert told == [(1, False)]


def test_others_who_wait_meanwhile_share_the_next_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path, Durability.HOST)
    fdatasync, syncs = os.fdatasync, []

    def counted(file: int) -> None:
        syncs.append(file)
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", counted)

    told = _run(log, lambda: [log.write(decided(f"d-{number}"), Asking()) for number in range(200)])

    assert len(told) == 200
    assert len(syncs) < 20


def test_without_a_log_nothing_is_written_and_nobody_waits() -> None:
    log, told = NoLog(), []
    log.wait(log.write(decided("d-1"), Asking()), "d-1", told.append)

    assert told == [True]
    assert log.status().durability is Durability.OFF


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"durability": "sure"}, "durability: unknown word"),
        ({"when_full": "panic"}, "when_full: unknown word"),
        ({"max_bytes": "5 bytes"}, "max_bytes: not a size"),
        ({"max_bytes": "1MiB"}, "max_bytes: out of range"),
        ({"dir": "x"}, "dir is not a setting"),
    ],
)
def test_settings_are_read_strictly(table: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_settings(table)


def test_sizes_are_written_with_their_unit() -> None:
    assert log_settings({"max_bytes": "512MiB"}).max_bytes == 512 << 20


def _run(log: DecisionLog, write: Callable[[], list[int]]) -> list[tuple[int, bool]]:
    """Write in an event loop, wait for all of it, and return what whoever waited was told."""
    told: list[tuple[int, bool]] = []

    async def run() -> None:
        log.start(asyncio.get_running_loop())
        positions = write()
        for position in positions:
            log.wait(position, f"d-{position}", lambda ok, position=position: told.append((position, ok)))  # type: ignore[misc]
        async with asyncio.timeout(10):
            while len(told) < len(positions):
                await asyncio.sleep(0.001)

    asyncio.run(run())
    return told


def _full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken(*_: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
