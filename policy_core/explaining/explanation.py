"""An explanation: the answer, the rules near the request clause by clause, and what would lead to another decision."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from policy_core.condition import compile_condition, render_condition
from policy_core.decision import Answer
from policy_core.explaining.changes import Change, Looking, Situation
from policy_core.explaining.suggestions import Suggestion, misses, suggestions
from policy_core.glob import match_glob
from policy_core.matcher import Matcher
from policy_core.memory import Memory, Oblivious
from policy_core.model import GRANTING, Condition, Provisions, Rule
from policy_core.request import Request
from policy_core.trace import ClauseTrace, Evaluate, Outcome, RuleTrace, lifted_by, trace_rule
from policy_core.windows import timestamp

MAX_NEAR_RULES = 4
MAX_SHOWN_RULES = 100
"""Of those that apply or are in error; the answer names them all."""
MAX_GLANCES = 2_000
"""Rules about an action, of those that cannot apply, among which the nearest are looked for."""
_LOOKED_INTO = 8  # of each kind: rules that take part, grants and others that do not
_SLICE = 64  # rules between two pauses, about 1 ms
_OBLIVIOUS = Oblivious()


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, every rule near the request, and what would lead to another decision.

    Near are those that apply or are in error (`hidden` more of them are left out), then the nearest others.
    """

    answer: Answer
    rules: tuple[RuleTrace, ...]
    hidden: int = 0
    suggestions: tuple[Suggestion, ...] = ()


def explain(
    matcher: Matcher,
    request: Request,
    *,
    memory: Memory = _OBLIVIOUS,
    pause: Callable[[], object] = lambda: None,
) -> Explanation:
    """Return why a request gets its answer, counting nothing and spending no grant; `pause` is called ever so often."""
    situation = Situation(request, Looking(memory, request.now))
    tracer = _Tracer(matcher.provisions)
    answer = matcher.decide(request, memory=situation.memory)
    seen = Situation(matcher.classified(request), situation.memory)
    relevant, missed = _near(matcher, seen, tracer, answer.matched_rule, pause)
    grants = [trace for trace in missed if trace.rule.decision in GRANTING]
    others = [trace for trace in missed if trace.rule.decision not in GRANTING]
    looked_into = [trace.rule for part in (relevant, grants, others) for trace in part[:_LOOKED_INTO]]
    return Explanation(
        answer=answer,
        rules=(*relevant[:MAX_SHOWN_RULES], *missed[:MAX_NEAR_RULES]),
        hidden=len(relevant[MAX_SHOWN_RULES:]),
        suggestions=suggestions(matcher, situation, looked_into, tracer.trace, pause),
    )


def nearest(
    matcher: Matcher, request: Request, *, wanted: str = "", memory: Memory = _OBLIVIOUS
) -> tuple[RuleTrace, ...]:
    """Return the rules about an action: those that apply or are in error, in order, then the closest misses.

    The rule named `wanted` is always among them. Of equal misses those that would grant come first.
    """
    situation = Situation(matcher.classified(request), Looking(memory, request.now))
    relevant, missed = _near(matcher, situation, _Tracer(matcher.provisions), wanted, lambda: None)
    return (*relevant[:MAX_SHOWN_RULES], *missed[:MAX_NEAR_RULES])


@dataclass(slots=True)
class _Tracer:
    """Traces rules; each condition is compiled once."""

    provisions: Provisions
    compiled: dict[int, Callable[[Request], bool]] = field(default_factory=dict)

    def trace(self, rule: Rule, situation: Situation) -> RuleTrace:
        trace = self._traced(rule, situation, self._evaluate)
        exception = lifted_by(trace, situation.request, self.provisions.exceptions)
        return replace(trace, exception=exception) if exception else trace

    def glance(self, rule: Rule, situation: Situation) -> RuleTrace:
        """Trace a rule as if its condition held: compiling that is most of the work."""
        return self._traced(rule, situation, _assumed)

    def _traced(self, rule: Rule, situation: Situation, evaluate: Evaluate) -> RuleTrace:
        data = self.provisions.data
        return trace_rule(rule, situation.request, data, evaluate=evaluate, memory=situation.memory)

    def _evaluate(self, condition: Condition, request: Request, data: Mapping[str, Any]) -> bool:
        holds = self.compiled.get(id(condition))  # the rules outlive this tracer, so an id is one condition
        if holds is None:
            holds = self.compiled[id(condition)] = compile_condition(condition, data)
        return holds(request)


def _assumed(condition: Condition, request: Request, data: Mapping[str, Any]) -> bool:  # noqa: ARG001 - the port
    return True


def _near(
    matcher: Matcher, situation: Situation, tracer: _Tracer, wanted: str, pause: Callable[[], object]
) -> tuple[list[RuleTrace], list[RuleTrace]]:
    """Return the rules that apply or are in error, in order, and the nearest of those that do not."""
    hopeful: list[RuleTrace] = []
    hopeless: list[RuleTrace] = []
    for number, rule in enumerate(_about(matcher, situation.request, wanted, pause)):
        if number % _SLICE == 0:
            pause()
        trace = tracer.glance(rule, situation)
        (hopeless if trace.outcome is Outcome.FALSE else hopeful).append(trace)

    def order(trace: RuleTrace) -> tuple[bool, int, bool]:
        return trace.rule.name != wanted, misses(trace), trace.rule.decision not in GRANTING

    relevant: list[RuleTrace] = []
    missed: list[RuleTrace] = []
    hopeless.sort(key=order)
    for number, glanced in enumerate((*hopeful, *hopeless[: 4 * _LOOKED_INTO])):
        if number % _SLICE == 0:
            pause()
        trace = tracer.trace(glanced.rule, situation)
        (missed if trace.outcome is Outcome.FALSE else relevant).append(trace)
    missed.sort(key=order)
    return relevant, missed


def _about(matcher: Matcher, request: Request, wanted: str, pause: Callable[[], object]) -> list[Rule]:
    """Return all rules that may apply or be in error, then others about the action, those that name it first."""
    found = matcher.candidates(request)
    known = set(map(id, found))
    policy, _, rule_id = wanted.partition("/")
    naming: list[Rule] = []
    sweeping: list[Rule] = []
    for number, rule in enumerate(matcher.rules):
        if number % _SLICE == 0:
            pause()
        patterns = rule.match.actions
        if id(rule) in known:
            continue
        if rule.id == rule_id and rule.policy == policy:
            found.append(rule)
        elif not patterns:
            sweeping.append(rule)
        elif any(match_glob(pattern, request.action_name) for pattern in patterns):
            naming.append(rule)
    return [*found, *(*naming, *sweeping)[:MAX_GLANCES]]


def explanation_record(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as a JSON object."""
    return {
        "answer": msgspec.to_builtins(explanation.answer),
        "rules": [trace_record(trace) for trace in explanation.rules],
        "hidden": explanation.hidden,
        "suggestions": [suggestion_record(suggestion) for suggestion in explanation.suggestions],
    }


def trace_record(trace: RuleTrace) -> dict[str, Any]:
    """Return a trace as a JSON object."""
    return {
        "rule": trace.rule.name,
        "decision": trace.rule.decision,
        "dry_run": trace.rule.dry_run,
        "outcome": trace.outcome.name.lower(),
        **({"exception": trace.exception} if trace.exception else {}),
        "clauses": [
            {
                "clause": clause.clause,
                "outcome": clause.outcome.name.lower(),
                "wanted": _condition_text(clause) if clause.clause == "when" else clause.wanted,
                "seen": clause.seen,
                **({"message": clause.message} if clause.message else {}),
            }
            for clause in trace.clauses
        ],
    }


def suggestion_record(suggestion: Suggestion) -> dict[str, Any]:
    """Return a suggestion as a JSON object: a sentence, the changes, and the answer that was given to them."""
    answer = suggestion.answer
    return {
        "text": str(suggestion),
        "changes": [_change_record(change) for change in suggestion.changes],
        "decision": answer.decision,
        "allowed": answer.allowed,
        "matched_rule": answer.matched_rule,
        "reason_code": answer.reason_code,
    }


def _condition_text(clause: ClauseTrace) -> str:
    condition: Any = clause.wanted
    return render_condition(condition)


def _change_record(change: Change) -> dict[str, Any]:
    record: dict[str, Any] = {"change": change.kind}
    if change.path:
        record["path"] = list(change.path)
    if change.value is not None:
        record["value"] = timestamp(change.value) if change.kind == "at" else change.value
    return record
