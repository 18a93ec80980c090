"""Rules that can never come to apply, as far as their text proves it."""

import datetime
from collections.abc import Iterator
from typing import Any

from builder.language.codes import Code
from builder.linting.conditions import fixed_value
from builder.linting.facets import clause_facets, conjuncts, covers, excluded_facets, implied
from builder.linting.inspection import Inspection
from policy_core.attributes import ORDERED, holds
from policy_core.errors import Problem
from policy_core.model import AttributeTests, Rule

_ALWAYS_THERE = frozenset({"subject.type", "subject.id", "action.name", "resource.type", "resource.id"})
_TEXTUAL = frozenset({"glob", "prefix", "cidr", "regex"})


def find_unreachable(inspection: Inspection) -> Iterator[Problem]:
    """Yield each rule whose clauses can never hold together."""
    for rule in inspection.compiled.rules:
        if why := _contradiction(rule, inspection):
            yield inspection.finding(Code.UNREACHABLE_RULE, rule, f"can never hold: {why}", "correct it, or remove it")


def find_past(inspection: Inspection) -> Iterator[Problem]:
    """Yield each rule whose time window is over."""
    midnight = datetime.datetime.combine(inspection.today, datetime.time(), datetime.UTC).timestamp()
    for rule in inspection.compiled.rules:
        window = rule.match.time
        if window is not None and window.before is not None and window.before <= midnight:
            end = datetime.datetime.fromtimestamp(window.before, datetime.UTC)
            message = f"applies to no request any more: its time ended at {end:%Y-%m-%dT%H:%M:%SZ}"
            yield inspection.finding(Code.PAST_WINDOW, rule, message, "remove it, or give it a new time")


def _contradiction(rule: Rule, inspection: Inspection) -> str:
    """Return how the clauses of a rule contradict each other, empty if it is not certain that they do."""
    facets = clause_facets(rule.match)
    for key, values in excluded_facets(rule.match).items():
        if implied(key, values, facets):
            return f"match.not excludes whatever match.{key[1]} takes"
    unless = rule.unless and clause_facets(rule.unless)
    if unless and covers(unless, facets):
        return "unless holds wherever match does"
    for path, tests in rule.match.attributes.items():
        if _excludes_all(path, tests):
            return f"no value of {path} passes all its tests"
    if any(fixed_value(operand, inspection.compiled.data) is False for operand in conjuncts(rule.when)):
        return "when is false for every request"
    return ""


def _excludes_all(path: str, tests: AttributeTests) -> bool:
    asked = tests.operators()
    if tests.exists is False:
        return path in _ALWAYS_THERE
    accepted = [tests.eq] if tests.eq is not None else tests.in_
    if accepted:
        return not any(all(holds(operator, wanted, value) for operator, wanted in asked.items()) for value in accepted)
    kinds = [_kinds(operator, wanted) for operator, wanted in asked.items() if operator != "exists"]
    if kinds and not set.intersection(*kinds):
        return True
    bounds = {operator: asked[operator] for operator in ORDERED & asked.keys()}
    least = max((bounds[operator] for operator in ("gt", "ge") if operator in bounds), default=None)
    most = min((bounds[operator] for operator in ("lt", "le") if operator in bounds), default=None)
    if least is None or most is None or least < most:
        return False
    return least > most or not all(holds(operator, bound, least) for operator, bound in bounds.items())


def _kinds(operator: str, wanted: Any) -> set[str]:
    """Return what kinds of values can pass a test; any other is an error."""
    if operator in _TEXTUAL:
        return {"text"}
    if operator in ORDERED:
        return {"number"}
    values = wanted if isinstance(wanted, list | tuple) else [wanted]
    return {"boolean" if isinstance(v, bool) else "text" if isinstance(v, str) else "number" for v in values}
