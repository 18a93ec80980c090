"""Lint: everything wrong with a policy tree, and what is merely suspicious, without building or testing anything."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from builder.compiling import Compiled, compile_tree
from builder.source import PolicyTree
from policy_core.errors import InvalidPolicyError, Problem
from policy_core.model import Rule


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
    warnings = sorted([*compiled.warnings, *_mixed_case_tags(compiled)])
    return LintResult((), tuple(warnings), documents=len(compiled.documents), rules=len(compiled.rules))


def describe_findings(result: LintResult) -> Iterator[str]:
    """Yield all findings as lines, sorted by place, and a summary."""
    findings = [(problem, "error") for problem in result.problems] + [
        (warning, "warning") for warning in result.warnings
    ]
    for finding, kind in sorted(findings):
        yield f"{finding.where}: {kind}: {finding.message}"
        if finding.hint:
            yield f"    hint: {finding.hint}"
    if not result.problems:
        yield f"{_count(result.rules, 'rule')} in {_count(result.documents, 'document')}: no problems"
    if findings:
        yield f"{_count(len(result.problems), 'error')}, {_count(len(result.warnings), 'warning')}"


def findings_record(result: LintResult) -> dict[str, Any]:
    """Return the findings as a JSON object."""
    return {
        "valid": not result.problems,
        "documents": result.documents,
        "rules": result.rules,
        "problems": [asdict(problem) for problem in result.problems],
        "warnings": [asdict(warning) for warning in result.warnings],
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mixed_case_tags(compiled: Compiled) -> Iterator[Problem]:
    """Tags are compared exactly: two spellings of one word are hardly meant as two tags."""
    spellings: dict[str, dict[str, Rule]] = defaultdict(dict)
    for rule in compiled.rules:
        for tag in _tags(rule):
            spellings[tag.casefold()].setdefault(tag, rule)
    places = compiled.places()
    for found in spellings.values():
        first, *others = found
        for tag in others:
            file, line = places[found[tag].name].rsplit(":", 1)
            message = f"risk tag {tag!r} is spelled {first!r} in {places[found[first].name]}"
            yield Problem(file, int(line), 1, message, "tags are compared exactly: use one spelling")


def _tags(rule: Rule) -> Iterable[str]:
    outer = [clauses for clauses in (rule.match, rule.unless) if clauses is not None]
    for clauses in (*outer, *(clauses.none_of for clauses in outer)):
        if clauses is not None:
            yield from (*clauses.risk_tags, *clauses.risk_tags_any)
