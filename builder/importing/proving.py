"""Holds the new document against the old file: the real matcher and an interpreter of the source, request by request.

Where rules have a rate, each request is asked with no rate reached, with each one reached alone, and with all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from builder.importing.interpreter import Interpreter, Verdict
from builder.importing.ordering import OurRule
from builder.importing.reading import SourceRule
from builder.importing.requests import space_of
from policy_core.constraints import ConstraintConflict, merge
from policy_core.decision import Answer, PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.memory import Assumed
from policy_core.model import Constraint, Decision, Rule
from policy_core.request import normalise

MAX_EXAMPLES = 3
_NOW = 1_790_000_000.0
_RANK = {"deny": 0, "require_approval": 1, "throttle": 2, "allow": 3, "allow_with_constraints": 3}


@dataclass(slots=True)
class Difference:
    """Requests that are decided otherwise by one pair of rules; `stricter`: all of them less is permitted now."""

    before: str
    after: str
    before_rule: str
    after_rule: str
    stricter: bool
    count: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared: requests, of them how many in all combinations, and what differs, most frequent first."""

    requests: int
    combinations: int
    exhaustive: bool
    rate_states: int
    decisions: Mapping[str, int]
    differences: tuple[Difference, ...]

    @property
    def differing(self) -> int:
        """Return how many comparisons differ."""
        return sum(difference.count for difference in self.differences)


def compare(
    document: Mapping[str, Any],
    source: Sequence[SourceRule],
    ours: Sequence[OurRule],
    rules: Sequence[Rule],
    *,
    most: int,
) -> Proof:
    """Return the comparison of the old file, as plain values, with the compiled rules, on at most so many requests."""
    interpreter = Interpreter(document)
    matcher = load(encode_rules(rules), policy=PolicyRef("", ""))
    origin = {rule.name: made.source for rule, made in zip(rules, ours, strict=True)}
    states = _rate_states(source, ours, rules)
    space = space_of(document, most=most)
    found: dict[tuple[str, ...], Difference] = {}
    decisions: dict[str, int] = {}
    asked = 0
    for raw in space.requests():
        asked += 1
        request = normalise(raw, now=_NOW, host={})
        for exceeded, memory in states:
            verdict = interpreter.decide(raw, exceeded)
            answer = matcher.decide(request, memory=memory)
            decisions[verdict.decision] = decisions.get(verdict.decision, 0) + 1
            expected = _expected(verdict, source)
            if expected == (answer.decision, answer.constraints) and _same_rule(verdict, answer, origin):
                continue
            _note(
                found, raw, verdict, expected, answer, source, origin, sorted(source[number].id for number in exceeded)
            )
    differences = sorted(found.values(), key=lambda difference: -difference.count)
    return Proof(asked, space.size, space.exhaustive, len(states), decisions, tuple(differences))


def describe_proof(proof: Proof, *, examples: bool = False) -> Iterator[str]:
    """Yield the outcome in a line, then a line for each difference, with its first requests if wanted."""
    rates = f", each in {proof.rate_states} states of the rates" if proof.rate_states > 1 else ""
    if proof.exhaustive:
        over = f"all {proof.requests} combinations of the values the file distinguishes{rates}"
    else:
        over = f"a seeded sample of {proof.requests} of {proof.combinations} combinations of such values{rates}"
    if not proof.differences:
        yield f"equal on {over}"
        return
    yield f"{proof.differing} of {proof.requests * proof.rate_states} answers differ, on {over}"
    for found in proof.differences:
        before = f"{found.before} by {found.before_rule or 'default'}"
        after = f"{found.after} by {found.after_rule or 'default'}"
        yield f"{found.count}: {before} -> {after} ({'stricter' if found.stricter else 'not stricter'} now)"
        if examples:
            yield from (f"  {msgspec.json.encode(example).decode()}" for example in found.examples)


def _rate_states(
    source: Sequence[SourceRule], ours: Sequence[OurRule], rules: Sequence[Rule]
) -> list[tuple[frozenset[int], Assumed]]:
    rated = [number for number, rule in enumerate(source) if rule.velocity]
    wanted = [frozenset[int](), *(frozenset([number]) for number in rated)]
    if len(rated) > 1:
        wanted.append(frozenset(rated))
    states = []
    for exceeded in wanted:
        counted = {
            rule.name: rule.rate.limit
            for rule, made in zip(rules, ours, strict=True)
            if rule.rate is not None and made.source in exceeded
        }
        states.append((exceeded, Assumed(counted)))
    return states


def _expected(verdict: Verdict, source: Sequence[SourceRule]) -> tuple[str, dict[str, Constraint]]:
    """Return decision and constraints as an answer of ours spells them."""
    constraints = dict(source[verdict.rule].constraints) if verdict.rule >= 0 else {}
    if verdict.decision in (Decision.DENY, Decision.THROTTLE):
        constraints = {}
    if verdict.decision == Decision.ALLOW and constraints:
        return Decision.ALLOW_WITH_CONSTRAINTS, constraints
    return verdict.decision, constraints


def _same_rule(verdict: Verdict, answer: Answer, origin: Mapping[str, int]) -> bool:
    if not answer.matched_rule:  # nothing grants it: a last rule that denies the rest was left to this
        return verdict.decision == Decision.DENY
    return origin[answer.matched_rule] == verdict.rule


def _note(
    found: dict[tuple[str, ...], Difference],
    raw: dict[str, Any],
    verdict: Verdict,
    expected: tuple[str, dict[str, Constraint]],
    answer: Answer,
    source: Sequence[SourceRule],
    origin: Mapping[str, int],
    exceeded: list[str],
) -> None:
    before_rule = source[verdict.rule].id if verdict.rule >= 0 else ""
    after_rule = source[origin[answer.matched_rule]].id if answer.matched_rule else ""
    key = (expected[0], answer.decision, before_rule, after_rule)
    difference = found.get(key)
    if difference is None:
        difference = found[key] = Difference(*key, stricter=True)
    difference.count += 1
    difference.stricter = difference.stricter and _is_stricter(expected, answer)
    if len(difference.examples) < MAX_EXAMPLES:
        example: dict[str, Any] = {"request": raw}
        if exceeded:
            example["exceeded"] = exceeded
        if expected[1] != answer.constraints:
            example |= {"constraints_before": expected[1], "constraints_after": answer.constraints}
        difference.examples.append(example)


def _is_stricter(expected: tuple[str, dict[str, Constraint]], answer: Answer) -> bool:
    """Tell whether an answer permits no more than was expected: it ranks higher, or binds at least as tightly."""
    before, after = _RANK[expected[0]], _RANK[answer.decision]
    if before != after:
        return after < before
    try:
        return merge([expected[1], answer.constraints]) == answer.constraints
    except ConstraintConflict:
        return False
