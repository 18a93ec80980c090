"""Reads the ``remediations`` of a job-style rule; what ours must have and theirs need not is filled in."""

from builder.importing.matching import is_empty
from builder.language import fields
from builder.language.nodes import MapNode, Report


def read_remediation(report: Report, node: MapNode, number: int) -> dict[str, object]:
    """Return one of them as it is authored here, in the usual order of its keys."""
    found: dict[str, object] = {}
    for name in ("id", "title", "summary", "replacement_topic", "replacement_capability"):
        value = node.get(name)
        text = fields.string(report, value, f"remediation {name}") if value and not is_empty(value) else None
        if text:
            found["replacement_action" if name == "replacement_topic" else name] = " ".join(text.split())
    if (value := node.get("add_labels")) and not is_empty(value):
        labels = fields.string_map(report, value, "add_labels")
        found["add_labels"] = {name: text for name, (_, text) in labels.items()}
    if (value := node.get("remove_labels")) and not is_empty(value):
        found["remove_labels"] = list(fields.strings(report, value, "remove_labels"))
    found.setdefault("id", f"remediation-{number}")
    found.setdefault("title", found.get("summary", found["id"]))
    order = (
        "id",
        "title",
        "summary",
        "replacement_action",
        "replacement_capability",
        "add_labels",
        "remove_labels",
    )
    return {name: found[name] for name in order if name in found}
