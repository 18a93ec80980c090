"""Policy documents: what they compile to, and every refusal with its place."""

import datetime

import pytest

from builder.language.documents import PolicyDocument, read_document
from builder.language.nodes import Report
from policy_core.errors import Problem
from policy_core.model import (
    Approval,
    AttributeTests,
    Clauses,
    Decision,
    EntityClauses,
    Rate,
    RateScope,
    Remediation,
    Rule,
    TimeWindow,
)

TODAY = datetime.date(2026, 11, 1)

FULL = """\
version: v1
id: agents.production
metadata:
  title: Production guard rails
  intent: |
    Agents never change production
    without a person
  owners: {security: team-sec, platform: team-sre}
  severity: high
  controls: [{framework: SOC2, id: CC6.1}]
  review: {cycle_days: 90, last_reviewed: 2026-10-01}
  expires: 2026-11-01
mode: enforce
tier: standard
rules:
  - id: everything
    gate: blast_radius
    match:
      topics: ["job.*", task.a?]
      risk_tags: [prod, write]
      risk_tags_any: [a]
      tenants: [acme]
      capabilities: ["cap.*"]
      pack_ids: [p1]
      requires: [git]
      labels: {env: "pr*"}
      subject: {types: [user], ids: ["a*"], roles: [sre], properties: {team: x, age: [1, 2.5, true, y]}}
      resource: {types: [service]}
    unless: {subject: {types: [robot]}}
    when: size(resource.id) > 1
    decision: allow_with_constraints
    constraints: {max_retries: 1.0, network_allowlist: [b, a, b]}
    reason: >
      Production writes
      need a person
    reason_code: my_code
  - {id: second, decision: deny}
"""


def read(text: str, *, file: str = "policies/a/b.yaml", today: datetime.date | None = TODAY) -> tuple[
    PolicyDocument | None, list[Problem], list[Problem]
]:  # fmt: skip
    report = Report(file)
    return read_document(text.encode(), report, today=today), sorted(report.problems), sorted(report.warnings)


def rule(text: str) -> str:
    """Return a document whose only rule, from line 4 on, has these lines."""
    return "version: v1\nrules:\n  - id: r\n" + "".join(f"    {line}\n" for line in text.splitlines())


def test_every_field_reaches_the_rule_model() -> None:
    document, problems, warnings = read(FULL)

    assert problems == []
    assert [warning.message for warning in warnings] == [
        "policy expires on 2026-11-01, in 0 days: after that nothing can be published"
    ]
    assert document is not None
    assert document.rules == (
        Rule(
            policy="agents.production",
            id="everything",
            decision=Decision.ALLOW_WITH_CONSTRAINTS,
            match=Clauses(
                actions=("job.*", "task.a?"),
                risk_tags=("prod", "write"),
                risk_tags_any=("a",),
                tenants=("acme",),
                capabilities=("cap.*",),
                pack_ids=("p1",),
                requires=("git",),
                labels={"env": "pr*"},
                subject=EntityClauses(("user",), ("a*",), ("sre",), {"team": ("x",), "age": (1, 2.5, True, "y")}),
                resource=EntityClauses(types=("service",)),
            ),
            unless=Clauses(subject=EntityClauses(types=("robot",))),
            when=document.rules[0].when,
            constraints={"max_retries": 1, "network_allowlist": ("a", "b")},
            reason="Production writes need a person",
            reason_code="my_code",
            gate="blast_radius",
        ),
        Rule(policy="agents.production", id="second", decision=Decision.DENY),
    )
    assert document.rules[0].when is not None
    assert document.lines == (16, 37)
    assert document.id_place == (2, 5)


def test_not_and_attributes_reach_the_rule_model() -> None:
    document, problems, _ = read(
        rule(
            "decision: deny\n"
            "match:\n"
            "  attributes: {context.a: {in: [1, true, x], ge: 2}, subject.type: {cidr: 10.0.0.0/8, regex: [a+]}}\n"
            "  not: {actions: [a], attributes: {context.b: {exists: false}}}\n"
        )
    )

    assert problems == []
    assert document is not None
    assert document.rules[0].match == Clauses(
        attributes={
            "context.a": AttributeTests(in_=(1, True, "x"), ge=2),
            "subject.type": AttributeTests(cidr=("10.0.0.0/8",), regex=("a+",)),
        },
        none_of=Clauses(actions=("a",), attributes={"context.b": AttributeTests(exists=False)}),
    )


def test_a_time_window_reaches_the_rule_model() -> None:
    document, problems, _ = read(
        rule(
            "decision: deny\n"
            "match:\n"
            "  time: {after: 2026-11-01T00:00:00Z, before: 2026-12-01T00:00:00.5+01:00, days: [fri, mon],\n"
            "         between: [22:00, 06:00], tz: Europe/Berlin}\n"
            "  not: {time: {between: [00:00, 24:00], tz: UTC}}\n"
        )
    )

    assert problems == []
    assert document is not None
    assert document.rules[0].match == Clauses(
        time=TimeWindow(1_793_491_200, 1_796_079_600.5, ("mon", "fri"), (1320, 360), "Europe/Berlin"),
        none_of=Clauses(time=TimeWindow(between=(0, 1440))),
    )


def test_mode_tier_and_what_is_done_about_errors_reach_every_rule() -> None:
    document, problems, _ = read(
        "version: v1\nmode: dry_run\ntier: baseline\nrules:\n"
        "  - {id: a, decision: allow, on_missing: error}\n"
        "  - id: b\n    decision: deny\n    on_missing: skip\n    remediations:\n"
        "      - {id: stage, title: Try staging, summary: It is free, replacement_action: stage.run,\n"
        "         replacement_capability: cap, add_labels: {env: staging}, remove_labels: [prod]}\n"
    )

    assert problems == []
    assert document is not None
    assert document.baseline
    assert document.rules == (
        Rule("a.b", "a", Decision.ALLOW, baseline=True, dry_run=True),
        Rule(
            "a.b", "b", Decision.DENY, baseline=True, dry_run=True, skip_errors=True,
            remediations=(
                Remediation("stage", "Try staging", "It is free", "stage.run", "cap", {"env": "staging"}, ("prod",)),
            ),
        ),
    )  # fmt: skip


def test_rates_and_approvals_reach_the_rule_model() -> None:
    document, problems, _ = read(
        "version: v1\nrules:\n"
        "  - {id: a, decision: throttle, rate: {limit: 3, window: 1h30m, key: [resource.id], scope: fleet}}\n"
        "  - {id: b, decision: deny, rate: {limit: 1, window: 7d, key: [subject.id, context.tenant]}}\n"
        "  - {id: c, decision: require_approval, approval: {from: {security: 1, platform: 2}, expires_in: 90s}}\n"
        "  - {id: d, decision: require_approval}\n"
    )

    assert problems == []
    assert document is not None
    assert document.rules == (
        Rule("a.b", "a", Decision.THROTTLE, rate=Rate(3, 5_400, ("resource.id",), RateScope.FLEET)),
        Rule("a.b", "b", Decision.DENY, rate=Rate(1, 604_800, ("subject.id", "context.tenant"))),
        Rule("a.b", "c", Decision.REQUIRE_APPROVAL, approval=Approval({"security": 1, "platform": 2}, 90)),
        Rule("a.b", "d", Decision.REQUIRE_APPROVAL),
    )


def test_metadata_is_kept_for_those_who_govern() -> None:
    document, _, _ = read(FULL)

    assert document is not None
    metadata = document.metadata
    assert metadata.owners == {"security": "team-sec", "platform": "team-sre"}
    assert metadata.controls == (("SOC2", "CC6.1"),)
    assert metadata.intent.startswith("Agents never")
    assert (metadata.title, metadata.severity, metadata.review_cycle_days) == ("Production guard rails", "high", 90)
    assert (metadata.last_reviewed, metadata.expires) == (datetime.date(2026, 10, 1), TODAY)


def test_the_id_defaults_to_the_path_with_dots() -> None:
    document, problems, _ = read(rule("decision: deny"), file="policies/a/b-c.d.yaml")

    assert problems == []
    assert document is not None
    assert document.id == "a.b-c.d"
    assert document.id_place == (0, 0)
    assert document.rules[0].name == "a.b-c.d/r"


def test_an_empty_list_of_risk_tags_is_no_constraint() -> None:
    document, problems, _ = read(rule("match: {risk_tags: []}\ndecision: deny"))

    assert problems == []
    assert document is not None
    assert document.rules[0].match == Clauses()


DECISION = "decision: allow\n"

DOCUMENT_PROBLEMS = [
    ("[]", ["1:1 policy document: expected a mapping, found a list"]),
    ("{}", ["1:1 policy document is empty"]),
    ("text", ["1:1 policy document: expected a mapping, found the text 'text'"]),
    ("rules: [{id: r, decision: deny}]", ["1:1 policy document has no version"]),
    ("version: v1", ["1:1 policy document has no rules"]),
    ("version: 1\nrules: [{id: r, decision: deny}]", ["1:10 version: expected v1, found 1"]),
    ("version: v2\nrules: [{id: r, decision: deny}]", ["1:10 version: expected v1, found the text 'v2'"]),
    ("version: v1\nrules: []", ["2:8 rules is an empty list"]),
    ("version: v1\nrules: {a: b}", ["2:8 rules: expected a list, found a mapping"]),
    ("version: v1\nrules: [x, {}]", ["2:9 rule: expected a mapping, found the text 'x'", "2:12 rule is empty"]),
    ("version: v1\nrule: []", ["1:1 policy document has no rules", "2:1 unknown key 'rule' in policy document"]),
    ("version: v1\nid: a/b\nrules: [{id: r, decision: deny}]", ["2:5 policy id 'a/b' is not valid"]),
    ("version: v1\nid: ''\nrules: [{id: r, decision: deny}]", ["2:5 policy id is empty"]),
    ("version: v1\nid: emergency\nrules: [{id: r, decision: deny}]",
        ["2:5 policy id emergency is reserved for Writ itself"]),
    ("version: v1\nid: 7\nrules: [{id: r, decision: deny}]", ["2:5 policy id: expected text, found 7"]),
    ("version: v1\nmode: shadow\nrules: [{id: r, decision: deny}]", ["2:7 unknown mode 'shadow'"]),
    ("version: v1\ntier: gold\nrules: [{id: r, decision: deny}]", ["2:7 unknown tier 'gold'"]),
    ("version: v1\nrules: [{decision: deny}]", ["2:9 rule has no id"]),
    ("version: v1\nrules: [{id: a/b, decision: deny}]", ["2:14 rule id 'a/b' is not valid"]),
    ("version: v1\nrules: [{id: -a, decision: deny}]", ["2:14 rule id '-a' is not valid"]),
    ("version: v1\nrules: [{id: r, decision: deny}, {id: r, decision: allow}]",
     ["2:39 duplicate rule id r (first in line 2)"]),
    ("version: v1\nrules: *x", ["2:8 alias *x is not supported"]),
    ("version: v1\nmetadata: {owner: x}\nrules: [{id: r, decision: deny}]", ["2:12 unknown key 'owner' in metadata"]),
    ("version: v1\nmetadata: []\nrules: [{id: r, decision: deny}]",
     ["2:11 metadata: expected a mapping, found a list"]),
    ("version: v1\nmetadata: {severity: urgent}\nrules: [{id: r, decision: deny}]", ["2:22 unknown severity 'urgent'"]),
    ("version: v1\nmetadata: {owners: {a: 1}}\nrules: [{id: r, decision: deny}]",
     ["2:24 metadata.owners.a: expected text, found 1"]),
    ("version: v1\nmetadata: {controls: [{framework: x}, y]}\nrules: [{id: r, decision: deny}]",
     ["2:23 entry of metadata.controls has no id",
      "2:39 entry of metadata.controls: expected a mapping, found the text 'y'"]),
    ("version: v1\nmetadata: {review: {cycle_days: 0, last_reviewed: 2026-02-30}}\nrules: [{id: r, decision: deny}]",
     ["2:33 cycle_days: expected a whole number from 1 to 3650, found 0",
      "2:51 last_reviewed: expected a date, found the text '2026-02-30'"]),
    ("version: v1\nmetadata: {expires: soon}\nrules: [{id: r, decision: deny}]",
     ["2:21 expires: expected a date, found the text 'soon'"]),
    ("version: v1\nmetadata: {expires: 2026-10-31}\nrules: [{id: r, decision: deny}]",
     ["2:21 policy expired on 2026-10-31"]),
    ("version: v1\nmetadata: {title: \"a\\nb\"}\nrules: [{id: r, decision: deny}]",
     ["2:19 metadata.title has several lines"]),
]  # fmt: skip

RULE_PROBLEMS = [
    ("match: {actions: [a]}", ["3:5 rule has no decision"]),
    ("decision: permit", ["4:15 unknown decision 'permit'"]),
    ("decision: maybe", ["4:15 unknown decision 'maybe'"]),
    ("decision: [deny]", ["4:15 decision: expected text, found a list"]),
    ("decision: on", ["4:15 unknown decision 'on'"]),
    ("decision: true", ["4:15 decision: expected text, found true"]),
    (DECISION + "match: {topic: [a]}", ["5:13 unknown key 'topic' in match"]),
    (DECISION + "match: {}", ["5:12 match is empty"]),
    (DECISION + "match: [a]", ["5:12 match: expected a mapping, found a list"]),
    (DECISION + "match:", ["5:11 match: expected a mapping, found nothing"]),
    (DECISION + "match: {topics: [a], actions: [b]}", ["5:26 topics and actions are two names for one clause"]),
    (DECISION + "match: {actions: []}", ["5:22 match.actions is an empty list"]),
    (DECISION + "match: {actions: a}", ["5:22 match.actions: expected a list, found the text 'a'"]),
    (DECISION + "match: {actions: [1, '', {a: b}]}",
     ["5:23 entry of match.actions: expected text, found 1", "5:26 entry of match.actions is empty",
      "5:30 entry of match.actions: expected text, found a mapping"]),
    (DECISION + "match: {actions: ['a[b]', 'c\\d']}",
     ["5:23 match.actions: reserved character [ ] in glob 'a[b]'",
      "5:31 match.actions: reserved character \\ in glob 'c\\\\d'"]),
    (DECISION + "match: {tenants: ['{a}']}", ["5:23 match.tenants: reserved character { } in glob '{a}'"]),
    (DECISION + "match: {risk_tags: ['prod*']}",
     ["5:24 match.risk_tags are compared exactly, '*' and '?' have no meaning there"]),
    (DECISION + "match: {requires: [git, 'g?t']}",
     ["5:23 match.requires are compared exactly, '*' and '?' have no meaning there"]),
    (DECISION + "match: {risk_tags_any: []}", ["5:28 match.risk_tags_any is an empty list"]),
    (DECISION + "match: {labels: {}}", ["5:21 match.labels is empty"]),
    (DECISION + "match: {labels: {a: 1, b: '[x]'}}",
     ["5:25 match.labels.a: expected text, found 1", "5:31 match.labels.b: reserved character [ ] in glob '[x]'"]),
    (DECISION + "match: {subject: {}}", ["5:22 match.subject is empty"]),
    (DECISION + "match: {subject: {role: [a]}}", ["5:23 unknown key 'role' in match.subject"]),
    (DECISION + "match: {subject: {roles: []}}", ["5:30 match.subject.roles is an empty list"]),
    (DECISION + "match: {subject: {properties: {a: null, b: [], c: {d: e}, f: '{g}'}}}",
     ["5:39 match.subject.properties.a: expected a value, found nothing",
      "5:48 match.subject.properties.b is an empty list",
      "5:55 match.subject.properties.c: expected text, numbers and booleans, found a mapping",
      "5:66 match.subject.properties.f: reserved character { } in glob '{g}'"]),
    (DECISION + "unless: {risk_tags: []}", ["5:13 unless has no clause, so the rule would never apply"]),
    (DECISION + "match: {not: {not: {actions: [a]}}}", ["5:19 a not inside a not"]),
    (DECISION + "match: {not: {risk_tags: []}}", ["5:18 match.not has no clause"]),
    (DECISION + "unless: {not: {}}", ["5:19 unless.not is empty"]),
    (DECISION + "unless: {not: {action: [a]}}", ["5:20 unknown key 'action' in unless.not"]),
    (DECISION + "match: {attributes: {a: {eq: 1}, resource.env: {eq: 1}, context: {eq: 1}, context..a: {eq: 1}}}",
     ["5:26 match.attributes: attribute path 'a' has no known root",
      "5:38 match.attributes: attribute path 'resource.env' is never in a request",
      "5:61 match.attributes: attribute path 'context' names no attribute",
      "5:79 match.attributes: attribute path 'context..a' names no attribute"]),
    (DECISION + "match: {attributes: {context.a: 5, context.b: [1], context.c: {}, context.d: {equals: 1}}}",
     ["5:37 match.attributes.context.a: expected an operator, found 5",
      "5:51 match.attributes.context.b: expected an operator, found a list",
      "5:67 match.attributes.context.c is empty",
      "5:83 unknown key 'equals' in match.attributes.context.d"]),
    (DECISION + "match: {attributes: {context.a: {eq: [1], ne: null, in: 5, not_in: [], lt: x, ge: true, exists: 1}}}",
     ["5:42 match.attributes.context.a.eq: expected one value, found a list",
      "5:51 match.attributes.context.a.ne: expected a value, found nothing",
      "5:61 match.attributes.context.a.in: expected a list, found 5",
      "5:72 match.attributes.context.a.not_in is an empty list",
      "5:80 match.attributes.context.a.lt: expected a number, found the text 'x'",
      "5:87 match.attributes.context.a.ge: expected a number, found true",
      "5:101 match.attributes.context.a.exists: expected true or false, found 1"]),
    (DECISION + "match: {attributes: {context.a: {cidr: 10.0.0.1/8, glob: '[a', prefix: 5, regex: ['(a', 'a(?=b)']}}}",
     ["5:44 match.attributes.context.a.cidr: '10.0.0.1/8' is no network such as 10.0.0.0/8 or fd00::/8 (host bits set)",
      "5:62 match.attributes.context.a.glob: reserved character [ in glob '[a'",
      "5:76 match.attributes.context.a.prefix: expected text, found 5",
      "5:87 match.attributes.context.a.regex: regex '(a' is not valid (missing ): (a)",
      "5:93 match.attributes.context.a.regex: regex 'a(?=b)' is not valid (invalid perl operator: (?=)"]),
    (DECISION + "match: {attributes: {context.a: {regex: " + "a" * 1001 + "}}}",
     ["5:45 match.attributes.context.a.regex is too long (1001 characters, limit 1000)"]),
    (DECISION + "match: {attributes: {context.a: {exists: false, eq: 1}}}",
     ["5:38 match.attributes.context.a: exists: false goes alone, as an absent attribute has no value to test"]),
    (DECISION + "match: {time: {}}", ["5:19 match.time is empty"]),
    (DECISION + "match: {time: {after: 2026-11-01, day: [mon]}}",
     ["5:27 match.time.after: expected a time, found the text '2026-11-01'", "5:39 unknown key 'day' in match.time"]),
    (DECISION + "match: {time: {days: [Monday, 1], between: [22:00]}}",
     ["5:27 unknown entry of match.time.days 'Monday'", "5:35 entry of match.time.days: expected text, found 1",
      "5:48 match.time.between: expected two times of day, found a list"]),
    (DECISION + "match: {time: {between: [9:00, 24:01]}}",
     ["5:30 match.time.between: expected a time of day, found the text '9:00'",
      "5:36 match.time.between: expected a time of day, found the text '24:01'"]),
    (DECISION + "match: {time: {between: [09:00, 09:00]}}",
     ["5:29 match.time.between starts and ends at the same time"]),
    (DECISION + "match: {time: {between: [24:00, 00:00]}}",
     ["5:30 match.time.between: expected a time of day, found the text '24:00'"]),
    (DECISION + "match: {time: {between: [09:00, 00:00]}}", ["5:29 match.time.between ends at 00:00"]),
    (DECISION + "match: {time: {days: [mon], tz: Mars/Base}}", ["5:37 match.time.tz: unknown time zone 'Mars/Base'"]),
    (DECISION + "match: {time: {after: 2026-11-01T00:00:00Z, tz: Europe/Berlin}}",
     ["5:53 match.time.tz does nothing without days or between"]),
    (DECISION + "unless: {not: {time: {after: 2026-11-02T00:00:00Z, before: 2026-11-01T00:00:00Z}}}",
     ["5:26 unless.not.time is a window that never opens"]),
    (DECISION + "match: {time: {after: 2026-11-02T00:00:00Z, before: 2026-11-03T00:00:00Z, days: [sun]}}",
     ["5:19 match.time is a window that never opens"]),
    (DECISION + "rate: {limit: 3, window: 60}",
     ["5:5 a rate does not go with allow: it would grant only what happens often", "5:11 rate has no key",
      "5:30 rate.window: expected a duration from 1s to 7d, found 60"]),
    ("decision: throttle\nrate: {limit: 0, window: 8d, key: [resource.id, foo.bar, 5], scope: galaxy, per: x}",
     ["5:19 rate.limit: expected a whole number from 1 to 10000, found 0",
      "5:30 rate.window: expected a duration from 1s to 7d, found the text '8d'",
      "5:53 rate.key: attribute path 'foo.bar' has no known root",
      "5:62 entry of rate.key: expected text, found 5",
      "5:73 unknown rate.scope 'galaxy'", "5:81 unknown key 'per' in rate"]),
    ("decision: throttle\nrate: {limit: 1, window: 1d, key: resource.id}",
     ["5:39 rate.key: expected a list, found the text 'resource.id'"]),
    ("decision: throttle\nrate: {limit: 1, window: 1d, key: []}", ["5:39 rate.key is an empty list"]),
    ("decision: throttle\nrate: {limit: 1, window: 1d, key: [subject.id, subject.id]}",
     ["5:39 rate.key does not say what to count by"]),
    ("decision: throttle\nrate: 5", ["5:11 rate: expected a mapping, found 5"]),
    ("decision: deny\napproval: {from: {a: 0, b: yes, c: 17}, expires_in: 31d, by: x}",
     ["5:5 approval does not go with deny",
      "5:26 approval.from.a: expected a whole number from 1 to 16, found 0",
      "5:32 approval.from.b: expected a whole number from 1 to 16, found the text 'yes'",
      "5:40 approval.from.c: expected a whole number from 1 to 16, found 17",
      "5:57 approval.expires_in: expected a duration from 1s to 30d, found the text '31d'",
      "5:62 unknown key 'by' in approval"]),
    ("decision: require_approval\napproval: {from: {a: 9, b: 9}, expires_in: 1h30m}",
     ["5:22 approval.from asks for an impossible number"]),
    ("decision: require_approval\napproval: {from: {}}",
     ["5:15 approval has no expires_in", "5:22 approval.from is empty"]),
    (DECISION + "on_missing: allow", ["5:17 unknown on_missing 'allow'"]),
    (DECISION + "remediations: [{id: a, title: b}]", ["5:5 remediations do not go with allow"]),
    ("decision: deny\nremediations: []", ["5:19 remediations is an empty list"]),
    ("decision: deny\nremediations: [{id: a, tittle: b}, x, {id: b, title: c, add_labels: {d: 1}}]",
     ["5:20 remediation has no title", "5:28 unknown key 'tittle' in remediation",
      "5:40 remediation: expected a mapping, found the text 'x'",
      "5:77 remediation add_labels.d: expected text, found 1"]),
    ("decision: deny\nremediations: [{id: a, title: b}, {id: a, title: c}]", ["5:19 two remediations share an id"]),
    ("decision: deny\nremediations: [" + "{id: a, title: b}, " * 11 + "]",
     ["5:19 too many remediations (11, limit 10)", "5:19 two remediations share an id"]),
    (DECISION + "gate: luck", ["5:11 unknown gate 'luck'"]),
    (DECISION + "reason: ''", ["5:13 reason is empty"]),
    (DECISION + "reason: \"a\\nb\"", ["5:13 reason has several lines"]),
    (DECISION + "reason: " + "x" * 1001, ["5:13 reason is too long (1001 characters, limit 1000)"]),
    (DECISION + "reason_code: No", ["5:18 reason_code 'No' is not valid"]),
    (DECISION + "reason_code: policy_stale", ["5:18 reason_code policy_stale is reserved for Writ itself"]),
    (DECISION + "constraints: {max_retries: 1}", ["5:5 constraints do not go with allow"]),
    ("decision: constrain", ["3:5 constrain without constraints"]),
    ("decision: constrain\nconstraints: {}", ["5:18 constraints is empty"]),
    ("decision: constrain\nconstraints: {max_retrys: 1}", ["5:19 unknown constraint max_retrys"]),
    ("decision: constrain\nconstraints: {min_x: 1, max_retries: -1}",
     ["5:19 unknown constraint min_x",
      "5:29 constraint max_retries must be a number of at least 0 and below 2^53"]),
    ("decision: constrain\nconstraints: {network_allowlist: a.b}",
     ["5:19 constraint network_allowlist must be a list of strings"]),
    ("decision: constrain\nconstraints: {max_retries: *x}", ["5:32 alias *x is not supported"]),
    (DECISION + "match: {actions: [" + ", ".join(f"action.number.{n}" for n in range(4_000)) + "]}",
     ["3:5 rule is too large (82956 bytes compiled, limit 65534)"]),
    (DECISION + "description: x", ["5:5 unknown key 'description' in rule"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problems"), DOCUMENT_PROBLEMS + [(rule(text), problems) for text, problems in RULE_PROBLEMS]
)
def test_every_refusal_has_its_place(text: str, problems: list[str]) -> None:
    _, found, _ = read(text)

    assert [f"{problem.line}:{problem.column} {problem.message}" for problem in found] == problems
    assert {problem.file for problem in found} == {"policies/a/b.yaml"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("version: v1\nrule: []", "did you mean 'rules'?"),
        (rule("decision: permit"), "did you mean 'allow'?"),
        (rule("decision: require-approval"), "did you mean 'require_approval'?"),
        (rule("decision: alow"), "did you mean 'allow'?"),
        (rule("decision: zzz"), "deny, require_approval, throttle, allow_with_constraints, allow, constrain"),
        (rule("decision: deny\nmatch: {topic: [a]}"), "did you mean 'topics'?"),
        (rule("decision: deny\nmatch: {actions: a}"), "write [a]"),
        (rule("decision: deny\nmatch: {tenants: [007]}"), "put it in quotes"),
        (rule("decision: constrain\nconstraints: {max_retrys: 1}"), "did you mean max_retries?"),
    ],
)
def test_hints_say_what_to_write_instead(text: str, hint: str) -> None:
    _, problems, _ = read(text)

    assert any(hint in problem.hint for problem in problems)


def test_all_problems_of_a_file_are_found_at_once() -> None:
    _, problems, _ = read(
        "version: v2\nidd: x\nrules:\n  - id: r\n    decision: maybe\n    match: {actions: ['[']}\n  - x\n"
    )

    assert [problem.line for problem in problems] == [1, 2, 5, 6, 7]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("decision: deny\nwhen: nonsense == 1", ["5:11"]),
        ("decision: deny\nwhen: 'resource.id == \"a\" && nonsense'", ["5:34"]),
        ('decision: deny\nwhen: "resource.id == \\"a\\" && nonsense"', ["5:36"]),
        ("decision: deny\nwhen: |\n  resource.id == 'a'\n    && nonsense", ["7:12"]),
        ("decision: deny\nwhen: >\n  resource.id == 'a'\n  && nonsense", ["7:10"]),
        ("decision: deny\nwhen: resource.id == 'a'\n  && nonsense", ["6:10"]),
        ("decision: deny\nwhen: ''", ["5:11"]),
        ("decision: deny\nwhen: 5", ["5:11"]),
        ("decision: deny\nwhen: [a]", ["5:11"]),
        ("decision: deny\nwhen: size(resource.id)", ["5:11"]),
    ],
)
def test_a_bad_condition_is_placed_in_the_yaml_file(text: str, places: list[str]) -> None:
    _, problems, _ = read(rule(text))

    assert [f"{problem.line}:{problem.column}" for problem in problems] == places


def test_an_expired_policy_stays_readable_where_dates_are_not_judged() -> None:
    text = rule("decision: deny").replace("rules:", "metadata: {expires: 2020-01-01}\nrules:")

    assert [problem.message for problem in read(text)[1]] == ["policy expired on 2020-01-01"]
    assert read(text, today=None)[1] == []


@pytest.mark.parametrize(
    ("metadata", "warnings"),
    [
        ("review: {cycle_days: 90, last_reviewed: 2026-08-03}", []),
        (
            "review: {cycle_days: 90, last_reviewed: 2026-08-02}",
            ["2:52 review is overdue (last 91 days ago, cycle 90)"],
        ),
        ("review: {cycle_days: 3650, last_reviewed: 9999-12-31}", []),
    ],
)
def test_an_overdue_review_is_a_warning(metadata: str, warnings: list[str]) -> None:
    text = rule("decision: deny").replace("rules:", f"metadata: {{{metadata}}}\nrules:")

    found = [f"{warning.line}:{warning.column} {warning.message}" for warning in read(text)[2]]

    assert found == warnings


def test_an_entry_listed_twice_is_a_warning() -> None:
    _, problems, warnings = read(rule("decision: deny\nmatch: {actions: [a, b, a]}"))

    assert problems == []
    assert [warning.message for warning in warnings] == ["match.actions lists an entry twice"]


def test_a_path_that_is_no_id_is_a_problem_of_the_file() -> None:
    _, problems, _ = read(rule("decision: deny"), file="policies/_hidden.yaml")

    assert [problem.where for problem in problems] == ["policies/_hidden.yaml"]
