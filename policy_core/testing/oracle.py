"""The reference evaluator: the decision semantics written down as plainly as possible, without index or closures.

`decide` looks at every rule, clause by clause, and follows points 1 to 7 of the semantics word by word. The fast
matcher must give the very same answer, errors included, on every policy and request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from policy_core.constraints import FLAGS
from policy_core.decision import (
    CONSTRAINT_CONFLICT,
    EVALUATION_ERROR,
    MATCHED_RULE,
    NO_MATCHING_RULE,
    Answer,
    DryRun,
    PolicyRef,
    RuleError,
)
from policy_core.matcher.matcher import MAX_REPORTED_ERRORS
from policy_core.model import CONSTRAINING, GRANTING, Constraint, Decision, Rule
from policy_core.request import Request
from policy_core.testing.conditions import evaluate_condition
from policy_core.trace import Outcome, RuleTrace, trace_rule

_GATE_WORDS = {Decision.DENY: "denied", Decision.REQUIRE_APPROVAL: "asked", Decision.THROTTLE: "throttled"}
_STRONGEST_FIRST = ("denied", "asked", "throttled", "narrowed", "passed")


def decide(rules: Sequence[Rule], request: Request, *, data: Mapping[str, Any], policy: PolicyRef) -> Answer:
    """Return the answer of `rules` (baseline first, then sorted by policy and position) to a request."""
    traces = [trace_rule(rule, request, data, evaluate=evaluate_condition) for rule in rules]
    answer = _decide([trace for trace in traces if not trace.rule.dry_run], policy)
    # 7. dry-run documents: what the decision would have been, where one of their rules takes part
    if any(trace.rule.dry_run and trace.outcome is not Outcome.FALSE for trace in traces):
        would = _decide(traces, policy)
        answer.dry_run = DryRun(would.decision, would.matched_rule)
    return answer


def _decide(traces: Sequence[RuleTrace], policy: PolicyRef) -> Answer:
    errors = [trace for trace in traces if trace.outcome is Outcome.ERROR]
    # 1. a rule applies if all holds; 2. a restricting rule in error is as if it applied
    applied = [
        trace
        for trace in traces
        if trace.outcome is Outcome.TRUE or (trace.outcome is Outcome.ERROR and trace.rule.decision not in GRANTING)
    ]
    narrowing = [
        trace.rule for trace in traces if trace.outcome is not Outcome.FALSE and trace.rule.decision in CONSTRAINING
    ]
    answer = Answer(
        decision=Decision.DENY,
        allowed=False,
        reason="no rule grants this",
        reason_code=NO_MATCHING_RULE,
        applied_rules=[trace.rule.name for trace in applied],
        errors=[RuleError(trace.rule.name, trace.error) for trace in errors[:MAX_REPORTED_ERRORS]],
        gates=_gates(applied),
        policy=policy,
    )
    # 3. the first of: deny, require_approval, throttle, allowed
    for word in (Decision.DENY, Decision.REQUIRE_APPROVAL, Decision.THROTTLE, Decision.ALLOW):
        deciding = next((trace for trace in applied if _says(trace) is word), None)
        if deciding is None:
            continue
        rule = deciding.rule
        in_error = deciding.outcome is Outcome.ERROR
        answer.matched_rule, answer.reason, answer.decision = rule.name, rule.reason, word
        answer.reason_code = EVALUATION_ERROR if in_error else rule.reason_code or MATCHED_RULE
        answer.remediations = rule.remediations
        # 4. constraints go with allowed and with require_approval; those that contradict each other deny
        if word in (Decision.ALLOW, Decision.REQUIRE_APPROVAL):
            if conflict := _conflict(narrowing):
                answer.decision, answer.matched_rule = Decision.DENY, ""
                answer.reason_code, answer.reason, answer.remediations = CONSTRAINT_CONFLICT, conflict, ()
                break
            answer.constraints = _tightest([rule.constraints for rule in narrowing])
        if word is Decision.ALLOW:
            answer.allowed = True
            answer.decision = Decision.ALLOW_WITH_CONSTRAINTS if answer.constraints else Decision.ALLOW
        break
    return answer


def _says(trace: RuleTrace) -> Decision:
    """Return the word a rule speaks for; a throttle in error speaks for deny, both kinds of grant for allow."""
    decision = trace.rule.decision
    if decision is Decision.THROTTLE and trace.outcome is Outcome.ERROR:
        return Decision.DENY
    return Decision.ALLOW if decision in GRANTING else decision


def _gates(applied: Sequence[RuleTrace]) -> dict[str, str]:
    words: dict[str, list[str]] = {}
    for trace in applied:
        if trace.rule.gate:
            quiet = "narrowed" if trace.rule.constraints else "passed"
            words.setdefault(trace.rule.gate, []).append(_GATE_WORDS.get(_says(trace), quiet))
    return {gate: min(said, key=_STRONGEST_FIRST.index) for gate, said in words.items()}


def _must_agree(name: str) -> bool:
    bounded = name.startswith(("max_", "min_", "required_")) or name.endswith(("_allowlist", "_denylist")) or name in FLAGS
    return name.startswith("x_") or not bounded


def _conflict(rules: Sequence[Rule]) -> str:
    """Return what to say about the first constraint, by name, whose values must agree and do not."""
    for name in sorted({name for rule in rules for name in rule.constraints}):
        if _must_agree(name):
            first, *others = (rule for rule in rules if name in rule.constraints)
            for other in others:
                one, two = first.constraints[name], other.constraints[name]
                if (isinstance(one, bool), one) != (isinstance(two, bool), two):
                    return f"constraint {name}: {first.name} and {other.name} do not agree"
    return ""


def _tightest(sets: Sequence[Mapping[str, Constraint]]) -> dict[str, Constraint]:
    merged: dict[str, Constraint] = {}
    for name in dict.fromkeys(name for constraints in sets for name in constraints):
        values: list[Any] = [constraints[name] for constraints in sets if name in constraints]
        if _must_agree(name):
            merged[name] = values[0]
        elif name.startswith(("max_", "min_")):
            merged[name] = min(values) if name.startswith("max_") else max(values)
        elif name.endswith("_allowlist"):
            merged[name] = tuple(sorted(set(values[0]).intersection(*values[1:])))
        elif name.endswith("_denylist") or name.startswith("required_"):
            merged[name] = tuple(sorted(set().union(*values)))
        else:
            merged[name] = all(values) if name.startswith("allow_") else any(values)
    return merged
