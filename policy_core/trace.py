"""Clause by clause: what each clause of a rule says about a request, and the value it saw.

Slow and readable. ``writ explain``, failing policy tests and error messages use it; `policy_core.testing.oracle` builds
the reference evaluator on it, against which the fast matcher is tested.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from policy_core.attributes import comparable, holds, look_up
from policy_core.condition import ConditionError, compile_condition
from policy_core.condition.reading import values_read
from policy_core.glob import match_glob
from policy_core.memory import ForgottenError, Memory, Oblivious
from policy_core.model import AttributeTests, Clauses, Condition, Decision, EntityClauses, PolicyException, Rule, Scalar
from policy_core.rates import RateKeyError, read_rate
from policy_core.request import Request
from policy_core.windows import describe, inside, timestamp

Evaluate: TypeAlias = Callable[[Condition, Request, Mapping[str, Any]], bool]
_OBLIVIOUS = Oblivious()


def _compile_and_run(condition: Condition, request: Request, data: Mapping[str, Any]) -> bool:
    return compile_condition(condition, data)(request)


class Outcome(Enum):
    """The three values of a clause (Kleene's strong logic)."""

    FALSE = 0
    ERROR = 1
    TRUE = 2

    def negated(self) -> "Outcome":
        """Return the negation; the negation of an error is an error."""
        return Outcome(2 - self.value)


@dataclass(frozen=True, slots=True)
class ClauseTrace:
    """One clause: its path in the rule (``match.risk_tags``), what it wants, what the request holds, the outcome."""

    clause: str
    wanted: object
    seen: object
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule: whether it applies, every clause that led to that, and the first reason why it is in error.

    `exception` is the one that switches the rule off nonetheless, where a tracer asked `lifted_by`.
    """

    rule: Rule
    outcome: Outcome
    clauses: tuple[ClauseTrace, ...]
    error: str = ""
    exception: str = ""


def trace_rule(
    rule: Rule,
    request: Request,
    data: Mapping[str, Any],
    *,
    evaluate: Evaluate = _compile_and_run,
    memory: Memory = _OBLIVIOUS,
) -> RuleTrace:
    """Evaluate every clause of one rule: it applies if ``match``, ``when`` and the negation of ``unless`` are true.

    Where that is so, a rate must have been reached too, which `memory` knows. A rule with ``on_missing: skip`` does not
    apply where that is an error. `evaluate` runs the condition; the oracle brings an interpreter of its own.
    """
    match = tuple(_clauses("match", rule.match, request))
    condition = tuple(_condition(rule, request, data, evaluate))
    unless = () if rule.unless is None else tuple(_clauses("unless", rule.unless, request))
    outcomes = [clause.outcome for clause in (*match, *condition)]
    if rule.unless is not None:
        outcomes.append(conjunction(clause.outcome for clause in unless).negated())
    outcome = conjunction(outcomes)
    rate = tuple(_rate(rule, request, memory))
    deciding = (*match, *condition, *unless)
    if outcome is Outcome.TRUE and rate:
        outcome, deciding = rate[0].outcome, rate
    if outcome is Outcome.ERROR and rule.skip_errors:
        outcome = Outcome.FALSE
    error = ""
    if outcome is Outcome.ERROR:
        error = next(clause.message for clause in deciding if clause.outcome is Outcome.ERROR)
    return RuleTrace(rule, outcome, (*match, *condition, *unless, *rate), error)


def lifted_by(trace: RuleTrace, request: Request, exceptions: Iterable[PolicyException]) -> str:
    """Return the first exception that switches a rule off, empty if none does or the rule takes no part anyway."""
    if trace.outcome is Outcome.FALSE:
        return ""
    for each in exceptions:
        if trace.rule.name in each.rules and each.starts <= request.now < each.expires:
            scope = trace_rule(Rule("", "", Decision.DENY, match=each.scope), request, {})
            if scope.outcome is Outcome.TRUE:
                return each.id
    return ""


def conjunction(outcomes: Iterator[Outcome] | list[Outcome]) -> Outcome:
    """Return Kleene's AND: false dominates error, error dominates true; of nothing it is true."""
    return min(outcomes, key=lambda outcome: outcome.value, default=Outcome.TRUE)


def _clauses(side: str, clauses: Clauses, request: Request) -> Iterator[ClauseTrace]:
    context = request.context
    if clauses.actions:
        yield _globs(f"{side}.actions", clauses.actions, request.action_name)
    for name, wanted, tell in (
        ("risk_tags", clauses.risk_tags, _has_all),
        ("risk_tags_any", clauses.risk_tags_any, _has_any),
        ("requires", clauses.requires, _has_all),
    ):
        if wanted:
            source = "requires" if name == "requires" else "risk_tags"
            yield _set(f"{side}.{name}", f"context.{source}", wanted, context.get(source), tell)
    for name, wanted, key in (
        ("tenants", clauses.tenants, "tenant"),
        ("capabilities", clauses.capabilities, "capability"),
        ("pack_ids", clauses.pack_ids, "pack_id"),
    ):
        if wanted:
            yield _fact(f"{side}.{name}", f"context.{key}", wanted, context.get(key))
    if clauses.labels:
        yield _labels(f"{side}.labels", clauses.labels, context.get("labels"))
    for name, entity, part in (
        ("subject", clauses.subject, request.subject),
        ("resource", clauses.resource, request.resource),
    ):
        if entity is not None:
            yield from _entity(f"{side}.{name}", name, entity, part)
    yield from _wider_clauses(side, clauses, request)


def _wider_clauses(side: str, clauses: Clauses, request: Request) -> Iterator[ClauseTrace]:
    for path, tests in clauses.attributes.items():
        yield _attribute(f"{side}.attributes.{path}", path, tests, request)
    if clauses.time is not None:
        outcome = _OUTCOMES[inside(clauses.time, request.now)]
        message = "now: no moment of the calendar" if outcome is Outcome.ERROR else ""
        yield ClauseTrace(f"{side}.time", describe(clauses.time), timestamp(request.now), outcome, message)
    if clauses.none_of is not None:
        for clause in _clauses(f"{side}.not", clauses.none_of, request):
            yield replace(clause, outcome=clause.outcome.negated())


def _entity(side: str, name: str, clauses: EntityClauses, part: Mapping[str, Any]) -> Iterator[ClauseTrace]:
    properties = part["properties"]
    if clauses.types:
        yield _globs(f"{side}.types", clauses.types, part["type"])
    if clauses.ids:
        yield _globs(f"{side}.ids", clauses.ids, part["id"])
    if clauses.roles:
        yield _set(f"{side}.roles", f"{name}.properties.roles", clauses.roles, properties.get("roles"), _has_any)
    for key, wanted in clauses.properties.items():
        yield _fact(f"{side}.properties.{key}", f"{name}.properties.{key}", wanted, properties.get(key))


def _globs(clause: str, wanted: tuple[str, ...], seen: str) -> ClauseTrace:
    held = any(match_glob(pattern, seen) for pattern in wanted)
    return ClauseTrace(clause, wanted, seen, _outcome(held))


def _has_all(wanted: tuple[str, ...], held: frozenset[str]) -> bool:
    return held.issuperset(wanted)


def _has_any(wanted: tuple[str, ...], held: frozenset[str]) -> bool:
    return not held.isdisjoint(wanted)


def _set(
    clause: str,
    path: str,
    wanted: tuple[str, ...],
    seen: object,
    tell: Callable[[tuple[str, ...], frozenset[str]], bool],
) -> ClauseTrace:
    """Tags, roles and requires are sets: absent is empty, anything but a list of strings is an error."""
    if seen is None:
        return ClauseTrace(clause, wanted, seen, Outcome.FALSE)
    if not isinstance(seen, list) or not all(isinstance(item, str) for item in seen):
        return ClauseTrace(clause, wanted, seen, Outcome.ERROR, f"{path}: not a list of strings")
    return ClauseTrace(clause, wanted, seen, _outcome(tell(wanted, frozenset(seen))))


def _labels(clause: str, wanted: Mapping[str, str], seen: object) -> ClauseTrace:
    """Labels are a set of pairs: a label that is not there does not hold, one that is not a string is an error."""
    if seen is not None and not isinstance(seen, dict):
        return ClauseTrace(clause, wanted, seen, Outcome.ERROR, "context.labels: not an object")
    held = seen or {}
    outcomes, message = [], ""
    for key, pattern in wanted.items():
        value = held.get(key)
        if value is not None and not isinstance(value, str):
            outcomes.append(Outcome.ERROR)
            message = message or f"context.labels.{key}: not a string"
        else:
            outcomes.append(_outcome(value is not None and match_glob(pattern, value)))
    return ClauseTrace(clause, wanted, seen, conjunction(outcomes), message)


def _fact(clause: str, path: str, wanted: tuple[Scalar, ...], seen: object) -> ClauseTrace:
    """Facts must be there: absent, or of a type that no accepted value has, is an error."""
    if seen is None:
        return ClauseTrace(clause, wanted, seen, Outcome.ERROR, f"{path}: absent")
    if not any(comparable(value, seen) for value in wanted):
        return ClauseTrace(clause, wanted, seen, Outcome.ERROR, f"{path}: wrong type")
    held = any(
        match_glob(value, seen) if isinstance(value, str) and isinstance(seen, str) else value == seen
        for value in wanted
        if comparable(value, seen)
    )
    return ClauseTrace(clause, wanted, seen, _outcome(held))


def _attribute(clause: str, path: str, tests: AttributeTests, request: Request) -> ClauseTrace:
    parts = ("subject", "action", "resource", "context")
    seen = look_up(path, {name: getattr(request, name) for name in parts})
    asked = tests.operators()
    outcomes = [_OUTCOMES[holds(operator, wanted, seen)] for operator, wanted in asked.items()]
    outcome = conjunction(outcomes)
    message = f"{path}: {'absent' if seen is None else 'wrong type'}" if outcome is Outcome.ERROR else ""
    return ClauseTrace(clause, asked, seen, outcome, message)


def _condition(rule: Rule, request: Request, data: Mapping[str, Any], evaluate: Evaluate) -> Iterator[ClauseTrace]:
    if rule.when is None:
        return
    try:
        outcome, message = _outcome(evaluate(rule.when, request, data)), ""
    except ConditionError as error:
        outcome, message = Outcome.ERROR, str(error)
    yield ClauseTrace("when", rule.when, values_read(rule.when, request), outcome, message)


def _rate(rule: Rule, request: Request, memory: Memory) -> Iterator[ClauseTrace]:
    if rule.rate is None:
        return
    wanted = {"limit": rule.rate.limit, "window_s": rule.rate.window_s, "key": rule.rate.key}
    try:
        key, wait_s = read_rate(rule, request, memory)
    except (RateKeyError, ForgottenError) as error:
        yield ClauseTrace("rate", wanted, None, Outcome.ERROR, error.message)
        return
    yield ClauseTrace("rate", wanted, key, _outcome(wait_s is not None))


def _outcome(held: bool) -> Outcome:
    return Outcome.TRUE if held else Outcome.FALSE


_OUTCOMES = {True: Outcome.TRUE, False: Outcome.FALSE, None: Outcome.ERROR}
