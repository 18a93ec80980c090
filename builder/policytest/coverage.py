"""Coverage of rules and clauses by policy tests (docs/reference/policy-tests.md says what counts).

A rule is covered when it applied in a test. A clause is covered when it was seen both to hold and not to hold, in tests
about an action the rule is about; one that can only ever go one way is covered when it was seen at all.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from builder.compiling import Compiled
from builder.language.project import CoverageGate
from builder.policytest.runner import TestReport
from policy_core.classification import Classifier
from policy_core.condition import compile_condition
from policy_core.condition.grammar import ROOTS
from policy_core.errors import GateError
from policy_core.glob import match_glob
from policy_core.memory import Memory
from policy_core.model import Condition, Rule
from policy_core.request import Request, normalise
from policy_core.trace import ClauseTrace, Outcome, trace_rule

_ALWAYS_THERE = (".actions", ".types", ".ids")  # texts every request has
_FROM_REQUESTS = frozenset(ROOTS) - {"data"}


class CoverageTooLowError(GateError):
    """The policy tests cover less than ``gates.coverage`` in writ.yaml asks for."""

    default_hint = "`writ test --coverage` lists what no test covers; add cases, or remove what nothing needs"


@dataclass(frozen=True, slots=True)
class ClauseCoverage:
    """Which outcomes of a clause were seen; `constant` if it can have only one."""

    clause: str
    held: bool
    failed: bool
    constant: bool

    @property
    def missing(self) -> str:
        """Return what no test showed, empty if the clause is covered."""
        if (self.held and self.failed) or (self.constant and (self.held or self.failed)):
            return ""
        return "never seen to hold" if self.failed else "never seen not to hold" if self.held else "never reached"


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """Whether a rule applied in any test, and each of its clauses; `place` is *file:line*."""

    rule: str
    place: str
    applied: bool
    clauses: tuple[ClauseCoverage, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of something are covered."""

    covered: int
    total: int

    @property
    def percent(self) -> float:
        """Return the share in percent, rounded down to a tenth; of nothing it is 100."""
        return self.covered * 1000 // self.total / 10 if self.total else 100.0

    def reaches(self, percent: int) -> bool:
        """Tell whether at least this share is covered."""
        return self.covered * 100 >= percent * self.total


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage of all rules, in their order."""

    rules: tuple[RuleCoverage, ...]

    def tallies(self) -> dict[str, Tally]:
        """Return the figures by what a gate calls them: ``rules`` and ``clauses``."""
        clauses = [clause for rule in self.rules for clause in rule.clauses]
        return {
            "rules": Tally(sum(rule.applied for rule in self.rules), len(self.rules)),
            "clauses": Tally(sum(not clause.missing for clause in clauses), len(clauses)),
        }

    def require(self, gate: CoverageGate, *, what: str = "coverage") -> None:
        """Raise CoverageTooLowError, which begins with `what`, unless the figures reach the gate."""
        least = {"rules": gate.rules, "clauses": gate.clauses}
        low = [
            f"{tally.percent} % of {counted} (gate: {least[counted]} %)"
            for counted, tally in self.tallies().items()
            if not tally.reaches(least[counted])
        ]
        if low:
            raise CoverageTooLowError(f"{what}: {' and '.join(low)}")


def measure_coverage(compiled: Compiled, report: TestReport) -> Coverage:
    """Return what the cases that ran cover; those skipped cover nothing."""
    classify = Classifier(compiled.provisions.classifications)
    by_action: dict[str, list[_Asked]] = {}
    for suite in report.suites:
        for result in suite.cases:
            if result.answer is not None:
                case = result.case
                request = classify(normalise(case.request, now=case.now, host=case.host))
                by_action.setdefault(request.action_name, []).append(_Asked(request, case.memory))
    return Coverage(
        tuple(
            RuleCoverage(rule.name, report.places[rule.name], *_measure(rule, by_action, compiled.data))
            for rule in compiled.rules
        )
    )


def describe_coverage(coverage: Coverage) -> Iterator[str]:
    """Yield the coverage as lines: rules with something uncovered, then the figures."""
    for rule in coverage.rules:
        missing = [clause for clause in rule.clauses if clause.missing]
        if missing or not rule.applied:
            yield f"! {rule.rule}{'' if rule.applied else ' never applied'}  {rule.place}"
            yield from (f"    {clause.clause}: {clause.missing}" for clause in missing)
    figures = (
        f"{tally.covered} of {tally.total} {what} ({tally.percent} %)" for what, tally in coverage.tallies().items()
    )
    yield f"coverage: {', '.join(figures)}"


def coverage_record(coverage: Coverage) -> dict[str, Any]:
    """Return the coverage as a JSON object."""
    figures = {
        what: {"covered": tally.covered, "total": tally.total, "percent": tally.percent}
        for what, tally in coverage.tallies().items()
    }
    by_rule = [
        {
            "rule": rule.rule,
            "place": rule.place,
            "applied": rule.applied,
            "clauses": [
                {"clause": item.clause, "held": item.held, "failed": item.failed, "covered": not item.missing}
                for item in rule.clauses
            ],
        }
        for rule in coverage.rules
    ]
    return {**figures, "by_rule": by_rule}


class _Asked(NamedTuple):
    """A request as the rules see it, and what its case takes for granted."""

    request: Request
    memory: Memory


class _Seen:
    """The outcomes of one clause so far."""

    __slots__ = ("clause", "constant", "failed", "held")

    def __init__(self, trace: ClauseTrace, *, constant: bool) -> None:
        self.clause = trace.clause
        self.constant = constant
        self.held = self.failed = False

    def note(self, outcome: Outcome) -> None:
        if outcome is Outcome.TRUE:
            self.held = True
        else:
            self.failed = True

    def result(self) -> ClauseCoverage:
        return ClauseCoverage(self.clause, self.held, self.failed, self.constant)


def _measure(
    rule: Rule, by_action: Mapping[str, Iterable[_Asked]], data: Mapping[str, Any]
) -> tuple[bool, tuple[ClauseCoverage, ...]]:
    """Return whether the rule applied, and the coverage of its clauses; ends a search that has found all."""
    evaluate = _evaluator(rule, data)
    first = trace_rule(rule, _NOBODY, data, evaluate=evaluate)  # only to learn which clauses the rule has
    seen = [_Seen(clause, constant=is_constant(clause)) for clause in first.clauses]
    applied = False
    for action, cases in by_action.items():
        if not is_about(rule, action):
            seen[0].failed = True  # match.actions, which is the first where there is one
            continue
        for asked in cases:
            trace = trace_rule(rule, asked.request, data, evaluate=evaluate, memory=asked.memory)
            applied = applied or trace.outcome is Outcome.TRUE
            for clause, so_far in zip(trace.clauses, seen, strict=True):
                so_far.note(clause.outcome)
            if applied and not any(item.result().missing for item in seen):
                break
    return applied, tuple(item.result() for item in seen)


_NOBODY = normalise(
    {"subject": {"type": "", "id": ""}, "action": {"name": ""}, "resource": {"type": "", "id": ""}}, now=0, host={}
)


def is_about(rule: Rule, action: str) -> bool:
    """Tell whether the rule's clause for actions, if it has one, holds for this action."""
    patterns = rule.match.actions
    return not patterns or any(match_glob(pattern, action) for pattern in patterns)


def is_constant(clause: ClauseTrace) -> bool:
    """Tell whether a clause has the same outcome for every request: ``*``, or a condition over data alone."""
    if clause.clause == "when":
        return _FROM_REQUESTS.isdisjoint(_roots(clause.wanted))
    patterns = clause.wanted
    return (
        clause.clause.endswith(_ALWAYS_THERE)
        and isinstance(patterns, tuple)
        and any(set(pattern) == {"*"} for pattern in patterns)
    )


def _roots(node: object) -> Iterator[str]:
    """Yield the variables a condition looks at."""
    if isinstance(node, list):
        if node[0] == "var":
            yield str(node[1])
        for part in node[1:]:
            yield from _roots(part)


def _evaluator(rule: Rule, data: Mapping[str, Any]) -> Callable[[Condition, Request, Mapping[str, Any]], bool]:
    """Return an evaluator of the rule's only condition that compiles it once, not for each request."""
    if rule.when is None:
        return lambda *_: True  # never asked
    holds = compile_condition(rule.when, data)
    return lambda _condition, request, _data: holds(request)
