"""``writ fleet``, and the hosts that a publish would leave behind, run as a person would."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reporting_host import ReportingHost

from builder.cli.main import main
from bundle_store.opening import open_records
from bundle_store.port import RecordsStore
from policy_core.features import BASIC
from policy_core.fleet.names import SLOT_S, Mark

GitFolder = Any  # of tests/conftest.py
RATED = """\
version: v1
rules:
  - {id: cap, match: {actions: [x]}, rate: {limit: 3, window: 1h, key: [subject.id]}, decision: throttle}
  - {id: all, match: {actions: [x]}, decision: allow}
"""
RATED_TEST = "cases: [{name: x, request: {job: {topic: x}}, expect: {decision: allow, rule: rated/all}}]\n"


@pytest.fixture
def records(tmp_path: Path) -> RecordsStore:
    return open_records((tmp_path / "records").as_uri())


@pytest.fixture
def folder(policy_repository: Callable[..., GitFolder], file_url: str, records: RecordsStore) -> GitFolder:
    made = policy_repository(file_url)
    settings = (made.path / "writ.yaml").read_text()
    made.commit({"writ.yaml": f"{settings}reports: {records.url}\n"})
    return made


@pytest.fixture
def writ(folder: GitFolder, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str, code: int = 0) -> str:
        got = main(["-C", str(folder.path), *arguments])
        out, err = capsys.readouterr()
        assert got == code, err
        return out if code == 0 else err

    run("keys", "init", "--dev")
    run("publish")
    return run


def test_hosts_are_shown_beside_what_is_live(writ: Callable[..., str], records: RecordsStore) -> None:
    now = time.time()
    live = json.loads(writ("fleet", "--format", "json"))["channels"]["prod"]["timestamp"]
    ReportingHost(records, "web-1").enrol().report(now, enforced=1, timestamp=live)
    ReportingHost(records, "web-2").enrol().report(now, enforced=0, timestamp=live, marks=frozenset({Mark.REJECTED}))
    ReportingHost(records, "web-3").enrol()

    printed = writ("fleet")
    found = json.loads(writ("fleet", "--format", "json"))

    assert "prod: release 1 is live, 2 hosts reporting, 1 to look at" in printed
    assert "web-2  refusing" in printed
    assert "1 host enrolled, and reporting nothing:\n  web-3" in printed
    assert found["silent"] == ["web-3"]
    assert {host["host"]: host["standing"] for host in found["channels"]["prod"]["hosts"]} == {
        "web-1": "current", "web-2": "refusing",
    }  # fmt: skip


def test_one_host_is_shown_with_what_it_signed(writ: Callable[..., str], records: RecordsStore) -> None:
    host = ReportingHost(records, "web-1").enrol()
    host.report(time.time(), status=b'{"rejection":{"reason":"bundle: \\u001b[31mtoo new"}}')

    printed = writ("fleet", "--host", "web-1")

    assert f"signed by key {host.key.keyid[:12]}" in printed
    assert r"rejected  bundle: \x1b[31mtoo new" in printed


@pytest.mark.parametrize(
    "status", [b"5", b'{"rejection":7}', b'{"failure":{"reason":[1e999]}}', b"[" * 900 + b"]" * 900]
)
def test_a_status_that_no_sidecar_has_is_told(writ: Callable[..., str], records: RecordsStore, status: bytes) -> None:
    ReportingHost(records, "web-1").enrol().report(time.time(), status=status)

    assert "holds no status" in writ("fleet", "--host", "web-1", code=5)


def test_no_word_of_a_host_steers_a_terminal(writ: Callable[..., str], records: RecordsStore) -> None:
    ReportingHost(records, "web-1").enrol().report(time.time(), features=frozenset({"\x1b[2J", "\x9b1A"}))

    assert {"\x1b", "\x9b"}.isdisjoint(writ("fleet", "--host", "web-1"))


def test_a_host_of_another_channel_is_not_taken_for_silent(
    writ: Callable[..., str], folder: GitFolder, records: RecordsStore
) -> None:
    settings = (folder.path / "writ.yaml").read_text()
    folder.commit({"writ.yaml": settings.replace("[prod]", "[prod, staging]")})
    ReportingHost(records, "web-1", channel="staging").enrol().report(time.time())

    assert json.loads(writ("fleet", "--channel", "prod", "--format", "json"))["silent"] == []


def test_a_host_that_is_current_is_looked_at_for_its_marks(writ: Callable[..., str], records: RecordsStore) -> None:
    live = json.loads(writ("fleet", "--format", "json"))["channels"]["prod"]["timestamp"]
    marks = frozenset({Mark.LOG_UNWRITABLE, Mark.CLOCK_BEHIND})
    ReportingHost(records, "web-1").enrol().report(time.time(), enforced=1, timestamp=live, marks=marks)

    printed = writ("fleet")

    assert "1 host reporting, 1 to look at" in printed
    assert "web-1  current" in printed
    assert "clock behind, log unwritable" in printed


def test_a_second_key_of_a_host_is_told(writ: Callable[..., str], records: RecordsStore) -> None:
    """Whoever may write the fleet's records can enrol a key for any host, and sign as that host with it."""
    ReportingHost(records, "web-1").enrol()
    ReportingHost(records, "web-1").enrol().report(time.time())

    printed = writ("fleet", "--host", "web-1")

    assert "! 2 keys are enrolled for it" in printed
    assert len(json.loads(writ("fleet", "--host", "web-1", "--format", "json"))["channels"]["prod"]["enrolled"]) == 2


def test_a_forged_report_is_not_shown(writ: Callable[..., str], records: RecordsStore) -> None:
    ReportingHost(records, "web-1").report(time.time())

    assert "which is not enrolled" in writ("fleet", "--host", "web-1", code=5)


def test_a_host_that_fell_silent_is_found_again_by_days(writ: Callable[..., str], records: RecordsStore) -> None:
    ReportingHost(records, "web-1").enrol().report(time.time() - 4 * SLOT_S)

    assert "enrolled, and reporting nothing" in writ("fleet")
    assert "web-1  silent" in writ("fleet", "--days", "1")
    assert "writ fleet lists those that do" in writ("fleet", "--host", "web-1", code=2)


def test_without_a_place_to_report_there_is_no_fleet(
    policy_repository: Callable[..., GitFolder], file_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = policy_repository(file_url)

    assert main(["-C", str(bare.path), "fleet"]) == 2
    assert "writ.yaml does not say where hosts report" in capsys.readouterr().err


def test_a_policy_that_a_host_cannot_evaluate_is_not_published_unawares(
    writ: Callable[..., str], folder: GitFolder, records: RecordsStore
) -> None:
    ReportingHost(records, "web-1").enrol().report(time.time(), features=BASIC)
    folder.commit({"policies/rated.yaml": RATED, "tests/rated.yaml": RATED_TEST})

    refused = writ("publish", code=4)

    assert "web-1 (version 0.1.0) cannot evaluate rates.v1" in refused
    assert "prod: release 2 (publish) is live" in writ("publish", "--leave-hosts-behind")
    assert "is live already" in writ("publish")  # and leaves nobody behind who was not


def test_a_fleet_that_cannot_be_asked_stops_a_publish(
    writ: Callable[..., str], folder: GitFolder, tmp_path: Path
) -> None:
    (tmp_path / "records").write_text("not a directory")
    folder.commit({"policies/rated.yaml": RATED, "tests/rated.yaml": RATED_TEST})

    writ("publish", code=6)
    assert "is live" in writ("publish", "--leave-hosts-behind")
