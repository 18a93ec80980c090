"""The mutation check: does some policy test fail when a rule is changed? A mutant that no test kills *survives*.

An answer depends on nothing but the rules that apply to the request or are in error for it. So a mutant is tried on
the cases that it, or the rule it stands in for, has a part in, with a matcher of the rules that have a part in them:
the time does not grow with the number of rules times the number of cases.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from builder.compiling import Compiled
from builder.explaining import matcher_for
from builder.language.expectations import Expectation
from builder.policytest.coverage import is_about
from builder.policytest.mutants import ClassificationMutant, Mutant, classification_mutants_of, mutants_of
from builder.policytest.runner import TestReport, differences
from policy_core.classification import Classifier
from policy_core.decision import Answer
from policy_core.errors import GateError
from policy_core.matcher import Matcher
from policy_core.matcher.judging import MAX_REPORTED_ERRORS
from policy_core.memory import Memory
from policy_core.model import GRANTING, Provisions, Rule
from policy_core.request import Request, normalise

MAX_MUTANTS = 10_000
"""Mutants tried in one run; of more an even selection is."""
_CHUNK = 16  # cases asked before the matcher is built again for the next ones


class MutantsSurviveError(GateError):
    """A rule can be changed without any policy test failing."""

    default_hint = "`writ test --mutate` lists them; for each add a case whose answer the change would alter"


@dataclass(frozen=True, slots=True)
class Survivor:
    """A change no test noticed; `place` is *file:line* of the rule."""

    rule: str
    place: str
    change: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """The outcome of a mutation check: how many mutants there are, how many were tried, and which survive."""

    mutants: int
    tried: int
    survivors: tuple[Survivor, ...]

    def require_killed(self) -> None:
        """Raise MutantsSurviveError if one survives."""
        if self.survivors:
            first = self.survivors[0]
            more = f", and {len(self.survivors) - 1} more" if len(self.survivors) > 1 else ""
            raise MutantsSurviveError(f"{first.place}: {first.rule}: no test notices: {first.change}{more}")


def check_mutants(
    compiled: Compiled, report: TestReport, *, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Mutation:
    """Try the mutants of all rules on the cases that ran; call `progress` with how many are done, and of how many.

    Raises PolicyTestsFailedError unless all cases pass as they are.
    """
    report.require_passed()
    mutants: list[Mutant | ClassificationMutant] = [
        mutant for ordinal, rule in enumerate(compiled.rules) for mutant in mutants_of(ordinal, rule)
    ]
    for ordinal, classification in enumerate(compiled.provisions.classifications):
        mutants += classification_mutants_of(ordinal, classification)
    step = -(-len(mutants) // MAX_MUTANTS) or 1
    chosen = mutants[::step]
    trial = Trial(compiled.rules, compiled.provisions, report)
    survivors = []
    for done, mutant in enumerate(chosen, 1):
        if trial.survives(mutant):
            survivors.append(Survivor(mutant.name, report.places[mutant.name], mutant.change))
        progress(done, len(chosen))
    return Mutation(len(mutants), len(chosen), tuple(survivors))


def describe_mutation(mutation: Mutation) -> Iterator[str]:
    """Yield the outcome as lines: the survivors, then the figures."""
    for survivor in mutation.survivors:
        yield f"✗ {survivor.rule}  {survivor.place}  survives: {survivor.change}"
    killed = mutation.tried - len(mutation.survivors)
    left_out = mutation.mutants - mutation.tried
    note = f" ({left_out} more not tried, limit {MAX_MUTANTS})" if left_out else ""
    yield f"mutants: {killed} of {mutation.tried} killed{note}"


def mutation_record(mutation: Mutation) -> dict[str, Any]:
    """Return the outcome as a JSON object."""
    survivors = [{"rule": item.rule, "place": item.place, "change": item.change} for item in mutation.survivors]
    return {"mutants": mutation.mutants, "tried": mutation.tried, "survivors": survivors}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A case that passes: its request, what it takes for granted and expects, and the ordinals of rules with a part."""

    request: Request
    memory: Memory
    expect: Expectation
    parts: frozenset[int]


class Trial:
    """Tries mutants of some rules on the cases of a report, all of which pass."""

    def __init__(self, rules: Sequence[Rule], provisions: Provisions, report: TestReport) -> None:
        self.rules = rules
        self.provisions = provisions
        self.by_action: dict[str, list[_Asked]] = {}
        ordinals = {rule.name: ordinal for ordinal, rule in enumerate(rules)}
        for suite in report.suites:
            for result in suite.cases:
                if result.answer is not None:
                    case = result.case
                    request = normalise(case.request, now=case.now, host=case.host)
                    asked = _Asked(request, case.memory, case.expect, _parts(result.answer, ordinals))
                    self.by_action.setdefault(request.action_name, []).append(asked)

    def survives(self, mutant: Mutant | ClassificationMutant) -> bool:
        """Tell whether all cases still get what they expect when the mutant stands in for what it was made of."""
        return self._outlives(mutant) if isinstance(mutant, Mutant) else self._reclassifies(mutant)

    def _outlives(self, mutant: Mutant) -> bool:
        affected = self._affected(mutant)
        while chunk := list(islice(affected, _CHUNK)):
            ordinals = sorted(frozenset({mutant.ordinal}).union(*(asked.parts for asked in chunk)))
            rules = [mutant.rule if ordinal == mutant.ordinal else self.rules[ordinal] for ordinal in ordinals]
            matcher = self._matcher(rules)
            if any(any(differences(asked.expect, _answer(matcher, asked))) for asked in chunk):
                return False
        return True

    def _reclassifies(self, mutant: ClassificationMutant) -> bool:
        classifications = [*self.provisions.classifications]
        classifications[mutant.ordinal : mutant.ordinal + 1] = (
            [mutant.classification] if mutant.classification.risk_tags else []
        )
        before, after = Classifier(self.provisions.classifications), Classifier(classifications)
        affected = [
            asked
            for cases in self.by_action.values()
            for asked in cases
            if before(asked.request).tags != after(asked.request).tags
        ]
        if not affected:
            return True
        provisions = msgspec.structs.replace(self.provisions, classifications=tuple(classifications))
        matcher = matcher_for(self.rules, provisions, "")
        return not any(any(differences(asked.expect, _answer(matcher, asked))) for asked in affected)

    def _affected(self, mutant: Mutant) -> Iterator[_Asked]:
        """Yield the cases that the rule has, or its mutant would have, a part in; the rule's own first."""
        others: list[_Asked] = []
        for asked in self._about(self.rules[mutant.ordinal], mutant.rule):
            if mutant.ordinal in asked.parts:
                yield asked
            else:
                others.append(asked)
        alone = self._matcher([mutant.rule])
        for asked in others:
            answer = _answer(alone, asked)
            if answer.applied_rules or answer.errors or answer.exception:
                yield asked

    def _about(self, *rules: Rule) -> Iterable[_Asked]:
        for action, cases in self.by_action.items():
            if any(is_about(rule, action) for rule in rules):
                yield from cases

    def _matcher(self, rules: Sequence[Rule]) -> Matcher:
        return matcher_for(rules, provisions_for(rules, self.provisions), "")


def _answer(matcher: Matcher, asked: _Asked) -> Answer:
    return matcher.decide(asked.request, memory=asked.memory)


def provisions_for(rules: Iterable[Rule], provisions: Provisions) -> Provisions:
    """Return provisions whose exceptions name nothing but these rules, and of them only what can be switched off."""
    if not provisions.exceptions:
        return provisions
    liftable = frozenset(rule.name for rule in rules if not rule.baseline and rule.decision not in GRANTING)
    exceptions = (
        msgspec.structs.replace(each, rules=tuple(name for name in each.rules if name in liftable))
        for each in provisions.exceptions
    )
    return msgspec.structs.replace(provisions, exceptions=tuple(exceptions))


def _parts(answer: Answer, ordinals: Mapping[str, int]) -> frozenset[int]:
    if len(answer.errors) >= MAX_REPORTED_ERRORS or answer.exception or answer.dry_run:
        # the answer does not name all rules: those in error beyond a limit, those switched off, those in dry run
        return frozenset(ordinals.values())
    return frozenset(ordinals[name] for name in (*answer.applied_rules, *(error.rule for error in answer.errors)))
