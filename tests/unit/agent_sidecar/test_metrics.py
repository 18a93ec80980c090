"""The metrics document: what an alarm can be made of."""

import math
import re

from agent_sidecar.decision_log.log import LogStatus, NoLog
from agent_sidecar.decision_log.settings import Durability
from agent_sidecar.freshness import Freshness, RoleTerm
from agent_sidecar.metrics import metrics_text
from policy_core.errors import RemoteError

FRESH = Freshness(
    terms={"timestamp": RoleTerm(7, 2000.0), "prod": RoleTerm(2, 1_789_000_000.0)}, signed_at=1000.0, verified_at=1000.0
)

LOG = LogStatus(
    durability=Durability.PROCESS, bytes=4096, max_bytes=1 << 30, records=7, given_up=3, denied=2, problem="full"
)


def lines(freshness: Freshness, *, now: float = 1000.0, ready: bool = True) -> list[str]:
    text = metrics_text(freshness, now=now, ready=ready, clock_behind_s=12.5, emergency_entries=2, log=LOG).decode()
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
    status = NoLog().status()
    text = metrics_text(FRESH, now=1.0, ready=True, clock_behind_s=0.0, emergency_entries=0, log=status)

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
    found = lines(Freshness(), ready=False)

    assert "writ_ready 0" in found
    assert 'writ_freshness{state="stale"} 1' in found
    assert not [line for line in found if "inf" in line or "writ_metadata" in line]


def test_every_line_is_of_the_form_prometheus_reads() -> None:
    text = metrics_text(FRESH, now=math.pi, ready=True, clock_behind_s=0.0, emergency_entries=0, log=LOG).decode()

    assert text.endswith("\n")
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) writ_[a-z_]+ .+|writ_[a-z_]+(\{[a-z]+=\"[a-z0-9.-]+\"\})? [0-9.e+-]+", line)
