"""The comparison finds what differs: in the decision, in constraints, and in the rule that is named."""

import msgspec
import pytest

from builder.importing.importer import import_policy
from builder.importing.proving import compare
from builder.importing.reading import read_source
from builder.language.documents import read_document
from builder.language.nodes import Report, plain

SOURCE = """\
rules:
- {id: wide, match: {topics: ["job.a*"]}, decision: allow, constraints: {max_retries: 2}}
- {id: no, match: {labels: {env: prod}}, decision: deny}
- {id: also, match: {topics: [job.b]}, decision: allow}
"""


@pytest.mark.parametrize(
    ("rule", "field", "value", "count"),
    [
        ("wide", "constraints", {"max_retries": 3}, 1),
        ("no", "decision", "require_approval", 1),
        ("also", "decision", "throttle", 1),
        ("also", "skip", None, 1),
    ],
)
def test_a_rule_that_says_something_else_is_found(rule: str, field: str, value: object, count: int) -> None:
    imported = import_policy(SOURCE.encode(), "safety.yaml")
    source = read_source(SOURCE.encode(), Report("safety.yaml"))
    document = read_document(imported.text.encode(), Report("policies/safety.yaml"), today=None)
    assert source
    assert document
    pairs = list(zip(imported.rules, document.rules, strict=True))
    if field == "skip":
        pairs = [pair for pair in pairs if pair[0].id != rule]
    else:
        pairs = [
            (made, msgspec.structs.replace(compiled, **{field: value}) if made.id == rule else compiled)
            for made, compiled in pairs
        ]

    ours, rules = zip(*pairs, strict=True)
    proof = compare(plain(source.root), source.rules, ours, rules, most=1_000)

    assert len(proof.differences) >= count
    assert {found.before_rule for found in proof.differences} == {rule}
    assert all(found.examples for found in proof.differences)
