"""Flips: how an answer differs from another, and whether that permits more or less.

Decisions are ordered by how much they stand in the way: ``allow < allow_with_constraints < throttle <
require_approval < deny``. Constraints are compared name by name: the tighter one is what merging would keep.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from policy_core.constraints import Merge, merge, merge_of
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
_PERMISSIVE = {Merge.TRUE_WINS: False, Merge.FALSE_WINS: True}
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
    by = merge_of(name)
    if by is Merge.AGREE:  # a word of the application's own: neither is tighter, nor is none at all
        return Kind.CHANGED
    if before is None or after is None:
        present = after if before is None else before
        if by in _PERMISSIVE and present is _PERMISSIVE[by]:  # it bounds nothing, but may permit what silence does not
            return Kind.CHANGED
        return Kind.NARROWED if before is None else Kind.WIDENED
    kept = merge([{name: before}, {name: after}])[name]  # merging tightens
    return Kind.NARROWED if kept == after else Kind.WIDENED if kept == before else Kind.CHANGED
