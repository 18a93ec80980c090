"""Reports of a host, on a clock that the test moves, to a real store in a directory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from reported_status import ENFORCED, STATUS, TIME

from agent_sidecar.host_key import open_host_key
from agent_sidecar.reports.reporting import MIN_GAP_S, Reporter
from agent_sidecar.retrying import FIRST_DELAY_S, MAX_DELAY_S
from agent_sidecar.status import Status
from builder.fleet.listing import read_fleet, report_of
from bundle_store.opening import open_records
from bundle_store.port import RecordsStore, StoreUnavailableError
from policy_core.fleet.names import SLOT_S, HostState, Mark, moment_in_slot

NOON = 1_772_366_400.0


@dataclass
class Host:
    store: RecordsStore
    folder: Path
    seconds: float = NOON
    status: dict[str, Any] = field(default_factory=lambda: dict(STATUS))

    def __post_init__(self) -> None:
        self.signer = open_host_key(self.folder, host="web-1", now=NOON)
        name, content = self.signer.enrolment()
        self.store.put(name, content, if_etag=None)
        self.restart()

    def restart(self) -> None:
        self.reporter = Reporter(
            self.store, self.signer, status=self.document, clock=lambda: self.seconds, monotonic=lambda: self.seconds
        )

    def document(self) -> Status:
        return msgspec.convert(self.status, Status)

    def after(self, seconds: float, **changes: object) -> None:
        """Let time pass, with a look at every second."""
        self.status |= changes
        for _ in range(int(seconds)):
            self.seconds += 1
            self.reporter.tend()

    @property
    def reports(self) -> int:
        return self.reporter.reports

    @property
    def newest(self) -> HostState:
        return read_fleet(self.store, ["prod"], now=self.seconds).states["prod"]["web-1"]


@pytest.fixture
def host(file_url: str, tmp_path: Path) -> Host:
    return Host(open_records(file_url), tmp_path)


def test_a_host_reports_when_it_starts(host: Host) -> None:
    host.after(1)

    found = host.newest

    assert (found.enforced, found.listed, found.timestamp, found.signed_at) == (7, 8, 12, int(NOON))
    assert found.freshness == "fresh"
    assert msgspec.json.decode(report_of(host.store, found).status)["ready"] is True


def test_a_host_that_has_not_polled_yet_has_nothing_to_say(host: Host) -> None:
    host.after(5, verified_at="")
    assert host.reports == 0

    host.after(1, verified_at=TIME)
    assert host.reports == 1


def test_a_host_whose_first_poll_fails_says_so(host: Host) -> None:
    host.after(1, verified_at="", state="unreachable", failure={"since": TIME, "message": "m", "hint": "h"})

    assert host.newest.freshness == "unreachable"


def test_a_host_reports_once_in_each_slot_at_a_moment_of_its_own(host: Host) -> None:
    host.after(10 * SLOT_S)

    assert host.reports == 11
    assert host.newest.at % SLOT_S == pytest.approx(moment_in_slot("web-1"), abs=1)


def test_a_change_is_reported_at_once(host: Host) -> None:
    host.after(30)
    host.after(2, enforced={**ENFORCED, "release": 8}, pinned={"since": TIME, "until": TIME, "reason": "x", "by": "y"})

    assert host.newest.enforced == 8
    assert host.newest.marks == {Mark.ROLLED_BACK}


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"rejection": {"at": TIME, "reason": "bundle: needs rules.v9"}}, Mark.REJECTED),
        ({"clock_behind_s": 60.0}, Mark.CLOCK_BEHIND),
        ({"log": {"durability": "process", "problem": "the disk is full"}}, Mark.LOG_UNWRITABLE),
    ],
)
def test_what_somebody_should_look_at_is_marked(host: Host, changes: dict[str, Any], mark: Mark) -> None:
    host.after(1, **changes)

    assert host.newest.marks == {mark}


def test_what_changes_without_a_cause_is_not_reported(host: Host) -> None:
    host.after(30)
    host.after(30, decisions=5, signed_at="2026-03-01T13:00:00.000Z", polls=9)

    assert host.reports == 1


def test_a_state_that_flutters_is_reported_now_and_then(host: Host) -> None:
    for number in range(100):
        host.after(1, state=("fresh", "aging")[number % 2])

    assert host.reports <= 100 / MIN_GAP_S + 1


def test_a_store_that_does_not_answer_is_asked_again_with_patience(host: Host) -> None:
    asked = []

    class Silent:
        url = "s3://silent"

        def put(self, name: str, *_: object, **__: object) -> str:
            asked.append(name)
            raise StoreUnavailableError("silent: does not answer")

    answering, host.reporter._store = host.store, Silent()  # type: ignore[assignment]
    host.after(2 * MAX_DELAY_S)

    assert host.reporter.problem == "silent: does not answer"
    assert 5 < len(asked) < 2 * MAX_DELAY_S / FIRST_DELAY_S / 4

    host.reporter._store = answering
    host.after(2 * MAX_DELAY_S)

    assert host.reporter.problem == ""
    assert host.newest.enforced == 7


def test_a_report_whose_answer_was_lost_is_not_an_error(host: Host) -> None:
    host.after(1)
    host.restart()

    host.reporter.tend()

    assert host.reporter.problem == ""
