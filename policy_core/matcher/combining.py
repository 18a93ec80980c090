"""From the rules that apply to the answer: which decides, how constraints merge, what each gate says.

A *rank* is what a rule speaks for, the strongest first. Circumstances change ranks, never the procedure: a throttle in
error speaks for deny, a satisfied ask for allow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from policy_core.constraints import ConstraintConflict, agree, merge
from policy_core.decision import CONSTRAINT_CONFLICT, MATCHED_RULE, NO_MATCHING_RULE, Answer, PolicyRef, refusal
from policy_core.model import GRANTING, Decision, Rule
from policy_core.remembering import Remembered

MAX_REMEMBERED_RULES = 100_000  # in all answers that are remembered together
_ANSWER_WEIGHT = 9  # what an answer takes beside the names of its rules, in rules

Ranks: TypeAlias = Sequence[int] | Mapping[int, int]

RANK = {
    Decision.DENY: 0,
    Decision.REQUIRE_APPROVAL: 1,
    Decision.THROTTLE: 2,
    Decision.ALLOW: 3,
    Decision.ALLOW_WITH_CONSTRAINTS: 3,
    Decision.CONSTRAIN: 4,
}
DENY, REQUIRE_APPROVAL, ALLOWED, NOTHING = 0, 1, 3, 4
_WORDS = (Decision.DENY, Decision.REQUIRE_APPROVAL, Decision.THROTTLE, Decision.ALLOW)
_NARROWED = (REQUIRE_APPROVAL, ALLOWED)  # answers that carry constraints
GATE_WORDS = ("denied", "asked", "throttled", "narrowed", "passed")  # by rank, the strongest first


def rank_in_error(decision: Decision) -> int | None:
    """Return the rank of a rule in error: a grant has none, a throttle denies, the rest is as if it applied."""
    if decision in GRANTING:
        return None
    return DENY if decision is Decision.THROTTLE else RANK[decision]


def decider(applied: Iterable[int], ranks: Ranks) -> tuple[int, int]:
    """Return (rank, ordinal) of the rule that decides: the strongest, then the first; (NOTHING, -1) if none."""
    best, found = NOTHING, -1
    for ordinal in applied:
        if ranks[ordinal] < best:
            best, found = ranks[ordinal], ordinal
    return best, found


class Combiner:
    """Puts answers together from ordinals of the rules of one policy."""

    __slots__ = ("_has_gates", "_plain", "policy", "ranks", "rules")

    def __init__(self, rules: list[Rule], ranks: list[int], *, has_gates: bool, policy: PolicyRef) -> None:
        self.rules = rules
        self.ranks = ranks
        self.policy = policy
        self._has_gates = has_gates
        self._plain: Remembered[tuple[int, ...], Answer] = Remembered(MAX_REMEMBERED_RULES)

    def naming(self, policy: PolicyRef) -> "Combiner":
        """Return a combiner of the same rules whose answers name another release of them."""
        return Combiner(self.rules, self.ranks, has_gates=self._has_gates, policy=policy)

    def plain(self, applied: tuple[int, ...]) -> Answer:
        """Return the answer where nothing but these rules counts, each for what it says; `issued` makes it a caller's.

        Few sets of rules ever apply together, so it is remembered for the next request to which the same ones do.
        """
        known = self._plain.get(applied)
        if known is None:
            known = self.answer(applied, applied, self.ranks)
            self._plain.put(applied, known, weight=_ANSWER_WEIGHT + len(applied))
        return known

    def forget(self) -> Iterator[None]:
        """Forget the answers, yielding after every few; see `Matcher.dismantle`."""
        return self._plain.forget()

    def answer(self, applied: Sequence[int], narrowing: Sequence[int], ranks: Ranks) -> Answer:
        """Put the answer together; `applied` and `narrowing` (whose constraints count) are sorted ordinals."""
        rank, ordinal = decider(applied, ranks)
        rules = self.rules
        if rank == NOTHING:
            answer = refusal(NO_MATCHING_RULE, "no rule grants this", policy=self.policy)
            answer.applied_rules = [rules[number].name for number in applied]
        else:
            rule = rules[ordinal]
            answer = Answer(
                decision=_WORDS[rank],
                allowed=rank == ALLOWED,
                reason=rule.reason,
                reason_code=rule.reason_code or MATCHED_RULE,
                matched_rule=rule.name,
                applied_rules=[rules[number].name for number in applied],
                remediations=rule.remediations,
                policy=self.policy,
            )
            if rank in _NARROWED:
                bounds = [rules[number].constraints for number in narrowing if rules[number].constraints]
                if bounds:
                    try:
                        answer.constraints = merge(bounds)
                        if rank == ALLOWED:
                            answer.decision = Decision.ALLOW_WITH_CONSTRAINTS
                    except ConstraintConflict as conflict:
                        self._refuse(answer, conflict.name, narrowing)
        if self._has_gates:
            answer.gates = self._gate_words(applied, ranks)
        return answer

    def _refuse(self, answer: Answer, constraint: str, narrowing: Sequence[int]) -> None:
        """Turn an answer whose constraints contradict each other into a deny that no single rule gave."""
        first, *others = (number for number in narrowing if constraint in self.rules[number].constraints)
        value = self.rules[first].constraints[constraint]
        other = next(number for number in others if not agree(self.rules[number].constraints[constraint], value))
        answer.decision, answer.allowed, answer.matched_rule = Decision.DENY, False, ""
        answer.reason_code, answer.remediations = CONSTRAINT_CONFLICT, ()
        answer.reason = f"constraint {constraint}: {self.rules[first].name} and {self.rules[other].name} do not agree"

    def _gate_words(self, applied: Iterable[int], ranks: Ranks) -> dict[str, str]:
        """Return what each gate says: the strongest word of the rules with that label which apply."""
        strongest: dict[str, int] = {}
        for number in applied:
            rule = self.rules[number]
            if rule.gate:
                word = ranks[number]
                if word >= ALLOWED:
                    word = ALLOWED if rule.constraints else NOTHING
                strongest[rule.gate] = min(word, strongest.get(rule.gate, NOTHING))
        return {gate: GATE_WORDS[word] for gate, word in strongest.items()}
