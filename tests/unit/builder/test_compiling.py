"""Policy trees become bundles: all problems at once, nothing lost on the way, the same bytes every time."""

import datetime
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from builder.compiling import Compiled, bundle_of, compile_tree
from builder.source import PolicyTree
from policy_core.bundle import read_bundle
from policy_core.decision import PolicyRef
from policy_core.errors import InvalidPolicyError
from policy_core.matcher import decode_rules, load
from policy_core.model import (
    GRANTING,
    RESTRICTING,
    Approval,
    Approver,
    AttributeTests,
    Classification,
    Clauses,
    Decision,
    EntityClauses,
    HostLimits,
    PolicyException,
    Rate,
    RateScope,
    Rule,
    TimeWindow,
)
from policy_core.selftest import run_selftest

TODAY = datetime.date(2026, 11, 1)
SETTINGS = "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n"
APPROVERS = f"approvers: {{ana: {{key: '{'a1' * 32}', teams: [security], subjects: [ana]}}}}\n"
ALLOW = "version: v1\nrules:\n  - {id: r, match: {actions: [a]}, decision: allow}\n"
SUITE = """\
cases:
  - {name: granted, request: {job: {topic: a}}, expect: {decision: allow, rule: one/r}}
  - {name: not granted, request: {job: {topic: b}}, host: {env: x}, expect: {decision: deny}}
  - {name: later, request: {job: {topic: b}}, expect: {decision: allow}, skip: not yet}
"""


def tree(files: Mapping[str, str | bytes], *, dirty: bool = False) -> PolicyTree:
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    return PolicyTree(revision="1" * 40, dirty=dirty, files=dict(sorted(contents.items())))


def compiled(**policies: str) -> Compiled:
    return compile_tree(
        tree({"writ.yaml": SETTINGS + APPROVERS, **{f"policies/{k}.yaml": v for k, v in policies.items()}}), today=TODAY
    )


def problems(files: Mapping[str, str | bytes]) -> list[str]:
    with pytest.raises(InvalidPolicyError) as caught:
        compile_tree(tree(files), today=TODAY)
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


def test_rules_are_ordered_by_policy_id_then_position() -> None:
    two = "version: v1\nid: b\nrules: [{id: z, decision: deny}, {id: a, decision: deny}]"

    result = compiled(x=two, y=two.replace("id: b", "id: B"), a=two.replace("id: b", "id: c"))

    assert [rule.name for rule in result.rules] == ["B/z", "B/a", "b/z", "b/a", "c/z", "c/a"]
    assert result.places()["b/a"] == "policies/x.yaml:3"


def test_the_problems_of_all_files_are_reported_together_sorted() -> None:
    assert problems(
        {
            "writ.yaml": "name: A",
            "policies/a.yaml": "version: v1\nrules: [{id: r, decision: maybe}]",
            "policies/b.yaml": "a: [",
            "policies/c.yaml": ALLOW + "  - {id: r, decision: deny}\n",
            "policies/d.yml": ALLOW,
            "policies/README.md": "not a policy",
            "data/x.json": "{",
            "exceptions/e.yaml": "id: e",
            "tests/t.yaml": "cases: [{name: c, request: {job: {topic: a}}, expect: {decision: deny, rule: nope}}]",
            "tests/u.yaml": "cases: []",
        }
    ) == [
        "data/x.json:1:2: not valid JSON: expecting property name enclosed in double quotes",
        "exceptions/e.yaml:1:1: exception has no approved_by",
        "exceptions/e.yaml:1:1: exception has no category",
        "exceptions/e.yaml:1:1: exception has no created",
        "exceptions/e.yaml:1:1: exception has no expires",
        "exceptions/e.yaml:1:1: exception has no justification",
        "exceptions/e.yaml:1:1: exception has no requested_by",
        "exceptions/e.yaml:1:1: exception has no rules",
        "exceptions/e.yaml:1:1: exception has no scope",
        "exceptions/e.yaml:1:1: exception has no ticket",
        "exceptions/e.yaml:1:1: exception has no version",
        "policies/a.yaml:2:27: unknown decision 'maybe'",
        "policies/b.yaml:2:1: not valid YAML: did not find expected node content",
        "policies/c.yaml:4:10: duplicate rule id r (first in line 3)",
        "policies/d.yml: is not read (suffix .yml)",
        "tests/u.yaml:1:8: cases is an empty list",
        "writ.yaml:1:1: writ.yaml has no channels",
        "writ.yaml:1:1: writ.yaml has no store",
        "writ.yaml:1:7: name 'A' is not valid",
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ["policies: there is no policy document", "writ.yaml: is missing"]),
        ({"writ.yaml": SETTINGS}, ["policies: there is no policy document"]),
        (
            {"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW, "policies/b.yaml": "id: a\n" + ALLOW},
            ["policies/b.yaml:1:5: policy id a is used already in policies/a.yaml"],
        ),
        (
            {"writ.yaml": SETTINGS, "policies/a.b.yaml": ALLOW, "policies/a/b.yaml": ALLOW},
            ["policies/a/b.yaml: policy id a.b is used already in policies/a.b.yaml"],
        ),
        (
            {"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW, "tests/t.yaml": SUITE},
            ["tests/t.yaml:2:81: unknown rule 'one/r'"],
        ),
        ({"writ.yaml": SETTINGS, "policies/.yaml": ALLOW}, ["policies/.yaml: policy id '' from the path is not valid"]),
        (
            {"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW, "exceptions/x.json": "{}"},
            ["exceptions/x.json: is not read (suffix .json)"],
        ),
    ],
)
def test_what_only_shows_across_files_is_refused(files: dict[str, str], expected: list[str]) -> None:
    assert problems(files) == expected


def test_the_bundle_holds_sources_compiled_rules_data_and_self_test() -> None:
    source = tree(
        {"writ.yaml": SETTINGS, "policies/one.yaml": ALLOW, "policies/NOTES.md": "x", "data/b.yaml": "[1, x]",
         "data/a.yaml": "é: 1.0", "tests/t.yaml": SUITE, "trust/root.json": "{}", "corpus/c.jsonl": "{}"}
    )  # fmt: skip

    blob, bundle = bundle_of(compile_tree(source, today=TODAY))

    assert read_bundle(blob) == bundle
    assert sorted(bundle.files) == ["data.json", "matcher.jsonl", "policies/one.yaml", "selftest.jsonl", "writ.yaml"]
    assert bundle.files["data.json"] == '{"a":{"é":1.0},"b":[1,"x"]}'.encode()
    assert (bundle.name, bundle.revision, bundle.dirty) == ("demo", "1" * 40, False)
    matcher = load(bundle.files["matcher.jsonl"], policy=PolicyRef("", ""), provisions=bundle.provisions)
    assert len(list(run_selftest(matcher, bundle.files["selftest.jsonl"]))) == 2


def test_the_self_test_is_bounded() -> None:
    cases = "".join(
        f"  - {{name: c{n}, request: {{job: {{topic: a}}}}, expect: {{decision: allow}}}}\n" for n in range(502)
    )

    _, bundle = bundle_of(
        compile_tree(
            tree({"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW, "tests/t.yaml": f"cases:\n{cases}"}), today=None
        )
    )

    assert bundle.files["selftest.jsonl"].count(b"\n") == 500


def test_a_dirty_tree_gives_a_dirty_bundle() -> None:
    _, bundle = bundle_of(
        compile_tree(tree({"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW}, dirty=True), today=TODAY)
    )

    assert bundle.dirty


V2 = {
    "not": ("", "match: {not: {actions: [a]}}\n    decision: deny"),
    "attributes": ("", "unless: {attributes: {context.a: {eq: 1}}}\n    decision: deny"),
    "time": ("", "match: {time: {days: [mon]}}\n    decision: deny"),
    "on_missing": ("", "on_missing: skip\n    decision: deny"),
    "remediations": ("", "remediations: [{id: a, title: b}]\n    decision: deny"),
    "constraints": ("", "constraints: {min_replicas: 1}\n    decision: constrain"),
    "baseline": ("tier: baseline\n", "decision: deny"),
    "dry_run": ("mode: dry_run\n", "decision: deny"),
}


@pytest.mark.parametrize("name", V2)
def test_a_bundle_names_rules_v2_where_it_uses_something_of_it(name: str) -> None:
    head, body = V2[name]

    _, bundle = bundle_of(compiled(one=f"version: v1\n{head}rules:\n  - id: a\n    {body}\n"))

    assert bundle.requires == ("cel.v1", "rules.v1", "rules.v2")


def test_a_bundle_that_uses_nothing_new_stays_readable_for_an_older_sidecar() -> None:
    body = "constraints: {max_retries: 1, tool_allowlist: [a]}\n    decision: constrain\n    gate: scope"

    _, bundle = bundle_of(compiled(one=f"version: v1\nrules:\n  - id: a\n    {body}\n"))

    assert bundle.requires == ("cel.v1", "rules.v1")


def test_tests_and_notes_do_not_change_what_the_policy_is() -> None:
    files: dict[str, str] = {"writ.yaml": SETTINGS, "policies/one.yaml": ALLOW}

    _, before = bundle_of(compile_tree(tree(files), today=TODAY))
    _, after = bundle_of(compile_tree(tree({**files, "policies/README.md": "x", "corpus/a.jsonl": "{}"}), today=TODAY))

    assert before.policy_sha256 == after.policy_sha256


def test_an_expired_policy_is_refused_today_and_buildable_for_a_comparison() -> None:
    files = {"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW + "metadata: {expires: 2026-10-31}\n"}

    assert problems(files) == ["policies/a.yaml:4:21: policy expired on 2026-10-31"]
    assert compile_tree(tree(files), today=None).rules


def test_the_same_tree_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    script = (
        "import sys; sys.path[:0] = eval(sys.argv[1])\n"
        "from builder.compiling import bundle_of, compile_tree\nfrom builder.source import PolicyTree\n"
        "files = {k: v.encode() for k, v in eval(sys.argv[2]).items()}\n"
        "print(bundle_of(compile_tree(PolicyTree('1' * 40, False, files), today=None))[1].sha256)\n"
    )
    rules = ALLOW + (
        "  - id: c\n    match: {labels: {b: x, a: y}, subject: {properties: {q: 1, p: [2, x]}}, risk_tags: [z, y]}\n"
        "    unless: {tenants: [t, s]}\n    when: 'resource.id in data.a.b'\n    decision: constrain\n"
        "    constraints: {network_allowlist: [b, a, c], max_retries: 2, max_files: 1}\n"
    )
    files = {
        "data/a.yaml": "{b: [x, y], a: {d: 1, c: 2}}",
        "policies/one.yaml": rules,
        "tests/t.yaml": SUITE,
        "writ.yaml": SETTINGS,
    }

    digests = {
        subprocess.run(
            [sys.executable, "-c", script, repr(sys.path), repr(files)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


WORDS = st.text("ab.*?-_: é'\"#,1", min_size=1, max_size=8).filter(str.strip)
EXACT = st.text("ab.-_: é'\"#,1", min_size=1, max_size=8).filter(str.strip)
NAMES = st.text("abc_", min_size=1, max_size=4)
SCALARS = WORDS | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()


def lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=1, max_size=3)


ENTITIES = st.fixed_dictionaries(
    {},
    optional={
        "types": lists(WORDS),
        "ids": lists(WORDS),
        "roles": lists(EXACT),
        "properties": st.dictionaries(NAMES, lists(SCALARS), min_size=1, max_size=2),
    },
).filter(bool)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TESTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("eq", "ne"), SCALARS),
        **{name: lists(SCALARS) for name in ("in", "not_in")},
        **dict.fromkeys(("lt", "le", "gt", "ge"), NUMBERS),
        **{name: lists(EXACT) for name in ("glob", "prefix")},
        "cidr": lists(st.sampled_from(["10.0.0.0/8", "fd00::/8"])),
        "regex": lists(st.sampled_from(["a+", "[0-9]"])),
        "exists": st.just(True),
    },
).filter(bool)
FLAT = {
    **{name: lists(WORDS) for name in ("actions", "tenants", "capabilities", "pack_ids")},
    **{name: lists(EXACT) for name in ("risk_tags", "risk_tags_any", "requires")},
    "labels": st.dictionaries(NAMES, WORDS, min_size=1, max_size=2),
    "subject": ENTITIES,
    "resource": ENTITIES,
    "attributes": st.dictionaries(st.sampled_from(["context.a", "subject.type"]), TESTS, min_size=1, max_size=2),
}
WINDOWS = st.sampled_from([["mon"], ["tue", "sun"]]).map(
    lambda days: {"days": days, "between": ["09:00", "24:00"], "tz": "Europe/Berlin"}
)
FLAT["time"] = WINDOWS
INNER = st.fixed_dictionaries({}, optional=FLAT).filter(bool)
CLAUSES = st.fixed_dictionaries({}, optional={**FLAT, "not": INNER}).filter(bool)
RULES = st.fixed_dictionaries(
    {"decision": st.sampled_from(list(Decision))},
    optional={
        "match": CLAUSES,
        "unless": CLAUSES,
        "reason": WORDS,
        "reason_code": st.just("because"),
        "gate": st.sampled_from(["identity", "scope"]),
        "on_missing": st.sampled_from(["skip", "error"]),
        "when": st.sampled_from(["size(resource.id) > 1", "has(context.x) && context.x == 2.5"]),
    },
)


KINDS = st.sampled_from([{}, {"mode": "dry_run"}, {"tier": "baseline"}, {"mode": "enforce", "tier": "standard"}])


@given(st.lists(RULES, min_size=1, max_size=3), st.integers(0, 9), KINDS)
def test_every_accepted_field_survives_compile_encode_decode(
    authored: list[dict[str, Any]], bound: int, kind: dict[str, str]
) -> None:
    for number, rule in enumerate(authored):
        rule["id"] = f"r{number}"
        if rule["decision"] in (Decision.ALLOW_WITH_CONSTRAINTS, Decision.CONSTRAIN):
            rule["constraints"] = {"max_retries": bound, "tool_allowlist": ["b", "a"]}
        if rule["decision"] in RESTRICTING:
            rule["remediations"] = [{"id": "a", "title": "Ask", "remove_labels": ["b"]}]
        if rule["decision"] == Decision.REQUIRE_APPROVAL and bound % 2:
            rule["approval"] = {"from": {"security": 1}, "expires_in": f"{bound}m"}
        if rule["decision"] not in GRANTING and bound % 3:
            rule["rate"] = {"limit": bound, "window": "1h", "key": ["resource.id"], "scope": "fleet"}
    document = json.dumps({"version": "v1", **kind, "rules": authored})

    result = compiled(one=document)
    _, bundle = bundle_of(result)
    decoded = [rule for line in decode_rules(bundle.files["matcher.jsonl"]) for rule in line]

    assert decoded == list(result.rules)
    for rule, source in zip(decoded, authored, strict=True):
        assert rule.match == clauses(source.get("match"))
        assert rule.unless == (clauses(source["unless"]) if "unless" in source else None)
        assert (rule.when is not None) == ("when" in source)
        assert rule.reason == source.get("reason", "").strip()
        assert (rule.reason_code, rule.gate) == (source.get("reason_code", ""), source.get("gate", ""))
        assert rule.skip_errors == (source.get("on_missing") == "skip")
        assert (rule.dry_run, rule.baseline) == (kind.get("mode") == "dry_run", kind.get("tier") == "baseline")
        assert [json.loads(encode(item)) for item in rule.remediations] == source.get("remediations", [])
        assert rule.approval == (Approval({"security": 1}, bound * 60) if "approval" in source else None)
        assert rule.rate == (Rate(bound, 3600, ("resource.id",), RateScope.FLEET) if "rate" in source else None)
        assert bool(rule.constraints) == ("constraints" in source)
        assert rule.constraints.get("tool_allowlist", ("a", "b")) == ("a", "b")


EXCEPTION = """\
version: v1
id: migration
rules: [one/d, classify.db/prod]
scope: {match: {subject: {ids: [ana]}}}
category: mitigated
justification: The ledger moves to another cluster
compensating_controls: [Two people watch]
requested_by: ana
approved_by: [bo]
ticket: CHG-1
created: 2026-10-01
expires: 2026-10-31
"""
CLASSIFY = """\
version: v1
classify:
  - {id: prod, match: {topics: ["db.*"], resource: {ids: ["prod-*"]}}, risk_tags: [prod], require_facts: [context.why]}
"""


def test_what_is_beside_rules_reaches_the_bundle_with_its_sources() -> None:
    files = {
        "writ.yaml": SETTINGS + APPROVERS,
        "policies/one.yaml": ALLOW + "  - {id: d, decision: deny}\n",
        "classify/db.yaml": CLASSIFY,
        "exceptions/e.yaml": EXCEPTION,
    }

    result = compile_tree(tree(files), today=TODAY)
    blob, bundle = bundle_of(result)
    provisions = read_bundle(blob).provisions

    assert provisions == result.provisions
    assert provisions.exceptions == (
        PolicyException(
            "migration", ("one/d", "classify.db/prod"), Clauses(subject=EntityClauses(ids=("ana",))),
            starts=1_790_812_800, expires=1_793_491_200,
        ),
    )  # fmt: skip
    assert provisions.classifications == (
        Classification("classify.db/prod", ("prod",), actions=("db.*",), resource_ids=("prod-*",)),
    )
    assert provisions.approvers == (Approver("ana", "a1" * 32, ("security",), ("ana",)),)
    assert {"exceptions/e.yaml", "classify/db.yaml", "provisions.json"} <= bundle.files.keys()
    assert {"exceptions.v1", "classify.v1"} <= set(bundle.requires)
    assert load(bundle.files["matcher.jsonl"], policy=PolicyRef("", ""), provisions=provisions).provisions == provisions
    assert bundle_of(compile_tree(tree(files), today=None))[0] == blob


def test_required_facts_become_rules_among_the_others() -> None:
    files = {"writ.yaml": SETTINGS, "policies/one.yaml": ALLOW, "classify/db.yaml": CLASSIFY}

    result = compile_tree(tree(files), today=TODAY)

    assert [rule.name for rule in result.rules] == ["classify.db/prod", "one/r"]
    assert result.places() == {"classify.db/prod": "classify/db.yaml:3", "one/r": "policies/one.yaml:3"}


def test_an_expired_exception_stays_part_of_the_policy() -> None:
    files = {"writ.yaml": SETTINGS, "policies/one.yaml": ALLOW + "  - {id: d, decision: deny}\n"}
    old = EXCEPTION.replace(", classify.db/prod", "").replace("2026-10-", "2025-10-")

    result = compile_tree(tree({**files, "exceptions/e.yaml": old}), today=TODAY)

    assert [found.id for found in result.provisions.exceptions] == ["migration"]


def test_a_classification_cannot_take_the_id_of_a_policy() -> None:
    files = {"writ.yaml": SETTINGS, "policies/one.yaml": ALLOW, "classify/db.yaml": "id: one\n" + CLASSIFY}

    assert problems(files) == ["classify/db.yaml:1:5: policy id one is used already in policies/one.yaml"]


def clauses(source: dict[str, Any] | None) -> Clauses:
    values: dict[str, Any] = {}
    for name, value in (source or {}).items():
        if name in ("subject", "resource"):
            parts = {key: tuple(part) for key, part in value.items() if key != "properties"}
            properties = {key: tuple(items) for key, items in value.get("properties", {}).items()}
            values[name] = EntityClauses(**parts, properties=properties)
        elif name == "time":
            values[name] = TimeWindow(days=tuple(value["days"]), between=(540, 1440), tz="Europe/Berlin")
        elif name == "not":
            values["none_of"] = clauses(value)
        elif name == "attributes":
            values[name] = {path: attribute_tests(tests) for path, tests in value.items()}
        else:
            values[name] = value if name == "labels" else tuple(value)
    return Clauses(**values)


def attribute_tests(source: dict[str, Any]) -> AttributeTests:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in source.items()}
    return AttributeTests(**{"in_" if name == "in" else name: value for name, value in values.items()})


KNOWN_KEYS = """
version id metadata title intent owners severity controls framework review cycle_days last_reviewed expires mode tier
rules gate match unless when decision constraints reason reason_code topics actions risk_tags risk_tags_any tenants
requires rate limit window key scope approval from security expires_in resource.id 1h ana approvers governance teams
exceptions max_days approvals policies required_metadata classify require_facts requested_by approved_by ticket created
category justification labels subject resource types ids roles properties max_retries tool_allowlist name store
channels gates now host fixtures subjects resources requests cases request action context expect rule skip job topic not
attributes context.a eq in lt glob cidr regex exists time after before days between tz on_missing remediations
add_labels x_a
"""
KEYS = st.sampled_from(KNOWN_KEYS.split())
VALUES = st.recursive(
    st.sampled_from(
        ["v1", "deny", "constrain", "allow", "a", "x*", "", "[", "2026-11-01", "2026-11-01T00:00:00Z", "size(1)",
         "a == 1", "dry_run", "baseline", "skip", "mon",
         "09:00", "10.0.0.0/8", "file:///x", "s3://b", "http://[", "\n", 1, -1, 2**63 - 1, 1.5, True, None]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
STRUCTURED = st.dictionaries(KEYS, VALUES, max_size=6).map(lambda value: json.dumps(value).encode())


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "writ.yaml",
                "policies/a.yaml",
                "policies/b.yaml",
                "data/a.yaml",
                "data/b.json",
                "tests/a.yaml",
                "exceptions/a.yaml",
                "classify/a.yaml",
            ]
        ),
        STRUCTURED | st.binary(max_size=60),
        max_size=6,
    ),
    st.booleans(),
)
def test_whatever_the_files_hold_they_compile_or_have_problems(files: dict[str, bytes], sound: bool) -> None:
    if sound:  # so that some of them get far
        files = {"writ.yaml": SETTINGS.encode(), "policies/one.yaml": ALLOW.encode(), **files}
    try:
        result = compile_tree(tree(files), today=TODAY)
    except InvalidPolicyError as error:
        found = error.problems
    else:
        found = None
        bundle_of(result)

    assert found is None or found
    assert all(problem.message.isprintable() and problem.hint.isprintable() for problem in found or ())


def test_rule_has_no_field_the_round_trip_does_not_cover() -> None:
    """A new field of the model must be added to the strategy above, or it could vanish unnoticed."""
    assert set(Rule.__struct_fields__) == {
        "policy", "id", "decision", "match", "unless", "when", "constraints", "reason", "reason_code", "gate",
        "baseline", "dry_run", "skip_errors", "remediations", "rate", "approval",
    }  # fmt: skip
    assert set(Clauses.__struct_fields__) == {
        "actions", "risk_tags", "risk_tags_any", "tenants", "capabilities", "pack_ids", "requires", "labels", "subject",
        "resource", "attributes", "time", "none_of",
    }  # fmt: skip


CONTEXT = "properties: {env: {enum: [prod, test]}}\n"
ASKING = "version: v1\nrules:\n  - {id: r, match: {attributes: {context.env: {eq: prod}}}, decision: deny}\n"


def test_schemas_change_nothing_on_hosts() -> None:
    """They are held against the policies here, and are no part of the bundle: a publish of them alone is none."""
    files = {"writ.yaml": SETTINGS, "policies/a.yaml": ASKING}

    _, without = bundle_of(compile_tree(tree(files), today=TODAY))
    _, with_schemas = bundle_of(compile_tree(tree({**files, "schemas/context.yaml": CONTEXT}), today=TODAY))

    assert with_schemas.policy_sha256 == without.policy_sha256


def test_a_changed_schema_is_held_against_policies_that_did_not_change() -> None:
    files = {"writ.yaml": SETTINGS, "policies/a.yaml": ASKING, "schemas/context.yaml": CONTEXT}
    compile_tree(tree(files), today=TODAY)

    assert problems({**files, "schemas/context.yaml": CONTEXT.replace("prod", "live")}) == [
        "policies/a.yaml:3:52: match.attributes.context.env.eq: env is never the text 'prod', by its schema"
    ]


def test_a_changed_schema_is_held_against_data_that_did_not_change() -> None:
    schema = "properties: {a: {type: integer}}"
    files = {"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW, "data/x.yaml": "a: 1", "schemas/data/x.yaml": schema}
    compile_tree(tree(files), today=TODAY)

    assert problems({**files, "schemas/data/x.yaml": schema.replace("integer", "string")}) == [
        "data/x.yaml:1:4: data.x.a: expected text, found 1"
    ]


LEAK = "AKI" + "A" + "B2C3" * 4


@pytest.mark.parametrize("path", ["data/x.yaml", "corpus/a.jsonl", "tests/a.yaml", "policies/b.yaml", "schemas/x.yaml"])
def test_a_secret_anywhere_is_refused_before_it_is_published(path: str) -> None:
    files = {"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW, path: f"key: {LEAK}\n"}

    assert problems(files) == [f"{path}:1:6: looks like a secret: AWS Access Key (20 bytes)"]


def test_a_secret_in_an_old_revision_does_not_make_it_unbuildable() -> None:
    files = {"writ.yaml": SETTINGS, "policies/a.yaml": ALLOW, "data/x.yaml": f"key: {LEAK}\n"}

    assert compile_tree(tree(files), today=None).data == {"x": {"key": LEAK}}


def test_a_false_alarm_is_permitted_by_its_digest() -> None:
    digest = hashlib.sha256(LEAK.encode()).hexdigest()
    settings = f"{SETTINGS}not_secrets: [{{digest: 'sha256:{digest}', reason: an example of the vendor}}]\n"
    files = {"writ.yaml": settings, "policies/a.yaml": ALLOW, "data/x.yaml": f"key: {LEAK}\n"}

    assert compile_tree(tree(files), today=TODAY).warnings == ()


def test_limits_for_hosts_travel_in_the_bundle_which_then_needs_a_sidecar_that_knows_them() -> None:
    files = {"policies/one.yaml": ALLOW}
    hosts = "hosts: {max_pin: 4h, min_release: {prod: 12}}\n"

    plain, limited = (
        bundle_of(compile_tree(tree({"writ.yaml": SETTINGS + more, **files}), today=TODAY))[0] for more in ("", hosts)
    )

    assert read_bundle(plain).provisions.hosts is None
    assert read_bundle(limited).provisions.hosts == HostLimits(14_400, {"prod": 12})
    assert set(read_bundle(limited).requires) - set(read_bundle(plain).requires) == {"hosts.v1"}
    assert read_bundle(limited).policy_sha256 != read_bundle(plain).policy_sha256
