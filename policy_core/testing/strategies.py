"""Hypothesis strategies for rules and requests over one small vocabulary, so that they meet often enough to matter."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from policy_core.model import (
    CONSTRAINING,
    GRANTING,
    RESTRICTING,
    Approval,
    Approver,
    AttributeTests,
    Classification,
    Clauses,
    Decision,
    EntityClauses,
    PolicyException,
    Provisions,
    Rate,
    RateScope,
    Remediation,
    Rule,
    TimeWindow,
)
from policy_core.testing.condition_strategies import conditions
from policy_core.windows import DAYS, check_window

ACTIONS = ["job.agent.exec", "job.agent.exec.shell", "job.mcp.write.file", "service.restart", "service.read", "a", ""]
ACTION_GLOBS = [
    "job.*",
    "job.agent.*",
    "*",
    "*.restart",
    "service.?ead",
    "job.*.write.*",
    "*.*",
    "a?",
    "s*e",
    *ACTIONS[:-1],
]
WORDS = ["prod", "write", "medium", "sre", "acme", "x"]
WORD_GLOBS = ["p*", "?re", "*e", "m*d*m", *WORDS]
SCALARS: list[Any] = ["prod", "sre", True, False, 0, 1, 1.0, 2.5]


def _tuples(items: list[Any], *, least: int = 0, most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(
        st.sampled_from(items), min_size=least, max_size=most, unique_by=lambda item: (type(item), item)
    ).map(tuple)


def _usually_absent(strategy: st.SearchStrategy[Any], absent: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(absent), st.just(absent), strategy)


entity_clauses = st.builds(
    EntityClauses,
    types=_usually_absent(_tuples(["user", "agent", "a*"]), ()),
    ids=_usually_absent(_tuples(["alice", "bot", "b*"]), ()),
    roles=_usually_absent(_tuples(WORDS), ()),
    properties=_usually_absent(
        st.dictionaries(
            st.sampled_from(["env", "size", "roles"]), _tuples([*SCALARS, "p*"], least=1), min_size=1, max_size=2
        ),
        {},
    ),
)

_path_values: list[Any] = [*SCALARS, "10.1.2.3", "::ffff:10.0.0.9", "fd00::1"]
_operators: dict[str, st.SearchStrategy[Any]] = {
    "eq": st.sampled_from(SCALARS),
    "ne": st.sampled_from(SCALARS),
    "in_": _tuples(SCALARS, least=1),
    "not_in": _tuples(SCALARS, least=1),
    "exists": st.booleans(),
    **{name: st.sampled_from([0, 1, 2.5]) for name in ("lt", "le", "gt", "ge")},
    "glob": _tuples(WORD_GLOBS, least=1),
    "prefix": _tuples(["p", "10.", ""], least=1),
    "cidr": _tuples(["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"], least=1),
    "regex": _tuples(["p.*", "[a-z]+", "(pr|s)[od]+"], least=1),
}


def _attribute_tests(**operators: Any) -> AttributeTests:
    if len(operators) > 1 and operators.get("exists") is False:
        operators["exists"] = True
    return AttributeTests(**operators)


attribute_tests = st.lists(st.sampled_from(sorted(_operators)), min_size=1, max_size=2, unique=True).flatmap(
    lambda names: st.builds(_attribute_tests, **{name: _operators[name] for name in names})
)
_week = st.lists(st.sampled_from(DAYS), max_size=4, unique=True).map(
    lambda days: tuple(day for day in DAYS if day in days)
)
windows = st.builds(
    TimeWindow,
    after=st.sampled_from([None, None, 1_789_990_000, 1_790_000_000.5]),
    before=st.sampled_from([None, None, 1_790_700_000, 1_792_000_000]),
    days=_week,
    between=st.sampled_from([None, (540, 1020), (1320, 360), (0, 1440), (90, 180)]),
    tz=st.sampled_from(["", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"]),
).filter(lambda window: not check_window(window))
MOMENTS = [1_790_000_000.0 + 86_400 * day + 7_919 * day for day in range(16)] + [1_792_890_000.0, 1e18, float("nan")]
"""Two weeks, the night clocks change in Berlin, and two that are no moments."""
PATHS = ["resource.properties.env", "subject.properties.size", "context.count", "context.net.ip", "action.name"]


def _with_inner(outer: Clauses, inner: Clauses | None) -> Clauses:
    return msgspec.structs.replace(outer, none_of=inner)


_flat_clauses = st.builds(
    Clauses,
    actions=st.one_of(st.just(()), _tuples(ACTION_GLOBS)),
    risk_tags=_usually_absent(_tuples(WORDS), ()),
    risk_tags_any=_usually_absent(_tuples(WORDS), ()),
    tenants=_usually_absent(_tuples(WORD_GLOBS), ()),
    capabilities=_usually_absent(_tuples(WORD_GLOBS), ()),
    pack_ids=_usually_absent(_tuples(WORD_GLOBS), ()),
    requires=_usually_absent(_tuples(WORDS), ()),
    labels=_usually_absent(st.dictionaries(st.sampled_from(["env", "team"]), st.sampled_from(WORD_GLOBS)), {}),
    subject=_usually_absent(entity_clauses, None),
    resource=_usually_absent(entity_clauses, None),
    attributes=_usually_absent(
        st.dictionaries(st.sampled_from(PATHS), attribute_tests, min_size=1, max_size=2),
        {},
    ),
    time=_usually_absent(st.one_of(st.none(), windows), None),
)
clauses = st.builds(_with_inner, _flat_clauses, _usually_absent(_flat_clauses, None))

_some_words = _tuples(WORDS, most=3).map(lambda words: tuple(sorted(words)))
CONSTRAINTS: dict[str, st.SearchStrategy[Any]] = {
    "max_retries": st.integers(0, 5),
    "max_targets": st.integers(0, 5),
    "min_replicas": st.integers(0, 5),
    "network_allowlist": _some_words,
    "tool_allowlist": _some_words,
    "required_evidence": _some_words,
    "tool_denylist": _some_words,
    "read_only": st.booleans(),
    "allow_network": st.booleans(),
    "run_as": st.sampled_from(["bot", "bot", "root"]),
    "x_team": st.sampled_from([1, 1, True, "a", ("a",)]),
}
_bounds: st.SearchStrategy[dict[str, Any]] = st.lists(
    st.sampled_from(sorted(CONSTRAINTS)), min_size=1, max_size=3, unique=True
).flatmap(lambda names: st.fixed_dictionaries({name: CONSTRAINTS[name] for name in names}))
_remediations = st.just((Remediation("ask", "Ask first"),))

rates = st.builds(
    Rate,
    limit=st.integers(1, 3),
    window_s=st.sampled_from([60, 3_600, 86_400]),
    key=_tuples(["subject.id", "resource.id", "resource.properties.env", "context.tenant"], least=1),
    scope=st.sampled_from(list(RateScope)),
)
TEAMS = ["security", "platform", "app"]
approvals = st.builds(
    Approval,
    quorum=st.dictionaries(st.sampled_from(TEAMS), st.integers(1, 2), min_size=1, max_size=2),
    expires_in_s=st.sampled_from([60, 3_600]),
)
APPROVERS = (
    Approver("ana", "a" * 64, ("security", "app"), ("alice",)),
    Approver("bo", "b" * 64, ("platform", "security"), ("bot",)),
    Approver("cy", "c" * 64, ("platform",), ("cy",)),
    Approver("di", "d" * 64, ("app", "platform"), ("di",)),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Draw one rule of a document that `policies` names."""
    decision = draw(st.sampled_from(list(Decision)))
    asks = decision is Decision.REQUIRE_APPROVAL
    return Rule(
        policy="",
        id="",
        decision=decision,
        match=draw(clauses),
        unless=draw(_usually_absent(clauses, None)),
        when=draw(st.one_of(st.none(), st.none(), conditions())),
        rate=draw(_usually_absent(rates, None)) if decision not in GRANTING else None,
        approval=draw(st.one_of(st.none(), approvals, approvals)) if asks else None,
        constraints=draw(_bounds) if decision in CONSTRAINING else {},
        reason=draw(st.sampled_from(["", "because"])),
        reason_code=draw(st.sampled_from(["", "identity_unknown"])),
        gate=draw(st.sampled_from(["", "", "identity", "scope"])),
        skip_errors=draw(st.sampled_from([False, False, False, True])),
        remediations=draw(_usually_absent(_remediations, ())) if decision in RESTRICTING else (),
    )


@st.composite
def policies(draw: st.DrawFn, *, most: int = 12) -> list[Rule]:
    """Draw the rules of a policy, in order and with distinct names; some documents are baseline, some dry-run."""
    drawn = draw(st.lists(rules(), max_size=most))
    documents = -(-len(drawn) // 3)
    kinds = draw(st.lists(st.sampled_from(["", "", "", "baseline", "dry_run"]), min_size=documents, max_size=documents))
    named = [
        msgspec.structs.replace(
            rule,
            policy=f"doc{number // 3:03}",
            id=f"r{number}",
            baseline=kinds[number // 3] == "baseline",
            dry_run=kinds[number // 3] == "dry_run",
        )
        for number, rule in enumerate(drawn)
    ]
    return sorted(named, key=lambda rule: not rule.baseline)


_some_globs = _tuples(ACTION_GLOBS)
classifications = st.builds(
    Classification,
    name=st.just("c"),
    risk_tags=_tuples(WORDS, least=1),
    actions=_some_globs,
    resource_types=_usually_absent(_tuples(["user", "a*"]), ()),
    resource_ids=_usually_absent(_tuples(["alice", "d*"]), ()),
)


@st.composite
def provisions(draw: st.DrawFn, policy: list[Rule], data: dict[str, Any]) -> Provisions:
    """Draw what goes with the rules of a policy: exceptions from some of them, classifications, approvers."""
    liftable = [rule.name for rule in policy if not rule.baseline and rule.decision not in GRANTING]
    exceptions = st.builds(
        PolicyException,
        id=st.sampled_from(["e1", "e2"]),
        rules=_tuples(liftable, least=1) if liftable else st.nothing(),
        scope=clauses,
        starts=st.sampled_from([0, 1_790_000_000, 1_790_400_000]),
        expires=st.sampled_from([1_790_400_000, 1_791_000_000, 2_000_000_000]),
    )
    return Provisions(
        data=data,
        exceptions=draw(st.lists(exceptions, max_size=3).map(tuple)) if liftable else (),
        classifications=draw(st.lists(classifications, max_size=3).map(tuple)),
        approvers=APPROVERS,
    )


_odd = st.sampled_from([None, "prod", 5, True, [], ["prod"], ["prod", 3], {"env": "prod"}, {"env": 5}, {}])
_string_lists = st.lists(st.sampled_from(WORDS), max_size=4)
_property_values = st.one_of(st.sampled_from(SCALARS), st.none(), st.just(["prod"]))
_properties = st.dictionaries(st.sampled_from(["env", "size"]), _property_values, max_size=2)


def _with_roles(properties: dict[str, Any], roles: Any) -> dict[str, Any]:
    return properties if roles is None else {**properties, "roles": roles}


_entity_properties = st.builds(_with_roles, _properties, st.one_of(st.none(), _string_lists, _odd))
_context = st.fixed_dictionaries(
    {},
    optional={
        "risk_tags": st.one_of(_string_lists, _odd),
        "requires": st.one_of(_string_lists, _odd),
        "labels": st.one_of(st.dictionaries(st.sampled_from(["env", "team"]), st.sampled_from(WORDS)), _odd),
        "tenant": st.one_of(st.sampled_from(WORDS), _odd),
        "capability": st.one_of(st.sampled_from(WORDS), _odd),
        "pack_id": st.one_of(st.sampled_from(WORDS), _odd),
        "count": st.one_of(st.integers(0, 5), _odd),
        "approved_by": st.lists(st.sampled_from([approver.id for approver in APPROVERS]), max_size=4, unique=True),
        "net": st.one_of(st.fixed_dictionaries({"ip": st.sampled_from(_path_values)}), _odd),
    },
)

requests = st.builds(
    lambda subject_type, subject_id, subject, action, resource_type, resource_id, resource, context: {
        "subject": {"type": subject_type, "id": subject_id, "properties": subject},
        "action": {"name": action},
        "resource": {"type": resource_type, "id": resource_id, "properties": resource},
        "context": context,
    },
    st.sampled_from(["user", "agent", "x"]),
    st.sampled_from(["alice", "bot", "carol"]),
    _entity_properties,
    st.one_of(st.sampled_from(ACTIONS), st.text("job.agent", max_size=8)),
    st.sampled_from(["user", "agent", "job"]),
    st.sampled_from(["alice", "bot", "db"]),
    _entity_properties,
    _context,
)
"""AuthZEN requests, with every part that clauses read sometimes absent and sometimes of the wrong type."""
