"""Reads a job-style policy file: its rules in the order in which they are tried there, each taken apart into atoms."""

import re
from dataclasses import dataclass

from builder.importing import atoms
from builder.importing.atoms import Atom, TextAtom
from builder.importing.bounds import read_bounds
from builder.importing.checking import check_fields
from builder.importing.matching import MatchReader, is_empty
from builder.importing.remedies import read_remediation
from builder.importing.velocity import Velocity, read_velocity
from builder.language import fields
from builder.language.nodes import BrokenNode, MapNode, Node, Place, Report, ScalarNode
from builder.language.remediations import MAX_REMEDIATIONS
from builder.language.yamlfile import read_yaml
from policy_core.model import Constraint, Decision

MAX_RULES = 2_000
MAX_ENTRIES = 5_000
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
        self.matches = MatchReader(report, self.remarks)
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
        asking = next((rule for rule in rules if rule.decision is Decision.REQUIRE_APPROVAL), None)
        if asking:
            why = "nobody can approve yet what a rule asks for: add approval: {from: {TEAM: 1}, expires_in: 1h} to each"
            self.remarks.append((asking.place, why))
        entries = sum(len(atom.regexes) for rule in rules for atom in rule.atoms if isinstance(atom, TextAtom))
        if entries > MAX_ENTRIES:
            report.at(root, f"too many topics and names in lists ({entries}, limit {MAX_ENTRIES})", "split the file")
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
                elif topics := self.matches.topics(entry[1], list_name):
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
        text = fields.string(report, reason, "reason") if reason and not is_empty(reason) else None
        own = self.selectors(node)
        if {atom.path for atom in scope if atom not in own} & {atom.path for atom in own}:
            report.at(node.entries["selector"][0], "selector contradicts that of the document", "keep one of them")
            own = ()
        return SourceRule(
            id=rule_id,
            place=node,
            decision=decision,
            atoms=tuple(dict.fromkeys((*self.matches.read(node.get("match")), *scope, *own))),
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
        return tuple(read_remediation(self.report, item, number) for number, item in listed)

    def nodes(self, node: Node | None, what: str) -> list[tuple[int, MapNode]]:
        """Return the mappings of a list, numbered from 1."""
        if node is None or is_empty(node):
            return []
        items = fields.items(self.report, node, what) or []
        return [(number, item) for number, item in enumerate(items, 1) if isinstance(item, MapNode)]
