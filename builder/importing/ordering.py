"""From first match to any order: each rule excepts the earlier, less strict rules that decided in its place there.

Where two rules apply, the stricter one decides here and the earlier one there. So a rule needs an exception for each
earlier rule that is less strict, or whose answer its constraints would narrow. "Not all of a, b" is one exception in
``unless``; where there are several, a rule becomes several rules: one that says "not a", one that says "not b".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from builder.importing.atoms import Atom, LogicAtom, TextAtom, disjoint, implied
from builder.importing.clausing import Draft, all_clauses
from builder.importing.reading import SourceRule
from builder.language.nodes import Place, Report
from policy_core.matcher.combining import RANK
from policy_core.model import Decision

MAX_VARIANTS = 32
_MAX_CONDITION_BYTES = 4_096

_Choice = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class OurRule:
    """A rule as it will be written; `source` is the place in the order of the rule it comes from."""

    id: str
    source: int
    body: dict[str, Any]
    excepts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ordered:
    """The rules of the new document, and remarks on rules of the old one."""

    rules: tuple[OurRule, ...]
    remarks: tuple[tuple[Place, str], ...]


def order_rules(rules: Sequence[SourceRule], report: Report) -> Ordered:
    """Return rules that decide in any order what the given ones decide in theirs; what cannot be said is a problem."""
    made: list[OurRule] = []
    remarks: list[tuple[Place, str]] = []
    taken = {rule.id for rule in rules}
    for number, rule in enumerate(rules):
        earlier = [other for other in rules[:number] if not disjoint(other.atoms, rule.atoms)]
        shadow = next((other for other in earlier if not other.velocity and not _left(other, rule)), None)
        if shadow is not None:
            remarks.append((rule.place, f"rule {rule.id} is never reached, as {shadow.id} takes all of it: left out"))
            continue
        if made and _is_default(rule):
            why = f"rule {rule.id} denies what nothing grants: left to the default, without its reason"
            remarks.append((rule.place, f"{why}; another policy may grant it"))
            continue
        excepted = [other for other in earlier if _must_except(other, rule)]
        for other in excepted:
            if other.velocity:
                why = f"where the velocity of {other.id} is exceeded, rule {rule.id} applies too; there it did not"
                remarks.append((rule.place, why))
        excepted = [other for other in excepted if not other.velocity]
        try:
            made += _written(rule, number, excepted, taken)
        except _TooManyError as error:
            names = ", ".join(other.id for other in excepted[:5])
            hint = f"move rule {rule.id} before those it is stricter than ({names}…), or make them exclude each other"
            report.at(rule.place, f"rule {rule.id}: {error}", hint)
    return Ordered(tuple(made), tuple(remarks))


class _TooManyError(Exception):
    """What earlier rules decided cannot be excepted in reasonable space."""


def _is_default(rule: SourceRule) -> bool:
    """Tell whether a rule denies all that is left, which needs no rule here; its remediations would be missed."""
    return rule.decision is Decision.DENY and not (rule.atoms or rule.velocity or rule.remediations)


def _must_except(earlier: SourceRule, rule: SourceRule) -> bool:
    if earlier.decision is Decision.DENY:
        return False
    if RANK[rule.decision] < RANK[earlier.decision]:
        return True
    return bool(rule.constraints) and earlier.decision is not Decision.THROTTLE


def _left(earlier: SourceRule, rule: SourceRule) -> tuple[Atom, ...]:
    """Return the atoms of an earlier rule that may not hold where this rule's do."""
    return tuple(atom for atom in earlier.atoms if not implied(atom, rule.atoms))


def _written(rule: SourceRule, number: int, excepted: list[SourceRule], taken: set[str]) -> Iterator[OurRule]:
    """Yield the rule, as several if it takes several. Raises _TooManyError."""
    always: list[_Choice] = []
    several: list[tuple[tuple[Atom, ...], tuple[_Choice, ...]]] = []
    for other in excepted:
        left = _left(other, rule)
        choices = _choices(left)
        if len(choices) == 1:
            always.append(choices[0])
        elif left not in [held for held, _ in several]:
            several.append((left, choices))
    unless, open_ = _one_unless(several)
    variants = 1
    for _, choices in open_:
        variants *= len(choices)
    if variants > (1 if rule.velocity else MAX_VARIANTS):
        raise _TooManyError("too much was decided by earlier, less strict rules to except it")
    excepts = tuple(other.id for other in excepted)
    bodies: list[dict[str, Any]] = []
    for chosen in product(*(choices for _, choices in open_)):
        clauses = _clauses(rule, [*always, *dict.fromkeys(chosen)], unless)
        if clauses not in bodies:
            bodies.append(clauses)
    for variant, clauses in enumerate(bodies, 1):
        yield from _companions(rule, number, clauses, excepts, _name(rule.id, variant, taken), taken)


def _choices(left: tuple[Atom, ...]) -> tuple[_Choice, ...]:
    """Return the ways in which not all atoms hold: a text that differs, or a condition over all the rest."""
    logic = tuple(atom for atom in left if isinstance(atom, LogicAtom))
    return (*((atom,) for atom in left if isinstance(atom, TextAtom)), *((logic,) if logic else ()))


def _one_unless(
    several: list[tuple[tuple[Atom, ...], tuple[_Choice, ...]]],
) -> tuple[dict[str, Any] | None, list[tuple[tuple[Atom, ...], tuple[_Choice, ...]]]]:
    """Pick the exception that goes into ``unless``: of those that clauses can say, the one with most choices."""
    for picked in sorted(several, key=lambda each: -len(each[1])):
        clauses = all_clauses(picked[0])
        if clauses is not None:
            return clauses, [each for each in several if each is not picked]
    return None, several


def _clauses(rule: SourceRule, denied: Sequence[_Choice], unless: dict[str, Any] | None) -> dict[str, Any]:
    draft = Draft()
    for atom in sorted(rule.atoms, key=lambda atom: isinstance(atom, LogicAtom)):
        draft.ask(atom)
    draft.scope_to_jobs()
    velocity = rule.velocity
    for atom in velocity.present if velocity else ():
        draft.ask(atom)
    for atom in velocity.absent if velocity else ():
        draft.deny((atom,))
    for choice in denied:
        draft.deny(choice)
    body: dict[str, Any] = {"match": draft.clauses()}
    if unless is not None:
        body["unless"] = draft.without_slashes(unless)
    if draft.when:
        body["when"] = " && ".join(draft.when)
        if len(body["when"].encode()) > _MAX_CONDITION_BYTES:
            raise _TooManyError("its condition would be too long")
    if velocity:
        body["rate"] = {"limit": velocity.limit, "window": _duration(velocity.window_s), "key": list(velocity.key)}
    return body


def _duration(seconds: int) -> str:
    return next(f"{seconds // unit}{name}" for unit, name in ((3600, "h"), (60, "m"), (1, "s")) if seconds % unit == 0)


def _companions(
    rule: SourceRule, number: int, clauses: dict[str, Any], excepts: tuple[str, ...], name: str, taken: set[str]
) -> Iterator[OurRule]:
    """Yield the rule with its decision, and beside one that asks another that carries its constraints."""
    constraints = {key: list(value) if isinstance(value, tuple) else value for key, value in rule.constraints}
    words: dict[str, Any] = {"decision": str(rule.decision)}
    if constraints and rule.decision is Decision.ALLOW:
        words = {"decision": "allow_with_constraints", "constraints": constraints}
    if rule.reason:
        words["reason"] = rule.reason
    if rule.remediations:
        words["remediations"] = list(rule.remediations)
    yield OurRule(name, number, {**clauses, **words}, excepts)
    if constraints and rule.decision is Decision.REQUIRE_APPROVAL:
        bound = _name(f"{name}-bounds", 1, taken | {name})
        yield OurRule(bound, number, {**clauses, "decision": "constrain", "constraints": constraints}, excepts)


def _name(rule_id: str, variant: int, taken: set[str]) -> str:
    if variant == 1 and rule_id in taken:
        return rule_id
    name, counter = f"{rule_id}-{variant}" if variant > 1 else rule_id, variant
    while name in taken:
        counter += 1
        name = f"{rule_id}-{counter}"
    taken.add(name)
    return name
