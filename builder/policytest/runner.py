"""Runs the cases of policy test suites and compares each answer with what its case expects."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from builder.compiling import Compiled
from builder.explaining import matcher_for
from builder.language.expectations import Expectation
from builder.language.suites import Case, Suite
from policy_core.decision import Answer
from policy_core.errors import GateError, UsageError
from policy_core.explaining import nearest
from policy_core.matcher import Matcher
from policy_core.request import normalise
from policy_core.trace import RuleTrace

MAX_TRACED_FAILURES = 20
"""Failures that show how near rules came; tracing is slow, and nobody reads more at once."""


class Status(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class PolicyTestsFailedError(GateError):
    """At least one policy test failed."""

    default_hint = "`writ test` shows every failing case and why; then correct the policy or the expectation"


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of an answer that is not what was expected."""

    part: str
    expected: object
    got: object


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case; a skipped one has no answer. `traces` are the rules nearest to a failing request."""

    case: Case
    status: Status
    answer: Answer | None = None
    differences: tuple[Difference, ...] = ()
    traces: tuple[RuleTrace, ...] = ()


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """The results of one file, in its order."""

    file: str
    name: str
    cases: tuple[CaseResult, ...]


@dataclass(frozen=True, slots=True)
class TestReport:
    """The results of all suites; `places` maps rules to *file:line*."""

    __test__ = False  # the name does not make it a test of pytest

    suites: tuple[SuiteResult, ...]
    places: Mapping[str, str]

    def count(self, status: Status) -> int:
        """Return how many cases ended like this."""
        return sum(result.status is status for suite in self.suites for result in suite.cases)

    @property
    def passed(self) -> bool:
        """Tell whether no case failed (true as well if there are none)."""
        return not self.count(Status.FAILED)

    def require_passed(self) -> None:
        """Raise PolicyTestsFailedError, naming the first failing case, unless all passed."""
        failed = [(suite, result) for suite in self.suites for result in suite.cases if result.differences]
        if failed:
            suite, result = failed[0]
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            raise PolicyTestsFailedError(f"{suite.file}:{result.case.line}: {result.case.title}: test failed{more}")


def run_suites(compiled: Compiled, *, wanted: str = "") -> TestReport:
    """Run the cases of a compiled tree; with `wanted` only those about it (see `select`).

    Never raises for a failing test: see `TestReport.require_passed`. Raises UsageError if no case is about `wanted`.
    """
    matcher = matcher_for(compiled.rules, compiled.provisions, compiled.tree.revision)
    runner = _Runner(matcher)
    suites = select(compiled.suites, wanted) if wanted else compiled.suites
    return TestReport(
        suites=tuple(SuiteResult(suite.file, suite.name, tuple(map(runner.run, suite.cases))) for suite in suites),
        places=compiled.places(),
    )


def select(suites: Iterable[Suite], wanted: str) -> tuple[Suite, ...]:
    """Return the cases with `wanted` in the name or file of their suite, their own name, or the rule they expect.

    Upper and lower case are one. Suites without such a case are left out. Raises UsageError if nothing is left.
    """
    text = wanted.casefold()
    chosen = []
    for suite in suites:
        if text in suite.file.casefold() or text in suite.name.casefold():
            chosen.append(suite)
            continue
        cases = tuple(case for case in suite.cases if text in f"{case.title}\n{case.expect.rule or ''}".casefold())
        if cases:
            chosen.append(replace(suite, cases=cases))
    if not any(suite.cases for suite in chosen):
        raise UsageError(
            f"no policy test is about {wanted!r}", hint="give a part of the name of a suite, a case or an expected rule"
        )
    return tuple(chosen)


class _Runner:
    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.traced = 0

    def run(self, case: Case) -> CaseResult:
        if case.skip:
            return CaseResult(case, Status.SKIPPED)
        request = normalise(case.request, now=case.now, host=case.host)
        memory = case.memory
        answer = self.matcher.decide(request, memory=memory)
        found = tuple(differences(case.expect, answer))
        if not found:
            return CaseResult(case, Status.PASSED, answer)
        self.traced += 1
        traces: tuple[RuleTrace, ...] = ()
        if self.traced <= MAX_TRACED_FAILURES:
            traces = nearest(self.matcher, request, wanted=case.expect.rule or "", memory=memory)
        return CaseResult(case, Status.FAILED, answer, found, traces)


def differences(expect: Expectation, answer: Answer) -> Iterator[Difference]:
    """Yield each part of an answer that is not what was expected."""
    parts = (
        ("decision", expect.decision, str(answer.decision)),
        ("rule", expect.rule, answer.matched_rule),
        ("reason_code", expect.reason_code, answer.reason_code),
        ("constraints", expect.constraints, answer.constraints),
        ("exception", expect.exception, answer.exception),
        ("dry_run", expect.dry_run, str(answer.dry_run.decision) if answer.dry_run else ""),
        ("gates", expect.gates, answer.gates),
        ("errors", expect.errors, tuple(sorted(error.rule for error in answer.errors))),
        ("remediations", expect.remediations, tuple(remediation.id for remediation in answer.remediations)),
        ("retry_after_s", expect.retry_after_s, answer.retry_after_s),
    )
    return (Difference(part, wanted, got) for part, wanted, got in parts if wanted is not None and wanted != got)
