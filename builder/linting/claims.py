"""Restrictions that a caller escapes by what it says, or does not say, of its own request.

A *claim* is a risk tag or label of the request, or a context fact that a rule only looks at where it is there. It is no
bare claim if a classification gives the tag, or requires the fact. A restriction that rests on one is a finding only if
some rule would then grant: where nothing is granted without the claim, leaving it out gains nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TypeAlias

from builder.language.codes import Code
from builder.linting.facets import conjuncts
from builder.linting.inspection import Inspection
from policy_core.errors import Problem
from policy_core.glob import is_glob, literal_prefix, literal_suffix, match_glob
from policy_core.model import GRANTING, Clauses, Rule

MAX_COMPARED_GRANTS = 64
"""Of one restriction; beyond that some grant is taken to be about the same requests."""
_END = "\0"  # after an exact name: it is no prefix of anything else


class Claim(NamedTuple):
    """What a caller says: risk tags (of which one is enough), a label, or a context fact."""

    kind: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        """Return the claim as messages name it."""
        return f"the {self.kind}{'s' if len(self.names) > 1 else ''} {', '.join(map(repr, self.names))}"

    def softer_than(self, firm: "_Firm") -> "Claim | None":
        """Return what of it the policy itself does not see to, None if it sees to all."""
        left = tuple(name for name in self.names if name not in firm.get(self.kind, ()))
        return Claim(self.kind, left) if left else None


_Firm: TypeAlias = dict[str, set[str]]
"""What classifications give or require, by kind of claim."""


def find_bare_claims(inspection: Inspection) -> Iterator[Problem]:
    """Yield each restricting rule that a caller escapes by leaving out a claim, or by making one."""
    rules, firm = inspection.compiled.rules, _firm(inspection)
    grants = _Grants([rule for rule in rules if rule.decision in GRANTING and not rule.dry_run])
    for rule in rules:
        if rule.decision in GRANTING:
            continue
        escapes = {
            bare: grant
            for claim in _droppable(rule)
            if (bare := claim.softer_than(firm)) and (grant := grants.without(rule, claim))
        }
        made = _made_up(rule)
        if escapes:
            claims, grant = " or ".join(map(str, escapes)), next(iter(escapes.values()))
            hint = "let a classify document give the tag or require the fact, or look at what no caller can leave out"
            yield _finding(inspection, rule, f"leaves out {claims}", grant, hint)
        elif made and (found := grants.without(rule, None)):
            hint = "make the way out depend on who asks, such as unless: {subject: {roles: [sre]}}"
            yield _finding(inspection, rule, f"adds {made}", found, hint)


def _finding(inspection: Inspection, rule: Rule, deed: str, grant: Rule, hint: str) -> Problem:
    message = f"rests on a claim: a caller that {deed} may be granted it by {inspection.named(grant)}"
    return inspection.finding(Code.BARE_CLAIM, rule, message, hint)


def _firm(inspection: Inspection) -> _Firm:
    compiled = inspection.compiled
    required = {
        path for each in compiled.classify for rule in each.rules if rule.unless for path in rule.unless.attributes
    }
    return {
        "risk tag": {tag for each in compiled.provisions.classifications for tag in each.risk_tags},
        "label": {path.removeprefix("context.labels.") for path in required},
        "fact": required,
    }


def _droppable(rule: Rule) -> Iterator[Claim]:
    """Yield the claims without which a rule does not apply.

    A missing fact is an error, and a restricting rule in error applies; unless it asks first whether the fact is there.
    """
    match = rule.match
    yield from (Claim("risk tag", (tag,)) for tag in match.risk_tags)
    if match.risk_tags_any:
        yield Claim("risk tag", match.risk_tags_any)
    yield from (Claim("label", (label,)) for label in match.labels)
    for path, tests in match.attributes.items():
        if path.startswith("context.") and (tests.exists or rule.skip_errors):
            yield Claim("fact", (path,))
    for operand in conjuncts(rule.when):
        if operand[0] == "has" and operand[1][:2] == ["var", "context"]:
            yield Claim("fact", (".".join([*operand[1][1:], operand[2]]),))
        elif operand[0] == "in" and type(operand[1]) is str and operand[2] == ["var", "context", "risk_tags"]:
            yield Claim("risk tag", (operand[1],))


def _made_up(rule: Rule) -> Claim | None:
    """Return a claim that is enough to escape a rule: in ``not``, or all that ``unless`` asks."""
    if rule.match.none_of is not None and (claim := _claimed(rule.match.none_of)):
        return claim
    unless = rule.unless
    if unless is None:
        return None
    only = Clauses(risk_tags=unless.risk_tags, risk_tags_any=unless.risk_tags_any, labels=unless.labels)
    return _claimed(unless) if unless == only else None


def _claimed(clauses: Clauses) -> Claim | None:
    if tags := (*clauses.risk_tags, *clauses.risk_tags_any):
        return Claim("risk tag", tags)
    return Claim("label", tuple(clauses.labels)) if clauses.labels else None


class _Grants:
    """Granting rules by the beginning of the actions they are about."""

    def __init__(self, grants: list[Rule]) -> None:
        filed = [(_beginning(action), action, rule) for rule in grants for action in rule.match.actions or ("*",)]
        self._filed = sorted(filed, key=lambda entry: (entry[0], entry[1] == "*"))
        self._beginnings = [beginning for beginning, _, _ in self._filed]
        self._lengths = sorted({len(beginning) for beginning in self._beginnings})

    def without(self, restriction: Rule, claim: Claim | None) -> Rule | None:
        """Return a grant about actions of the restriction that does not itself ask for the claim, None if none is."""
        for action in restriction.match.actions or ("*",):
            near = list(islice(self._near(action), MAX_COMPARED_GRANTS))
            for granted, rule in near:
                if _overlap(action, granted) and (claim is None or not _asks(rule, claim)):
                    return rule
            if len(near) == MAX_COMPARED_GRANTS:
                return near[0][1]
        return None

    def _near(self, action: str) -> Iterator[tuple[str, Rule]]:
        """Yield the grants whose actions begin like this one: with more of the same text, then with ever less."""
        beginning = _beginning(action)
        yield from self._from(beginning, exact=False)
        for size in reversed(self._lengths):
            if size < len(beginning):
                yield from self._from(beginning[:size], exact=True)

    def _from(self, beginning: str, *, exact: bool) -> Iterator[tuple[str, Rule]]:
        for index in range(bisect_left(self._beginnings, beginning), len(self._filed)):
            found, action, rule = self._filed[index]
            if found != beginning and (exact or not found.startswith(beginning)):
                return
            yield action, rule


def _beginning(action: str) -> str:
    return literal_prefix(action) if is_glob(action) else action + _END


def _overlap(one: str, other: str) -> bool:
    """Tell whether some text may match both patterns, whose beginnings agree already."""
    if not is_glob(one):
        return match_glob(other, one)
    if not is_glob(other):
        return match_glob(one, other)
    ends = literal_suffix(one), literal_suffix(other)
    return ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])


def _asks(rule: Rule, claim: Claim) -> bool:
    """Tell whether a rule asks for a claim itself, so that it grants nothing to who leaves it out."""
    match = rule.match
    if claim.kind == "risk tag":
        tags = set(claim.names)
        return not tags.isdisjoint(match.risk_tags) or bool(
            match.risk_tags_any and tags.issuperset(match.risk_tags_any)
        )
    return claim.names[0] in (match.labels if claim.kind == "label" else match.attributes)
