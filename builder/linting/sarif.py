"""Findings as SARIF 2.1.0, which forges show at the lines of a pull request. The same findings give the same bytes."""

from typing import Any

from builder.language.codes import Code
from builder.linting.linter import LintResult
from builder.linting.pages import PAGES
from policy_core import __version__
from policy_core.errors import Problem

VERSION = "2.1.0"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"  # what forges take for the root of the repository
_LEVELS = {True: "error", False: "warning"}


def sarif_log(result: LintResult) -> dict[str, Any]:
    """Return the findings as a SARIF log; its rules are the codes that were found, each with its page."""
    findings = sorted([*result.problems, *result.warnings])
    codes = sorted({Code(finding.code) for finding in findings})
    return {
        "$schema": _SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": {"name": "writ lint", "version": __version__, "rules": [_rule(c) for c in codes]}},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {_ROOT: {"description": {"text": "the root of the policy repository"}}},
                "results": [_result(finding, codes.index(Code(finding.code))) for finding in findings],
            }
        ],
    }


def _rule(code: Code) -> dict[str, Any]:
    page = PAGES[code]
    return {
        "id": code.value,
        "name": "".join(word.capitalize() for word in page.name.split("-")),
        "shortDescription": {"text": page.name.replace("-", " ")},
        "fullDescription": {"text": page.why},
        "help": {"text": page.text()},
        "defaultConfiguration": {"level": _LEVELS[code.is_error]},
    }


def _result(finding: Problem, rule: int) -> dict[str, Any]:
    text = finding.message + (f" (hint: {finding.hint})" if finding.hint else "")
    place: dict[str, Any] = {"artifactLocation": {"uri": finding.file, "uriBaseId": _ROOT}}
    if finding.line:
        place["region"] = {"startLine": finding.line, "startColumn": max(finding.column, 1)}
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[Code(finding.code).is_error],
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }
