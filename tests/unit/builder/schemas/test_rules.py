"""Rules against declared schemas: attributes that cannot exist, and values they cannot have."""

import pytest

from builder.language.classify import read_classify
from builder.language.documents import read_document
from builder.language.exceptions import read_exception
from builder.language.nodes import Report
from builder.schemas.declarations import read_declarations
from builder.schemas.rules import check_rules, check_scopes
from policy_core.errors import Problem

SCHEMAS = {
    "schemas/subjects/user.yaml": """
properties:
  team: {enum: [sre, dev]}
  level: {type: integer}
  ip: {type: string}
  active: {type: boolean}
  roles: {type: array, items: {enum: [admin, viewer]}}
  skills: {type: array, items: {type: object, properties: {name: {type: string}}}}
  address: {properties: {city: {type: string}}, patternProperties: {^x_: {}}}
  free: {type: object}
""",
    "schemas/subjects/agent.json": '{"properties": {"model": {"$ref": "#/$defs/t"}}, "$defs": {"t": {"const": "m"}}}',
    "schemas/resources/cloud/vm.yaml": "properties: {cpus: {type: integer}}\nadditionalProperties: true",
    "schemas/actions/service.scale.yaml": "properties: {count: {type: integer}}",
    "schemas/context.yaml": "properties: {env: {anyOf: [{const: prod}, {const: test}]}}",
}


def findings(rule: str, schemas: dict[str, str] = SCHEMAS) -> tuple[list[Problem], list[Problem]]:
    report = Report("")
    content = f"version: v1\nrules:\n  - {{id: r, decision: deny, {rule}}}\n".encode()
    document = read_document(content, Report("policies/a.yaml"), today=None)
    assert document is not None
    assert document.rules
    declarations = read_declarations([(path, text.encode()) for path, text in sorted(schemas.items())], report)
    check_rules([document], {"policies/a.yaml": content}, declarations, report)
    return sorted(report.problems), report.warnings


def problems(rule: str) -> list[str]:
    return [problem.message for problem in findings(rule)[0]]


@pytest.mark.parametrize(
    "rule",
    [
        "match: {subject: {types: [user], properties: {team: [s*, dev], level: 3}}}",
        "match: {attributes: {subject.id: {prefix: a}, subject.type: {eq: x}, action.name: {glob: 'a*'}}}",
        "match: {attributes: {subject.properties.level: {lt: 4, ne: 2.0}, subject.properties.ip: {cidr: 10.0.0.0/8}}}",
        "match: {attributes: {subject.properties.model: {exists: true}}}",  # some type has it
        "match: {attributes: {subject.properties.address.city: {eq: a}, subject.properties.address.x_1: {eq: 3}}}",
        "match: {attributes: {subject.properties.free.anything: {gt: 1}, subject.properties.skills: {exists: true}}}",
        "match: {attributes: {resource.properties.more: {eq: 1}, context.risk_tags: {exists: true}}}",
        "match: {attributes: {context.labels.tier: {eq: gold}, context.job.priority: {exists: false}}}",
        "match: {subject: {types: [robot], properties: {wheels: 4}}}",  # nobody says what robots have
        "match: {risk_tags: [x], tenants: [a], labels: {a: b}, requires: [c]}",
        "match: {subject: {types: [us*], roles: [admin]}}",
        "match: {actions: [service.scale], attributes: {action.properties.count: {ge: 3}}}",
        "match: {actions: [service.stop], attributes: {action.properties.now: {eq: true}}}",
        "when: 'has(subject.properties.model) && subject.properties.level > 2.5'",
        "when: 'subject.properties.skills.exists(s, s.name == \"go\")'",
        "when: 'context.env in [\"prod\", \"test\"] && context.env.startsWith(subject.id)'",
        "when: 'resource.properties.n == 3 || host.x == \"\" || now > timestamp(\"2026-01-01T00:00:00Z\")'",
        "when: 'subject.properties.team == (subject.properties.active ? \"x\" : \"y\")'",
        "when: 'subject.properties.skills.filter(s, s.name == \"a\").size() > 1 && subject.properties[subject.id]'",
    ],
)  # fmt: skip
def test_what_is_declared_may_be_asked(rule: str) -> None:
    assert problems(rule) == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("match: {subject: {properties: {levl: 3}}}",
         "match.subject.properties.levl: no schema declares subject.properties.levl"),
        ("match: {subject: {types: [agent], properties: {team: sre}}}",
         "match.subject.properties.team: no schema declares subject.properties.team (subject agent)"),
        ("match: {attributes: {context.evn: {exists: false}}}",
         "match.attributes.context.evn: no schema declares context.evn"),
        ("match: {attributes: {subject.properties.address.town: {eq: x}}}",
         "match.attributes.subject.properties.address.town: no schema declares subject.properties.address.town"),
        ("match: {attributes: {subject.properties.level.x: {eq: 1}}}",
         "match.attributes.subject.properties.level.x: no schema declares subject.properties.level.x"),
        ("match: {actions: [service.scale], attributes: {action.properties.cuont: {eq: 1}}}",
         "match.attributes.action.properties.cuont: no schema declares action.properties.cuont (action service.scale)"),
        ("match: {attributes: {subject.properties.ip: {lt: 3}}}",
         "match.attributes.subject.properties.ip.lt: lt compares numbers, but ip is declared as text"),
        ("match: {attributes: {subject.properties.level: {cidr: 10.0.0.0/8}}}",
         "match.attributes.subject.properties.level.cidr: cidr tests text, but level is declared as a number"),
        ("match: {attributes: {subject.properties.level: {eq: '3'}}}",
         "match.attributes.subject.properties.level.eq: level is declared as a number, never the text '3'"),
        ("match: {attributes: {subject.properties.team: {not_in: [sre, ops]}}}",
         "match.attributes.subject.properties.team.not_in: team is never the text 'ops', by its schema"),
        ("match: {attributes: {context.env: {glob: 'x*'}}}",
         "match.attributes.context.env.glob: env is never the text 'x*', by its schema"),
        ("match: {subject: {roles: [amdin]}}", "match.subject.roles: a role is never the text 'amdin', by its schema"),
        ("match: {not: {subject: {types: [user], properties: {model: x}}}}",
         "match.not.subject.properties.model: no schema declares subject.properties.model (subject user)"),
        ("match: {subject: {types: [agent]}}, unless: {attributes: {subject.properties.ip: {eq: x}}}",
         "unless.attributes.subject.properties.ip: no schema declares subject.properties.ip (subject agent)"),
        ("when: 'subject.properties.nmae == 1'", "when: no schema declares subject.properties.nmae"),
        ("when: 'has(subject.properties.nmae)'", "when: no schema declares subject.properties.nmae"),
        ("when: 'subject[\"properties\"].nmae == 1'", "when: no schema declares subject.properties.nmae"),
        ("match: {subject: {types: [user]}}, when: 'subject.properties.model == \"x\"'",
         "when: no schema declares subject.properties.model (subject user)"),
        ("when: 'subject.properties.skills.all(s, s.nmae != \"a\")'", "when: no schema declares s.nmae"),
        ("when: 'subject.properties.level < \"3\"'",
         "when: subject.properties.level is declared as a number, and ordered against text"),
        ("when: 'subject.properties.level == subject.properties.ip'",
         "when: subject.properties.level is declared as a number, and compared with text"),
        ("when: '\"ops\" == subject.properties.team'",
         "when: subject.properties.team is never the text 'ops', by its schema"),
        ("when: 'subject.properties.team in [\"sre\", \"ops\"]'",
         "when: subject.properties.team is never the text 'ops', by its schema"),
        ("when: '\"boss\" in subject.properties.roles'",
         "when: an entry of subject.properties.roles is never the text 'boss', by its schema"),
        ("when: 'subject.properties.ip && true'",
         "when: subject.properties.ip is used as a condition, but is declared as text"),
        ("when: 'subject.properties.level.contains(\"a\")'",
         "when: subject.properties.level is searched as text, but is declared as a number"),
        ("when: 'subject.properties.active * 2 > 1'",
         "when: subject.properties.active is calculated with, but is declared as true or false"),
        ("when: 'size(subject.properties.level) > 1'",
         "when: subject.properties.level is measured, but is declared as a number"),
        ("when: 'subject.properties.ip < timestamp(\"2026-01-01T00:00:00Z\")'",
         "when: subject.properties.ip is declared as text, and ordered against a time"),
        ("when: 'subject.properties.level.exists(x, x == 1)'",
         "when: subject.properties.level is looped over, but is declared as a number"),
    ],
)  # fmt: skip
def test_what_can_never_be_is_refused(rule: str, message: str) -> None:
    assert problems(rule) == [message]


@pytest.mark.parametrize(
    ("rule", "at", "hint"),
    [
        ("match: {subject: {properties: {levl: 3}}}", "levl: 3", "did you mean 'level'?"),
        ("match: {subject: {properties: {team: [sre, dve]}}}", "dve]", "did you mean 'dev'?"),
        ("match: {attributes: {context.evn: {exists: false}}}", "context.evn: {", "did you mean 'env'?"),
        ("match: {attributes: {subject.properties.level: {eq: '3'}}}", "'3'", "write it without quotes"),
        ("match: {attributes: {subject.properties.ip: {eq: 3}}}", "3}}}", "put it in quotes"),
        ("when: 'true == has(context.evn)'", "context.evn)", "did you mean 'env'?"),
        ('when: \'subject.id == "ä" && context.env == "prd"\'', "context.env ==", "did you mean 'prod'?"),
        ("when: 'context.env == \"prod\" && [1].exists(a, a == 2) && context.b == 1'", "context.b", ""),
    ],
)
def test_a_finding_has_place_and_hint(rule: str, at: str, hint: str) -> None:
    (problem,) = findings(rule)[0]

    written = f"  - {{id: r, decision: deny, {rule}}}"
    assert problem.line == 3
    assert written[problem.column - 1 :].startswith(at)
    assert problem.hint == hint or not hint


def test_a_place_is_found_in_a_folded_condition() -> None:
    rule = "match: {}, when: 'context.env == \"prod\"\n      && context.evn == 1'"

    assert [(problem.line, problem.column) for problem in findings(rule.replace("match: {}, ", ""))[0]] == [(4, 10)]


def test_a_type_without_schema_is_a_warning() -> None:
    found, warnings = findings("match: {subject: {types: [usr]}}, unless: {resource: {types: [x]}}")

    assert found == []
    assert [(warning.line, warning.message, warning.hint) for warning in warnings] == [
        (3, "match.subject.types: type 'usr' has no schema, so its attributes are not checked", "did you mean 'user'?"),
        (3, "unless.resource.types: type 'x' has no schema, so its attributes are not checked",
         "add schemas/resources/TYPE.yaml"),
    ]  # fmt: skip


def test_without_schemas_of_a_kind_everything_may_be_asked() -> None:
    only_context = {"schemas/context.yaml": SCHEMAS["schemas/context.yaml"]}

    assert findings("match: {subject: {properties: {levl: 3}}}, when: 'resource.properties.x == 1'", only_context) == (
        [],
        [],
    )


@pytest.mark.parametrize(
    ("path", "declared"),
    [
        ("subject.properties.team", True),
        ("subject.properties.address.city", True),
        ("subject.properties.roles", True),
        ("subject.id", True),
        ("context.risk_tags", True),
        ("resource.properties.whatever", True),  # additionalProperties: true says so
        ("subject.properties.nmae", False),
        ("context.evn", False),
    ],
)
def test_whether_an_attribute_is_declared(path: str, declared: bool) -> None:
    schemas = [(path, text.encode()) for path, text in sorted(SCHEMAS.items())]

    assert read_declarations(schemas, Report("")).declares(path) is declared


def test_a_broken_schema_is_told_once() -> None:
    report = Report("")
    declarations = read_declarations([("schemas/context.yaml", b"properties: [")], report)

    assert len(report.problems) == 1
    assert declarations.place(("context", "anything")) != ()


def test_nothing_is_declared_without_schemas() -> None:
    assert not read_declarations([], Report("")).declares("context.env")


def beside(path: str, text: str) -> list[str]:
    """Return the problems of a file that is no policy."""
    report = Report("")
    declarations = read_declarations([(name, schema.encode()) for name, schema in sorted(SCHEMAS.items())], report)
    files = {path: text.encode()}
    if path.startswith("classify/"):
        classify = read_classify(files[path], Report(path))
        assert classify is not None
        check_rules([classify], files, declarations, report)
    else:
        exception = read_exception(files[path], Report(path), today=None)
        assert exception is not None
        check_scopes([exception], files, declarations, report)
    return [f"{problem.where}: {problem.message}" for problem in report.problems]


def test_a_required_fact_must_be_declared() -> None:
    text = (
        "version: v1\nclassify:\n  - id: a\n    match: {actions: [x]}\n"
        "    require_facts: [context.env, subject.properties.tema]\n"
    )

    assert beside("classify/a.yaml", text) == [
        "classify/a.yaml:5:34: require_facts: no schema declares subject.properties.tema"
    ]


def test_the_scope_of_an_exception_must_be_declared() -> None:
    text = (
        "version: v1\nid: e\nrules: [a/a]\nscope:\n  match: {subject: {types: [user], properties: {tema: sre}}}\n"
        "category: waiver\njustification: x\nrequested_by: ana\napproved_by: [bo]\nticket: CHG-1\n"
        "created: 2026-01-01\nexpires: 2026-02-01\n"
    )

    (problem,) = beside("exceptions/e.yaml", text)
    assert problem.startswith("exceptions/e.yaml:5:49: scope.match.subject.properties.tema: no schema declares")
