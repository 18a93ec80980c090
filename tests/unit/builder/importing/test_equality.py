"""Whatever a job-style file says, its rules in any order decide what they decided in theirs, or it is refused."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.importing.importer import import_policy

TOPICS = ["job.*", "job.a.*", "job.a.x", "job.a/*", "job.?", "*", "job.[ab].x", "job.*.x", r"job.\*", "deploy.*"]


def lists(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


MATCH: dict[str, st.SearchStrategy[Any]] = {
    "topics": lists(*TOPICS),
    "tenants": lists("acme", "Zeta-1", "42"),
    "capabilities": lists("Deploy", "read.all"),
    "actor_ids": lists("bot(1)", "ana"),
    "actor_types": lists("human", "service"),
    "agent_risk_tiers": lists("high", "low"),
    "risk_tags": lists("prod", "write", "a*"),
    "agent_data_classifications": lists("pii", "phi"),
    "requires": lists("gpu", "net?"),
    "labels": st.dictionaries(st.sampled_from(["env", "app.io/x"]), st.sampled_from(["prod", "s*"]), min_size=1),
    "label_allowlist": st.dictionaries(st.sampled_from(["zone", "app.io/z"]), lists("z1", "z2"), min_size=1),
    "label_threshold": st.dictionaries(st.sampled_from(["rows", "cost"]), st.sampled_from([10, 2.5]), min_size=1),
    "secrets_present": st.booleans(),
}
CONSTRAINTS = st.sampled_from(
    [
        {},
        {"budgets": {"max_runtime_ms": 500}},
        {"max_retries": 2, "sandbox": {"network_allowlist": ["a", "b"], "isolated": True}},
        {"redaction_level": "full"},
        {"redaction_level": "none", "diff": {"deny_path_globs": ["*.pem"]}},
    ]
)
WORDS = ["allow", "permit", "deny", "block", "require_approval", "require-human", "throttle", "allow_with_constraints"]


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(list(MATCH)), max_size=3, unique=True))
    rule = {
        "id": draw(st.sampled_from(["one", "two", "three"])),
        "match": {name: draw(MATCH[name]) for name in names},
        "decision": draw(st.sampled_from([word.replace("require-human", "require_human") for word in WORDS])),
        "constraints": draw(CONSTRAINTS),
    }
    if draw(st.integers(0, 3)) == 0:
        rule["selector"] = {"workflow_id": "w1"}
        rule["tier"] = "workflow"
    return rule


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {"version": "1", "rules": draw(st.lists(rules(), min_size=1, max_size=4))}
    document["default_decision"] = draw(st.sampled_from(["allow", "deny"]))
    return document


@given(documents())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_decisions_constraints_and_rules_are_those_of_the_source(document: dict[str, Any]) -> None:
    imported = import_policy(json.dumps(document).encode(), "safety.json", most=1_000)

    if imported.proof is None:
        assert all("too much" in problem.message or "too long" in problem.message for problem in imported.refused)
    else:
        assert not imported.proof.differences, imported.text


@given(
    documents(),
    st.integers(0, 3),
    st.sampled_from(["actor_id", "labels.env", "tenant:topic", "capability"]),
    st.sampled_from(["throttle", "deny", "require_approval"]),
)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_with_a_rate_the_only_differences_are_stricter_and_announced(
    document: dict[str, Any], at: int, key: str, decision: str
) -> None:
    velocity = {"max_requests": 3, "window_seconds": 60, "key": key}
    rated = {"id": "rated", "match": {}, "velocity": velocity, "decision": decision}
    document["rules"].insert(at, rated)

    imported = import_policy(json.dumps(document).encode(), "safety.json", most=1_000)

    if imported.proof is not None and imported.proof.differences:
        assert all(found.before_rule == "rated" and found.stricter for found in imported.proof.differences)
        assert any("velocity of rated is exceeded" in change.message for change in imported.changes)
