"""Reads a job-style policy file: its rules in the order in which they are tried there, each taken apart into atoms."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from builder.importing import atoms
from builder.importing.atoms import Atom, TextAtom
from builder.importing.bounds import read_bounds
from builder.importing.checking import check_fields
from builder.importing.topics import Topic, read_topic
from builder.importing.velocity import Velocity, read_velocity
from builder.language import fields
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Place, Report, ScalarNode
from builder.language.remediations import MAX_REMEDIATIONS
from builder.language.yamlfile import read_yaml
from policy_core.model import Constraint, Decision

MAX_RULES = 2_000
DECISIONS = {
    "allow": Decision.ALLOW, "permit": Decision.ALLOW,
    "deny": Decision.DENY, "block": Decision.DENY,
    "require_approval": Decision.REQUIRE_APPROVAL, "require-approval": Decision.REQUIRE_APPROVAL,
    "require_human": Decision.REQUIRE_APPROVAL,
    "allow_with_constraints": Decision.ALLOW, "allow-with-constraints": Decision.ALLOW,
    "throttle": Decision.THROTTLE,
}  # fmt: skip
TIERS = ("job", "workflow", "global")  # in the order in which they are tried
SELECTORS = {
    "workflow_id": "context.job.workflow_id", "job_id": "resource.id", "session_id": "context.job.session_id",
}  # fmt: skip
_TEXTS = {
    "tenants": "context.tenant", "capabilities": "context.capability", "pack_ids": "context.pack_id",
    "actor_ids": "subject.id", "actor_types": "subject.type", "agent_risk_tiers": "context.job.agent_risk_tier",
}  # fmt: skip
_NOBODY = "anonymous"
_MAX_ID_CHARS = 100


@dataclass(frozen=True, slots=True)
class SourceRule:
    """One rule of the file, or of a tenant: what it asks of a request, all of it, and what it says then."""

    id: str
    place: Place
    decision: Decision
    atoms: tuple[Atom, ...]
    velocity: Velocity | None = None
    constraints: tuple[tuple[str, Constraint], ...] = ()
    reason: str = ""
    remediations: tuple[dict[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """A job-style file: its rules in the order they are tried in, the fields it uses, and remarks on single places."""

    root: MapNode
    rules: tuple[SourceRule, ...]
    used: dict[str, list[Place]]
    remarks: tuple[tuple[Place, str], ...]


def read_source(content: bytes, report: Report) -> SourcePolicy | None:
    """Return what a file says, None if it is no mapping; all that is wrong with it, or refused, goes to the report."""
    root = read_yaml(content, report)
    found = fields.mapping(report, root, "policy") if root else None
    if found is None:
        return None
    used = check_fields(report, found)
    reader = _Reader(report)
    return SourcePolicy(found, reader.document(found), used, tuple(reader.remarks))


class _Reader:
    """Reads one document; `remarks` gathers what changes at single places."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.remarks: list[tuple[Place, str]] = []
        self.ids: set[str] = set()

    def document(self, root: MapNode) -> tuple[SourceRule, ...]:
        report = self.report
        tenant = root.get("default_tenant")
        if tenant and not (isinstance(tenant, ScalarNode) and tenant.value == "default"):
            hint = "have every caller send tenant_id, then take default_tenant out"
            report.at(tenant, "default_tenant: a request without tenant is of tenant default here", hint)
        tier = self.tier(root, TIERS[-1])
        scope = self.selectors(root)
        listed = self.nodes(root.get("rules"), "rules")
        if len(listed) > MAX_RULES:
            report.at(root.entries["rules"][0], f"too many rules ({len(listed)}, limit {MAX_RULES})", "split the file")
            listed = listed[:0]
        tiered = [(TIERS.index(self.tier(node, tier)), self.rule(node, number, scope)) for number, node in listed]
        rules = [rule for _, rule in sorted(tiered, key=lambda each: each[0])]
        tenants = root.get("tenants")
        if isinstance(tenants, MapNode):
            rules += self.tenants(tenants, scope, beside_rules=bool(listed))
        rules += self.default(root, scope)
        if not rules:
            report.at(root, "there is no rule to import", "name a file that has rules")
        return tuple(rules)

    def default(self, root: MapNode, scope: tuple[TextAtom, ...]) -> list[SourceRule]:
        entry = root.entries.get("default_decision")
        word = entry and fields.choice(self.report, entry[1], "default_decision", ("allow", "deny"))
        if entry is None or word != "allow":
            return []
        self.remarks.append((entry[0], "what no rule mentions is allowed: beside other policies this opens all of it"))
        return [SourceRule(self.new_id("default-allow"), entry[0], Decision.ALLOW, scope)]

    def tenants(self, node: MapNode, scope: tuple[TextAtom, ...], *, beside_rules: bool) -> list[SourceRule]:
        rules = []
        first: dict[str, str] = {}
        for name, (key, tenant) in node.entries.items():
            if first.setdefault(name.casefold(), name) != name:
                self.report.at(key, f"tenant {name} is the same as {first[name.casefold()]}", "keep one of them")
            for list_name, decision in (("deny_topics", Decision.DENY), ("allow_topics", Decision.ALLOW)):
                entry = tenant.entries.get(list_name) if isinstance(tenant, MapNode) else None
                if entry is None:
                    continue
                if beside_rules:
                    message = f"{list_name} of a tenant did nothing there, as the file has rules"
                    self.report.at(entry[0], message, "take it out, or write it as a rule")
                elif topics := self.topics(entry[1], list_name):
                    what = (atoms.any_case("context.tenant", [name]), atoms.topic_in(topics), *scope)
                    rule_id = self.new_id(f"{name}-{list_name.replace('_', '-')}")
                    rules.append(SourceRule(rule_id, key, decision, what))
        return rules

    def rule(self, node: MapNode, number: int, scope: tuple[TextAtom, ...]) -> SourceRule:
        report = self.report
        rule_id, decision = self.rule_id(node, number), self.decision(node)
        velocity, reason = node.get("velocity"), node.get("reason")
        read = read_velocity(report, velocity) if isinstance(velocity, MapNode) else None
        if read and decision is Decision.ALLOW:
            hint = "write the restriction instead: throttle, deny or require_approval"
            report.at(
                node.entries["velocity"][0], "velocity on a rule that allows: it allows only beyond a limit", hint
            )
        bounds = node.get("constraints")
        constraints = read_bounds(report, bounds) if isinstance(bounds, MapNode) else {}
        if constraints and decision in (Decision.DENY, Decision.THROTTLE):
            self.remarks.append((node.entries["constraints"][0], f"constraints of a {decision} bind nobody: left out"))
            constraints = {}
        text = fields.string(report, reason, "reason") if reason and not _is_empty(reason) else None
        own = self.selectors(node)
        if {atom.path for atom in scope if atom not in own} & {atom.path for atom in own}:
            report.at(node.entries["selector"][0], "selector contradicts that of the document", "keep one of them")
            own = ()
        return SourceRule(
            id=rule_id,
            place=node,
            decision=decision,
            atoms=tuple(dict.fromkeys((*self.match(node.get("match")), *scope, *own))),
            velocity=read,
            constraints=tuple(sorted(constraints.items())),
            reason=" ".join((text or "").split()),
            remediations=self.remediations(node, decision),
        )

    def rule_id(self, node: MapNode, number: int) -> str:
        value = node.get("id")
        written = fields.string(self.report, value, "rule id") if value else None
        rule_id = self.new_id(written or f"rule-{number}")
        if rule_id != written:
            why = f"rule {written} is called {rule_id}" if written else f"a rule without id is called {rule_id}"
            self.remarks.append((value or node, why))
        return rule_id

    def new_id(self, wish: str) -> str:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", wish).lstrip("._-").rstrip("-")[:_MAX_ID_CHARS] or "rule"
        found, number = slug, 1
        while found in self.ids:
            number += 1
            found = f"{slug}-{number}"
        self.ids.add(found)
        return found

    def decision(self, node: MapNode) -> Decision:
        value = fields.require(self.report, node, "decision", "rule", "there it would be taken for an allow")
        word = value.value if isinstance(value, ScalarNode) else None
        if isinstance(word, str) and word.strip().lower() in DECISIONS:
            found = DECISIONS[word.strip().lower()]
            if word.strip().lower().startswith("allow") and "constr" in word.lower() and not node.get("constraints"):
                self.remarks.append((node, "allow_with_constraints without constraints is an allow"))
            return found
        if value and not isinstance(value, BrokenNode):
            known = fields.suggestion(str(word), DECISIONS, "expected one of")
            self.report.at(value, f"unknown decision, found {fields.describe(value)}", known)
        return Decision.DENY  # there is a problem, so the rule goes nowhere

    def tier(self, node: MapNode, otherwise: str) -> str:
        value = node.get("tier")
        found = fields.choice(self.report, value, "tier", TIERS) if value else None
        selector = node.get("selector")
        wanted = {"job": "job_id", "workflow": "workflow_id"}.get(found or "")
        if value and wanted and not (isinstance(selector, MapNode) and selector.get(wanted)):
            self.report.at(value, f"tier {found} without selector.{wanted}", "say which one it is about")
        return found or otherwise

    def selectors(self, node: MapNode) -> tuple[TextAtom, ...]:
        selector = node.get("selector")
        found = []
        for name, path in SELECTORS.items():
            value = selector.get(name) if isinstance(selector, MapNode) else None
            if value and (text := fields.string(self.report, value, f"selector.{name}")):
                found.append(atoms.one_of(path, (text,)))
        return tuple(found)

    def match(self, node: Node | None) -> list[Atom]:
        found: list[Atom] = []
        for name, (key, value) in node.entries.items() if isinstance(node, MapNode) else ():
            if _is_empty(value):
                continue  # a list without entries asks nothing there
            if name in _TEXTS:
                if values := self.texts(value, name):
                    found.append(atoms.any_case(_TEXTS[name], values))
            elif name in _MATCHES:
                found += _MATCHES[name](self, value, key)
        return found

    def texts(self, node: Node, what: str) -> tuple[str, ...]:
        values = fields.strings(self.report, node, what)
        for value in values:
            if what.startswith("actor") and value.strip().casefold() == _NOBODY:
                hint = f"give this actor another name: {_NOBODY} is who sends no name here"
                self.report.at(node, f"{what}: {_NOBODY} stands for a request without actor", hint)
        return values

    def topics(self, node: Node, what: str) -> list[Topic]:
        found = []
        for item in fields.items(self.report, node, what, may_be_empty=True) or ():
            text = fields.string(self.report, item, f"entry of {what}")
            try:
                found += [read_topic(text.strip())] if text else []
            except ValueError as error:
                message = f"topic pattern {fields.shown(text or '')} never matches: {error}"
                self.report.at(item, message, "correct it, or take it out: there it does nothing")
        return found

    def match_topics(self, node: Node, _key: Place) -> list[Atom]:
        found = self.topics(node, "topics")
        return [atoms.topic_in(found)] if found else []

    def match_labels(self, node: Node, _key: Place) -> list[Atom]:
        return [
            atoms.label_is(name, text) for name, (_, text) in fields.string_map(self.report, node, "labels").items()
        ]

    def match_outside(self, node: Node, key: Place) -> list[Atom]:
        found = fields.mapping(self.report, node, "label_allowlist")
        allowed = {
            name: fields.strings(self.report, value, f"label_allowlist.{name}")
            for name, (_, value) in (found.entries.items() if found else ())
        }
        if len(allowed) > 1:
            self.remarks.append((key, "label_allowlist with several labels: one value outside its list is enough"))
        return [atoms.label_outside(allowed)] if allowed else []

    def match_above(self, node: Node, key: Place) -> list[Atom]:
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

    def match_secrets(self, node: Node, _key: Place) -> list[Atom]:
        if isinstance(node, ScalarNode) and isinstance(node.value, bool):
            return [atoms.secrets(present=node.value)]
        if not isinstance(node, BrokenNode):
            self.report.at(node, f"secrets_present: expected true or false, found {fields.describe(node)}")
        return []

    def remediations(self, node: MapNode, decision: Decision) -> tuple[dict[str, object], ...]:
        listed = self.nodes(node.get("remediations"), "remediations")
        if not listed:
            return ()
        key = node.entries["remediations"][0]
        if decision is Decision.ALLOW:
            self.remarks.append((key, "remediations of a rule that allows are never shown: left out"))
            return ()
        if len(listed) > MAX_REMEDIATIONS:
            message = f"too many remediations ({len(listed)}, limit {MAX_REMEDIATIONS})"
            self.report.at(key, message, "keep the most useful ones")
        return tuple(self.remediation(item, number) for number, item in listed)

    def remediation(self, node: MapNode, number: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for name in ("id", "title", "summary", "replacement_topic", "replacement_capability"):
            value = node.get(name)
            text = fields.string(self.report, value, f"remediation {name}") if value and not _is_empty(value) else None
            if text:
                found["replacement_action" if name == "replacement_topic" else name] = " ".join(text.split())
        if (value := node.get("add_labels")) and not _is_empty(value):
            labels = fields.string_map(self.report, value, "add_labels")
            found["add_labels"] = {name: text for name, (_, text) in labels.items()}
        if (value := node.get("remove_labels")) and not _is_empty(value):
            found["remove_labels"] = list(fields.strings(self.report, value, "remove_labels"))
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

    def nodes(self, node: Node | None, what: str) -> list[tuple[int, MapNode]]:
        """Return the mappings of a list, numbered from 1."""
        if node is None or _is_empty(node):
            return []
        items = fields.items(self.report, node, what) or []
        return [(number, item) for number, item in enumerate(items, 1) if isinstance(item, MapNode)]


def _is_empty(node: Node) -> bool:
    match node:
        case ListNode(items=items):
            return not items
        case MapNode(entries=entries):
            return not entries
        case ScalarNode(value=value):
            return value is None or value == ""
    return False


def _words(make: Callable[[tuple[str, ...]], list[Atom]], what: str) -> Callable[[_Reader, Node, Place], list[Atom]]:
    return lambda reader, node, _key: make(fields.strings(reader.report, node, what) or ("",))


_MATCHES: dict[str, Callable[[_Reader, Node, Place], list[Atom]]] = {
    "topics": _Reader.match_topics,
    "risk_tags": _words(lambda words: [atoms.any_tag(words)], "risk_tags"),
    "agent_data_classifications": _words(
        lambda words: [atoms.any_classification(words)], "agent_data_classifications"
    ),
    "requires": _words(lambda words: [atoms.requires(word) for word in words], "requires"),
    "labels": _Reader.match_labels,
    "label_allowlist": _Reader.match_outside,
    "label_threshold": _Reader.match_above,
    "secrets_present": _Reader.match_secrets,
}  # fmt: skip
