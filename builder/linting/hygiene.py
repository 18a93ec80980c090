"""What goes wrong unnoticed: rules nobody answers for, tags spelled in two ways, counts that are not shared."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from builder.language.codes import Code
from builder.linting.inspection import Inspection
from policy_core.errors import Problem
from policy_core.model import Clauses, RateScope, Rule


def find_ownerless_wildcards(inspection: Inspection) -> Iterator[Problem]:
    """Yield each rule about every request in a policy that names no owners."""
    for document in inspection.compiled.documents:
        if not document.metadata.owners:
            for rule in document.rules:
                if _is_wildcard(rule):
                    message = "is about every request, and nobody is named who answers for it"
                    hint = "name metadata.owners, such as owners: {security: team-security}, or narrow the rule"
                    yield inspection.finding(Code.OWNERLESS_WILDCARD, rule, message, hint)


def find_mixed_case_tags(inspection: Inspection) -> Iterator[Problem]:
    """Yield each second spelling of a risk tag: tags are compared exactly, so two are hardly meant."""
    spellings: dict[str, dict[str, Rule]] = defaultdict(dict)
    for rule in inspection.compiled.rules:
        for tag in _tags(rule):
            spellings[tag.casefold()].setdefault(tag, rule)
    for found in spellings.values():
        first, *others = found
        for tag in others:
            message = f"spells the risk tag {first!r} of {inspection.named(found[first])} as {tag!r}"
            hint = "tags are compared exactly: use one spelling"
            yield inspection.finding(Code.MIXED_CASE_TAG, found[tag], message, hint)


def find_host_rates(inspection: Inspection) -> Iterator[Problem]:
    """Yield each rule that counts per host what happens to a resource: every host has its own count of it."""
    for rule in inspection.compiled.rules:
        if rule.rate is not None and rule.rate.scope is RateScope.HOST:
            path = next((path for path in rule.rate.key if path.startswith("resource.")), None)
            if path:
                message = f"counts by {path} on each host by itself, so every further host adds to the limit"
                hint = "write scope: fleet, or count by what stays on one host"
                yield inspection.finding(Code.HOST_RATE, rule, message, hint)


def _is_wildcard(rule: Rule) -> bool:
    match = rule.match
    return rule.when is None and (match == Clauses() or ("*" in match.actions and match == Clauses(match.actions)))


def _tags(rule: Rule) -> Iterable[str]:
    outer = [clauses for clauses in (rule.match, rule.unless) if clauses is not None]
    for clauses in (*outer, *(clauses.none_of for clauses in outer)):
        if clauses is not None:
            yield from (*clauses.risk_tags, *clauses.risk_tags_any)
