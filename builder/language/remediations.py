"""The ``remediations`` of a rule: what to do instead, in words and as changes a program can make."""

from builder.language import fields
from builder.language.nodes import Node, Report
from policy_core.model import Remediation

MAX_REMEDIATIONS = 10
_KEYS = ("id", "title", "summary", "replacement_action", "replacement_capability", "add_labels", "remove_labels")
_WHAT = "remediation"


def read_remediations(report: Report, node: Node) -> tuple[Remediation, ...]:
    """Return the remediations of one rule, as far as they can be read."""
    nodes = fields.items(report, node, "remediations") or []
    if len(nodes) > MAX_REMEDIATIONS:
        report.at(node, f"too many remediations ({len(nodes)}, limit {MAX_REMEDIATIONS})", "keep the most useful ones")
    read = [found for item in nodes[:MAX_REMEDIATIONS] if (found := _remediation(report, item))]
    if len({found.id for found in read}) != len(read):
        report.at(node, "two remediations share an id", "give each its own id")
    return tuple(read)


def _remediation(report: Report, node: Node) -> Remediation | None:
    found = fields.mapping(report, node, _WHAT)
    if found is None:
        return None
    fields.check_keys(report, found, _WHAT, _KEYS)
    values: dict[str, object] = {}
    for name in ("id", "title"):
        value = fields.require(report, found, name, _WHAT, "write {id: use-staging, title: Try it in staging first}")
        values[name] = (value and fields.one_line(report, value, f"{_WHAT} {name}")) or ""
    for name in ("summary", "replacement_action", "replacement_capability"):
        if value := found.get(name):
            values[name] = fields.one_line(report, value, f"{_WHAT} {name}") or ""
    if value := found.get("add_labels"):
        labels = fields.string_map(report, value, f"{_WHAT} add_labels")
        values["add_labels"] = {name: text for name, (_, text) in labels.items()}
    if value := found.get("remove_labels"):
        values["remove_labels"] = fields.strings(report, value, f"{_WHAT} remove_labels")
    return Remediation(**values)  # type: ignore[arg-type]
