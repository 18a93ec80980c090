"""Reads the ``match`` of a job-style rule as atoms, all of which a request must have."""

from collections.abc import Callable

from builder.importing import atoms
from builder.importing.atoms import Atom
from builder.importing.topics import Topic, read_topic
from builder.language import fields
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Place, Report, ScalarNode

_TEXTS = {
    "tenants": "context.tenant", "capabilities": "context.capability", "pack_ids": "context.pack_id",
    "actor_ids": "subject.id", "actor_types": "subject.type", "agent_risk_tiers": "context.job.agent_risk_tier",
}  # fmt: skip
_LISTS: dict[str, Callable[[tuple[str, ...]], list[Atom]]] = {
    "risk_tags": lambda words: [atoms.any_tag(words)],
    "agent_data_classifications": lambda words: [atoms.any_classification(words)],
    "requires": lambda words: [atoms.requires(word) for word in words],
}
_NOBODY = "anonymous"


class MatchReader:
    """Reads the clauses of one file; `remarks` gathers what changes at single places."""

    def __init__(self, report: Report, remarks: list[tuple[Place, str]]) -> None:
        self.report = report
        self.remarks = remarks

    def read(self, node: Node | None) -> list[Atom]:
        """Return the atoms of one ``match``; a list without entries asks nothing there."""
        found: list[Atom] = []
        for name, (key, value) in node.entries.items() if isinstance(node, MapNode) else ():
            if not is_empty(value):
                found += self._clause(name, key, value)
        return found

    def _clause(self, name: str, key: Place, node: Node) -> list[Atom]:
        match name:
            case "topics":
                topics = self.topics(node, name)
                return [atoms.topic_in(topics)] if topics else []
            case "labels":
                labels = fields.string_map(self.report, node, name)
                return [atoms.label_is(label, text) for label, (_, text) in labels.items()]
            case "label_allowlist":
                return self._label_outside(node, key)
            case "label_threshold":
                return self._label_above(node, key)
            case "secrets_present":
                return self._secrets(node)
        words = self._texts(node, name) if name in _TEXTS or name in _LISTS else ()
        if not words:
            return []  # there is a problem, or the field was refused by name
        if name in _TEXTS:
            return [atoms.any_case(_TEXTS[name], words)]
        return _LISTS[name](words)

    def _texts(self, node: Node, what: str) -> tuple[str, ...]:
        values = fields.strings(self.report, node, what)
        for value in values:
            if what.startswith("actor") and value.strip().casefold() == _NOBODY:
                hint = f"give this actor another name: {_NOBODY} is who sends no name here"
                self.report.at(node, f"{what}: {_NOBODY} stands for a request without actor", hint)
        return values

    def topics(self, node: Node, what: str) -> list[Topic]:
        """Return the patterns of a list; one that could never match is a problem."""
        found = []
        for item in fields.items(self.report, node, what, may_be_empty=True) or ():
            text = fields.string(self.report, item, f"entry of {what}")
            try:
                found += [read_topic(text.strip())] if text else []
            except ValueError as error:
                message = f"topic pattern {fields.shown(text or '')} never matches: {error}"
                self.report.at(item, message, "correct it, or take it out: there it does nothing")
        return found

    def _label_outside(self, node: Node, key: Place) -> list[Atom]:
        found = fields.mapping(self.report, node, "label_allowlist")
        allowed = {
            name: fields.strings(self.report, value, f"label_allowlist.{name}")
            for name, (_, value) in (found.entries.items() if found else ())
        }
        if len(allowed) > 1:
            self.remarks.append((key, "label_allowlist with several labels: one value outside its list is enough"))
        return [atoms.label_outside(allowed)] if allowed else []

    def _label_above(self, node: Node, key: Place) -> list[Atom]:
        found = fields.mapping(self.report, node, "label_threshold")
        limits = {}
        for name, (_, value) in found.entries.items() if found else ():
            number = value.value if isinstance(value, ScalarNode) else None
            if type(number) is int or type(number) is float:
                limits[name] = number
            elif not isinstance(value, BrokenNode):
                self.report.at(value, f"label_threshold.{name}: expected a number, found {fields.describe(value)}")
        if len(limits) > 1:
            self.remarks.append((key, "label_threshold with several labels: one number above its limit is enough"))
        return [atoms.label_above(limits)] if limits else []

    def _secrets(self, node: Node) -> list[Atom]:
        if isinstance(node, ScalarNode) and isinstance(node.value, bool):
            return [atoms.secrets(present=node.value)]
        if not isinstance(node, BrokenNode):
            self.report.at(node, f"secrets_present: expected true or false, found {fields.describe(node)}")
        return []


def is_empty(node: Node) -> bool:
    """Tell whether a value says nothing."""
    match node:
        case ListNode(items=items):
            return not items
        case MapNode(entries=entries):
            return not entries
        case ScalarNode(value=value):
            return value is None or value == ""
    return False
