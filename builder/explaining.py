"""Why a request gets its answer: the rules near it, clause by clause, in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy_core.condition import render_condition
from policy_core.decision import Answer, PolicyRef
from policy_core.glob import match_glob
from policy_core.matcher import Matcher, encode_rules, load
from policy_core.model import GRANTING, Provisions, Rule
from policy_core.request import Request
from policy_core.trace import ClauseTrace, Outcome, RuleTrace, conjunction, trace_rule

MAX_NEAR_RULES = 4

_MARKS = {Outcome.TRUE: "✓", Outcome.FALSE: "✗", Outcome.ERROR: "!"}
_WORDS = {Outcome.TRUE: "applies", Outcome.FALSE: "does not apply", Outcome.ERROR: "in error"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, and every rule near the request: those that apply or are in error, then the nearest others."""

    answer: Answer
    rules: tuple[RuleTrace, ...]


def matcher_for(rules: Sequence[Rule], provisions: Provisions, revision: str) -> Matcher:
    """Return the very matcher hosts run, loaded from the encoded rules as they will travel."""
    return load(encode_rules(rules), policy=PolicyRef(bundle="", revision=revision), provisions=provisions)


def explain_request(matcher: Matcher, request: Request, data: Mapping[str, Any]) -> Explanation:
    """Return the answer to a request and the traces of the rules near it."""
    return Explanation(matcher.decide(request), nearest(matcher.rules, request, data))


def nearest(
    rules: Sequence[Rule], request: Request, data: Mapping[str, Any], *, wanted: str = ""
) -> tuple[RuleTrace, ...]:
    """Return the rules about this action: all that apply or are in error, in order, then the closest misses.

    The rule named `wanted` is always among them. Of equal misses those that would grant come first.
    """
    traces = [
        trace_rule(rule, request, data) for rule in rules if rule.name == wanted or _is_about(rule, request.action_name)
    ]
    relevant = [trace for trace in traces if trace.outcome is not Outcome.FALSE]
    misses = [trace for trace in traces if trace.outcome is Outcome.FALSE]
    misses.sort(key=lambda trace: (trace.rule.name != wanted, _distance(trace), trace.rule.decision not in GRANTING))
    return (*relevant, *misses[:MAX_NEAR_RULES])


def describe_explanation(explanation: Explanation, places: Mapping[str, str], source: str) -> Iterator[str]:
    """Yield an explanation as lines; `places` maps rules to *file:line*, `source` says which policies were asked."""
    answer = explanation.answer
    yield f"decision   {answer.decision}"
    yield f"because    {answer.reason_code}{f': {answer.reason}' if answer.reason else ''}"
    if answer.matched_rule:
        yield f"rule       {answer.matched_rule}  {places[answer.matched_rule]}"
    for name, value in answer.constraints.items():
        yield f"constraint {name}: {_shown(value)}"
    for gate, word in answer.gates.items():
        yield f"gate       {gate}: {word}"
    for remediation in answer.remediations:
        yield f"instead    {remediation.title}"
    if answer.dry_run is not None:
        by = f" by {answer.dry_run.matched_rule}" if answer.dry_run.matched_rule else ""
        yield f"dry run    would be {answer.dry_run.decision}{by}"
    for error in answer.errors:
        yield f"error      {error.rule}: {error.message}"
    yield f"policies   {source}"
    yield ""
    if not explanation.rules:
        yield "no rule is about this action"
    for trace in explanation.rules:
        yield from describe_trace(trace, places[trace.rule.name])


def explanation_record(explanation: Explanation, places: Mapping[str, str]) -> dict[str, Any]:
    """Return an explanation as a JSON object."""
    rules = [trace_record(trace, places[trace.rule.name]) for trace in explanation.rules]
    return {"answer": explanation.answer, "rules": rules}


def describe_trace(trace: RuleTrace, place: str) -> Iterator[str]:
    """Yield the lines that show one rule: whether it applies, then each clause with what it wants and what it saw."""
    kind = f"{trace.rule.decision}, dry run" if trace.rule.dry_run else trace.rule.decision
    yield f"{_MARKS[trace.outcome]} {trace.rule.name} ({kind}) {_WORDS[trace.outcome]}  {place}"
    for clause in trace.clauses:
        yield f"    {_MARKS[clause.outcome]} {describe_clause(clause)}"
    if trace.rule.unless is not None and _unless(trace) is Outcome.TRUE:
        yield "    the clauses of unless hold, so the rule does not apply"


def describe_clause(clause: ClauseTrace) -> str:
    """Return one clause as a line: what it wants, what the request holds, or why it cannot be evaluated."""
    if clause.clause == "when":
        text = f"when: {render_condition(clause.wanted)}"
        return f"{text} ({clause.message})" if clause.message else text
    source = "it is" if clause.clause.endswith(".time") else "the request has"
    seen = clause.message or f"{source} {_shown(clause.seen)}"
    wants = "does not want" if ".not." in clause.clause else "wants"
    return f"{clause.clause}: {wants} {_shown(clause.wanted)}, {seen}"


def trace_record(trace: RuleTrace, place: str) -> dict[str, Any]:
    """Return a trace as a JSON object."""
    return {
        "rule": trace.rule.name,
        "decision": trace.rule.decision,
        "place": place,
        "outcome": trace.outcome.name.lower(),
        "clauses": [
            {
                "clause": clause.clause,
                "outcome": clause.outcome.name.lower(),
                "wanted": render_condition(clause.wanted) if clause.clause == "when" else clause.wanted,
                "seen": clause.seen,
                **({"message": clause.message} if clause.message else {}),
            }
            for clause in trace.clauses
        ],
    }


def _is_about(rule: Rule, action: str) -> bool:
    patterns = rule.match.actions
    return not patterns or any(match_glob(pattern, action) for pattern in patterns)


def _distance(trace: RuleTrace) -> int:
    """Return how many clauses keep a rule from applying; those of unless count as one."""
    sides = [clause.outcome for clause in trace.clauses if not clause.clause.startswith("unless.")]
    return sum(outcome is not Outcome.TRUE for outcome in sides) + (_unless(trace) is Outcome.TRUE)


def _unless(trace: RuleTrace) -> Outcome:
    outcomes = [clause.outcome for clause in trace.clauses if clause.clause.startswith("unless.")]
    return conjunction(outcomes) if outcomes else Outcome.FALSE


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_shown(item)}" for name, item in value.items()) + "}"
    return str(value) if type(value) is not str or value.isprintable() else ascii(value)
