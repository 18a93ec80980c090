"""Rules that make no difference: said twice, or about requests that another rule denies anyway."""

from collections.abc import Hashable, Iterator

import msgspec

from builder.language.codes import Code
from builder.linting.covering import CoverIndex
from builder.linting.inspection import Inspection
from policy_core.errors import Problem
from policy_core.model import Decision, Rule

_BESIDE = frozenset({"policy", "id", "match", "unless", "when", "baseline", "reason", "reason_code", "remediations"})
"""What two rules that do the same may differ in; the clauses are compared by their facets."""


def find_duplicates(inspection: Inspection) -> Iterator[Problem]:
    """Yield each rule that asks and decides what an earlier one does; the earlier is the one answers name."""
    seen: dict[Hashable, Rule] = {}
    for rule in inspection.compiled.rules:
        facets = frozenset(inspection.facets[rule.name].items())
        first = seen.setdefault((facets, _effect(rule)), rule)
        if first is not rule:
            message = f"does the same as {inspection.named(first)}"
            yield inspection.finding(Code.DUPLICATE_RULE, rule, message, "remove one of them")


def find_covered(inspection: Inspection) -> Iterator[Problem]:
    """Yield each rule whose requests are all denied by another rule, whatever it says itself.

    A deny is itself without effect only beside one of the baseline tier, which is the one answers name. A deny that is
    an error on a missing attribute denies as well; one with ``on_missing: skip`` covers nothing, nor does one that an
    exception switches off somewhere.
    """
    rules = inspection.compiled.rules
    lifted = {name for document in inspection.compiled.exceptions for name in document.exception.rules}
    denies = [
        rule
        for rule in rules
        if rule.decision is Decision.DENY and not rule.skip_errors and rule.rate is None and rule.name not in lifted
    ]
    index = CoverIndex((inspection.facets[rule.name], rule) for rule in _distinct(inspection, denies))
    for rule in rules:
        for deny in index.covering(inspection.facets[rule.name]):
            if _outweighs(deny, rule) and not _same(inspection, deny, rule):
                tier = "baseline " if deny.baseline else ""
                message = f"has no effect: the {tier}deny {inspection.named(deny)} applies wherever it does"
                hint = "remove it, or narrow the deny"
                yield inspection.finding(Code.COVERED_RULE, rule, message, hint)
                break


def _effect(rule: Rule) -> bytes:
    said = {name: value for name, value in msgspec.structs.asdict(rule).items() if name not in _BESIDE}
    return msgspec.json.encode(said, order="deterministic")


def _distinct(inspection: Inspection, denies: list[Rule]) -> Iterator[Rule]:
    """Yield the first of those that ask the same, in the order of ties."""
    seen = set()
    for rule in denies:
        asked = (rule.dry_run, frozenset(inspection.facets[rule.name].items()))
        if asked not in seen:
            seen.add(asked)
            yield rule


def _outweighs(deny: Rule, rule: Rule) -> bool:
    if deny is rule or (deny.dry_run and not rule.dry_run):
        return False
    return rule.decision is not Decision.DENY or (deny.baseline and not rule.baseline)


def _same(inspection: Inspection, deny: Rule, rule: Rule) -> bool:
    """Tell whether the rule is a duplicate of the deny, and so has its finding already."""
    same = rule.decision is Decision.DENY and deny.dry_run == rule.dry_run
    return same and inspection.facets[deny.name] == inspection.facets[rule.name]
