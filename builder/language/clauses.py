"""The clauses of ``match`` and ``unless``: what a rule asks of a request."""

from builder.language import fields
from builder.language.attributes import read_attributes
from builder.language.nodes import MapNode, Node, Report
from builder.language.windows import read_window
from policy_core.model import Clauses, EntityClauses, Scalar

_CLAUSES = (
    "topics", "actions", "risk_tags", "risk_tags_any", "tenants", "capabilities", "pack_ids", "requires", "labels",
    "subject", "resource", "attributes", "time", "not",
)  # fmt: skip
_ENTITY_CLAUSES = ("types", "ids", "roles", "properties")
_GLOBS = frozenset({"tenants", "capabilities", "pack_ids"})


def read_clauses(report: Report, node: Node, side: str) -> Clauses | None:
    """Return the clauses of one side of a rule, None if there is nothing usable."""
    found = fields.mapping(report, node, side)
    if found is None:
        return None
    fields.check_keys(report, found, side, _CLAUSES)
    values = _values(report, found, side)
    if entry := found.entries.get("not"):
        values["none_of"] = _none_of(report, entry[1], f"{side}.not")
    return Clauses(**values)  # type: ignore[arg-type]


def _none_of(report: Report, node: Node, side: str) -> Clauses | None:
    found = fields.mapping(report, node, side)
    if found is None:
        return None
    before = len(report.problems)
    if entry := found.entries.get("not"):
        report.at(entry[0], "a not inside a not", f"write its clauses beside {side} instead of inside")
    fields.check_keys(report, found, side, _CLAUSES)
    clauses = Clauses(**_values(report, found, side))  # type: ignore[arg-type]
    if clauses == Clauses() and len(report.problems) == before:
        report.at(node, f"{side} has no clause", "leave it out, or add a clause")
    return clauses


def _values(report: Report, found: MapNode, side: str) -> dict[str, object]:
    if "topics" in found.entries and "actions" in found.entries:
        report.at(found.entries["actions"][0], "topics and actions are two names for one clause", "keep one of them")
    values: dict[str, object] = {}
    for name, (_, value) in found.entries.items():
        what = f"{side}.{name}"
        if name in ("topics", "actions"):
            values["actions"] = fields.globs(report, value, what)
        elif name in _GLOBS:
            values[name] = fields.globs(report, value, what)
        elif name in ("risk_tags_any", "requires"):
            values[name] = fields.words(report, value, what)
        elif name == "risk_tags":  # here an empty list says: no constraint
            values[name] = fields.words(report, value, what, may_be_empty=True)
        elif name == "labels":
            values[name] = _labels(report, value, what)
        elif name in ("subject", "resource"):
            values[name] = _entity(report, value, what)
        elif name == "attributes":
            values[name] = read_attributes(report, value, what)
        elif name == "time":
            values[name] = read_window(report, value, what)
    return values


def _labels(report: Report, node: Node, what: str) -> dict[str, str]:
    found = fields.string_map(report, node, what)
    for name, (place, pattern) in found.items():
        fields.check_glob(report, place, pattern, f"{what}.{name}")
    return {name: pattern for name, (_, pattern) in found.items()}


def _entity(report: Report, node: Node, what: str) -> EntityClauses | None:
    found = fields.mapping(report, node, what)
    if found is None:
        return None
    fields.check_keys(report, found, what, _ENTITY_CLAUSES)
    values: dict[str, object] = {}
    for name, (_, value) in found.entries.items():
        if name in ("types", "ids"):
            values[name] = fields.globs(report, value, f"{what}.{name}")
        elif name == "roles":
            values[name] = fields.words(report, value, f"{what}.roles")
        elif name == "properties":
            values[name] = _properties(report, value, f"{what}.properties")
    return EntityClauses(**values)  # type: ignore[arg-type]


def _properties(report: Report, node: Node, what: str) -> dict[str, tuple[Scalar, ...]]:
    """Read property clauses: one accepted value, or a list of them; texts are globs."""
    found = fields.mapping(report, node, what)
    return {
        name: tuple(fields.scalars(report, value, f"{what}.{name}", globs=True))
        for name, (_, value) in (found.entries.items() if found else ())
    }
