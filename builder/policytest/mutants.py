"""Mutants: a rule (or a classification) with one thing changed, which some policy test should notice.

Three kinds: another decision, a clause (or constraint, or operand of ``&&`` and ``||``, or rate, or approval) dropped,
a number moved by one. Changes that cannot matter are left out, such as dropping ``actions: ["*"]``, and those that no
policy test can show: the window and the key of a rate, and for how long a grant is good.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from builder.policytest.moving import move_number, move_tests
from policy_core.condition import render_condition
from policy_core.condition.grammar import ALWAYS_BOOLEAN, CHAINS
from policy_core.constraints import check_constraint
from policy_core.grants import check_approval
from policy_core.model import (
    GRANTING,
    Approval,
    Classification,
    Condition,
    Constraint,
    Decision,
    Rate,
    Rule,
    TimeWindow,
)
from policy_core.rates import check_rate

_ALWAYS_THERE = ("actions", "types", "ids")  # texts every request has
_ALWAYS = TimeWindow()
_CLASSIFIED_BY = {
    "actions": "match.actions",
    "resource_types": "match.resource.types",
    "resource_ids": "match.resource.ids",
}
_FLIPS = {
    Decision.DENY: (Decision.ALLOW,),
    Decision.REQUIRE_APPROVAL: (Decision.ALLOW,),
    Decision.THROTTLE: (Decision.ALLOW,),
    Decision.ALLOW: (Decision.DENY,),
    Decision.ALLOW_WITH_CONSTRAINTS: (Decision.DENY, Decision.ALLOW),
    Decision.CONSTRAIN: (Decision.ALLOW,),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed rule, the ordinal of the rule it stands in for, and what was changed."""

    ordinal: int
    rule: Rule
    change: str

    @property
    def name(self) -> str:
        """Return what the rule is called."""
        return self.rule.name


@dataclass(frozen=True, slots=True)
class ClassificationMutant:
    """A changed classification (without tags: none), the ordinal of the one it stands in for, and what was changed."""

    ordinal: int
    classification: Classification
    change: str

    @property
    def name(self) -> str:
        """Return what the classification is called."""
        return self.classification.name


def classification_mutants_of(ordinal: int, classification: Classification) -> Iterator[ClassificationMutant]:
    """Yield every mutant of one classification: without one of its tags, or about more than it is about."""
    for tag in classification.risk_tags:
        left = tuple(other for other in classification.risk_tags if other != tag)
        changed = msgspec.structs.replace(classification, risk_tags=left)
        yield ClassificationMutant(ordinal, changed, f"drops risk tag {tag}")
    for name, path in _CLASSIFIED_BY.items():
        patterns = getattr(classification, name)
        if patterns and not any(set(pattern) == {"*"} for pattern in patterns):
            changed = msgspec.structs.replace(classification, **{name: ()})
            yield ClassificationMutant(ordinal, changed, f"drops {path}")


def mutants_of(ordinal: int, rule: Rule) -> Iterator[Mutant]:
    """Yield every mutant of one rule; none of a dry-run rule, which no answer depends on."""
    if rule.dry_run:
        return
    for changed, change in _changes(rule):
        if changed != rule:  # `true && true` stays what it is
            yield Mutant(ordinal, changed, change)


def _changes(rule: Rule) -> Iterator[tuple[Rule, str]]:
    for decision in _FLIPS[rule.decision]:
        changed = msgspec.structs.replace(rule, decision=decision, constraints={}, remediations=(), approval=None)
        yield msgspec.structs.replace(changed, rate=None if decision in GRANTING else rule.rate), f"decides {decision}"
    for smaller, path in _without(rule.match, "match"):
        if smaller is not None or not _is_wildcard(path, rule.match):
            yield msgspec.structs.replace(rule, match=smaller or type(rule.match)()), f"drops {path}"
    if rule.unless is not None:
        for smaller, path in _without(rule.unless, "unless"):
            yield msgspec.structs.replace(rule, unless=smaller), f"drops {path}"
    for side in ("match", "unless"):
        clauses = getattr(rule, side)
        for changed, change in move_tests(clauses, side) if clauses is not None else ():
            yield msgspec.structs.replace(rule, **{side: changed}), change
    if rule.when is not None:
        yield msgspec.structs.replace(rule, when=None), "drops when"
        for condition, change in _conditions(rule.when):
            yield msgspec.structs.replace(rule, when=_boolean(condition)), f"when: {change}"
    for name, changes in _WHOLE_FIELDS.items():
        for value, change in changes(getattr(rule, name)):
            yield msgspec.structs.replace(rule, **{name: value}), change


def _without(clauses: msgspec.Struct, path: str) -> Iterator[tuple[Any, str]]:
    """Yield clauses without each one of them, None where nothing is left."""
    empty = type(clauses)()
    for field in msgspec.structs.fields(clauses):
        value, default = getattr(clauses, field.name), getattr(empty, field.name)
        if value == default:
            continue
        for smaller, below in _smaller(value, f"{path}.{field.encode_name}"):
            changed = msgspec.structs.replace(clauses, **{field.name: default if smaller is None else smaller})
            if changed == empty:
                yield None, below
            elif smaller is not None or not _is_wildcard(below, clauses):
                yield changed, below


def _smaller(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    """Yield what is left of one field without each of its clauses, None for nothing."""
    if isinstance(value, TimeWindow):
        yield from _wider_windows(value, path)
    elif isinstance(value, msgspec.Struct):
        yield from _without(value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            others = {name: other for name, other in value.items() if name != key}
            nested = _without(item, f"{path}.{key}") if isinstance(item, msgspec.Struct) else [(None, f"{path}.{key}")]
            for smaller, below in nested:
                # the order of keys stays, as it is part of what a rule encodes to
                left = others if smaller is None else {**value, key: smaller}
                yield left or None, below
    else:
        yield None, path


def _wider_windows(window: TimeWindow, path: str) -> Iterator[tuple[TimeWindow | None, str]]:
    """Yield a window without each of its parts; the zone alone is none."""
    for name in ("after", "before", "days", "between"):
        changed = msgspec.structs.replace(window, **{name: getattr(_ALWAYS, name)})
        if changed != window:
            yield None if changed == TimeWindow(tz=window.tz) else changed, f"{path}.{name}"


def _is_wildcard(path: str, clauses: msgspec.Struct) -> bool:
    name = path.rpartition(".")[2]
    patterns = getattr(clauses, name, ()) if name in _ALWAYS_THERE else ()
    return any(set(pattern) == {"*"} for pattern in patterns)


def _boolean(node: Any) -> Condition:
    """Return what is left of a condition as one that gives a boolean or an error, as a whole condition must."""
    return node if isinstance(node, list) and node[0] in ALWAYS_BOOLEAN else ["&&", node, True]


def _conditions(node: Condition) -> Iterator[tuple[Any, str]]:
    """Yield a condition with one operand of a chain dropped, or one number moved by one."""
    name, *parts = node
    if name in ("timestamp", "duration"):
        return  # a microsecond is nothing a test should notice
    if name == "double":
        value = float(str(parts[0]))
        yield from ((["double", repr(moved)], f"{value} becomes {moved}") for moved in move_number(value))
        return
    for index, part in enumerate(parts):
        if name in CHAINS:
            others = [*parts[:index], *parts[index + 1 :]]
            left = [name, *others] if len(others) > 1 else others[0]
            yield left, f"drops {render_condition(part)}"
        if isinstance(part, list):
            changes = _conditions(part)
        elif type(part) is int:
            changes = ((moved, f"{part} becomes {moved}") for moved in move_number(part))
        else:
            continue
        for changed, change in changes:
            # a chain that becomes an operand of the same chain dissolves in it
            inner = changed[1:] if name in CHAINS and isinstance(changed, list) and changed[0] == name else [changed]
            yield [name, *parts[:index], *inner, *parts[index + 1 :]], change


def _rates(rate: Rate | None) -> Iterator[tuple[Rate | None, str]]:
    """Yield no rate, and the rate with its limit moved by one."""
    if rate is None:
        return
    yield None, "drops rate"
    for limit in (rate.limit - 1, rate.limit + 1):
        changed = msgspec.structs.replace(rate, limit=limit)
        if check_rate(changed) is None:
            yield changed, f"rate.limit: {rate.limit} becomes {limit}"


def _approvals(approval: Approval | None) -> Iterator[tuple[Approval | None, str]]:
    """Yield no approval, and the approval with the number of each team moved by one, to none of it too."""
    if approval is None:
        return
    yield None, "drops approval"
    for team, count in approval.quorum.items():
        for moved in (count - 1, count + 1):
            quorum = {name: moved if name == team else number for name, number in approval.quorum.items()}
            changed = msgspec.structs.replace(approval, quorum={name: left for name, left in quorum.items() if left})
            if check_approval(changed) is None:
                yield changed, f"approval.from.{team}: {count} becomes {moved}"


def _constraints(constraints: Mapping[str, Constraint]) -> Iterator[tuple[dict[str, Constraint], str]]:
    """Yield the constraints without each one of them, and with each number moved by one."""
    for name, value in constraints.items():
        others = {other: bound for other, bound in constraints.items() if other != name}
        if others:  # without any, a rule that constrains is none: that is what another decision changes
            yield others, f"drops constraints.{name}"
        if type(value) in (int, float):
            for moved in move_number(value):  # type: ignore[arg-type]
                if check_constraint(name, moved) is None:
                    yield {**constraints, name: moved}, f"constraints.{name}: {value} becomes {moved}"


_WHOLE_FIELDS: Mapping[str, Callable[[Any], Iterator[tuple[Any, str]]]] = {
    "rate": _rates,
    "approval": _approvals,
    "constraints": _constraints,
}
