"""A fleet read from listings alone, over real stores."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from reporting_host import ReportingHost

from builder.fleet.listing import read_fleet, report_of
from bundle_store.opening import open_records
from bundle_store.port import ListedObject, RecordsStore
from policy_core.errors import TrustError
from policy_core.fleet.names import SLOT_S

NOW = 1_772_367_000.0
MANY = 1_100
"""More than one page of a listing holds."""


@dataclass
class Counting:
    """Passes on to a store, and keeps what was read but for listings."""

    store: RecordsStore
    gets: list[str] = field(default_factory=list)

    def listing(self, start: str = "", *, after: str = "") -> Iterator[ListedObject]:
        return self.store.listing(start, after=after)

    def get(self, name: str, **more: object) -> None:
        self.gets.append(name)


@pytest.fixture
def records(store_url: str) -> RecordsStore:
    return open_records(store_url)


def test_a_fleet_is_read_from_listings_alone(records: RecordsStore) -> None:
    template = ReportingHost(records, "web").report(NOW - 30)
    from dataclasses import replace

    names = [replace(template, host=f"web-{number}", enforced=number % 3).name for number in range(MANY)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: records.put(name, b"", if_etag=None), names))
    counting = Counting(records)

    fleet = read_fleet(counting, ["prod", "staging"], now=NOW)  # type: ignore[arg-type]

    assert len(fleet.states["prod"]) == MANY + 1
    assert fleet.states["prod"]["web-7"].enforced == 1
    assert counting.gets == []


@pytest.fixture
def local(file_url: str) -> RecordsStore:
    return open_records(file_url)


def test_the_newest_report_of_a_host_counts(local: RecordsStore) -> None:
    host = ReportingHost(local, "web-1")
    host.report(NOW - SLOT_S, enforced=1)
    host.report(NOW - 5, enforced=3)
    host.report(NOW - 50, enforced=2)

    assert read_fleet(local, ["prod"], now=NOW).states["prod"]["web-1"].enforced == 3


def test_a_host_whose_clock_is_a_little_ahead_is_seen(local: RecordsStore) -> None:
    ReportingHost(local, "web-1").report(NOW + SLOT_S - 1)

    assert read_fleet(local, ["prod"], now=NOW).states["prod"]


def test_an_enrolled_host_that_does_not_report_is_silent(local: RecordsStore) -> None:
    ReportingHost(local, "web-1").enrol().report(NOW)
    ReportingHost(local, "db 1").enrol()
    ReportingHost(local, "web-2").enrol().report(NOW - 5 * SLOT_S)

    fleet = read_fleet(local, ["prod"], now=NOW)

    assert len(fleet.silent) == 2
    assert "web-2" in fleet.silent
    assert "web-2" in read_fleet(local, ["prod"], now=NOW, since_s=3_600).states["prod"]


def test_names_nobody_understands_are_counted(local: RecordsStore) -> None:
    folder = ReportingHost(local, "web-1").report(NOW).name.rpartition("/")[0]
    local.put(f"{folder}/web-2=what.json", b"", if_etag=None)

    assert read_fleet(local, ["prod"], now=NOW).unread == 1


def test_a_report_is_believed_if_an_enrolled_key_signed_it(local: RecordsStore) -> None:
    host = ReportingHost(local, "web-1").enrol()
    state = host.report(NOW)

    assert report_of(local, state).host == "web-1"


def test_a_report_of_somebody_else_is_not_believed(local: RecordsStore) -> None:
    ReportingHost(local, "web-1").enrol()
    forged = ReportingHost(local, "web-1").report(NOW)

    with pytest.raises(TrustError, match="which is not enrolled"):
        report_of(local, forged)


def test_the_key_of_another_host_is_not_enough(local: RecordsStore) -> None:
    other = ReportingHost(local, "web-2").enrol()
    other.name = "web-1"
    other.state = ReportingHost(local, "web-1").state

    with pytest.raises(TrustError, match="which is not enrolled"):
        report_of(local, other.report(NOW))
