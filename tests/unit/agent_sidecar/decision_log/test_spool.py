import contextlib
import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from spooled import NOON, entry, flaws, names, new_spool, records, segments

from agent_sidecar.decision_log.errors import SpoolError
from agent_sidecar.decision_log.spool import Spool

HOUR = 3600.0


@pytest.fixture(params=[False, True], ids=["shared", "alone"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    made = new_spool(tmp_path, is_alone=request.param)
    made.open()
    yield made
    made.close()


def test_records_are_in_the_file_in_their_order_and_chained(spool: Spool, tmp_path: Path) -> None:
    spool.append(entry("a"))
    spool.append(entry("b"), entry("c"))

    assert names(tmp_path) == ["a", "b", "c"]
    assert [each["seq"] for each in records(tmp_path)] == [1, 2, 3]
    assert flaws(tmp_path) == []
    assert spool.position == 3


def test_a_sealed_segment_is_signed_and_the_next_one_follows(spool: Spool, tmp_path: Path) -> None:
    spool.append(entry("a"))

    spool.seal()
    spool.append(entry("b"))
    spool.tend()

    assert [path.name for path in segments(tmp_path)] == [
        "0000000000000001.sealed.jsonl", "0000000000000002.open.jsonl",
    ]  # fmt: skip
    assert [each["type"] for each in records(tmp_path)] == ["decision", "checkpoint", "decision"]
    assert flaws(tmp_path) == []


def test_nothing_is_sealed_or_signed_twice(spool: Spool, tmp_path: Path) -> None:
    spool.append(entry("a"))

    for _ in range(3):
        spool.checkpoint()
        spool.tend()
    spool.seal()
    spool.seal()

    assert [each["type"] for each in records(tmp_path)] == ["decision", "checkpoint", "checkpoint"]
    assert len(segments(tmp_path)) == 2


def test_a_large_segment_is_sealed(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, max_bytes=1 << 20)
    spool.open()

    for number in range(300):
        spool.append(entry(number, size=1000))

    assert len(segments(tmp_path)) == 3
    assert max(path.stat().st_size for path in segments(tmp_path)) < (1 << 17) + 3000
    assert names(tmp_path) == [str(number) for number in range(300)]
    assert flaws(tmp_path) == []


def test_a_segment_is_of_one_hour(tmp_path: Path) -> None:
    now = NOON
    spool = new_spool(tmp_path, clock=lambda: now)
    spool.open()
    spool.append(entry("a"))

    now += HOUR
    spool.tend()
    now += HOUR
    spool.append(entry("b", ts="2026-03-01T14:00:00.000Z"))

    first, second = segments(tmp_path)
    assert b'"opened_at":"2026-03-01T12' in first.read_bytes()
    assert b'"opened_at":"2026-03-01T14' in second.read_bytes()
    assert flaws(tmp_path) == []


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    for number in range(3):
        spool = new_spool(tmp_path)
        spool.open()
        spool.append(entry(number))
        spool.close()

    assert names(tmp_path) == ["0", "1", "2"]
    assert len(segments(tmp_path)) == 1
    assert flaws(tmp_path) == []


@pytest.mark.parametrize("has_records", [True, False])
def test_a_host_with_another_name_begins_another_chain(tmp_path: Path, has_records: bool) -> None:
    for host in ("web-1", "web-2", "web-3"):
        spool = new_spool(tmp_path, host=host, is_alone=True)
        spool.open()
        if has_records or host != "web-2":
            spool.append(entry(host))
        spool.close()

    headers = [msgspec.json.decode(path.read_bytes().partition(b"\n")[0]) for path in segments(tmp_path)]
    named = ["web-1", "web-2", "web-3"] if has_records else ["web-1", "web-3"]
    assert [(each["host"], each["segment"], each["first_seq"]) for each in headers] == [(name, 1, 1) for name in named]
    assert len({each["chain"] for each in headers}) == len(named)
    assert names(tmp_path) == named
    assert not list(tmp_path.glob("*.damaged"))


def test_the_end_is_found_by_processes_that_share_it_after_one_that_was_alone(tmp_path: Path) -> None:
    for is_alone in (True, False, True):
        spool = new_spool(tmp_path, is_alone=is_alone)
        spool.open()
        spool.append(entry(is_alone))
        spool.close()

    assert names(tmp_path) == ["True", "False", "True"]
    assert flaws(tmp_path) == []


def test_another_boot_begins_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for boot in ("a" * 32, "b" * 32):
        monkeypatch.setattr("agent_sidecar.decision_log.scribe.boot_id", lambda boot=boot: boot)
        spool = new_spool(tmp_path)
        spool.open()
        spool.append(entry(boot[0]))

    assert len(segments(tmp_path)) == 2
    assert flaws(tmp_path) == []


@pytest.mark.parametrize("cut", range(1, 250, 7))
def test_a_segment_cut_anywhere_goes_on_after_its_last_whole_line(tmp_path: Path, cut: int) -> None:
    spool = new_spool(tmp_path)
    spool.open()
    spool.append(entry("a"), entry("b"))
    (path,) = segments(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])

    again = new_spool(tmp_path)
    again.open()
    again.append(entry("c"))

    whole = content[:-cut].count(b'"name"') - (b'"name"' in content[:-cut].rpartition(b"\n")[2])
    assert names(tmp_path) == [*["a", "b"][:whole], "c"]
    assert flaws(tmp_path) == []
    assert not list(tmp_path.glob("*.damaged"))


@pytest.mark.parametrize("place", [5, 400, 700])
def test_what_does_not_fit_is_kept_aside(tmp_path: Path, place: int) -> None:
    spool = new_spool(tmp_path)
    spool.open()
    spool.append(entry("a"), entry("b"), entry("c"))
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)

    again = new_spool(tmp_path)
    again.open()
    again.append(entry("d"))

    assert names(tmp_path)[-1] == "d"
    assert flaws(tmp_path) == []
    assert list(tmp_path.glob("*.damaged"))


def test_a_segment_without_the_end_of_the_one_before_is_set_aside(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    spool.open()
    spool.append(entry("a"))
    spool.append(entry("lost"))
    spool.seal()
    spool.append(entry("b"))
    first, _ = segments(tmp_path)
    first.write_bytes(first.read_bytes()[: first.read_bytes().index(b'{"type":"decision","seq":2')])  # a power failure

    again = new_spool(tmp_path)
    again.open()
    again.append(entry("c"))

    assert names(tmp_path) == ["a", "c"]
    assert flaws(tmp_path) == []
    assert b'"name":"b"' in next(tmp_path.glob("*.damaged")).read_bytes()


def test_a_full_spool_takes_no_more_until_there_is_room(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, max_bytes=100_000)
    spool.open()
    count = 0
    with contextlib.suppress(SpoolError):
        for count in range(200):
            spool.append(entry(count, size=1000))
    with pytest.raises(SpoolError, match=r"decision log: the spool is full \(100000 bytes\)"):
        spool.append(entry("one more", size=1000))
    assert names(tmp_path) == [str(number) for number in range(count)]

    spool.seal()
    spool.tend()
    for shipped in tmp_path.glob("*.sealed.jsonl"):
        shipped.unlink()
    spool.tend()
    spool.append(entry("more", size=1000))

    assert names(tmp_path) == ["more"]
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 100_000


def test_the_oldest_records_are_given_up_and_told_of(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, max_bytes=100_000, drops_oldest=True)
    spool.open()

    for number in range(400):
        spool.append(entry(number, size=1000))
        assert spool.used_bytes <= 100_000
        if number % 50 == 0:
            spool.tend()

    kept = names(tmp_path)
    assert kept == [str(number) for number in range(400 - len(kept), 400)]
    assert spool.shed_records >= 300
    assert flaws(tmp_path) == ["dropped"]


def test_what_was_given_up_is_proven_across_the_gap(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, max_bytes=80_000, drops_oldest=True)
    spool.open()
    gone = b""
    for number in range(200):
        oldest = segments(tmp_path)[0]
        content = oldest.read_bytes()
        spool.append(entry(number, size=1000))
        gone += b"" if oldest.exists() else content

    told = [each for each in records(tmp_path) if each["type"] == "dropped"][-1]

    assert (told["first_seq"], told["previous"]) == (1, "0" * 64)
    assert f'"last_seq":{told["last_seq"]},"record_hash":"{told["head"]}"'.encode() in gone
    assert (
        f'"first_seq":{told["last_seq"] + 1},"previous":"{told["head"]}"'.encode() in segments(tmp_path)[0].read_bytes()
    )


def test_what_is_given_up_on_a_full_disk_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = new_spool(tmp_path, drops_oldest=True)
    spool.open()
    spool.append(entry("a"))
    spool.seal()
    write, refused = os.write, []

    def full_once(file: int, content: bytes) -> int:
        if not refused:
            refused.append(write(file, content[:20]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, content)

    monkeypatch.setattr(os, "write", full_once)

    spool.append(entry("b"))

    assert names(tmp_path) == ["b"]
    assert flaws(tmp_path) == ["dropped"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: _failing())
        with pytest.raises(SpoolError):
            spool.append(entry("c"))


def test_threads_and_processes_share_one_chain(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, max_bytes=1 << 20)
    spool.open()
    script = (
        "import sys, spooled; from pathlib import Path\n"
        "spool = spooled.new_spool(Path(sys.argv[1]), max_bytes=1 << 20, syncs=False)\n"
        "for number in range(300): spool.append(spooled.entry(f'{sys.argv[2]}-{number}', size=300))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    others = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name], env=environment) for name in ("x", "y")
    ]

    def write(name: str) -> None:
        for number in range(300):
            spool.append(entry(f"{name}-{number}", size=300))

    threads = [threading.Thread(target=write, args=(name,)) for name in ("t", "u")]
    for thread in threads:
        thread.start()
    while any(each.poll() is None for each in others):
        spool.tend()
    for thread in threads:
        thread.join()

    assert [each.returncode for each in others] == [0, 0]
    assert sorted(names(tmp_path)) == sorted(f"{name}-{number}" for name in "tuxy" for number in range(300))
    assert len(segments(tmp_path)) > 2
    assert flaws(tmp_path) == []


def test_a_disk_that_takes_only_a_part_leaves_no_part(spool: Spool, tmp_path: Path) -> None:
    spool.append(entry("a"))
    size = segments(tmp_path)[0].stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        with pytest.raises(SpoolError, match="decision log: the disk is full: File too large"):
            spool.append(entry("b", size=1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert segments(tmp_path)[0].stat().st_size == size
    spool.append(entry("c"))
    assert names(tmp_path) == ["a", "c"]
    assert flaws(tmp_path) == []


def test_a_file_that_could_not_be_synced_is_never_written_to_again(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(entry("a"))
    assert spool.sync() == 1
    before = segments(tmp_path)[0].stat().st_ino
    spool.append(entry("b"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _failing)
        with pytest.raises(SpoolError, match="cannot be synced"):
            spool.sync()

    spool.append(entry("c"))

    assert spool.sync() == 3
    assert segments(tmp_path)[0].stat().st_ino != before
    assert names(tmp_path) == ["a", "b", "c"]
    assert flaws(tmp_path) == []


def test_a_finished_segment_that_could_not_be_synced_is_written_anew(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(entry("a"))
    spool.seal()
    before = segments(tmp_path)[0].stat().st_ino
    fdatasync, failed = os.fdatasync, []

    def failing_once(file: int) -> None:
        if not failed:
            failed.append(file)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", failing_once)

    spool.tend()

    assert segments(tmp_path)[0].name.endswith(".sealed.jsonl")
    assert segments(tmp_path)[0].stat().st_ino != before
    assert flaws(tmp_path) == []


def test_a_disk_that_refuses_everything_is_not_asked_again_at_once(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(tmp_path / "0000000000000001.open.jsonl", 0)
    monkeypatch.setattr("agent_sidecar.decision_log.recovery.find_end", _failing)

    with pytest.raises(SpoolError, match="cannot be written: Input/output error"):
        spool.append(entry("a"))
    with pytest.raises(SpoolError, match="has just refused"):
        spool.append(entry("a"))


def _failing(*_: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_record_that_no_reader_would_take_is_refused(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="a record is too large"):
        spool.append(entry("a", size=8 << 20))

    spool.append(entry("b", size=7 << 20))

    assert names(tmp_path) == ["b"]
    assert flaws(tmp_path) == []


def test_a_finished_segment_that_is_damaged_does_not_keep_others_from_being_given_up(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, max_bytes=80_000, drops_oldest=True)
    spool.open()
    for number in range(40):
        spool.append(entry(number, size=1000))
    oldest = segments(tmp_path)[0]
    oldest.write_bytes(oldest.read_bytes()[:-100])

    for number in range(40, 120):
        spool.append(entry(number, size=1000))

    assert names(tmp_path)[-1] == "119"
    assert [path.name for path in tmp_path.glob("*.damaged")] == ["0000000000000001.open.damaged"]


@pytest.mark.parametrize("kept", [0, 40, -100], ids=["nothing", "no header", "no seal"])
def test_a_log_whose_only_segment_is_damaged_goes_on_in_a_chain_of_its_own(tmp_path: Path, kept: int) -> None:
    spool = new_spool(tmp_path)
    spool.open()
    spool.append(entry("a"))
    spool.seal()
    spool.tend()
    spool.close()
    sealed, opened = segments(tmp_path)
    opened.unlink()
    sealed.write_bytes(sealed.read_bytes()[:kept])

    again = new_spool(tmp_path)
    again.open()
    again.append(entry("b"))

    assert [path.name for path in segments(tmp_path)] == [sealed.name, opened.name]
    assert msgspec.json.decode(opened.read_bytes().splitlines()[0])["first_seq"] == 1
    again.close()
