"""Lint: problems and warnings of a tree, for people and for machines."""

import datetime

from builder.linting import LintResult, describe_findings, findings_record, lint_tree
from builder.source import PolicyTree

SETTINGS = "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n"


def lint(**policies: str) -> LintResult:
    files = {"writ.yaml": SETTINGS, **{f"policies/{name}.yaml": text for name, text in policies.items()}}
    contents = {path: text.encode() for path, text in sorted(files.items())}
    return lint_tree(PolicyTree("1" * 40, True, contents), today=datetime.date(2026, 11, 1))


def policy(tag: str) -> str:
    return f"version: v1\nrules:\n  - {{id: r, match: {{risk_tags: [{tag}]}}, decision: deny}}\n"


def test_a_sound_tree_is_counted() -> None:
    result = lint(a=policy("x"), b=policy("x"))

    assert list(describe_findings(result)) == ["2 rules in 2 documents: no problems"]
    assert findings_record(result) == {"valid": True, "documents": 2, "rules": 2, "problems": [], "warnings": []}


def test_problems_come_sorted_with_place_and_hint() -> None:
    result = lint(b=policy("x").replace("deny", "den"), a=policy("'x*'"))

    assert list(describe_findings(result)) == [
        "policies/a.yaml:3:32: error: match.risk_tags are compared exactly, '*' and '?' have no meaning there",
        "    hint: list the exact words",
        "policies/b.yaml:3:48: error: unknown decision 'den'",
        "    hint: did you mean 'deny'?",
        "2 errors, 0 warnings",
    ]
    record = findings_record(result)
    assert not record["valid"]
    assert record["problems"][1] == {
        "file": "policies/b.yaml",
        "line": 3,
        "column": 48,
        "message": "unknown decision 'den'",
        "hint": "did you mean 'deny'?",
        "code": "E100",
    }


def test_two_spellings_of_a_risk_tag_are_a_warning() -> None:
    result = lint(a=policy("Prod"), b=policy("prod"))

    assert result.problems == ()
    (warning,) = result.warnings
    assert warning.where == "policies/b.yaml:3:1"
    assert warning.message == "risk tag 'prod' is spelled 'Prod' in policies/a.yaml:3"
    assert "1 warning" in list(describe_findings(result))[-1]
