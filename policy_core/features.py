"""Which features of the rule language a policy needs: what a bundle names, so that an older sidecar refuses it.

``rules.v1`` and ``cel.v1`` are always named, everything else only if it is used: a policy that uses nothing newer stays
readable for a sidecar that knows nothing newer. ``rules.v2`` is `not`, `attributes`, `time`, the baseline tier, dry
run, `on_missing`, remediations, and constraints other than ``max_*`` and ``*_allowlist``.
"""

from collections.abc import Iterable

from policy_core.constraints import Merge, merge_of
from policy_core.model import Clauses, Provisions, Rule

BASIC = frozenset({"rules.v1", "cel.v1"})
RULES_V2, RATES, APPROVALS = "rules.v2", "rates.v1", "approvals.v1"
EXCEPTIONS, CLASSIFY, HOSTS, LOG = "exceptions.v1", "classify.v1", "hosts.v1", "log.v1"
SUPPORTED = BASIC | {RULES_V2, RATES, APPROVALS, EXCEPTIONS, CLASSIFY, HOSTS, LOG}
"""What this version can evaluate."""

_MERGES_V1 = frozenset({Merge.LEAST, Merge.INTERSECTION})


def needed_features(rules: Iterable[Rule], provisions: Provisions) -> frozenset[str]:
    """Return the features that a bundle of these rules and provisions must name."""
    found = set(BASIC)
    for rule in rules:
        if RULES_V2 not in found and _is_v2(rule):
            found.add(RULES_V2)
        if rule.rate is not None:
            found.add(RATES)
        if rule.approval is not None:
            found.add(APPROVALS)
    if provisions.exceptions:
        found.add(EXCEPTIONS)
        if any(_has_v2(each.scope) for each in provisions.exceptions):
            found.add(RULES_V2)
    if provisions.classifications:
        found.add(CLASSIFY)
    if provisions.hosts:
        found.add(HOSTS)
    if provisions.log:
        found.add(LOG)
        scopes = (*(each.match for each in provisions.log.erase), *provisions.log.leave_out)
        if any(map(_has_v2, scopes)):
            found.add(RULES_V2)
    return frozenset(found)


def _is_v2(rule: Rule) -> bool:
    return (
        rule.baseline
        or rule.dry_run
        or rule.skip_errors
        or bool(rule.remediations)
        or _has_v2(rule.match)
        or (rule.unless is not None and _has_v2(rule.unless))
        or not all(merge_of(name) in _MERGES_V1 for name in rule.constraints)
    )


def _has_v2(clauses: Clauses) -> bool:
    return bool(clauses.attributes) or clauses.time is not None or clauses.none_of is not None
