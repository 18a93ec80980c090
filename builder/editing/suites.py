"""The schemas of policy tests, and of the fixtures that suites share."""

from builder.editing.parts import (
    MOMENT,
    VERSION,
    Schema,
    described,
    integer,
    list_of,
    map_of,
    mapping,
    one_of,
    one_or_list,
    text,
)
from builder.editing.policy import constraints
from builder.language.expectations import MAX_RETRY_AFTER_S
from builder.language.fixtures import KINDS
from builder.language.matrices import AXES
from policy_core.matcher.combining import GATE_WORDS
from policy_core.model import Decision, Gate

_DECISIONS = [decision.value for decision in Decision if decision is not Decision.CONSTRAIN]
_ANY: Schema = {"type": "object"}
_NAMED: Schema = {"anyOf": [text("the name of a fixture"), {"type": "object"}]}


def suite() -> Schema:
    """Return the schema of a file below ``tests/``."""
    properties = {
        "version": VERSION,
        "name": text(),
        **_circumstances(),
        "fixtures": mapping(_fixtures()),
        "cases": list_of(_case()),
    }
    return mapping(properties, required=("cases",))


def fixtures() -> Schema:
    """Return the schema of a file below ``tests/fixtures/``."""
    return mapping({"version": VERSION, **_fixtures()})


def _fixtures() -> dict[str, Schema]:
    return {kind: map_of(_ANY) for kind in KINDS}


def _circumstances() -> dict[str, Schema]:
    return {"now": described(MOMENT, "the time of the requests"), "host": map_of(text(), "labels of the host")}


def _case() -> Schema:
    properties = {
        "name": text("what the case claims; unique in its suite"),
        "request": described(_NAMED, "the name of a fixture, or a request"),
        "subject": _NAMED,
        "action": _NAMED,
        "resource": _NAMED,
        "context": _ANY,
        "matrix": mapping({axis: list_of(text()) for axis in AXES.values()}, required=AXES.values()),
        **_circumstances(),
        "counted": map_of(integer(0, 10_000), "requests of the same key that were allowed already, by POLICY/RULE"),
        "approved_by": list_of(text(), "as if these approvers had granted the request"),
        "expect": {"anyOf": [_expect(), list_of(_expect())], "description": "what the request must get"},
        "skip": text("why it is not run"),
    }
    return mapping(properties, required=("name", "expect"))


def _expect() -> Schema:
    """Return the schema of an expectation; the coordinates go with a matrix only, which is left to the reader."""
    properties = {
        **{part: one_or_list(text()) for part in AXES},
        "decision": one_of(_DECISIONS),
        "rule": text("the one that decides, as POLICY/RULE"),
        "reason_code": text(),
        "constraints": described(constraints(), "all of them, exactly; {} for none"),
        "exception": text("the id of the exception that made the difference"),
        "dry_run": one_of(_DECISIONS, "what the decision would be with the policies that run dry"),
        "gates": {
            **map_of(one_of(GATE_WORDS), may_be_empty=True),
            "propertyNames": {"enum": [gate.value for gate in Gate]},
        },
        "errors": list_of(text(), "rules that could not be evaluated", may_be_empty=True),
        "remediations": list_of(text(), "their ids", may_be_empty=True),
        "retry_after_s": integer(0, MAX_RETRY_AFTER_S),
    }
    return mapping(properties, required=("decision",))
