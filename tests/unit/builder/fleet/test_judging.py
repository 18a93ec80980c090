from dataclasses import replace

import pytest

from builder.fleet.judging import GRACE_S, Live, Standing, standing_of
from policy_core.fleet.names import SILENT_AFTER_S, HostState, Mark

SIGNED = 1_772_366_400
NOW = SIGNED + 1_000.0
LIVE = Live(channel="prod", release=42, timestamp=100, signed_at=SIGNED)
WELL = HostState(
    host="web-1", channel="prod", at=int(NOW) - 60, enforced=42, listed=42, timestamp=100, signed_at=SIGNED,
    freshness="fresh", marks=frozenset(), features="00000000", version="0.4.0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({}, Standing.CURRENT),
        ({"marks": frozenset({Mark.EMERGENCY})}, Standing.CURRENT),
        ({"enforced": 41}, Standing.BEHIND),
        ({"enforced": 41, "marks": frozenset({Mark.ROLLED_BACK})}, Standing.ROLLED_BACK),
        ({"enforced": 41, "marks": frozenset({Mark.REJECTED})}, Standing.REFUSING),
        ({"enforced": 41, "freshness": "unreachable"}, Standing.UNREACHABLE),
        ({"enforced": 41, "freshness": "stale"}, Standing.STALE),
        ({"at": int(NOW - SILENT_AFTER_S) - 1}, Standing.SILENT),
        ({"enforced": 43}, Standing.AHEAD),
        ({"timestamp": 101}, Standing.AHEAD),
    ],
)
def test_a_report_has_one_standing(changes: dict[str, object], standing: Standing) -> None:
    assert standing_of(replace(WELL, **changes), LIVE, now=NOW) is standing


def test_a_host_that_is_shown_the_past_is_left_behind() -> None:
    """It polls, all it is shown is signed and in time, and says so: only beside the others it is seen."""
    frozen = replace(WELL, enforced=41, listed=41, timestamp=99, freshness="fresh")

    assert standing_of(frozen, LIVE, now=NOW) is Standing.LEFT_BEHIND
    assert standing_of(replace(frozen, enforced=42, listed=42), LIVE, now=NOW) is Standing.LEFT_BEHIND


def test_a_report_from_before_the_newest_timestamp_says_nothing_of_it() -> None:
    before = replace(WELL, timestamp=99, at=int(SIGNED + GRACE_S))

    assert standing_of(before, LIVE, now=NOW) is Standing.CURRENT


def test_a_release_that_has_just_been_made_is_on_its_way() -> None:
    just_now = SIGNED + GRACE_S - 1
    behind = replace(WELL, enforced=41, timestamp=99, at=SIGNED + 30)

    assert standing_of(behind, LIVE, now=just_now) is Standing.UPDATING
