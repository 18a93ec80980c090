"""Findings as people read them, and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from builder.linting.linter import LintResult


def describe_findings(result: LintResult) -> Iterator[str]:
    """Yield all findings as lines, sorted by place, and a summary."""
    findings = [(problem, "error") for problem in result.problems] + [
        (warning, "warning") for warning in result.warnings
    ]
    for finding, kind in sorted(findings):
        yield f"{finding.where}: {kind}: {finding.message} [{finding.code}]"
        if finding.hint:
            yield f"    hint: {finding.hint}"
    found = f"{_count(len(result.problems), 'error')}, {_count(len(result.warnings), 'warning')}"
    if result.problems:
        yield found
    else:
        counted = f"{_count(result.rules, 'rule')} in {_count(result.documents, 'document')}"
        yield f"{counted}: {found if findings else 'no problems'}"


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
