"""Every field a job-style file can have is mapped, or refused by its name: none is dropped in silence."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.importing.fields import FIELDS
from builder.importing.importer import import_policy

RULE = {"id": "r", "decision": "deny", "match": {"topics": ["job.a"]}}
GROUPED = {
    "budgets": {"max_runtime_ms": 5, "max_retries": 1, "max_artifact_bytes": 9, "max_concurrent_jobs": 2},
    "sandbox": {"isolated": True, "network_allowlist": ["h"], "fs_read_only": ["/r"], "fs_read_write": ["/w"]},
    "toolchain": {"allowed_tools": ["t"], "allowed_commands": ["c"]},
    "diff": {"max_files": 3, "max_lines": 4, "deny_path_globs": ["*.pem"]},
}
MATCH: dict[str, Any] = {
    "tenants": ["a"], "capabilities": ["c"], "pack_ids": ["p"], "actor_ids": ["i"], "actor_types": ["human"],
    "agent_risk_tiers": ["high"], "topics": ["job.*"], "risk_tags": ["t"], "agent_data_classifications": ["pii"],
    "requires": ["x"], "labels": {"a": "b"}, "label_allowlist": {"a": ["b"]}, "label_threshold": {"n": 1},
    "secrets_present": True,
}  # fmt: skip
MCP = [f"{kind}_{what}" for kind in ("allow", "deny") for what in ("servers", "tools", "resources", "actions")]
DELEGATION = ["max_depth", "issuers", "require_issuer", "required_scope", "forbid_delegated", "delegation_required"]
CONTENT_MATCH = [
    "tenants", "topics", "capabilities", "risk_tags", "scanners", "content_patterns", "keywords", "content_types",
    "detectors", "input_size_gt", "max_input_bytes", "output_size_gt", "max_output_bytes", "has_error",
]  # fmt: skip
SCOPE = [
    "instruction_path", "items_path", "category_path", "name_path", "allowed_categories", "aliases",
    "on_missing_input", "on_ambiguous",
]  # fmt: skip


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return a document with one value at a path; rules and tenants are filled in around it."""
    parts = path.split(".")
    for part in reversed(parts):
        value = {"acme": value} if part == "<name>" else {part: value}
    for name in ("rules", "input_rules", "output_rules"):
        if name in value:
            value[name] = [value[name]]
    if "rules" in value:
        rule = value["rules"][0]
        value["rules"] = [RULE | rule | {"match": RULE["match"] | rule.get("match", {})}]  # type: ignore[operator]
    elif parts[0] != "tenants":
        value["rules"] = [RULE]
    return value  # type: ignore[no-any-return]


def mapped() -> dict[str, dict[str, Any]]:
    found = {
        "version": nested("version", "1"),
        "tier": nested("tier", "global"),
        "default_tenant": nested("default_tenant", "default"),
        "default_decision": nested("default_decision", "allow"),
        "rules": {"rules": [RULE]},
        "tenants": {"tenants": {"acme": {"allow_topics": ["job.a"]}}},
        "rules.tier": {"rules": [RULE | {"tier": "global"}]},
        "rules.constraints": {"rules": [RULE | {"decision": "allow", "constraints": GROUPED}]},
        "rules.reason": nested("rules.reason", "because"),
        "rules.remediations": {"rules": [RULE | {"remediations": [{"id": "a", "title": "A"}]}]},
    }
    for name in ("workflow_id", "job_id", "session_id"):
        found[f"selector.{name}"] = nested(f"selector.{name}", "x")
        found[f"rules.selector.{name}"] = nested(f"rules.selector.{name}", "x")
    for name in ("id", "match", "decision"):
        found[f"rules.{name}"] = {"rules": [RULE]}
    for name, value in MATCH.items():
        found[f"rules.match.{name}"] = nested(f"rules.match.{name}", value)
    velocity = {"max_requests": 3, "window_seconds": 60, "key": "actor_id"}
    for name in ("velocity", *(f"velocity.{key}" for key in velocity)):
        found[f"rules.{name}"] = {"rules": [RULE | {"velocity": velocity}]}
    flat = {"redaction_level": "full", "max_runtime_sec": 3, "max_output_bytes": 5}
    flat |= {"allowed_destinations": ["h"], "redact_patterns": ["p"]}  # type: ignore[dict-item]
    for group, bounds in GROUPED.items():
        flat |= bounds  # type: ignore[arg-type]
        for name, value in bounds.items():  # type: ignore[attr-defined]
            found[f"rules.constraints.{group}.{name}"] = nested(f"rules.constraints.{group}.{name}", value)
    for name, value in flat.items():
        found[f"rules.constraints.{name}"] = nested(f"rules.constraints.{name}", value)
    remediation = {"id": "a", "title": "A", "summary": "S", "replacement_topic": "job.b"}
    remediation |= {"replacement_capability": "c", "add_labels": {"l": "m"}, "remove_labels": ["n"]}  # type: ignore[dict-item]
    for name in remediation:
        found[f"rules.remediations.{name}"] = {"rules": [RULE | {"remediations": [remediation]}]}
    for name in ("allow_topics", "deny_topics"):
        found[f"tenants.<name>.{name}"] = nested(f"tenants.<name>.{name}", ["job.x"])
    return found


def refused() -> dict[str, dict[str, Any]]:
    found = {}
    found["rules.match.predicate"] = nested("rules.match.predicate", "x")
    for name in MCP:
        found[f"rules.match.mcp.{name}"] = nested(f"rules.match.mcp.{name}", ["x"])
        found[f"tenants.<name>.mcp.{name}"] = nested(f"tenants.<name>.mcp.{name}", ["x"])
    for name in DELEGATION:
        found[f"rules.match.delegation.{name}"] = nested(f"rules.match.delegation.{name}", 1)
    for name in ("allowed_repo_hosts", "denied_repo_hosts"):
        found[f"tenants.<name>.{name}"] = nested(f"tenants.<name>.{name}", ["job.x"])
    found["tenants.<name>.max_concurrent_jobs"] = nested("tenants.<name>.max_concurrent_jobs", 3)
    for name in ("enabled", "fail_mode", "max_scan_bytes"):
        found[f"input_policy.{name}"] = nested(f"input_policy.{name}", True)
    for name in ("enabled", "fail_mode"):
        found[f"output_policy.{name}"] = nested(f"output_policy.{name}", True)
    for name in ("min_severity_for_deny", "min_confidence_for_deny", "downgrade_when_prompt_only"):
        found[f"require_human.{name}"] = nested(f"require_human.{name}", "high")
    for side in ("input_rules", "output_rules"):
        for name in ("id", "decision", "reason", "severity"):
            found[f"{side}.{name}"] = nested(f"{side}.{name}", "x")
        for name in CONTENT_MATCH:
            found[f"{side}.match.{name}"] = nested(f"{side}.match.{name}", ["x"])
    for name in SCOPE:
        found[f"input_rules.match.scope.{name}"] = nested(f"input_rules.match.scope.{name}", "x")
    return found


CASES = mapped() | refused()


def test_the_table_and_the_cases_have_the_same_fields() -> None:
    assert set(CASES) == set(FIELDS)


@pytest.mark.parametrize("path", CASES)
def test_each_field_is_mapped_or_refused_by_name(path: str) -> None:
    imported = import_policy(json.dumps(CASES[path]).encode(), "safety.json", most=50)

    if FIELDS[path].refused:
        about = [problem for problem in imported.refused if path.rpartition(".")[2] in problem.message]
        assert about
        assert "cannot be imported: " in about[0].message
        assert about[0].hint
        assert about[0].line == 1
        assert about[0].column > 1
        assert not imported.text
    else:
        assert not imported.refused
        assert imported.source
        assert path in imported.source.used


@pytest.mark.parametrize("path", [path for path, field in FIELDS.items() if not field.refused and field.says])
def test_a_change_in_meaning_is_reported_where_the_field_is(path: str) -> None:
    imported = import_policy(json.dumps(CASES[path]).encode(), "safety.json", most=50)

    assert any(change.field == path and change.line == 1 for change in imported.changes)
    assert f"{path}: {FIELDS[path].says}" in imported.text


@pytest.mark.parametrize(
    "path", ["", "selector", "rules", "rules.match", "rules.velocity", "rules.constraints", "rules.constraints.sandbox",
             "rules.remediations", "rules.selector", "tenants.<name>", "input_rules.match"],
)  # fmt: skip
def test_a_field_that_is_not_in_the_table_is_refused(path: str) -> None:
    document = nested(f"{path}.surprise".removeprefix("."), 1)

    imported = import_policy(json.dumps(document).encode(), "safety.json")

    assert any("surprise" in problem.message and "unknown" in problem.message for problem in imported.refused)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**62) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


def replaced(draw: st.DrawFn, value: Any) -> Any:
    """Return a value of which parts are replaced by anything at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(JUNK)
    if isinstance(value, dict):
        return {name: replaced(draw, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [replaced(draw, inner) for inner in value]
    return value


@given(st.data(), st.sampled_from(sorted(CASES)))
@settings(max_examples=200, deadline=None)
def test_whatever_stands_in_a_field_is_imported_alike_or_refused(data: st.DataObject, path: str) -> None:
    document = {name: replaced(data.draw, value) for name, value in CASES[path].items()}  # type: ignore[arg-type]

    imported = import_policy(json.dumps(document).encode(), "safety.json", most=20)

    assert imported.refused or imported.proof
