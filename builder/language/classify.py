"""Classification documents (docs/reference/classify.md): facts about actions and resources that no caller can lie away.

Risk tags become `Classification` values, which are joined to what a request claims. ``require_facts`` become deny rules
in the document's name: they apply where an attribute that callers must send is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from builder.language import fields
from builder.language.codes import Code
from builder.language.documents import IDENTIFIER, IDENTIFIER_ALLOWED, read_id
from builder.language.nodes import ListNode, MapNode, Node, Report, ScalarNode
from builder.language.yamlfile import read_yaml
from policy_core.attributes import check_path
from policy_core.decision import MISSING_FACT
from policy_core.model import AttributeTests, Classification, Clauses, Decision, EntityClauses, Rule

FOLDER = "classify"
_WHAT = "classification document"
_ENTRY = "entry of classify"
_ENTRY_KEYS = ("id", "match", "risk_tags", "require_facts")
_ALWAYS_THERE = frozenset({"subject.type", "subject.id", "action.name", "resource.type", "resource.id"})
_THERE = AttributeTests(exists=True)


@dataclass(frozen=True, slots=True)
class ClassifyDocument:
    """One file below classify/: its classifications, the rules its required facts became, and the lines of both."""

    file: str
    id: str
    id_place: tuple[int, int]
    baseline: bool
    classifications: tuple[Classification, ...]
    rules: tuple[Rule, ...]
    lines: tuple[int, ...]
    classified_at: tuple[int, ...]


def read_classify(content: bytes, report: Report) -> ClassifyDocument | None:
    """Return the classifications of a file below classify/, None if it has no usable list; problems go to the report.

    Its id, by default the path without suffix and with dots for slashes, is one of policy ids.
    """
    root = read_yaml(content, report)
    found = fields.mapping(report, root, _WHAT) if root else None
    if found is None:
        return None
    fields.check_keys(report, found, _WHAT, ("version", "id", "tier", "classify"))
    fields.require(report, found, "version", _WHAT, "start it with version: v1")
    fields.check_version(report, found)
    tier = found.get("tier")
    baseline = bool(tier and fields.choice(report, tier, "tier", ("standard", "baseline")) == "baseline")
    name, id_place = read_id(report, found)
    entries = fields.require(report, found, "classify", _WHAT, "list what is what under classify:")
    read = list(_entries(report, entries, name)) if entries else []
    return ClassifyDocument(
        file=report.file,
        id=name,
        id_place=id_place,
        baseline=baseline,
        classifications=tuple(each.classification for each in read if each.classification.risk_tags),
        rules=tuple(each.rule(name, baseline=baseline) for each in read if each.facts),
        lines=tuple(each.line for each in read if each.facts),
        classified_at=tuple(each.line for each in read if each.classification.risk_tags),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    line: int
    classification: Classification
    facts: tuple[str, ...]

    def rule(self, policy: str, *, baseline: bool) -> Rule:
        """Return the rule that denies what lacks a required fact."""
        about = self.classification
        resource = EntityClauses(types=about.resource_types, ids=about.resource_ids)
        return Rule(
            policy=policy,
            id=self.id,
            decision=Decision.DENY,
            match=Clauses(actions=about.actions, resource=None if resource == EntityClauses() else resource),
            unless=Clauses(attributes=dict.fromkeys(self.facts, _THERE)),
            reason=f"the request must say {', '.join(self.facts)}",
            reason_code=MISSING_FACT,
            baseline=baseline,
        )


def _entries(report: Report, node: Node, document: str) -> Iterator[_Entry]:
    lines: dict[str, int] = {}
    for item in fields.items(report, node, "classify") or ():
        if report.is_full:
            break
        found = fields.mapping(report, item, _ENTRY)
        if found is None:
            continue
        fields.check_keys(report, found, _ENTRY, _ENTRY_KEYS)
        name = fields.require(report, found, "id", _ENTRY, "give every entry an id: answers name the rule it becomes")
        entry_id = (name and fields.identifier(report, name, "entry id", IDENTIFIER, IDENTIFIER_ALLOWED)) or ""
        if name and entry_id in lines:
            message = f"duplicate entry id {entry_id} (first in line {lines[entry_id]})"
            report.of(Code.DUPLICATE_NAME).at(name, message, "give each entry its own id")
        lines.setdefault(entry_id, found.line)
        yield _entry(report, found, document, entry_id)


def _entry(report: Report, found: MapNode, document: str, entry_id: str) -> _Entry:
    hint = "such as match: {actions: ['db.*'], resource: {types: [database]}}"
    match = fields.require(report, found, "match", _ENTRY, hint)
    tags, facts = found.get("risk_tags"), found.get("require_facts")
    if tags is None and facts is None:
        report.of(Code.MISSING_KEY).at(found, f"{_ENTRY} says nothing", "add risk_tags, require_facts, or both")
    actions, types, ids = _match(report, match) if match else ((), (), ())
    return _Entry(
        id=entry_id,
        line=found.line,
        classification=Classification(
            name=f"{document}/{entry_id}",
            risk_tags=fields.words(report, tags, "risk_tags") if tags else (),
            actions=actions,
            resource_types=types,
            resource_ids=ids,
        ),
        facts=_facts(report, facts) if facts else (),
    )


def _match(report: Report, node: Node) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return globs of actions, resource types and resource ids: what every request has, so never an error."""
    found = fields.mapping(report, node, "match")
    if found is None:
        return (), (), ()
    fields.check_keys(report, found, "match", ("actions", "topics", "resource"))
    if "topics" in found.entries and "actions" in found.entries:
        report.at(found.entries["actions"][0], "topics and actions are two names for one clause", "keep one of them")
    named = next((name for name in ("actions", "topics") if name in found.entries), "")
    actions = fields.globs(report, found.entries[named][1], f"match.{named}") if named else ()
    about = found.get("resource")
    resource = fields.mapping(report, about, "match.resource") if about else None
    if resource is None:
        return actions, (), ()
    fields.check_keys(report, resource, "match.resource", ("types", "ids"))
    types, ids = (
        fields.globs(report, value, f"match.resource.{name}") if (value := resource.get(name)) else ()
        for name in ("types", "ids")
    )
    return actions, types, ids


def _facts(report: Report, node: Node) -> tuple[str, ...]:
    paths = fields.strings(report, node, "require_facts")
    for item in node.items if type(node) is ListNode else ():
        if type(item) is ScalarNode and type(item.value) is str and item.value and (problem := check_path(item.value)):
            report.at(item, f"require_facts: {problem[0]}", problem[1])
        elif type(item) is ScalarNode and item.value in _ALWAYS_THERE:
            report.at(item, f"require_facts: every request has {item.value}", "remove it")
    return paths
