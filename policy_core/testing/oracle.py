"""The reference evaluator: the decision semantics written down as plainly as possible, without index or closures.

`decide` looks at every rule, clause by clause, and follows points 1 to 9 of the semantics word by word. The fast
matcher must give the very same answer, errors included, on every policy and request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from policy_core.constraints import FLAGS
from policy_core.decision import (
    APPROVED,
    CONSTRAINT_CONFLICT,
    EVALUATION_ERROR,
    MATCHED_RULE,
    NO_MATCHING_RULE,
    Answer,
    Ask,
    DryRun,
    PolicyRef,
    RuleError,
)
from policy_core.glob import match_glob
from policy_core.grants import missing_approvals, request_digest, rules_digest
from policy_core.matcher.judging import MAX_REPORTED_ERRORS
from policy_core.matcher.matcher import NOTHING_BESIDE
from policy_core.memory import Memory, Oblivious
from policy_core.model import CONSTRAINING, GRANTING, Constraint, Decision, Provisions, Rule
from policy_core.request import Request
from policy_core.testing.conditions import evaluate_condition
from policy_core.trace import ClauseTrace, Outcome, RuleTrace, conjunction, lifted_by, trace_rule

_OBLIVIOUS = Oblivious()
_GATE_WORDS = {Decision.DENY: "denied", Decision.REQUIRE_APPROVAL: "asked", Decision.THROTTLE: "throttled"}
_STRONGEST_FIRST = ("denied", "asked", "throttled", "narrowed", "passed")


def decide(
    rules: Sequence[Rule],
    claimed: Request,
    *,
    policy: PolicyRef,
    provisions: Provisions = NOTHING_BESIDE,
    memory: Memory = _OBLIVIOUS,
) -> Answer:
    """Return the answer of `rules` (baseline first, then sorted by policy and position) to a request."""
    request = _classified(claimed, provisions)
    traces = [trace_rule(rule, request, provisions.data, evaluate=evaluate_condition, memory=memory) for rule in rules]
    lifted = [lifted_by(trace, request, provisions.exceptions) for trace in traces]
    rated = [trace for trace in traces if trace.rule.rate is not None and _matches(trace)]
    traces = [trace for trace, exception in zip(traces, lifted, strict=True) if not exception]
    enforced = [trace for trace in traces if not trace.rule.dry_run]
    answer = _decide(enforced, policy, satisfied=False)
    # 3. an ask that valid grants satisfy no longer asks
    ask = _ask(enforced, claimed, memory.audience) if answer.decision is Decision.REQUIRE_APPROVAL else None
    satisfied = False
    if ask is not None:
        approvers = {approver.id: approver for approver in provisions.approvers}
        verdict = memory.check(ask, claimed, approvers)
        missing = missing_approvals(ask.quorum, [approvers[name] for name in verdict.approvers])
        ask = msgspec.structs.replace(ask, approvers=verdict.approvers, missing=missing, refused=verdict.refused)
        satisfied = not missing
        if satisfied:
            answer = _decide(enforced, policy, satisfied=True)
            if answer.allowed:
                memory.spend(verdict, request.now)
        elif verdict.refused:
            answer.reason_code = verdict.refused[0].reason_code
    answer.approval = ask
    # 8. the exception that took the first rule away is named
    answer.exception = next((exception for exception in lifted if exception), "")
    # 9. rates count matching requests that are allowed
    if answer.allowed:
        for trace in rated:
            memory.count(trace.rule, str(_rate(trace).seen), request.now, reached=trace.outcome is Outcome.TRUE)
    if answer.decision is Decision.THROTTLE:
        answer.retry_after_s = _wait(enforced, request, memory)
    # 7. dry-run documents: what the decision would have been, where one of their rules takes part
    if any(trace.rule.dry_run and trace.outcome is not Outcome.FALSE for trace in traces):
        asking = [trace.rule.name for trace in enforced if _asks(trace)]
        would = _decide(traces, policy, satisfied=satisfied, by=asking)
        answer.dry_run = DryRun(would.decision, would.matched_rule)
    return answer


def _classified(request: Request, provisions: Provisions) -> Request:
    """Add the tags of every classification that fits the action and the resource."""

    def fits(patterns: Sequence[str], text: str) -> bool:
        return not patterns or any(match_glob(pattern, text) for pattern in patterns)

    tags: set[str] = set()
    for each in provisions.classifications:
        if (
            fits(each.actions, request.action_name)
            and fits(each.resource_types, request.resource_type)
            and fits(each.resource_ids, request.resource_id)
        ):
            tags |= set(each.risk_tags)
    return request.carrying(frozenset(tags))


def _rate(trace: RuleTrace) -> ClauseTrace:
    return next(clause for clause in trace.clauses if clause.clause == "rate")


def _matches(trace: RuleTrace) -> bool:
    """Tell whether all but the rate of a rule is true, and the rate could be told."""
    sides = [clause.outcome for clause in trace.clauses if not clause.clause.startswith(("unless.", "rate"))]
    if trace.rule.unless is not None:
        unless = [clause.outcome for clause in trace.clauses if clause.clause.startswith("unless.")]
        sides.append(conjunction(unless).negated())
    return conjunction(sides) is Outcome.TRUE and _rate(trace).outcome is not Outcome.ERROR


def _wait(traces: Sequence[RuleTrace], request: Request, memory: Memory) -> float | None:
    waits = [
        memory.retry_after(trace.rule, str(_rate(trace).seen), request.now)
        for trace in traces
        if trace.outcome is Outcome.TRUE and trace.rule.rate and trace.rule.decision is Decision.THROTTLE
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _asks(trace: RuleTrace) -> bool:
    return trace.rule.decision is Decision.REQUIRE_APPROVAL and trace.outcome is not Outcome.FALSE


def _ask(traces: Sequence[RuleTrace], request: Request, audience: str) -> Ask | None:
    """Return what the rules that ask want together, None if one of them takes no grants."""
    rules = [trace.rule for trace in traces if _asks(trace)]
    approvals = [rule.approval for rule in rules if rule.approval is not None]
    if len(approvals) < len(rules):
        return None
    teams = dict.fromkeys(team for approval in approvals for team in approval.quorum)
    return Ask(
        rules=tuple(rule.name for rule in rules),
        rules_digest=rules_digest(rules),
        request_digest=request_digest(request),
        quorum={team: max(approval.quorum.get(team, 0) for approval in approvals) for team in teams},
        expires_in_s=min(approval.expires_in_s for approval in approvals),
        audience=audience,
    )


def _decide(traces: Sequence[RuleTrace], policy: PolicyRef, *, satisfied: bool, by: Sequence[str] = ()) -> Answer:
    """Answer from these rules; those that ask (only those named in `by`, if any are) count as satisfied or not."""
    errors = [trace for trace in traces if trace.outcome is Outcome.ERROR]

    def is_satisfied(trace: RuleTrace) -> bool:
        return satisfied and _asks(trace) and (not by or trace.rule.name in by)

    # 1. a rule applies if all holds; 2. a restricting rule in error is as if it applied, but not once it is satisfied
    applied = [
        trace
        for trace in traces
        if trace.outcome is Outcome.TRUE
        or (trace.outcome is Outcome.ERROR and trace.rule.decision not in GRANTING and not is_satisfied(trace))
    ]
    narrowing = [
        trace.rule for trace in traces if trace.outcome is not Outcome.FALSE and trace.rule.decision in CONSTRAINING
    ]
    says = {trace.rule.name: Decision.ALLOW if is_satisfied(trace) else _says(trace) for trace in applied}
    answer = Answer(
        decision=Decision.DENY,
        allowed=False,
        reason="no rule grants this",
        reason_code=NO_MATCHING_RULE,
        applied_rules=[trace.rule.name for trace in applied],
        errors=[RuleError(trace.rule.name, trace.error) for trace in errors[:MAX_REPORTED_ERRORS]],
        gates=_gates(applied, says),
        policy=policy,
    )
    # 3. the first of: deny, require_approval, throttle, allowed
    for word in (Decision.DENY, Decision.REQUIRE_APPROVAL, Decision.THROTTLE, Decision.ALLOW):
        deciding = next((trace for trace in applied if says[trace.rule.name] is word), None)
        if deciding is None:
            continue
        rule = deciding.rule
        in_error = deciding.outcome is Outcome.ERROR
        answer.matched_rule, answer.reason, answer.decision = rule.name, rule.reason, word
        code = APPROVED if is_satisfied(deciding) else rule.reason_code or MATCHED_RULE
        answer.reason_code = EVALUATION_ERROR if in_error else code
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


def _gates(applied: Sequence[RuleTrace], says: Mapping[str, Decision]) -> dict[str, str]:
    words: dict[str, list[str]] = {}
    for trace in applied:
        if trace.rule.gate:
            quiet = "narrowed" if trace.rule.constraints else "passed"
            words.setdefault(trace.rule.gate, []).append(_GATE_WORDS.get(says[trace.rule.name], quiet))
    return {gate: min(said, key=_STRONGEST_FIRST.index) for gate, said in words.items()}


def _must_agree(name: str) -> bool:
    starts, ends = ("max_", "min_", "required_"), ("_allowlist", "_denylist")
    return name.startswith("x_") or not (name.startswith(starts) or name.endswith(ends) or name in FLAGS)


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
