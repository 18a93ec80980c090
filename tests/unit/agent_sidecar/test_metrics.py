"""The metrics document: what an alarm can be made of."""

import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent_sidecar.decision_log.log import LogStatus, NoLog
from agent_sidecar.decision_log.settings import Durability
from agent_sidecar.decision_log.shipper import ShippingStatus
from agent_sidecar.decision_log.shipping import Backlog
from agent_sidecar.freshness import Freshness, FreshnessState, RoleTerm
from agent_sidecar.memory import FleetStatus, MemoryStatus
from agent_sidecar.metrics import METRICS, Kind, Metric, Readings, metrics_text
from agent_sidecar.status import (
    AccessStatus,
    EmergencyStatus,
    EnforcedStatus,
    LimitsStatus,
    PublishedStatus,
    Status,
    WorkerStatus,
)
from agent_sidecar.tally import Tally, total
from policy_core.errors import RemoteError

PAGE = Path(__file__).parents[3] / "docs/reference/sidecar-api.md"
TABLE = "<!-- the table of metrics; UPDATE=1 rewrites it -->\n"
END_OF_TABLE = "<!-- end of the table -->\n"
LABELS = {
    "writ_freshness": '{state="…"}', "writ_metadata_expiry_timestamp_seconds": '{role="…"}',
    "writ_metadata_version": '{role="…"}', "writ_decisions_total": '{decision="…"}',
    "writ_polls_total": '{outcome="…"}', "writ_history_events_total": '{event="…"}', "writ_build_info": '{version="…"}',
}  # fmt: skip
FRESH = Freshness(
    terms={"timestamp": RoleTerm(7, 2000.0), "prod": RoleTerm(2, 1_789_000_000.0)}, signed_at=1000.0, verified_at=1000.0
)

LOG = LogStatus(
    durability=Durability.PROCESS, bytes=4096, max_bytes=1 << 30, records=7, given_up=3, denied=2, problem="full",
    shipping=ShippingStatus(
        to="s3://b/logs", waiting=Backlog(1, 300, "2026-03-01T12:00:00.500Z"), shipped_records=5, failures=2, refused=1
    ),
)  # fmt: skip


STATUS = Status(
    state=FreshnessState.FRESH, ready=True, reason="", version="0", store="file:///p", channel="prod",
    enforced=EnforcedStatus("sha256:1", "2", 7, 12, "2026-01-01T00:00:00Z"), pinned=None,
    emergency=(EmergencyStatus(id="a", kind="deny", reason="", actor="", until=""),) * 2,
    limits=LimitsStatus(60.0, 0), published=None, current=None, previous=None, signed_at="", expires_at="", metadata={},
    verified_at="", answered_at="", failure=None, rejection=None, clock_behind_s=12.5, log=LOG, polls=0, decisions=0,
    access=AccessStatus(tcp="token", certificate_expires_at="2026-01-01T00:00:00Z", turned_away=5),
    memory=MemoryStatus(
        host_id="h", counted_keys=3, spent_grants=2, journal_bytes=100, forgot_at="", fleet=None,
    ),
)  # fmt: skip


def readings(freshness: Freshness = FRESH, *, now: float = 1000.0, **more: Any) -> Readings:
    status = structs.replace(STATUS, state=freshness.state(now), **more.pop("status", {}))
    made = Readings(
        now=now, status=status, freshness=freshness, activated_at=900.0, tally=Tally(), polls={"unchanged": 4},
        events={"activated": 2}, requests=9, connections=1, spans=None,
    )  # fmt: skip
    return replace(made, **more)


def lines(freshness: Freshness = FRESH, *, now: float = 1000.0, **more: Any) -> list[str]:
    text = metrics_text(readings(freshness, now=now, **more)).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_it_says_when_which_role_expires() -> None:
    found = lines(FRESH)

    assert 'writ_metadata_expiry_timestamp_seconds{role="prod"} 1789000000' in found
    assert 'writ_metadata_expiry_timestamp_seconds{role="timestamp"} 2000' in found
    assert 'writ_metadata_version{role="timestamp"} 7' in found
    assert "writ_metadata_signed_timestamp_seconds 1000" in found
    assert "writ_clock_behind_seconds 12.5" in found


def test_it_says_that_an_emergency_is_in_force() -> None:
    assert "writ_emergency_entries 2" in lines(FRESH)


def test_it_says_that_nothing_can_be_logged() -> None:
    found = lines(FRESH)

    assert "writ_decision_log_writable 0" in found
    assert "writ_decision_log_denied_total 2" in found
    assert "writ_decision_log_given_up_total 3" in found
    assert "writ_decision_log_bytes 4096" in found


def test_without_a_log_there_are_no_numbers_of_it() -> None:
    text = metrics_text(readings(status={"log": NoLog().status()}))

    assert b"decision_log" not in text


def test_the_states_are_told_apart() -> None:
    away = FRESH.failed(RemoteError("cut off"), 1000.0)
    found = {
        word: lines(freshness, now=now)
        for word, freshness, now in (
            ("fresh", FRESH, 1000.0), ("aging", FRESH, 1800.0), ("stale", FRESH, 2000.0), ("unreachable", away, 1000.0),
        )
    }  # fmt: skip

    for word, each in found.items():
        assert [line for line in each if line.startswith("writ_freshness") and line.endswith(" 1")] == [
            f'writ_freshness{{state="{word}"}} 1'
        ]


def test_before_the_first_policy_there_are_no_numbers_that_mean_nothing() -> None:
    found = lines(Freshness(), activated_at=math.nan, status={"ready": False, "enforced": None})

    assert "writ_ready 0" in found
    assert not [line for line in found if line.startswith(("writ_release", "writ_activation", "writ_rules"))]
    assert 'writ_freshness{state="stale"} 1' in found
    assert not [line for line in found if line.endswith(("inf", "nan")) or "writ_metadata" in line]


def test_every_line_is_of_the_form_prometheus_reads() -> None:
    published = PublishedStatus(release=8, revision="3", action="publish", actor="ana")
    memory = structs.replace(STATUS.memory, fleet=FleetStatus("redis://h/0", "away"))
    workers = (WorkerStatus(pid=os.getpid(), ready=True, release=7, decisions=1, connections=1),)
    access = AccessStatus(certificate_expires_at="2026-05-01T00:00:00Z")
    status = {"access": access, "published": published, "memory": memory, "workers": workers}
    text = metrics_text(readings(spans=(1, 2), status=status)).decode()

    assert text.endswith("\n")
    assert [metric.name for metric in METRICS if f"# TYPE {metric.name} {metric.kind}\n" not in text] == []
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+=\"[A-Za-z0-9_.+-]+\"\})? [0-9.e+-]+", line), (
            line
        )


def test_what_is_only_on_this_host_has_its_size_and_the_time_of_its_oldest_record() -> None:
    found = lines()

    assert "writ_decision_log_unshipped_bytes 300" in found
    assert "writ_decision_log_oldest_unshipped_timestamp_seconds 1772366400.5" in found
    assert "writ_decision_log_refused_segments 1" in found


def test_a_log_that_is_shipped_nowhere_has_no_numbers_of_shipping() -> None:
    log = structs.replace(LOG, shipping=ShippingStatus())

    found = lines(status={"log": log})

    assert not [line for line in found if "ship" in line]


def test_decisions_are_counted_by_word_and_by_how_long_they_took() -> None:
    tally = Tally()
    for decision, took_us in (("allow", 0), ("allow", 1), ("deny", 3), ("allow", 1000), ("throttle", 5_000_000)):
        tally.count(decision, took_us)

    found = lines(tally=total([tally, tally]))

    assert 'writ_decisions_total{decision="allow"} 6' in found
    assert 'writ_decisions_total{decision="require_approval"} 0' in found
    for bound, count in (("1e-06", 2), ("2e-06", 4), ("4e-06", 6), ("0.000512", 6), ("0.001024", 8), ("1.04858", 8)):
        assert f'writ_decision_duration_seconds_bucket{{le="{bound}"}} {count}' in found
    assert 'writ_decision_duration_seconds_bucket{le="+Inf"} 10' in found
    assert "writ_decision_duration_seconds_count 10" in found
    assert "writ_decision_duration_seconds_sum 10.002008" in found


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_end_in_their_unit(metric: Metric) -> None:
    assert metric.name.startswith(("writ_", "process_"))
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    has_unit = any(word in metric.help for word in ("When ", "Time ", "of the disk", "memory of", "How far"))
    assert not has_unit or metric.name.endswith(("_seconds", "_bytes"))


def test_the_page_lists_every_metric() -> None:
    rows = "\n".join(
        f"| `{metric.name}{LABELS.get(metric.name, '')}` | {metric.kind} | {metric.help} {metric.more} |"
        for metric in METRICS
    )
    table = f"\n| name | kind | value |\n|---|---|---|\n{rows}\n\n"
    before, rest = PAGE.read_text(encoding="utf-8").split(TABLE)
    after = rest.split(END_OF_TABLE)[1]
    if os.environ.get("UPDATE"):
        PAGE.write_text(f"{before}{TABLE}{table}{END_OF_TABLE}{after}", encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == f"{before}{TABLE}{table}{END_OF_TABLE}{after}"
