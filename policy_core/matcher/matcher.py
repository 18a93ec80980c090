"""The matcher: from a normalised request to a complete answer, the same whatever order the rules were written in.

Implements the decision semantics of docs/reference/decisions.md over the index. The work is done when a
bundle is loaded; a decision is a straight line: look up, check, answer. `policy_core.testing.oracle` is the reference.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from policy_core.condition import compile_condition
from policy_core.constraints import ConstraintConflict, agree, merge
from policy_core.decision import (
    CONSTRAINT_CONFLICT,
    EVALUATION_ERROR,
    MATCHED_RULE,
    NO_MATCHING_RULE,
    Answer,
    DryRun,
    PolicyRef,
    RuleError,
    refusal,
)
from policy_core.matcher.clauses import CheckCompiler
from policy_core.matcher.encoding import decode_rules
from policy_core.matcher.index import Index
from policy_core.model import GRANTING, Condition, Decision, Rule
from policy_core.request import Request
from policy_core.trace import trace_rule

MAX_REPORTED_ERRORS = 20
MAX_REMEMBERED_CONDITIONS = 1_000
_SLICE = 64  # rules between two yields, about 1 ms

# which decision wins; rules that only constrain never decide
_RANK = {
    Decision.DENY: 0,
    Decision.REQUIRE_APPROVAL: 1,
    Decision.THROTTLE: 2,
    Decision.ALLOW: 3,
    Decision.ALLOW_WITH_CONSTRAINTS: 3,
    Decision.CONSTRAIN: 4,
}
_WORDS = (Decision.DENY, Decision.REQUIRE_APPROVAL, Decision.THROTTLE, Decision.ALLOW)
_DENY, _REQUIRE_APPROVAL, _ALLOWED, _NOTHING = 0, 1, 3, 4
_NARROWED = (_REQUIRE_APPROVAL, _ALLOWED)  # answers that carry constraints
_GATE_WORDS = ("denied", "asked", "throttled", "narrowed", "passed")  # by rank, the strongest first


class Matcher:
    """A loaded policy: immutable, safe to share between threads (its index only remembers plans)."""

    __slots__ = ("_conditions", "_data", "_dry_run", "_gates", "_index", "_names", "_ranks", "policy", "rules")

    def __init__(
        self,
        rules: list[Rule],
        names: list[str],
        ranks: list[int],
        index: Index,
        *,
        dry_run: frozenset[int],
        gates: bool,
        data: Mapping[str, Any],
        policy: PolicyRef,
    ) -> None:
        self.rules = rules
        self.policy = policy
        self._names = names
        self._ranks = ranks
        self._index = index
        self._dry_run = dry_run
        self._gates = gates  # whether any rule has one
        self._data = data
        self._conditions: dict[int, Callable[[Request], bool]] = {}  # by ordinal, of rules that were in error

    def dismantle(self) -> Iterator[None]:
        """Take the matcher apart, yielding after every few rules: freed at once, a large one would stall its process.

        Only for a matcher that no request can reach any more. From the first step on `decide` raises AttributeError
        rather than answer from what is left.
        """
        index = self._index
        del self._index
        yield from index.dismantle()
        for part in (self.rules, self._names):
            while part:
                del part[-_SLICE:]
                yield

    def decide(self, request: Request, *, decision_id: str = "") -> Answer:
        """Return the complete answer to a normalised request."""
        plan = self._index.plan(request.action_name)
        candidates = plan.always
        for keys, table in plan.lookups:
            for key in keys(request):
                found = table.get(key)
                if found is not None:
                    candidates += found
        applied: list[int] = []
        errors: list[int] = []
        for rule in candidates:
            outcome: bool | None = True
            for check in rule.checks:
                held = check(request)
                if held is False:
                    outcome = False
                    break
                if held is None:
                    outcome = None
            if outcome:
                applied.append(rule.ordinal)
            elif outcome is None:
                errors.append(rule.ordinal)
        if len(applied) > 1:
            applied = sorted(set(applied))
        if errors or self._dry_run:
            return self._answer_carefully(request, applied, errors, decision_id)
        return self._answer(applied, applied, self._ranks, decision_id)

    def _decider(self, applied: Iterable[int], ranks: Sequence[int] | Mapping[int, int]) -> tuple[int, int]:
        """Return (rank, ordinal) of the rule that decides: the strongest, then the first; (_NOTHING, -1) if none."""
        best, decider = _NOTHING, -1
        for ordinal in applied:
            if ranks[ordinal] < best:
                best, decider = ranks[ordinal], ordinal
        return best, decider

    def _answer(
        self,
        applied: Sequence[int],
        narrowing: Sequence[int],
        ranks: Sequence[int] | Mapping[int, int],
        decision_id: str,
    ) -> Answer:
        """Put the answer together; `applied` and `narrowing` (whose constraints count) are sorted ordinals."""
        rank, ordinal = self._decider(applied, ranks)
        rules, names = self.rules, self._names
        if rank == _NOTHING:
            answer = refusal(NO_MATCHING_RULE, "no rule grants this", decision_id=decision_id, policy=self.policy)
            answer.applied_rules = [names[number] for number in applied]
        else:
            rule = rules[ordinal]
            answer = Answer(
                decision=_WORDS[rank],
                allowed=rank == _ALLOWED,
                reason=rule.reason,
                reason_code=rule.reason_code or MATCHED_RULE,
                matched_rule=names[ordinal],
                applied_rules=[names[number] for number in applied],
                remediations=rule.remediations,
                decision_id=decision_id,
                policy=self.policy,
            )
            if rank in _NARROWED:
                bounds = [rules[number].constraints for number in narrowing if rules[number].constraints]
                if bounds:
                    try:
                        answer.constraints = merge(bounds)
                        if rank == _ALLOWED:
                            answer.decision = Decision.ALLOW_WITH_CONSTRAINTS
                    except ConstraintConflict as conflict:
                        self._refuse(answer, conflict.name, narrowing)
        if self._gates:
            answer.gates = self._gate_words(applied, ranks)
        return answer

    def _refuse(self, answer: Answer, constraint: str, narrowing: Sequence[int]) -> None:
        """Turn an answer whose constraints contradict each other into a deny that no single rule gave."""
        first, *others = (number for number in narrowing if constraint in self.rules[number].constraints)
        value = self.rules[first].constraints[constraint]
        other = next(number for number in others if not agree(self.rules[number].constraints[constraint], value))
        answer.decision, answer.allowed, answer.matched_rule = Decision.DENY, False, ""
        answer.reason_code, answer.remediations = CONSTRAINT_CONFLICT, ()
        answer.reason = f"constraint {constraint}: {self._names[first]} and {self._names[other]} do not agree"

    def _gate_words(self, applied: Iterable[int], ranks: Sequence[int] | Mapping[int, int]) -> dict[str, str]:
        """Return what each gate says: the strongest word of the rules with that label which apply."""
        strongest: dict[str, int] = {}
        for number in applied:
            rule = self.rules[number]
            if rule.gate:
                word = ranks[number]
                if word >= _ALLOWED:
                    word = _ALLOWED if rule.constraints else _NOTHING
                strongest[rule.gate] = min(word, strongest.get(rule.gate, _NOTHING))
        return {gate: _GATE_WORDS[word] for gate, word in strongest.items()}

    def _answer_carefully(self, request: Request, applied: list[int], errors: list[int], decision_id: str) -> Answer:
        """Answer where there are errors or dry-run rules: what is in force decides, and then what would have."""
        failed = sorted({number for number in errors if not self.rules[number].skip_errors})
        enforced = [number for number in applied if number not in self._dry_run]
        enforced_failed = [number for number in failed if number not in self._dry_run]
        answer = self._combine(enforced, enforced_failed, decision_id)
        answer.errors = [
            RuleError(self._names[number], self._why(number, request))
            for number in enforced_failed[:MAX_REPORTED_ERRORS]
        ]
        if len(enforced) != len(applied) or len(enforced_failed) != len(failed):
            would = self._combine(applied, failed, "")
            answer.dry_run = DryRun(would.decision, would.matched_rule)
        return answer

    def _combine(self, applied: list[int], errors: list[int], decision_id: str) -> Answer:
        """Answer with rules in error: an error never grants, and a restriction in error applies.

        An ``allow_with_constraints`` in error grants nothing, but its constraints still narrow what others grant.
        """
        if not errors:
            return self._answer(applied, applied, self._ranks, decision_id)
        ranks = {number: self._ranks[number] for number in applied}
        for number in errors:
            rank = _rank_in_error(self.rules[number].decision)
            if rank is not None:
                ranks[number] = rank
        together = sorted(ranks)
        answer = self._answer(together, sorted({*applied, *errors}), ranks, decision_id)
        if answer.matched_rule and self._decider(together, ranks)[1] in errors:
            answer.reason_code = EVALUATION_ERROR
        return answer

    def _why(self, number: int, request: Request) -> str:
        """Return why a rule is in error. Its condition is compiled once (2 ms for a long one), not for each request."""

        def evaluate(condition: Condition, request: Request, data: Mapping[str, Any]) -> bool:
            holds = self._conditions.get(number)
            if holds is None:
                if len(self._conditions) >= MAX_REMEMBERED_CONDITIONS:
                    self._conditions.clear()
                holds = self._conditions[number] = compile_condition(condition, data)
            return holds(request)

        return trace_rule(self.rules[number], request, self._data, evaluate=evaluate).error


def _rank_in_error(decision: Decision) -> int | None:
    """Return the rank of a rule in error: a grant has none, a throttle denies, the rest is as if it applied."""
    if decision in GRANTING:
        return None
    return _DENY if decision is Decision.THROTTLE else _RANK[decision]


def loading(content: bytes, *, data: Mapping[str, Any], policy: PolicyRef) -> Generator[None, None, Matcher]:
    """Load ``matcher.jsonl`` in slices: yields between them, returns the matcher.

    Raises MatcherFormatError for content that `encode_rules` would not have written.
    """
    rules: list[Rule] = []
    names: list[str] = []
    ranks: list[int] = []
    index = Index()
    dry_run: set[int] = set()
    gates = False
    for line in decode_rules(content):
        for number, rule in enumerate(line):
            if number % _SLICE == 0:
                yield
            index.add(len(rules), rule)
            if rule.dry_run:
                dry_run.add(len(rules))
            gates = gates or bool(rule.gate)
            rules.append(rule)
            names.append(rule.name)
            ranks.append(_RANK[rule.decision])
    yield from index.build(CheckCompiler(data))
    return Matcher(rules, names, ranks, index, dry_run=frozenset(dry_run), gates=gates, data=data, policy=policy)


def load(content: bytes, *, data: Mapping[str, Any], policy: PolicyRef) -> Matcher:
    """Load ``matcher.jsonl`` in one go. Raises MatcherFormatError as `loading` does."""
    steps = loading(content, data=data, policy=policy)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            matcher: Matcher = done.value
            return matcher
