"""The JSON Schemas for editors take what the compiler takes, and refuse what is plainly wrong."""

import copy
import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.editing import KINDS
from builder.editing.clauses import clauses
from builder.editing.policy import constraints, rule
from builder.language import (
    approvals,
    approvers,
    classify,
    documents,
    exceptions,
    expectations,
    governance,
    hosts,
    metadata,
    notsecrets,
    project,
    rating,
    remediations,
    suites,
    windows,
)
from builder.language import (
    clauses as clauses_reader,
)
from builder.language.classify import read_classify
from builder.language.documents import read_document
from builder.language.exceptions import read_exception
from builder.language.nodes import Report, plain
from builder.language.project import read_project
from builder.language.yamlfile import read_yaml
from builder.library import read_library
from builder.linting.pages import PAGES
from builder.templating import TemplateValues, find_template, render
from policy_core.constraints import REGISTRY

ROOT = Path(__file__).parents[4]
TODAY = datetime.date(2026, 11, 20)
VALIDATORS = {name: jsonschema.Draft7Validator(kind.schema()) for name, kind in KINDS.items()}


def kind_of(path: str) -> str | None:
    """Return the kind of an authored file."""
    if path == "writ.yaml":
        return "project"
    if path.startswith("tests/fixtures/"):
        return "fixtures"
    folders = {"policies": "policy", "exceptions": "exception", "classify": "classify", "tests": "suite"}
    return folders.get(path.split("/", maxsplit=1)[0]) if path.endswith(".yaml") else None


def value_of(content: bytes) -> Any:
    """Return what a file says to an editor that reads YAML 1.2."""
    root = read_yaml(content, Report("file"))
    assert root is not None
    return plain(root)


def complaints(kind: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[kind].iter_errors(value)]


def shipped() -> Iterator[tuple[str, bytes]]:
    """Yield every file that ships or is shown as sound, by a path that says what it is."""
    yield from render(find_template(), TemplateValues(name="agents", store="s3://b/p", today=TODAY)).items()
    for primitive in read_library(find_template(), today=TODAY):
        yield from primitive.files.items()
    for page in PAGES.values():
        for files in (page.after, {} if page.code.is_error else page.before):
            yield from ((path, text.encode()) for path, text in files.items())
    for page_file in sorted((ROOT / "docs/reference").glob("*.md")):
        for text in re.findall(r"```yaml\n(.*?)```", page_file.read_text(), re.DOTALL):
            path = text.removeprefix("# ").partition("\n")[0]
            if page_file.name != "lint.md":
                yield path, text.encode()


SOUND = [(kind, path, content) for path, content in shipped() if (kind := kind_of(path))]


@pytest.mark.parametrize("name", KINDS)
def test_a_schema_is_one_by_its_draft(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(KINDS[name].schema())


def test_everything_that_ships_or_is_shown_fits_its_schema() -> None:
    found = [
        f"{path}: {complaint}" for kind, path, content in SOUND for complaint in complaints(kind, value_of(content))
    ]

    assert found == []
    assert {kind for kind, _, _ in SOUND} == set(KINDS)
    assert len(SOUND) > 100


POLICY = KINDS["policy"].schema()
KEYS = [
    (POLICY, documents._DOCUMENT_KEYS),
    (POLICY["properties"]["metadata"], metadata.KEYS),
    (rule(), documents._RULE_KEYS),
    (rule()["properties"]["rate"], rating._KEYS),
    (rule()["properties"]["approval"], approvals._KEYS),
    (rule()["properties"]["remediations"]["items"], remediations._KEYS),
    (clauses(), clauses_reader._CLAUSES),
    (clauses()["properties"]["subject"], clauses_reader._ENTITY_CLAUSES),
    (clauses()["properties"]["time"], windows._KEYS),
    (constraints(), REGISTRY),
    (KINDS["exception"].schema(), exceptions._KEYS),
    (KINDS["classify"].schema()["properties"]["classify"]["items"], classify._ENTRY_KEYS),
    (KINDS["suite"].schema(), suites._SUITE_KEYS),
    (KINDS["suite"].schema()["properties"]["cases"]["items"], suites._CASE_KEYS),
    (
        KINDS["suite"].schema()["properties"]["cases"]["items"]["properties"]["expect"]["anyOf"][0],
        ("subject", "action", "resource", *expectations.KEYS),
    ),
    (KINDS["project"].schema(), project._KEYS),
    (KINDS["project"].schema()["properties"]["gates"]["anyOf"][2], project._GATES),
    (KINDS["project"].schema()["properties"]["hosts"]["anyOf"][2], hosts._KEYS),
    (KINDS["project"].schema()["properties"]["governance"]["anyOf"][2], governance._KEYS),
    (KINDS["project"].schema()["properties"]["approvers"]["anyOf"][2]["additionalProperties"], approvers._KEYS),
    (KINDS["project"].schema()["properties"]["not_secrets"]["items"], notsecrets._KEYS),
]


@pytest.mark.parametrize(("schema", "keys"), KEYS, ids=lambda value: "-".join(list(value)[:2]))
def test_a_schema_knows_the_keys_that_the_compiler_knows(schema: dict[str, Any], keys: Any) -> None:
    assert set(schema["properties"]) == set(keys)
    assert schema["additionalProperties"] is False


WRONG = {
    "policy": [
        "version: v2\nrules: [{id: r, decision: deny}]",
        "rules: [{id: r, decision: deny}]",
        "version: v1\nrules: []",
        "version: v1\nrules: [{id: r, decision: permit}]",
        "version: v1\nrules: [{id: r}]",
        "version: v1\nrules: [{id: a/b, decision: deny}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {action: [a]}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {actions: a}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {actions: ['[a]']}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {actions: [a], topics: [a]}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {risk_tags: ['a*']}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {not: {not: {actions: [a]}}}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {attributes: {size: {eq: 1}}}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {attributes: {context.a: {is: 1}}}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {time: {days: [monday]}}}]",
        "version: v1\nrules: [{id: r, decision: deny, match: {time: {between: ['22:00']}}}]",
        "version: v1\nrules: [{id: r, decision: deny, constraints: {max_targets: 1}}]",
        "version: v1\nrules: [{id: r, decision: constrain}]",
        "version: v1\nrules: [{id: r, decision: constrain, constraints: {max_tragets: 1}}]",
        "version: v1\nrules: [{id: r, decision: constrain, constraints: {max_targets: many}}]",
        "version: v1\nrules: [{id: r, decision: allow, rate: {limit: 3, window: 1h, key: [subject.id]}}]",
        "version: v1\nrules: [{id: r, decision: throttle, rate: {limit: 3, window: 1h}}]",
        "version: v1\nrules: [{id: r, decision: throttle, rate: {limit: 3, window: 1w, key: [subject.id]}}]",
        "version: v1\nrules: [{id: r, decision: deny, approval: {from: {a: 1}, expires_in: 1h}}]",
        "version: v1\nrules: [{id: r, decision: allow, remediations: [{id: a, title: b}]}]",
        "version: v1\nmetadata: {expires: tomorrow}\nrules: [{id: r, decision: deny}]",
        "version: v1\nmetadata: {severity: huge}\nrules: [{id: r, decision: deny}]",
    ],
    "project": [
        "name: a\nstore: s3://b",
        "name: A\nstore: s3://b\nchannels: [prod]",
        "name: a\nstore: https://b\nchannels: [prod]",
        "name: a\nstore: s3://b\nchannels: []",
        "name: a\nstore: s3://b\nchannels: [prod]\ngates: {coverage: {rules: 101}}",
        "name: a\nstore: s3://b\nchannels: [prod]\napprovers: {ana: {key: abc, teams: [a], subjects: [ana]}}",
        "name: a\nstore: s3://b\nchannels: [prod]\ngovernance: {required_metadata: [owner]}",
        "name: a\nstore: s3://b\nchannels: [prod]\nhosts: {max_pin: 1w}",
        "name: a\nstore: s3://b\nchannels: [prod]\nhosts: {min_release: {prod: 0}}",
    ],
    "exception": ["version: v1\nid: e\nrules: [a/b]"],
    "classify": [
        "version: v1\nclassify: [{id: a, match: {actions: [a]}}]",
        "version: v1\nclassify: [{id: a, risk_tags: [a]}]",
        "version: v1\nclassify: [{id: a, match: {roles: [a]}, risk_tags: [a]}]",
        "version: v1\nclassify: [{id: a, match: {actions: [a]}, require_facts: [tenant]}]",
    ],
    "suite": [
        "cases: []",
        "cases: [{name: a, request: b}]",
        "cases: [{request: b, expect: {decision: allow}}]",
        "cases: [{name: a, request: b, expect: {decision: constrain}}]",
        "cases: [{name: a, matrix: {subjects: [a]}, expect: []}]",
        "cases: [{name: a, request: b, now: today, expect: {decision: allow}}]",
    ],
    "fixtures": ["subject: {a: {}}", "subjects: [a]"],
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts], ids=lambda value: value[:70]
)
def test_what_is_plainly_wrong_is_refused(kind: str, text: str) -> None:
    assert complaints(kind, value_of(text.encode())) != []


READERS = {
    "policy": lambda content, report: read_document(content, report, today=None),
    "exception": lambda content, report: read_exception(content, report, today=None),
    "classify": read_classify,
    "project": read_project,
}
JUNK = st.sampled_from(
    ["", "x", "v1", "deny", "1h", "2026-11-01", 0, 1, 2.5, -1, True, None, [], ["x"], {}, {"x": "y"}]
)
CHANGEABLE = [(kind, value_of(content)) for kind, _, content in SOUND if kind in READERS]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside one."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in below:
        yield (*path, key)
        yield from places(inner, (*path, key))


@given(data=st.data())
def test_a_schema_never_refuses_what_the_compiler_takes(data: st.DataObject) -> None:
    kind, sound = data.draw(st.sampled_from(CHANGEABLE))
    changed = copy.deepcopy(sound)
    *above, last = data.draw(st.sampled_from(list(places(sound))))
    place: Any = changed
    for key in above:
        place = place[key]
    if data.draw(st.booleans()):
        place[last] = data.draw(JUNK)
    else:
        del place[last]
    report = Report(f"{kind}.yaml")

    READERS[kind](json.dumps(changed).encode(), report)

    if not report.problems:
        assert complaints(kind, changed) == []
