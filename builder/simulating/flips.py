"""Flips: how an answer differs from another, and whether that permits more or less.

Decisions are ordered by how much they stand in the way: ``allow < allow_with_constraints < throttle <
require_approval < deny``. Constraints are compared name by name; one that is absent bounds nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from policy_core.decision import Answer
from policy_core.model import Constraint, Decision


class Kind(StrEnum):
    """What a flip does: permits more, permits less, or neither of the two alone (in the order of reports)."""

    WIDENED = "widened"
    CHANGED = "changed"
    NARROWED = "narrowed"


_SEVERITY = {
    Decision.ALLOW: 0,
    Decision.ALLOW_WITH_CONSTRAINTS: 1,
    Decision.THROTTLE: 2,
    Decision.REQUIRE_APPROVAL: 3,
    Decision.DENY: 4,
}
_BOUNDED = frozenset({Decision.ALLOW, Decision.ALLOW_WITH_CONSTRAINTS, Decision.REQUIRE_APPROVAL})


@dataclass(frozen=True, slots=True)
class ConstraintChange:
    """One constraint before and after; None: not there."""

    name: str
    before: Constraint | None
    after: Constraint | None
    kind: Kind


def kind_of(before: Answer, after: Answer) -> Kind | None:
    """Return what the step from one answer to the other does, None if decision and constraints are the same.

    A less severe decision widens, whatever its constraints. A more severe one narrows, unless what it would permit in
    the end (after an approval) is bounded less: that is *changed*, as is one constraint looser and another tighter.
    """
    if before.decision == after.decision and before.constraints == after.constraints:
        return None
    step = _SEVERITY[after.decision] - _SEVERITY[before.decision]
    if step < 0:
        return Kind.WIDENED
    kinds = {change.kind for change in constraint_changes(before, after)}
    if step > 0:
        return Kind.NARROWED if kinds <= {Kind.NARROWED} else Kind.CHANGED
    return kinds.pop() if len(kinds) == 1 else Kind.CHANGED


def constraint_changes(before: Answer, after: Answer) -> Iterator[ConstraintChange]:
    """Yield the constraints that differ, by name; none where one of the answers lets nothing run."""
    if before.decision in _BOUNDED and after.decision in _BOUNDED:
        for name in sorted(before.constraints.keys() | after.constraints.keys()):
            old, new = before.constraints.get(name), after.constraints.get(name)
            if old != new:
                yield ConstraintChange(name, old, new, _direction(name, old, new))


def _direction(name: str, before: Constraint | None, after: Constraint | None) -> Kind:
    if before is None:
        return Kind.NARROWED
    if after is None:
        return Kind.WIDENED
    tighter = _is_tighter(name, before, after)
    return Kind.NARROWED if tighter else Kind.WIDENED if _is_tighter(name, after, before) else Kind.CHANGED


def _is_tighter(name: str, loose: Constraint, tight: Constraint) -> bool:
    """Tell whether `tight` permits nothing that `loose` does not; false for names without an order."""
    if isinstance(loose, tuple) and isinstance(tight, tuple):
        if name.endswith("_allowlist"):
            return set(tight) <= set(loose)
        return name.endswith("_denylist") and set(tight) >= set(loose)
    if isinstance(loose, bool) and isinstance(tight, bool):
        return tight is not name.startswith("allow_")
    if isinstance(loose, int | float) and isinstance(tight, int | float):
        return tight < loose if name.startswith("max_") else name.startswith("min_") and tight > loose
    return False
