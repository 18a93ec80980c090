"""The reference evaluator: the decision semantics written down as plainly as possible, without index or closures.

`decide` looks at every rule, clause by clause, and follows points 1 to 6 of the semantics word by word. The fast
matcher must give the very same answer, errors included, on every policy and request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from policy_core.decision import EVALUATION_ERROR, MATCHED_RULE, NO_MATCHING_RULE, Answer, PolicyRef, RuleError
from policy_core.matcher.matcher import MAX_REPORTED_ERRORS
from policy_core.model import CONSTRAINING, GRANTING, Constraint, Decision, Rule
from policy_core.request import Request
from policy_core.testing.conditions import evaluate_condition
from policy_core.trace import Outcome, RuleTrace, trace_rule


def decide(rules: Sequence[Rule], request: Request, *, data: Mapping[str, Any], policy: PolicyRef) -> Answer:
    """Return the answer of `rules` (sorted by policy and position) to a request."""
    traces = [trace_rule(rule, request, data, evaluate=evaluate_condition) for rule in rules]
    errors = [trace for trace in traces if trace.outcome is Outcome.ERROR]
    # 1. a rule applies if all holds; 2. a restricting rule in error is as if it applied
    applied = [
        trace
        for trace in traces
        if trace.outcome is Outcome.TRUE or (trace.outcome is Outcome.ERROR and trace.rule.decision not in GRANTING)
    ]
    narrowing = [
        trace.rule.constraints
        for trace in traces
        if trace.outcome is not Outcome.FALSE and trace.rule.decision in CONSTRAINING
    ]
    answer = Answer(
        decision=Decision.DENY,
        allowed=False,
        reason="no rule grants this",
        reason_code=NO_MATCHING_RULE,
        applied_rules=[trace.rule.name for trace in applied],
        errors=[RuleError(trace.rule.name, trace.error) for trace in errors[:MAX_REPORTED_ERRORS]],
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
        # 4. constraints go with allowed and with require_approval
        if word in (Decision.ALLOW, Decision.REQUIRE_APPROVAL):
            answer.constraints = _tightest(narrowing)
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


def _tightest(sets: Sequence[Mapping[str, Constraint]]) -> dict[str, Constraint]:
    merged: dict[str, Constraint] = {}
    for name in dict.fromkeys(name for constraints in sets for name in constraints):
        values = [constraints[name] for constraints in sets if name in constraints]
        if name.startswith("max_"):
            merged[name] = min(value for value in values if not isinstance(value, tuple))
        else:
            lists = [value for value in values if isinstance(value, tuple)]
            merged[name] = tuple(sorted(set(lists[0]).intersection(*lists[1:])))
    return merged
