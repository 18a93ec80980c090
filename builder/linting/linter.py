"""Lint: everything wrong with a policy tree, and what is merely suspicious, without building or testing anything.

A warning is given only for what is certain from the text. Every check takes time in proportion to the number of rules.
"""

import datetime
from dataclasses import dataclass

from builder.compiling import Compiled, compile_tree
from builder.linting.claims import find_bare_claims
from builder.linting.exceptions import find_ending, find_shadowed
from builder.linting.hygiene import find_host_rates, find_mixed_case_tags, find_ownerless_wildcards
from builder.linting.inspection import Inspection
from builder.linting.reachability import find_past, find_unreachable
from builder.linting.redundancy import find_covered, find_duplicates
from builder.linting.reference_data import find_missing, find_unlistable, find_unread
from builder.linting.requests import find_undeclared
from builder.source import PolicyTree
from policy_core.errors import InvalidPolicyError, Problem

CHECKS = (
    find_duplicates,
    find_unreachable,
    find_covered,
    find_past,
    find_ownerless_wildcards,
    find_mixed_case_tags,
    find_unread,
    find_missing,
    find_unlistable,
    find_ending,
    find_shadowed,
    find_host_rates,
    find_bare_claims,
    find_undeclared,
)


@dataclass(frozen=True, slots=True)
class LintResult:
    """Problems make a tree unusable, warnings do not; both sorted by place. `rules` counts those of a sound tree."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    documents: int = 0
    rules: int = 0


def lint_tree(tree: PolicyTree, *, today: datetime.date) -> LintResult:
    """Return what is wrong with a tree on the given day (UTC)."""
    try:
        compiled = compile_tree(tree, today=today)
    except InvalidPolicyError as error:
        return LintResult(problems=error.problems, warnings=())
    return LintResult((), _warnings(compiled, today), documents=len(compiled.documents), rules=len(compiled.rules))


def _warnings(compiled: Compiled, today: datetime.date) -> tuple[Problem, ...]:
    inspection = Inspection.of(compiled, today)
    found = [problem for check in CHECKS for problem in check(inspection)]
    return tuple(sorted({*compiled.warnings, *found}))
