"""Tables in the reference pages say what the code says."""

import re
from pathlib import Path

from stress.operations import OPERATIONS

from policy_core.constraints import REGISTRY, merge_of
from policy_core.decision import BUILT_IN_REASON_CODES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def _rows(page: str) -> list[list[str]]:
    lines = (REFERENCE / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def test_the_constraints_page_lists_the_registry():
    listed = {name.strip("`"): (merge, bounds) for name, merge, bounds in _rows("constraints.md")}

    assert listed == {name: (merge_of(name).value, bounds) for name, bounds in REGISTRY.items()}


def test_the_decisions_page_lists_the_reason_codes():
    listed = {row[0].strip("`") for row in _rows("decisions.md") if re.fullmatch(r"`[a-z_]+`", row[0])}

    assert listed >= BUILT_IN_REASON_CODES


def test_the_store_page_counts_requests_as_they_are_counted_at_the_store():
    rows = [row for row in _rows("store.md") if row[0].startswith("`writ ")]

    assert {name: int(requests) for name, requests, _ in rows} == {
        f"`writ {name}`": OPERATIONS[name].requests
        for name in ("publish", "rollback", "promote", "refresh", "maintain")
    }
