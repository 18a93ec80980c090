"""What a policy test expects of an answer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from builder.language import fields
from builder.language.nodes import BrokenNode, MapNode, Node, Report, plain
from policy_core.constraints import canonical_constraint, check_constraint
from policy_core.model import Constraint, Decision

KEYS = ("decision", "rule", "reason_code", "constraints")
_DECISIONS = tuple(decision.value for decision in Decision if decision is not Decision.CONSTRAIN)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a case expects of the answer; None: anything."""

    decision: str
    rule: str | None = None
    reason_code: str | None = None
    constraints: Mapping[str, Constraint] | None = None


def read_expectation(
    report: Report, node: MapNode, *, rules: Collection[str], others: Collection[str] = ()
) -> Expectation:
    """Return the expectation in a mapping; problems go to the report.

    An expected rule must be one of `rules`, unless these are empty; `others` are keys that belong to the caller.
    """
    fields.check_keys(report, node, "expect", (*others, *KEYS))
    value = fields.require(report, node, "decision", "expect", f"expected one of: {', '.join(_DECISIONS)}")
    decision = value and fields.choice(report, value, "decision", _DECISIONS)
    named, code, bounds = node.get("rule"), node.get("reason_code"), node.get("constraints")
    rule = fields.one_line(report, named, "rule") if named else None
    if named and rule and rules and rule not in rules:
        hint = fields.suggestion(rule, rules, "rules") if len(rules) < 10 else "write POLICY/RULE"
        report.at(named, f"unknown rule {fields.shown(rule)}", hint)
    return Expectation(
        decision=decision or "",
        rule=rule,
        reason_code=fields.one_line(report, code, "reason_code") if code else None,
        constraints=_constraints(report, bounds) if bounds else None,
    )


def _constraints(report: Report, node: Node) -> Mapping[str, Constraint]:
    if type(node) is MapNode and not node.entries:
        return {}
    found = fields.mapping(report, node, "constraints")
    constraints = {}
    for name, (key, value) in found.entries.items() if found else ():
        bound = plain(value)
        problem = check_constraint(name, bound)
        if not problem:
            constraints[name] = canonical_constraint(bound)
        elif type(value) is not BrokenNode:
            report.at(key, *problem)
    return constraints
