"""Holds a job-style file against the table of fields: what is unknown or refused is a problem, the rest is noted."""

from collections.abc import Iterator

from builder.importing.fields import CHILDREN, FIELDS, Field
from builder.language import fields
from builder.language.codes import Code
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Place, Report, ScalarNode

_ANY = "<name>"


def check_fields(report: Report, root: MapNode) -> dict[str, list[Place]]:
    """Return the places of each mapped field that the file uses; all others go to the report."""
    used: dict[str, list[Place]] = {}
    for path, key, value in _walk(report, root, ""):
        field = FIELDS.get(path)
        if field is None or field.refused:
            _refuse(report, path, field, key, value)
        else:
            used.setdefault(path, []).append(key)
    return used


def _walk(report: Report, node: Node, path: str) -> Iterator[tuple[str, ScalarNode, Node]]:
    """Yield (path, key, value) of the fields below a node that are mapped, or refused with all that is in them."""
    known = CHILDREN.get(path, ())
    if not known or isinstance(node, BrokenNode) or (isinstance(node, ScalarNode) and node.value is None):
        return
    if isinstance(node, ListNode) and path in ("rules", "rules.remediations"):
        for item in node.items:
            if isinstance(item, MapNode):
                yield from _walk(report, item, path)
            elif not isinstance(item, BrokenNode):
                report.at(item, f"entry of {path}: expected a mapping, found {fields.describe(item)}")
        return
    if not isinstance(node, MapNode):
        report.at(node, f"{path or 'policy'}: expected a mapping, found {fields.describe(node)}")
        return
    for name, (key, value) in node.entries.items():
        child = f"{path}.{_ANY if known == (_ANY,) else name}".removeprefix(".")
        if _ANY not in known and name not in known:
            hint = fields.suggestion(name, known, "known here")
            report.of(Code.UNKNOWN_KEY).at(key, f"unknown field {fields.shown(name)} in {path or 'policy'}", hint)
        elif child in FIELDS or _refusal(child):
            yield child, key, value
            if not _refusal(child):
                yield from _walk(report, value, child)
        else:  # a group, such as budgets, or a tenant
            yield from _walk(report, value, child)


def _refusal(path: str) -> Field | None:
    """Return why all of a path is refused, None if some of it is mapped."""
    below = [field for known, field in FIELDS.items() if f"{known}.".startswith(f"{path}.")]
    return below[0] if below and all(field.refused for field in below) else None


def _refuse(report: Report, path: str, field: Field | None, key: Place, value: Node) -> None:
    field = field or _refusal(path)
    if field is None:  # a group that is mapped in part has been walked instead
        return
    inside = sorted(set(_names(value, path)))
    shown = f"{path} ({', '.join(inside)})" if inside else path
    report.at(key, f"{shown} cannot be imported: {field.says}", field.hint)


def _names(node: Node, path: str) -> Iterator[str]:
    """Yield what is written below a refused field, by name, with a mark on what the format does not know."""
    known = CHILDREN.get(path, ())
    for item in node.items if isinstance(node, ListNode) else (node,):
        if not known or not isinstance(item, MapNode):
            continue
        for name, (_, value) in item.entries.items():
            deeper = list(_names(value, f"{path}.{name}"))
            if name not in known:
                yield f"{name[:40]!r}, which is unknown"
            elif deeper:
                yield from (f"{name}.{inner}" for inner in deeper)
            else:
                yield name
