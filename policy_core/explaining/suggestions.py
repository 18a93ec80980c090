"""What would have to change for another decision: found by search, and each one proven by deciding the changed request.

The search makes one change at a time, where it promises most: what keeps a grant from applying, and what makes a
restriction apply (for an allowed request the other way round). It is bounded, so it may miss something; it never says
anything untrue, as whatever it says is what the matcher answered.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from policy_core.decision import NO_MATCHING_RULE, Answer
from policy_core.explaining.changes import Change, ImpossibleChangeError, Kind, Situation
from policy_core.explaining.proposals import Path, Proposer, vocabulary
from policy_core.grants import missing_approvals, own_subjects, requesters_of
from policy_core.matcher import Matcher
from policy_core.model import CONSTRAINING, GRANTING, RESTRICTING, Approver, Decision, Rule, Scalar
from policy_core.trace import Outcome, RuleTrace, conjunction

MAX_DECISIONS = 200
MAX_CHANGES = 3
MAX_SUGGESTIONS = 6
_MAX_FOUND = 24
_MAX_TOOK_PART = 8
_FALSE = Outcome.FALSE

Trace = Callable[[Rule, Situation], RuleTrace]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Changes that together lead to another decision, and the answer to the request so changed."""

    changes: tuple[Change, ...]
    answer: Answer

    def __str__(self) -> str:
        """Return the suggestion as a line."""
        answer = self.answer
        by = answer.matched_rule or ("no rule grants it" if answer.reason_code == NO_MATCHING_RULE else answer.reason)
        return f"{' and '.join(map(str, self.changes))}: {answer.decision} ({by})"


def suggestions(
    matcher: Matcher, situation: Situation, near: Iterable[Rule], trace: Trace, pause: Callable[[], object]
) -> tuple[Suggestion, ...]:
    """Return what would lead to another decision, the fewest changes first; empty if nothing small was found.

    `near` are the rules worth looking at, `trace` evaluates one; `pause` is called after every decision.
    """
    rules = {rule.name: rule for rule in near if not rule.dry_run}
    search = _Search(matcher, situation, rules, trace, pause, vocabulary(rules.values()))
    return tuple(search.run())


@dataclass(slots=True)
class _Search:
    matcher: Matcher
    start: Situation
    rules: dict[str, Rule]
    trace: Trace
    pause: Callable[[], object]
    known: Mapping[Path, tuple[Scalar, ...]]
    decisions: int = 0
    answers: dict[frozenset[bytes], Answer | None] = field(default_factory=dict)

    def run(self) -> list[Suggestion]:
        found: list[Suggestion] = []
        first = self.decide(())
        if first is None:
            return []
        number = itertools.count()
        queue: list[tuple[int, int, tuple[Change, ...]]] = [(0, next(number), ())]
        while queue and self.decisions < MAX_DECISIONS and len(found) < _MAX_FOUND:
            _, _, changes = heapq.heappop(queue)
            answer = self.answers[_key(changes)]
            if answer is None or len(changes) >= MAX_CHANGES:
                continue
            for change in self.next_changes(changes, answer, loosen=not first.allowed):
                wider = (*changes, change)
                if _key(wider) in self.answers or self.decisions >= MAX_DECISIONS:
                    continue
                reached = self.decide(wider)
                if reached is None:
                    continue
                if reached.decision != first.decision and (first.allowed or _eases(first, reached)):
                    found.append(self.smallest(wider, reached))
                if reached.decision == first.decision or not (first.allowed or reached.allowed):
                    heapq.heappush(queue, (len(wider) + self.distance(wider, reached), next(number), wider))
        return _best(found)

    def decide(self, changes: tuple[Change, ...]) -> Answer | None:
        """Return the answer to the changed request, None if it cannot be changed like that."""
        key = _key(changes)
        if key not in self.answers:
            self.decisions += 1
            self.pause()
            try:
                situation = self.start.after(changes)
                self.answers[key] = self.matcher.decide(situation.request, memory=situation.memory)
            except ImpossibleChangeError:
                self.answers[key] = None
            if self.start.memory.failed and any(change.kind is Kind.AT for change in changes):
                self.answers[key] = None
        return self.answers[key]

    def smallest(self, changes: tuple[Change, ...], reached: Answer) -> Suggestion:
        """Return the suggestion without the changes that its decision does not need."""
        for change in changes:
            fewer = tuple(other for other in changes if other is not change)
            answer = self.decide(fewer) if fewer else None
            if answer is not None and answer.decision == reached.decision:
                return self.smallest(fewer, answer)
        return Suggestion(changes, reached)

    def next_changes(self, changes: tuple[Change, ...], answer: Answer, *, loosen: bool) -> Iterator[Change]:
        """Yield single changes that could bring another decision nearer."""
        situation = self.start.after(changes)
        made = {change.path for change in changes if change.kind in (Kind.SET, Kind.UNSET)}
        timed = any(change.kind is Kind.AT for change in changes)
        proposer = Proposer(situation, self.matcher.provisions.data, self.known)
        if answer.approval is not None and (approvers := self.approvers(situation, answer.approval.missing)):
            yield Change(Kind.GRANT, value=approvers)
        for trace in self.traces(situation, answer):
            grants = trace.rule.decision in GRANTING
            holds = trace.outcome is Outcome.TRUE or (trace.outcome is Outcome.ERROR and not grants)
            if holds == (grants == loosen) and not (holds and trace.rule.decision in CONSTRAINING):
                continue
            for change in _proposed(proposer, trace, hold=not holds):
                if change.path not in made and not (timed and change.kind is Kind.AT):
                    yield change

    def traces(self, situation: Situation, answer: Answer) -> Iterator[RuleTrace]:
        """Yield the rules near the request as it is now, with those that took part in its answer first."""
        seen = Situation(self.matcher.classified(situation.request), situation.memory)
        names = {*answer.applied_rules, *(error.rule for error in answer.errors)}
        took_part = [rule for rule in self.matcher.candidates(seen.request) if rule.name in names]
        rules = {rule.name: rule for rule in took_part[:_MAX_TOOK_PART]} | self.rules
        return (self.trace(rule, seen) for rule in rules.values() if not rule.dry_run)

    def distance(self, changes: tuple[Change, ...], answer: Answer) -> int:
        """Return how many changes the nearest rule that would bring another decision still seems to need."""
        traces = list(self.traces(self.start.after(changes), answer))
        if answer.allowed:
            return min((misses(trace) for trace in traces if trace.rule.decision not in GRANTING), default=0)
        restricting = [trace for trace in traces if trace.rule.decision in RESTRICTING]
        standing = len([trace for trace in restricting if trace.outcome is not _FALSE])
        return standing + min((misses(trace) for trace in traces if trace.rule.decision in GRANTING), default=0)

    def approvers(self, situation: Situation, missing: Mapping[str, int]) -> tuple[str, ...]:
        """Return as few approvers as fill all empty seats, none of them who asks; empty if there are not enough."""
        requesters = requesters_of(situation.request)
        chosen: list[Approver] = []
        lacking = sum(missing.values())
        for approver in self.matcher.provisions.approvers:
            left = sum(missing_approvals(missing, [*chosen, approver]).values())
            if left < lacking and not own_subjects(approver.subjects, requesters):
                chosen.append(approver)
                lacking = left
        return tuple(approver.id for approver in chosen) if chosen and not lacking else ()


def _eases(first: Answer, reached: Answer) -> bool:
    """Tell whether an answer stands less in the way than the first one: nobody looks for a way to a denial."""
    return reached.allowed or (reached.decision is not Decision.DENY and first.decision is Decision.DENY)


def misses(trace: RuleTrace) -> int:
    """Return how many clauses keep a rule from applying; those of unless count as one."""
    sides = [clause.outcome for clause in trace.clauses if not clause.clause.startswith("unless.")]
    return sum(outcome is not Outcome.TRUE for outcome in sides) + (unless_outcome(trace) is not _FALSE)


def unless_outcome(trace: RuleTrace) -> Outcome:
    """Return what the clauses of unless say together; false where there is no unless."""
    outcomes = [clause.outcome for clause in trace.clauses if clause.clause.startswith("unless.")]
    return conjunction(outcomes) if outcomes else _FALSE


def _proposed(proposer: Proposer, trace: RuleTrace, *, hold: bool) -> Iterator[Change]:
    """Yield changes that could make a rule apply, or keep it from applying."""
    for clause in trace.clauses:
        in_unless = clause.clause.startswith("unless.")
        wanted = Outcome.TRUE if hold is not in_unless else _FALSE
        if clause.outcome is not wanted:
            yield from proposer.changes(trace.rule, clause, hold=wanted is Outcome.TRUE)


def _key(changes: Iterable[Change]) -> frozenset[bytes]:
    return frozenset(change.key for change in changes)


def _best(found: Iterable[Suggestion]) -> list[Suggestion]:
    """Return the suggestions with the fewest changes; of those that differ only in a value, the first."""
    chosen: dict[object, Suggestion] = {}
    for suggestion in sorted(found, key=lambda each: (len(each.changes), not each.answer.allowed)):
        places = frozenset((change.kind, change.path) for change in suggestion.changes if change.kind is not Kind.ADD)
        added = frozenset(change.key for change in suggestion.changes if change.kind is Kind.ADD)
        chosen.setdefault((places, added, suggestion.answer.decision), suggestion)
    return list(chosen.values())[:MAX_SUGGESTIONS]
