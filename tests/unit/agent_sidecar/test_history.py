"""The history of a host: kept, bounded, readable after a crash."""

from pathlib import Path

import pytest

from agent_sidecar import history
from agent_sidecar.history import History, HistoryEvent, moment


def event(number: int) -> HistoryEvent:
    return HistoryEvent(at=moment(number), event="activated", release=number)


def test_events_are_read_back_newest_last(tmp_path: Path) -> None:
    kept = History(tmp_path)
    for number in (1, 2, 3):
        kept.record(event(number))

    assert [each.release for each in kept.last(2)] == [2, 3]


def test_the_files_are_bounded_and_the_newest_events_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 500)
    kept = History(tmp_path)

    for number in range(50):
        kept.record(event(number))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2000
    assert [each.release for each in kept.last(5)] == [45, 46, 47, 48, 49]


def test_a_line_torn_by_a_crash_is_skipped(tmp_path: Path) -> None:
    kept = History(tmp_path)
    kept.record(event(1))
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"at":"2026')

    kept.record(event(2))

    assert [each.release for each in kept.last(9)] == [1, 2]


def test_a_disk_that_refuses_is_logged_and_does_not_undo_what_happened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    History(tmp_path / "none").record(event(1))

    assert caplog.records[-1].message == "history_unwritable"


def test_moments_are_utc_to_the_millisecond() -> None:
    assert moment(1.5) == "1970-01-01T00:00:01.500Z"
