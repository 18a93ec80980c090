"""What decisions are written to: how denials are told of, and who waits for the disk."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from asking import Asking
from spooled import NOON, flaws, new_spool, records, segments

import agent_sidecar.decision_log.committing
import agent_sidecar.decision_log.log
from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.errors import SpoolError
from agent_sidecar.decision_log.log import MAX_BATCH_BYTES, DecisionLog, NoLog
from agent_sidecar.decision_log.records import Decided, Spoken
from agent_sidecar.decision_log.settings import Durability, LogSettings, log_settings
from agent_sidecar.durable import StateError
from policy_core.decision import Answer
from policy_core.model import Decision

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "x"}, "resource": {"type": "t", "id": "i"}}


def decided(name: str, *, now: float = NOON) -> Decided:
    answer = Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", decision_id=name)
    return Decided(Asked(REQUEST), answer, now, 1, Spoken.AUTHZEN, is_trial=False)


def new_log(directory: Path, durability: Durability = Durability.PROCESS, **options: Any) -> DecisionLog:
    spool = new_spool(directory, **options)
    spool.open()
    settings = LogSettings(durability=durability)
    return DecisionLog(spool, settings, clock=lambda: NOON, host={}, shipper=None, soon=lambda _flush: None)


def write(log: DecisionLog, *names: str) -> list[bool]:
    """Write decisions in one turn; return what was told by the end of it to those who wait, each by itself."""
    told: list[bool] = []
    for name in names:
        batch = log.write(decided(name), Asking())
        assert batch
        batch.tell(told.append)
        assert told == []
    log.flush()
    return told


def types(directory: Path) -> list[str]:
    return [each["type"] for each in records(directory)]


def test_what_a_turn_decides_is_in_the_log_before_anybody_hears_of_it(tmp_path: Path) -> None:
    log, heard = new_log(tmp_path), list[str]()
    for name in ("d-1", "d-2"):
        batch = log.write(decided(name), Asking())
        assert batch
        batch.tell(lambda _ok: heard.append(str(len(records(tmp_path)))))
    assert records(tmp_path) == []

    log.flush()

    assert heard == ["2", "2"]
    assert [each["answer"]["decision_id"] for each in records(tmp_path)] == ["d-1", "d-2"]
    assert [each["ts"] for each in records(tmp_path)] == ["2026-03-01T12:00:00.000Z"] * 2
    assert flaws(tmp_path) == []


def test_a_turn_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, writes, real = new_log(tmp_path), list[int](), os.write
    monkeypatch.setattr(os, "write", lambda file, content: writes.append(len(content)) or real(file, content))

    assert write(log, *map(str, range(50))) == [True] * 50

    assert len(writes) == 1
    assert len(records(tmp_path)) == 50


def test_a_long_turn_does_not_gather_records_without_end(tmp_path: Path) -> None:
    log, told = new_log(tmp_path), list[bool]()
    count = 0
    while not told:
        batch = log.write(decided(f"d-{count}"), Asking())
        assert batch
        batch.tell(told.append)
        count += 1

    assert MAX_BATCH_BYTES < sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")) < 2 * MAX_BATCH_BYTES
    assert told == [True] * count


def test_who_comes_to_wait_after_the_end_of_a_turn_is_told_at_once(tmp_path: Path) -> None:
    log, told = new_log(tmp_path), list[bool]()
    batch = log.write(decided("d-1"), Asking())
    assert batch
    log.flush()

    batch.tell(told.append)

    assert told == [True]


def test_a_turn_that_cannot_be_written_is_denied_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _full)
        assert write(log, "d-1", "d-2", "d-3") == [False] * 3
    assert write(log, "d-4") == [True]

    assert [(each["type"], each.get("count")) for each in records(tmp_path)] == [("unlogged", 3), ("decision", None)]
    assert log.status().denied == 3


def test_a_turn_of_which_a_part_could_not_be_taken_back_is_not_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, real = new_log(tmp_path), os.write
    write(log, "d-1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, content: real(file, content[: len(content) // 2]))
        patch.setattr(os, "ftruncate", _broken)
        assert write(log, "d-2", "d-3", "d-4", "d-5") == [False] * 4

    assert write(log, "d-6") == [True]

    assert types(tmp_path) == ["decision", "unlogged", "decision"]
    assert flaws(tmp_path) == []


def test_a_turn_that_goes_on_into_another_hour_is_where_readers_look_for_that(tmp_path: Path) -> None:
    now = NOON + 3_599
    log = new_log(tmp_path, clock=lambda: now)
    log.write(decided("d-1", now=now), Asking())
    now += 1
    log.write(decided("d-2", now=now), Asking())

    log.flush()

    (found,) = (path.read_bytes() for path in segments(tmp_path) if b"d-2" in path.read_bytes())
    assert b'"opened_at":"2026-03-01T13:00:00' in found


def test_a_bug_while_a_turn_is_written_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(log.spool, "append", lambda *_: 1 // 0)
        assert write(log, "d-1", "d-2") == [False] * 2

    assert write(log, "d-3") == [True]
    assert types(tmp_path) == ["unlogged", "decision"]


def test_one_record_that_is_too_large_is_denied_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    monkeypatch.setattr(agent_sidecar.decision_log.log, "MAX_REST_BYTES", 1_000)
    first = log.write(decided("d-1"), Asking())

    with pytest.raises(SpoolError, match="too large"):
        log.write(decided("d" * 1_000), Asking())

    assert write(log, "d-2") == [True]
    assert first
    assert types(tmp_path) == ["unlogged", "decision", "decision"]


def test_an_end_in_the_middle_of_a_turn_writes_what_was_decided(tmp_path: Path) -> None:
    log, told = new_log(tmp_path), list[bool]()
    batch = log.write(decided("d-1"), Asking())
    assert batch
    batch.tell(told.append)

    log.end()

    assert told == [True]
    assert types(tmp_path) == ["decision"]


def test_an_end_tells_what_no_decision_came_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    write(log, "d-1")
    log.withhold(["d-1"], StateError("decision log: cannot be synced"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _full)
        write(log, "d-2")

    log.end()

    assert types(tmp_path) == ["decision", "withheld", "unlogged"]
    assert flaws(tmp_path) == []


def test_an_end_while_nothing_can_be_written_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    monkeypatch.setattr(os, "write", _full)
    write(log, "d-1")

    log.end()

    assert records(tmp_path) == []


@pytest.mark.parametrize("durability", [Durability.PROCESS, Durability.HOST])
def test_who_keeps_a_batch_keeps_none_of_its_records(tmp_path: Path, durability: Durability) -> None:
    log = new_log(tmp_path, durability)
    batch = log.write(decided("d-1"), Asking())
    assert batch

    log.flush()

    assert batch.take() == []


def test_who_cannot_be_told_keeps_nobody_waiting(tmp_path: Path) -> None:
    log, told = new_log(tmp_path), list[bool]()
    batch = log.write(decided("d-1"), Asking())
    assert batch
    batch.tell(lambda _ok: 1 // 0)  # type: ignore[arg-type]
    batch.tell(told.append)

    log.flush()

    assert told == [True]


def test_a_turn_that_nobody_would_end_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(log, "_soon", lambda _flush: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            log.write(decided("d-1"), Asking())

    assert write(log, "d-2") == [True]
    assert [each["answer"]["decision_id"] for each in records(tmp_path)] == ["d-2"]


def test_denials_while_nothing_can_be_written_are_counted_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = new_log(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _full)
        for number in range(3):
            assert write(log, f"d-{number}") == [False]
        assert log.status().denied == 3
        assert "the disk is full" in log.status().problem

    assert write(log, "d-3", "d-4") == [True, True]

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
        told = list[bool]()
        log.note("searched", {"found": 1}, told_as="r-1").tell(told.append)
        log.flush()
        assert told == [False]

    log.note("searched", {"found": 2}, told_as="r-2").tell(told.append)
    log.flush()

    assert told == [False, True]

    assert [(each["type"], each.get("count", each.get("found"))) for each in records(tmp_path)] == [
        ("unlogged", 1), ("searched", 2),
    ]  # fmt: skip
    assert log.status().denied == 1


def test_who_waits_is_called_once_the_disk_has_it(tmp_path: Path) -> None:
    log = new_log(tmp_path, Durability.HOST)

    assert synced(log, [f"d-{number}" for number in range(5)]) == [True] * 5

    assert types(tmp_path) == ["decision"] * 5


def test_who_asks_before_anything_is_synced_waits_too(tmp_path: Path) -> None:
    log, told = new_log(tmp_path, Durability.HOST), list[bool]()
    batch = log.write(decided("d-1"), Asking())
    assert batch
    batch.tell(told.append)
    log.flush()

    assert told == []
    assert synced(log, ["d-2"]) == [True]
    assert told == [True]


def test_what_the_disk_would_not_sync_is_withheld_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = new_log(tmp_path, Durability.HOST)
    monkeypatch.setattr(os, "fdatasync", _broken)

    told = synced(log, ["d-1", "d-2"])
    monkeypatch.undo()
    write(log, "d-3")

    assert told == [False, False]
    assert types(tmp_path) == ["decision", "decision", "withheld", "decision"]
    assert records(tmp_path)[2]["decision_ids"] == ["d-1", "d-2"]
    assert flaws(tmp_path) == []


def test_however_many_are_withheld_no_record_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path)
    monkeypatch.setattr(agent_sidecar.decision_log.log, "MAX_WITHHELD", 2)
    log.withhold(["d-1", "d-2", "d-3", "d-4", "d-5"], StateError("decision log: cannot be synced"))

    write(log, "d-6")
    write(log, "d-7")
    log.end()

    told = [each.get("decision_ids", each["type"]) for each in records(tmp_path)]
    assert told == [["d-1", "d-2"], "decision", ["d-3", "d-4"], "decision", ["d-5"]]


def test_a_sync_that_fails_for_nobody_is_no_record(tmp_path: Path) -> None:
    log = new_log(tmp_path, Durability.HOST)
    log.withhold([], StateError("decision log: cannot be synced"))
    write(log, "d-1")

    assert types(tmp_path) == ["decision"]


def test_a_bug_while_the_disk_syncs_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path, Durability.HOST)

    with monkeypatch.context() as patch:
        patch.setattr(log.spool, "sync", lambda: 1 // 0)
        assert synced(log, ["d-1"]) == [False]


def test_others_who_wait_meanwhile_share_the_next_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(tmp_path, Durability.HOST)
    fdatasync, syncs = os.fdatasync, []

    def counted(file: int) -> None:
        syncs.append(file)
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", counted)

    assert synced(log, [f"d-{number}" for number in range(200)], each_in_a_turn=True) == [True] * 200
    assert len(syncs) < 20


def test_a_sync_begins_once_a_turn_brings_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_sidecar.decision_log.committing, "MAX_GATHERING_S", 60.0)
    log, syncs = new_log(tmp_path, Durability.HOST), list[int]()
    sync = log.spool.sync
    log.spool.sync = lambda: syncs.append(log.spool.position) or sync()  # type: ignore[method-assign, func-returns-value]

    assert synced(log, [f"d-{number}" for number in range(8)], each_in_a_turn=True, turns=True) == [True] * 8

    assert syncs == [8]


def test_or_while_each_turn_brings_more_if_somebody_has_waited_for_long(tmp_path: Path) -> None:
    log, told = new_log(tmp_path, Durability.HOST), list[bool]()

    async def run() -> None:
        log.start(asyncio.get_running_loop())
        async with asyncio.timeout(10):
            while not told:
                batch = log.write(decided("d"), Asking())
                assert batch
                batch.tell(told.append)
                log.flush()
                await asyncio.sleep(0)

    asyncio.run(run())


def test_without_a_log_nothing_is_written_and_nobody_waits() -> None:
    log = NoLog()

    assert log.write(decided("d-1"), Asking()) is None
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


def synced(log: DecisionLog, names: list[str], *, each_in_a_turn: bool = False, turns: bool = False) -> list[bool]:
    """Write in an event loop, wait for all of it, and return what whoever waited was told."""
    told: list[bool] = []

    async def run() -> None:
        log.start(asyncio.get_running_loop())
        for name in names:
            batch = log.write(decided(name), Asking())
            assert batch
            batch.tell(told.append)
            if each_in_a_turn:
                log.flush()
            if turns:
                await asyncio.sleep(0)
        log.flush()
        async with asyncio.timeout(10):
            while len(told) < len(names):
                await asyncio.sleep(0.001)

    asyncio.run(run())
    return told


def _full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken(*_: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
