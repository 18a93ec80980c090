"""From the spool of a host to objects in a store, over real HTTP, whatever the store does."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3_proxy
from s3_proxy import NO_ANSWER, s3_error

from agent_sidecar.decision_log.files import SEALED, numbers, sealed_path
from agent_sidecar.decision_log.shipper import CHECKPOINT_S, REFUSED_AGAIN_S, Shipper
from agent_sidecar.decision_log.shipping import Backlog, backlog, ship_segment
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.history import moment
from agent_sidecar.host_key import HostSigner, open_host_key
from bundle_store.delivering import DifferentObjectError
from bundle_store.opening import open_records
from bundle_store.port import RecordsStore
from policy_core import gzipped
from policy_core.decision_log.segment import read_sealed
from policy_core.decision_log.sequence import ChainReport, Finding, HostVerifier

EVERY_S = 30.0


class Clock:
    """Host time and monotonic time of a test."""

    def __init__(self) -> None:
        self.now = 1_772_366_400.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signer(tmp_path: Path) -> HostSigner:
    return open_host_key(tmp_path, host="web-1", now=1_772_366_400.0)


@pytest.fixture
def spool(tmp_path: Path, signer: HostSigner, clock: Clock) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", host="web-1", signer=signer, clock=clock, max_bytes=64 << 20)
    spool.open()
    yield spool
    spool.close()


def write(spool: Spool, clock: Clock, *numbers: int) -> None:
    for number in numbers:
        spool.append((b"decision", moment(clock()), b',"n":%d' % number))


def finish(spool: Spool) -> None:
    spool.seal()
    spool.tend()


def verify(store: RecordsStore, signer: HostSigner) -> tuple[list[ChainReport], list[Finding]]:
    verifier = HostVerifier("web-1", {signer.keyid: signer.key}, from_start=True)
    for found in store.listing("dt="):
        object_ = store.get(found.name, max_bytes=found.size_bytes)
        assert object_ is not None
        content = gzipped.decompress(object_.body, max_bytes=1 << 20)
        assert object_.notes["sha256"] == hashlib.sha256(content).hexdigest()
        verifier.take(found.name, hashlib.sha256(content).digest(), read_sealed(content, name=found.name))
    return verifier.finish()


class TestOneSegment:
    def test_becomes_an_object_with_its_numbers_and_is_then_deleted(
        self, spool: Spool, clock: Clock, signer: HostSigner, store_url: str
    ) -> None:
        store = open_records(store_url)
        write(spool, clock, 1, 2, 3)
        finish(spool)

        assert ship_segment(store, sealed_path(spool.directory, 1)) == 4

        (shipped,) = store.listing()
        assert shipped.name.startswith("dt=2026-03-01/hr=12/web-1-")
        found = store.get(shipped.name, max_bytes=10_000)
        assert found is not None
        assert found.notes["records"] == "4"
        (report,), findings = verify(store, signer)
        assert (report.records["decision"], findings) == (3, [])
        assert numbers(spool.directory, SEALED) == []

    def test_that_is_there_already_is_deleted_and_not_written_again(
        self, spool: Spool, clock: Clock, file_url: str
    ) -> None:
        store = open_records(file_url)
        write(spool, clock, 1)
        finish(spool)
        path = sealed_path(spool.directory, 1)
        content = path.read_bytes()
        ship_segment(store, path)
        path.write_bytes(content)  # as after a crash before the deletion

        ship_segment(store, path)

        assert not path.exists()
        assert len(list(store.listing())) == 1

    def test_whose_object_has_other_content_stays_here(self, spool: Spool, clock: Clock, file_url: str) -> None:
        store = open_records(file_url)
        write(spool, clock, 1)
        finish(spool)
        path = sealed_path(spool.directory, 1)
        content = path.read_bytes()
        ship_segment(store, path)
        (shipped,) = store.listing()
        (Path(file_url.removeprefix("file://")) / shipped.name).write_bytes(b"other")
        path.write_bytes(content)

        with pytest.raises(DifferentObjectError):
            ship_segment(store, path)
        assert path.read_bytes() == content

    def test_that_was_given_up_meanwhile_is_nothing_to_do(self, tmp_path: Path, file_url: str) -> None:
        assert ship_segment(open_records(file_url), tmp_path / "gone") == 0


@pytest.fixture
def proxy(bucket: str, aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_proxy.Proxy]:
    with s3_proxy.proxying(aws) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


class TestTheShipper:
    @pytest.fixture
    def ship(self, spool: Spool, clock: Clock) -> Callable[[RecordsStore | None], Shipper]:
        return lambda store: Shipper(spool, store, every_s=EVERY_S, clock=clock)

    def run(self, shipper: Shipper, clock: Clock, *, for_s: float) -> None:
        """Let time pass as the thread would."""
        end = clock.now + for_s
        while clock.now < end:
            clock.now += max(shipper.turn(), 0.001)

    def test_ships_what_is_new_every_interval_and_nothing_if_nothing_is(
        self, ship: Any, spool: Spool, clock: Clock, signer: HostSigner, file_url: str
    ) -> None:
        store = open_records(file_url)
        shipper = ship(store)
        for number in range(5):
            write(spool, clock, number)
            self.run(shipper, clock, for_s=EVERY_S)
        self.run(shipper, clock, for_s=3_600)

        assert len(list(store.listing())) == 5
        (report,), findings = verify(store, signer)
        assert (report.records, findings) == ({"decision": 5, "checkpoint": 5}, [])
        assert shipper.status().waiting.oldest_at == ""
        assert shipper.status().shipped_records == 10

    def test_signs_every_minute_even_where_nothing_is_shipped(self, ship: Any, spool: Spool, clock: Clock) -> None:
        shipper = ship(None)
        write(spool, clock, 1)
        self.run(shipper, clock, for_s=10 * CHECKPOINT_S)

        lines = (spool.directory / "0000000000000001.open.jsonl").read_bytes().splitlines()
        assert [json.loads(line)["type"] for line in lines] == ["segment", "decision", "checkpoint"]

    @pytest.mark.parametrize("status", [403, 500, 503, 0])
    def test_a_store_that_fails_for_hours_loses_nothing(
        self, ship: Any, spool: Spool, clock: Clock, signer: HostSigner, proxy: Any, s3_url: str, status: int
    ) -> None:
        store = open_records(s3_url)
        shipper = ship(store)
        proxy.request = lambda *_: s3_error(status, "AccessDenied" if status == 403 else "X") if status else NO_ANSWER
        first = moment(clock())
        for number in range(4):
            write(spool, clock, number)
            self.run(shipper, clock, for_s=300)

        failing = shipper.status()
        assert failing.waiting.segments == 1  # the rest is in the open one: nothing piles up
        assert failing.waiting.oldest_at == first
        assert failing.failures >= 8
        assert failing.problem
        proxy.request = lambda *_: None
        self.run(shipper, clock, for_s=200)
        (report,), findings = verify(store, signer)
        assert (report.records["decision"], findings) == (4, [])
        assert shipper.status().waiting.segments == 0
        assert shipper.status().problem == ""

    def test_answers_that_lie_lead_to_one_object_each(
        self, ship: Any, spool: Spool, clock: Clock, signer: HostSigner, proxy: Any, s3_url: str
    ) -> None:
        store = open_records(s3_url)
        shipper = ship(store)
        lies = [NO_ANSWER, s3_error(500, "InternalError"), s3_error(503, "SlowDown"), s3_error(412, "Precondition")]
        proxy.answer = lambda method, answer: lies.pop() if method == "PUT" and lies else answer
        for number in range(6):
            write(spool, clock, number)
            self.run(shipper, clock, for_s=EVERY_S)
        self.run(shipper, clock, for_s=120)

        (report,), findings = verify(store, signer)
        assert (report.segments, report.records["decision"], findings) == (6, 6, [])
        assert not lies

    def test_one_segment_that_is_refused_does_not_hold_up_the_others(
        self, ship: Any, spool: Spool, clock: Clock, file_url: str
    ) -> None:
        store = open_records(file_url)
        shipper = ship(store)
        write(spool, clock, 1)
        finish(spool)
        damaged = sealed_path(spool.directory, 1)
        content = damaged.read_bytes()
        damaged.write_bytes(b"nonsense\n")
        write(spool, clock, 2)
        self.run(shipper, clock, for_s=EVERY_S)

        assert len(list(store.listing())) == 1
        assert shipper.status().refused == 1
        damaged.write_bytes(content)  # a person restores it
        self.run(shipper, clock, for_s=REFUSED_AGAIN_S)
        assert len(list(store.listing())) == 2
        assert shipper.status().refused == 0

    def test_a_clock_that_jumps_neither_loses_nor_repeats(
        self, spool: Spool, clock: Clock, signer: HostSigner, file_url: str
    ) -> None:
        """Host time never goes back, but it may leap; how long things take is measured otherwise."""
        store, monotonic = open_records(file_url), Clock()
        shipper = Shipper(spool, store, every_s=EVERY_S, clock=monotonic)
        for leap_s in (0, 86_400 * 400, 0, 5, 3_600):
            clock.now += leap_s
            write(spool, clock, leap_s)
            self.run(shipper, monotonic, for_s=EVERY_S + 1)

        (report,), findings = verify(store, signer)
        assert (report.records["decision"], findings) == (5, [])

    def test_the_last_turn_leaves_nothing_behind(
        self, ship: Any, spool: Spool, clock: Clock, signer: HostSigner, file_url: str
    ) -> None:
        store = open_records(file_url)
        shipper = ship(store)
        shipper.start()
        write(spool, clock, 1, 2)

        shipper.stop(timeout_s=20)

        (report,), findings = verify(store, signer)
        assert (report.records["decision"], findings) == (2, [])
        assert backlog(spool.directory, used_bytes=1) == Backlog()

    def test_a_store_that_hangs_holds_up_no_end(
        self, ship: Any, spool: Spool, clock: Clock, proxy: Any, s3_url: str
    ) -> None:
        hanging = threading.Event()
        proxy.request = lambda *_: None if hanging.wait(20) else NO_ANSWER
        shipper = ship(open_records(s3_url))
        shipper.start()
        write(spool, clock, 1)

        began = time.monotonic()
        shipper.stop(timeout_s=0.5)

        assert time.monotonic() - began < 3
        while numbers(spool.directory, SEALED) != [1]:  # signed and finished here, whatever the store does
            assert time.monotonic() - began < 20
        hanging.set()
        shipper.stop(timeout_s=20)
        assert numbers(spool.directory, SEALED) == []
