from pathlib import Path

import pytest
from reporting_host import ReportingHost

from builder.fleet.requirements import NAMED_KINDS, HostsLackFeaturesError, lacking, require_features
from bundle_store.opening import open_records
from bundle_store.port import RecordsStore
from policy_core.features import BASIC, RATES, SUPPORTED
from policy_core.fleet.report import MAX_REPORT_BYTES

NOW = 1_772_367_000.0


@pytest.fixture
def records(file_url: str) -> RecordsStore:
    return open_records(file_url)


def test_hosts_of_this_version_can_evaluate_whatever_it_builds(records: RecordsStore) -> None:
    ReportingHost(records, "web-1").enrol().report(NOW)

    require_features(records, "prod", SUPPORTED, now=NOW)


def test_an_older_host_stops_only_what_it_lacks(records: RecordsStore) -> None:
    ReportingHost(records, "web-1").enrol().report(NOW, features=BASIC)

    require_features(records, "prod", BASIC, now=NOW)
    with pytest.raises(HostsLackFeaturesError) as caught:
        require_features(records, "prod", BASIC | {RATES}, now=NOW)

    assert caught.value.message == f"prod: web-1 (version 0.1.0) cannot evaluate {RATES}"
    assert "--leave-hosts-behind" in caught.value.hint


def test_a_newer_host_stops_nothing(records: RecordsStore) -> None:
    ReportingHost(records, "web-1").enrol().report(NOW, features=SUPPORTED | {"rules.v9"})

    require_features(records, "prod", SUPPORTED, now=NOW)


def test_what_nobody_enrolled_has_signed_is_not_believed(records: RecordsStore) -> None:
    ReportingHost(records, "web-1").report(NOW, features=SUPPORTED | {"rules.v9"})

    (found,) = lacking(records, "prod", BASIC, now=NOW)

    assert found.features == tuple(sorted(BASIC))


@pytest.mark.parametrize("body", [b"x" * (MAX_REPORT_BYTES + 1), b"{}"], ids=["huge", "empty"])
def test_an_object_that_is_no_report_explains_nothing_and_ends_nothing(
    records: RecordsStore, tmp_path: Path, body: bytes
) -> None:
    newer = SUPPORTED | {"rules.v9"}
    state = ReportingHost(records, "web-1").report(NOW, features=newer)
    ReportingHost(records, "web-2").enrol().report(NOW, features=newer)
    (path,) = tmp_path.rglob(state.name.rpartition("/")[2])
    path.write_bytes(body)

    assert lacking(records, "prod", SUPPORTED, now=NOW) == ()


def test_a_key_id_that_is_no_name_explains_nothing_and_ends_nothing(records: RecordsStore) -> None:
    newer = SUPPORTED | {"rules.v9"}
    hostile = ReportingHost(records, "web-1")
    hostile.keyid = "../../\x1b[2J"
    hostile.report(NOW, features=newer)

    (found,) = lacking(records, "prod", BASIC, now=NOW)

    assert found.hosts == ("web-1",)


def test_one_host_of_a_kind_that_is_believed_is_enough(records: RecordsStore) -> None:
    newer = SUPPORTED | {"rules.v9"}
    ReportingHost(records, "web-1").report(NOW, features=newer)
    ReportingHost(records, "web-2").enrol().report(NOW, features=newer)

    assert lacking(records, "prod", SUPPORTED, now=NOW) == ()


def test_many_hosts_are_named_by_the_first_few(records: RecordsStore) -> None:
    for number in range(8):
        ReportingHost(records, f"web-{number}").enrol().report(NOW, features=BASIC)

    (found,) = lacking(records, "prod", {RATES}, now=NOW)

    assert str(found) == f"web-0, web-1, web-2, web-3, web-4 and 3 more (version 0.1.0) cannot evaluate {RATES}"


def test_kinds_of_hosts_without_end_make_no_message_without_end(records: RecordsStore) -> None:
    for number in range(NAMED_KINDS + 2):
        ReportingHost(records, f"web-{number}").report(NOW, features=frozenset({f"x.v{number}"}))

    with pytest.raises(
        HostsLackFeaturesError, match=r"\(version 0.1.0\) cannot evaluate .*; and 2 more kinds of hosts$"
    ):
        require_features(records, "prod", {RATES}, now=NOW)


def test_hosts_of_another_channel_do_not_count(records: RecordsStore) -> None:
    ReportingHost(records, "web-1", channel="staging").enrol().report(NOW, features=BASIC)

    assert lacking(records, "prod", SUPPORTED, now=NOW) == ()
