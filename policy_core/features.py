"""Which features of the rule language a set of rules needs: what a bundle names, so that an older sidecar refuses it.

``rules.v1`` and ``cel.v1`` are always named. ``rules.v2`` is named only if something of it is used: `not`,
`attributes`, `time`, the baseline tier, dry run, `on_missing`, remediations, and constraints other than ``max_*`` and
``*_allowlist``. A policy that uses none of it stays readable for a sidecar that knows ``rules.v1`` alone.
"""

from collections.abc import Iterable

from policy_core.constraints import Merge, merge_of
from policy_core.model import Clauses, Rule

BASIC = frozenset({"rules.v1", "cel.v1"})
RULES_V2 = "rules.v2"
SUPPORTED = BASIC | {RULES_V2}
"""What this version can evaluate."""

_MERGES_V1 = frozenset({Merge.LEAST, Merge.INTERSECTION})


def needed_features(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the features that a bundle of these rules must name."""
    return SUPPORTED if any(map(_is_v2, rules)) else BASIC


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
