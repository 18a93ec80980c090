"""The arithmetic of docs/how-to/serve-through-a-cache.md follows from what docs/reference/performance.md measured."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to/serve-through-a-cache.md").read_text(encoding="utf-8")
MONTH_S = 30 * 24 * 3600
POLLS, PROBES, REFRESHES, RELEASES = MONTH_S // 30, MONTH_S // 600, MONTH_S // 3600, 60
USD_PER_REQUEST = 0.0004 / 1000
HOSTS_PER_CACHE = 1000


def measured(poll: str) -> tuple[int, int]:
    """Return requests and bytes down of a poll with 10,000 rules."""
    performance = (DOCS / "reference/performance.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| 10,000 \| {poll} \| (\d+) \| [\d,]+ \| ([\d,]+) \|", performance, re.MULTILINE)
    return int(row[0]), int(row[1].replace(",", ""))


NOTHING, PROBE, REFRESH, RELEASE = (
    measured(poll) for poll in ("nothing new", "root probe", "timestamp refreshed", "a release")
)
PER_HOST = POLLS * NOTHING[0] + sum(
    count * (poll[0] - NOTHING[0]) for count, poll in ((PROBES, PROBE), (REFRESHES, REFRESH), (RELEASES, RELEASE))
)
BYTES_PER_HOST = POLLS * NOTHING[1] + sum(
    count * (poll[1] - NOTHING[1]) for count, poll in ((PROBES, PROBE), (REFRESHES, REFRESH), (RELEASES, RELEASE))
)


def test_the_formulas_are_those_of_what_was_measured() -> None:
    text = " ".join(PAGE.split())

    extra = RELEASE[0] - NOTHING[0]
    assert f"requests = {POLLS:,} polls + {PROBES:,} root probes + {REFRESHES:,} refreshes + {extra} R" in text
    assert (
        f"bytes = {POLLS:,} x {NOTHING[1]:,} + {PROBES:,} x {PROBE[1] - NOTHING[1]:,} "
        f"+ {REFRESHES:,} x {REFRESH[1] - NOTHING[1]:,} + R x {RELEASE[1] - NOTHING[1]:,}" in text
    )


@pytest.mark.parametrize("hosts", [1_000, 10_000, 100_000])
def test_each_row_of_the_table_is_computed(hosts: int) -> None:
    direct = hosts * PER_HOST
    cached = hosts // HOSTS_PER_CACHE * (MONTH_S // 5) + hosts * (PROBES + REFRESHES)

    assert (
        f"| {hosts:,} | {direct / 1e6:,.1f} million | {direct / MONTH_S:,.0f} | {hosts * BYTES_PER_HOST / 1e9:,.0f} "
        f"| ${direct * USD_PER_REQUEST:,.0f} | {cached / 1e6:,.1f} million | ${cached * USD_PER_REQUEST:,.0f} |" in PAGE
    )
