"""Findings for people and for machines."""

from collections.abc import Callable, Mapping

from builder.linting import LintResult, describe_findings, findings_record

Lint = Callable[[Mapping[str, str]], LintResult]


def policy(tag: str) -> str:
    return f"version: v1\nrules:\n  - {{id: r, match: {{risk_tags: [{tag}]}}, decision: deny}}\n"


def test_a_sound_tree_is_counted(lint: Lint) -> None:
    result = lint({"policies/a.yaml": policy("x"), "policies/b.yaml": policy("y")})

    assert list(describe_findings(result)) == ["2 rules in 2 documents: no problems"]
    assert findings_record(result) == {"valid": True, "documents": 2, "rules": 2, "problems": [], "warnings": []}


def test_problems_come_sorted_with_place_code_and_hint(lint: Lint) -> None:
    result = lint({"policies/b.yaml": policy("x").replace("deny", "den"), "policies/a.yaml": policy("'x*'")})

    assert list(describe_findings(result)) == [
        "policies/a.yaml:3:32: error: match.risk_tags are compared exactly, '*' and '?' have no meaning there [E100]",
        "    hint: list the exact words",
        "policies/b.yaml:3:48: error: unknown decision 'den' [E100]",
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


def test_warnings_do_not_make_a_tree_invalid(lint: Lint) -> None:
    result = lint({"policies/a.yaml": policy("x, x")})

    record = findings_record(result)
    assert (record["valid"], [warning["code"] for warning in record["warnings"]]) == (True, ["W108"])
    assert list(describe_findings(result))[-1] == "1 rule in 1 document: 0 errors, 1 warning"
