"""Classification documents: the facts and rules they compile to, and every refusal with its place."""

import pytest

from builder.language.classify import ClassifyDocument, read_classify
from builder.language.nodes import Report
from policy_core.decision import PolicyRef
from policy_core.errors import Problem
from policy_core.matcher import encode_rules, load
from policy_core.model import AttributeTests, Classification, Clauses, Decision, EntityClauses, Provisions, Rule
from policy_core.request import normalise

GOOD = """\
version: v1
tier: baseline
classify:
  - id: databases
    match: {topics: ["db.*"], resource: {types: [database], ids: ["prod-*"]}}
    risk_tags: [prod, write]
    require_facts: [context.ticket, resource.properties.owner]
  - {id: tagged, match: {actions: [a]}, risk_tags: [x]}
  - {id: asked, match: {resource: {types: [t]}}, require_facts: [context.why]}
"""
THERE = AttributeTests(exists=True)


def read(text: str) -> tuple[ClassifyDocument | None, list[Problem]]:
    report = Report("classify/a/b.yaml")
    return read_classify(text.encode(), report), sorted(report.problems)


def test_tags_become_classifications_and_required_facts_rules() -> None:
    document, problems = read(GOOD)

    assert problems == []
    assert document is not None
    assert document.id == "classify.a.b"
    assert document.classifications == (
        Classification("classify.a.b/databases", ("prod", "write"), ("db.*",), ("database",), ("prod-*",)),
        Classification("classify.a.b/tagged", ("x",), ("a",)),
    )
    assert document.rules == (
        Rule(
            "classify.a.b", "databases", Decision.DENY,
            match=Clauses(actions=("db.*",), resource=EntityClauses(types=("database",), ids=("prod-*",))),
            unless=Clauses(attributes={"context.ticket": THERE, "resource.properties.owner": THERE}),
            reason="the request must say context.ticket, resource.properties.owner",
            reason_code="missing_fact",
            baseline=True,
        ),
        Rule(
            "classify.a.b", "asked", Decision.DENY,
            match=Clauses(resource=EntityClauses(types=("t",))),
            unless=Clauses(attributes={"context.why": THERE}),
            reason="the request must say context.why",
            reason_code="missing_fact",
            baseline=True,
        ),
    )  # fmt: skip
    assert document.lines == (4, 9)


@pytest.mark.parametrize(
    ("context", "decision", "reason_code"),
    [
        ({"why": "because"}, "allow", "matched_rule"),
        ({"why": ""}, "allow", "matched_rule"),
        ({"why": None}, "deny", "missing_fact"),
        ({}, "deny", "missing_fact"),
    ],
)
def test_a_request_without_a_required_fact_is_denied(
    context: dict[str, object], decision: str, reason_code: str
) -> None:
    document, _ = read(GOOD.replace("tier: baseline\n", ""))
    assert document is not None
    rules = [Rule("all", "all", Decision.ALLOW), *document.rules]
    matcher = load(encode_rules(rules), policy=PolicyRef("", ""), provisions=Provisions())
    request = {"subject": {"type": "u", "id": "u"}, "action": {"name": "b"}, "resource": {"type": "t", "id": "i"}}

    answer = matcher.decide(normalise({**request, "context": context}, now=0, host={}))

    assert (answer.decision, answer.reason_code) == (decision, reason_code)


ENTRY = "version: v1\nclassify:\n  - "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a]", ["1:1 classification document: expected a mapping, found a list"]),
        ("version: v1\nrules: []", ["1:1 classification document has no classify",
                                   "2:1 unknown key 'rules' in classification document"]),
        ("version: v1\nclassify: []", ["2:11 classify is an empty list"]),
        ("tier: gold\nid: a/b\nclassify: [{id: a, match: {actions: [a]}, risk_tags: [x]}]",
         ["1:1 classification document has no version", "1:7 unknown tier 'gold'", "2:5 policy id 'a/b' is not valid"]),
        (ENTRY + "{match: {actions: [a]}, risk_tags: [x]}", ["3:5 entry of classify has no id"]),
        (ENTRY + "{id: a, risk_tags: [x]}", ["3:5 entry of classify has no match"]),
        (ENTRY + "{id: a, match: {actions: [a]}}", ["3:5 entry of classify says nothing"]),
        (ENTRY + "{id: a, match: {actions: [a]}, risk_tags: []}", ["3:47 risk_tags is an empty list"]),
        (ENTRY + "{id: a, match: {}, risk_tags: [x]}", ["3:20 match is empty"]),
        (ENTRY + "{id: a, match: {actions: [a], topics: [b], subject: {ids: [c]}}, risk_tags: [x], why: x}",
         ["3:21 topics and actions are two names for one clause", "3:48 unknown key 'subject' in match",
          "3:86 unknown key 'why' in entry of classify"]),
        (ENTRY + "{id: a, match: {resource: {types: ['[a]'], roles: [c]}}, risk_tags: ['p*']}",
         ["3:40 match.resource.types: reserved character [ ] in glob '[a]'",
          "3:48 unknown key 'roles' in match.resource",
          "3:73 risk_tags are compared exactly, '*' and '?' have no meaning there"]),
        (ENTRY + "{id: a, match: {actions: [a]}, require_facts: [env, context, subject.id, 5]}",
         ["3:52 require_facts: attribute path 'env' has no known root",
          "3:57 require_facts: attribute path 'context' names no attribute",
          "3:66 require_facts: every request has subject.id",
          "3:78 entry of require_facts: expected text, found 5"]),
        (ENTRY + "{id: a, match: {actions: [a]}, risk_tags: [x]}\n  - {id: a, match: {actions: [b]}, risk_tags: [y]}",
         ["4:10 duplicate entry id a (first in line 3)"]),
    ],
)  # fmt: skip
def test_every_refusal_has_its_place(text: str, expected: list[str]) -> None:
    assert [f"{problem.line}:{problem.column} {problem.message}" for problem in read(text)[1]] == expected
