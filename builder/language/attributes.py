"""The ``attributes`` clause: tests of any attribute of a request, by dotted path."""

from builder.language import fields
from builder.language.nodes import BrokenNode, ListNode, Node, Report, ScalarNode
from policy_core.attributes import ORDERED, check_path, compile_regex, parse_network
from policy_core.model import AttributeTests, Scalar

_OPERATORS = ("eq", "ne", "in", "not_in", "glob", "prefix", "lt", "le", "gt", "ge", "exists", "cidr", "regex")
_HINTS = {"cidr": "write 10.0.0.0/8: no host bits", "regex": "RE2 has no look-around and no back references"}


def read_attributes(report: Report, node: Node, what: str) -> dict[str, AttributeTests]:
    """Return the tests of each path, as far as they can be read."""
    found = fields.mapping(report, node, what)
    attributes = {}
    for path, (place, value) in found.entries.items() if found else ():
        if problem := check_path(path):
            report.at(place, f"{what}: {problem[0]}", problem[1])
        elif tests := _tests(report, value, f"{what}.{path}"):
            attributes[path] = tests
    return attributes


def _tests(report: Report, node: Node, what: str) -> AttributeTests | None:
    if type(node) in (ScalarNode, ListNode):
        operator = "in" if type(node) is ListNode else "eq"
        report.at(node, f"{what}: expected an operator, found {fields.describe(node)}", f"write {{{operator}: …}}")
        return None
    found = fields.mapping(report, node, what)
    if found is None:
        return None
    fields.check_keys(report, found, what, _OPERATORS)
    values: dict[str, object] = {
        "in_" if name == "in" else name: _operand(report, name, value, f"{what}.{name}")
        for name, (_, value) in found.entries.items()
        if name in _OPERATORS
    }
    if values.get("exists") is False and len(values) > 1:
        message = f"{what}: exists: false goes alone, as an absent attribute has no value to test"
        report.at(found.entries["exists"][0], message, "remove it, or the other operators")
    return AttributeTests(**values)  # type: ignore[arg-type]


def _operand(report: Report, operator: str, node: Node, what: str) -> object:
    if operator in ("eq", "ne"):
        return _one(report, node, what, "in" if operator == "eq" else "not_in")
    if operator in ("in", "not_in"):
        nodes = fields.items(report, node, what)
        return fields.scalars(report, node, what) if nodes else ()
    if operator in ORDERED:
        return _number(report, node, what)
    if operator == "exists":
        if type(node) is ScalarNode and type(node.value) is bool:
            return node.value
        if type(node) is not BrokenNode:
            report.at(node, f"{what}: expected true or false, found {fields.describe(node)}")
        return None
    return _patterns(report, operator, node, what)


def _one(report: Report, node: Node, what: str, several: str) -> Scalar | None:
    if type(node) is ListNode:
        report.at(node, f"{what}: expected one value, found a list", f"use {several} for a list")
        return None
    values = fields.scalars(report, node, what)
    return values[0] if values else None


def _number(report: Report, node: Node, what: str) -> int | float | None:
    if type(node) is ScalarNode and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if type(node) is not BrokenNode:
        hint = "only numbers are ordered; compare times in when, with timestamp()"
        report.at(node, f"{what}: expected a number, found {fields.describe(node)}", hint)
    return None


def _patterns(report: Report, operator: str, node: Node, what: str) -> tuple[str, ...]:
    """Return one text or a list of them, each checked for what the operator takes."""
    nodes = fields.items(report, node, what) or [] if type(node) is ListNode else [node]
    found = []
    for item in nodes:
        text = fields.string(report, item, what)
        if text is None:
            continue
        found.append(text)
        if operator == "glob":
            fields.check_glob(report, item, text, what)
        elif operator in ("cidr", "regex"):
            try:
                parse_network(text) if operator == "cidr" else compile_regex(text)
            except ValueError as error:
                report.at(item, f"{what}: {error}", _HINTS[operator])
    return tuple(found)
