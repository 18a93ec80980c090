"""What a policy test expects of an answer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from builder.language import fields
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Report, ScalarNode, plain
from policy_core.constraints import canonical_constraint, check_constraint
from policy_core.matcher.combining import GATE_WORDS
from policy_core.model import Constraint, Decision, Gate

KEYS = (
    "decision", "rule", "reason_code", "constraints", "exception", "dry_run", "gates", "errors", "remediations",
    "retry_after_s",
)  # fmt: skip
MAX_RETRY_AFTER_S = 10**9
_DECISIONS = tuple(decision.value for decision in Decision if decision is not Decision.CONSTRAIN)
_GATES = tuple(gate.value for gate in Gate)


@dataclass(frozen=True, slots=True)
class Known:
    """What cases may name: rules, those of them with a rate, approvers and exceptions, each by its name.

    Where there are no rules nothing is checked: the tree has problems that come first.
    """

    rules: Collection[str] = ()
    rated: Collection[str] = ()
    approvers: Collection[str] = ()
    exceptions: Collection[str] = ()

    def check(self, report: Report, node: Node, name: str, kind: str) -> None:
        """Refuse a name that nothing of its kind (``rule``, ``approver`` and so on) has."""
        names: Collection[str] = getattr(self, f"{kind}s")
        if self.rules and name not in names:
            report.at(node, f"unknown {kind} {fields.shown(name)}", fields.name_hint(name, names, _HINTS[kind]))


_HINTS = {
    "rule": "write POLICY/RULE",
    "approver": "list people under approvers in writ.yaml",
    "exception": "write the id of a file below exceptions/",
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a case expects of the answer; None: anything."""

    decision: str
    rule: str | None = None
    reason_code: str | None = None
    constraints: Mapping[str, Constraint] | None = None
    exception: str | None = None
    dry_run: str | None = None
    gates: Mapping[str, str] | None = None
    errors: tuple[str, ...] | None = None
    remediations: tuple[str, ...] | None = None
    retry_after_s: int | None = None


def read_expectation(report: Report, node: MapNode, *, known: Known, others: Collection[str] = ()) -> Expectation:
    """Return the expectation in a mapping; problems go to the report.

    `known` is what it may name; `others` are keys that belong to the caller.
    """
    fields.check_keys(report, node, "expect", (*others, *KEYS))
    value = fields.require(report, node, "decision", "expect", f"expected one of: {', '.join(_DECISIONS)}")
    decision = value and fields.choice(report, value, "decision", _DECISIONS)
    named, code, bounds = node.get("rule"), node.get("reason_code"), node.get("constraints")
    exception, dry_run, gates = node.get("exception"), node.get("dry_run"), node.get("gates")
    errors, remediations, wait = node.get("errors"), node.get("remediations"), node.get("retry_after_s")
    what = "retry_after_s"
    return Expectation(
        decision=decision or "",
        rule=_named(report, named, "rule", known) if named else None,
        reason_code=fields.one_line(report, code, "reason_code") if code else None,
        constraints=_constraints(report, bounds) if bounds else None,
        exception=_named(report, exception, "exception", known) if exception else None,
        dry_run=fields.choice(report, dry_run, "dry_run", _DECISIONS) if dry_run else None,
        gates=_gates(report, gates) if gates else None,
        errors=_errors(report, errors, known) if errors else None,
        remediations=fields.strings(report, remediations, "remediations", may_be_empty=True) if remediations else None,
        retry_after_s=fields.integer(report, wait, what, least=0, most=MAX_RETRY_AFTER_S) if wait else None,
    )


def _named(report: Report, node: Node, kind: str, known: Known) -> str | None:
    name = fields.one_line(report, node, kind)
    if name:
        known.check(report, node, name, kind)
    return name


def _gates(report: Report, node: Node) -> Mapping[str, str]:
    if type(node) is MapNode and not node.entries:
        return {}
    found = fields.mapping(report, node, "gates")
    gates = {}
    for gate, (key, value) in found.entries.items() if found else ():
        fields.choice(report, key, "gate", _GATES)
        gates[gate] = fields.choice(report, value, f"word for gate {gate}", GATE_WORDS) or ""
    return gates


def _errors(report: Report, node: Node, known: Known) -> tuple[str, ...]:
    """Return the rules expected to be in error, sorted by name: their order says nothing."""
    names = fields.strings(report, node, "errors", may_be_empty=True)
    for item in node.items if type(node) is ListNode else ():
        if type(item) is ScalarNode and type(item.value) is str and item.value:
            known.check(report, item, item.value, "rule")
    return tuple(sorted(names))


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
