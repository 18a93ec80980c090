"""Constraints that can never agree, found before a host does: of two rules, one applies wherever the other does.

Only what is certain is a problem: rules with the very same clauses, and a rule without clauses beside any other. What
is left is found when it happens, and denied (``constraint_conflict``).
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from builder.language.codes import Code
from policy_core.constraints import Merge, agree, merge_of
from policy_core.errors import Problem
from policy_core.model import Clauses, Rule


def find_conflicts(rules: Iterable[Rule], places: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each rule whose constraints contradict another's wherever it applies.

    `places` maps rule names to *file:line*.
    """
    bounded = [rule for rule in rules if any(merge_of(name) is Merge.AGREE for name in rule.constraints)]
    if not bounded:
        return
    everywhere = _clauses(Rule("", "", bounded[0].decision))
    held: dict[tuple[bool, bytes, str], Rule] = {}
    for rule in sorted(bounded, key=lambda rule: _clauses(rule) != everywhere):  # those without clauses first
        clauses = _clauses(rule)
        for name in rule.constraints:
            if merge_of(name) is Merge.AGREE:
                others = (held.get((rule.dry_run, found, name)) for found in (everywhere, clauses))
                for other in others:
                    if other is not None and not agree(other.constraints[name], rule.constraints[name]):
                        yield _problem(rule, other, name, places)
                        break
                held.setdefault((rule.dry_run, clauses, name), rule)


def _clauses(rule: Rule) -> bytes:
    unless = None if rule.unless == Clauses() else rule.unless
    return msgspec.json.encode((rule.match, unless, rule.when, rule.rate), order="sorted")


def _problem(rule: Rule, other: Rule, name: str, places: Mapping[str, str]) -> Problem:
    file, _, line = places[rule.name].rpartition(":")
    where = f"{other.name} ({places[other.name]})"
    message = f"constraint {name} of rule {rule.id} contradicts {where}, which applies wherever this one does"
    hint = f"{name} must agree: give both one value, or let them exclude each other"
    return Problem(file, int(line), 1, message, hint, Code.CONTRADICTING_CONSTRAINTS)
