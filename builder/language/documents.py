"""Policy documents (DESIGN of the language: docs/reference/policy.md): one YAML file in, compiled rules out."""

import datetime
import re
from dataclasses import dataclass

import msgspec

from builder.language import fields
from builder.language.approvals import read_approval
from builder.language.clauses import read_clauses
from builder.language.codes import Code
from builder.language.metadata import Metadata, read_metadata
from builder.language.nodes import BrokenNode, MapNode, Node, Report, ScalarNode, plain
from builder.language.placing import place_in
from builder.language.rating import read_rate
from builder.language.remediations import read_remediations
from builder.language.yamlfile import MAX_YAML_BYTES, read_yaml
from policy_core.constraints import canonical_constraint, check_constraint
from policy_core.decision import BUILT_IN_REASON_CODES
from policy_core.matcher.encoding import MAX_LINE_BYTES
from policy_core.model import (
    CONSTRAINING,
    EMERGENCY_DOCUMENT,
    GRANTING,
    RESTRICTING,
    Approval,
    Clauses,
    Condition,
    Constraint,
    Decision,
    Gate,
    Rate,
    Remediation,
    Rule,
)

_DOCUMENT_KEYS = ("version", "id", "metadata", "mode", "tier", "rules")
_RULE_KEYS = (
    "id", "gate", "match", "unless", "when", "decision", "constraints", "reason", "reason_code", "on_missing",
    "remediations", "rate", "approval",
)  # fmt: skip
_GATES = tuple(gate.value for gate in Gate)
_DECISIONS = tuple(decision.value for decision in Decision)
_OTHER_WORDS = {
    "permit": "allow", "block": "deny", "forbid": "deny", "require_human": "require_approval",
    "require-approval": "require_approval", "allow-with-constraints": "allow_with_constraints", "limit": "throttle",
}  # fmt: skip

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
IDENTIFIER_ALLOWED = "letters, digits, '.', '_' and '-', starting with a letter or digit"
_REASON_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_RULE_BYTES = MAX_LINE_BYTES - 2


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """One policy document: its rules in order, and the line each starts at.

    `id_place` is line and column of the id, zeros for one that comes from the path.
    """

    file: str
    id: str
    id_place: tuple[int, int]
    baseline: bool
    rules: tuple[Rule, ...]
    lines: tuple[int, ...]
    metadata: Metadata


def read_document(content: bytes, report: Report, *, today: datetime.date | None) -> PolicyDocument | None:
    """Return the document of a file below policies/, None if it has no usable rule list; problems go to the report.

    `today` (UTC) is what dates in the metadata are held against; None does not judge them.
    """
    root = read_yaml(content, report)
    found = fields.mapping(report, root, "policy document") if root else None
    if found is None:
        return None
    fields.check_keys(report, found, "policy document", _DOCUMENT_KEYS)
    fields.require(report, found, "version", "policy document", "start it with version: v1")
    fields.check_version(report, found)
    baseline = _setting(report, found, "tier", ("standard", "baseline")) == "baseline"
    dry_run = _setting(report, found, "mode", ("enforce", "dry_run")) == "dry_run"
    policy, id_place = read_id(report, found)
    if policy == EMERGENCY_DOCUMENT:
        report.at(found.get("id") or found, f"policy id {policy} is reserved for Writ itself", "choose another one")
    metadata = found.get("metadata")
    reader = _RuleReader(report, content, Rule(policy, "", Decision.DENY, baseline=baseline, dry_run=dry_run))
    rules = fields.require(report, found, "rules", "policy document", "list its rules under rules:")
    return PolicyDocument(
        file=report.file,
        id=policy,
        id_place=id_place,
        baseline=baseline,
        rules=tuple(reader.read(rules)) if rules else (),
        lines=tuple(reader.lines),
        metadata=(metadata and read_metadata(report, metadata, today=today)) or Metadata(),
    )


def read_id(report: Report, document: MapNode) -> tuple[str, tuple[int, int]]:
    """Return the policy id and its place: as written, or the path without policies/ and suffix, dots for slashes."""
    node = document.get("id")
    if node:
        return fields.identifier(report, node, "policy id", IDENTIFIER, IDENTIFIER_ALLOWED) or "", (
            node.line,
            node.column,
        )
    derived = report.file.removeprefix("policies/").rsplit(".", 1)[0].replace("/", ".")
    if not IDENTIFIER.fullmatch(derived):
        report.file_problem(
            f"policy id {derived!r} from the path is not valid", f"rename the file to use {IDENTIFIER_ALLOWED}"
        )
    return derived, (0, 0)


def _setting(report: Report, document: MapNode, name: str, words: tuple[str, ...]) -> str | None:
    node = document.get(name)
    return fields.choice(report, node, name, words) if node else None


class _RuleReader:
    """Reads the rules of one document; `blank` is a rule with what the document says about all of them."""

    def __init__(self, report: Report, content: bytes, blank: Rule) -> None:
        self.report = report
        self.content = content
        self.blank = blank
        self.lines: list[int] = []
        self.ids: dict[str, int] = {}

    def read(self, node: Node) -> list[Rule]:
        """Return the rules that could be read, noting the line of each."""
        rules = []
        for item in fields.items(self.report, node, "rules") or ():
            found = fields.mapping(self.report, item, "rule")
            rule = self.rule(found) if found else None
            if rule and found:
                rules.append(rule)
                self.lines.append(found.line)
            if self.report.is_full:
                break
        return rules

    def rule(self, node: MapNode) -> Rule | None:
        report = self.report
        fields.check_keys(report, node, "rule", _RULE_KEYS)
        rule_id = self.rule_id(node)
        decision = self.decision(node)
        match, unless = node.get("match"), node.get("unless")
        when, gate, reason = node.get("when"), node.get("gate"), node.get("reason")
        rule = msgspec.structs.replace(
            self.blank,
            id=rule_id,
            decision=decision or Decision.DENY,  # without one there is a problem, and the rule goes nowhere
            match=(match and read_clauses(report, match, "match")) or Clauses(),
            unless=self.unless(unless) if unless else None,
            when=self.condition(when) if when else None,
            rate=self.rate(node, decision),
            approval=self.approval(node, decision),
            constraints=self.constraints(node, decision),
            reason=(reason and fields.one_line(report, reason, "reason")) or "",
            reason_code=self.reason_code(node),
            gate=(gate and fields.choice(report, gate, "gate", _GATES)) or "",
            skip_errors=self.skip_errors(node),
            remediations=self.remediations(node, decision),
        )
        if (size := len(msgspec.json.encode(rule))) > _MAX_RULE_BYTES:
            hint = "split the rule, or move long lists into data/"
            report.at(node, f"rule is too large ({size} bytes compiled, limit {_MAX_RULE_BYTES})", hint)
        return rule

    def rule_id(self, node: MapNode) -> str:
        value = fields.require(self.report, node, "id", "rule", "give every rule an id: answers and logs name it")
        rule_id = value and fields.identifier(self.report, value, "rule id", IDENTIFIER, IDENTIFIER_ALLOWED)
        if not value or not rule_id:
            return ""
        if rule_id in self.ids:
            message = f"duplicate rule id {rule_id} (first in line {self.ids[rule_id]})"
            self.report.of(Code.DUPLICATE_NAME).at(value, message, "give each rule its own id")
        self.ids.setdefault(rule_id, value.line)
        return rule_id

    def decision(self, node: MapNode) -> Decision | None:
        hint = f"say what it decides: {', '.join(_DECISIONS)}"
        value = fields.require(self.report, node, "decision", "rule", hint)
        if type(value) is ScalarNode and value.value in _OTHER_WORDS:
            word = str(value.value)
            self.report.at(value, f"unknown decision {word!r}", f"did you mean {_OTHER_WORDS[word]!r}?")
            return None
        word = (value and fields.choice(self.report, value, "decision", _DECISIONS)) or ""
        return Decision(word) if word else None

    def unless(self, node: Node) -> Clauses | None:
        before = len(self.report.problems)
        clauses = read_clauses(self.report, node, "unless")
        if clauses == Clauses() and len(self.report.problems) == before:
            self.report.at(node, "unless has no clause, so the rule would never apply", "leave it out, or add a clause")
        return clauses

    def condition(self, node: Node) -> Condition | None:
        source = fields.string(self.report, node, "when", max_chars=MAX_YAML_BYTES)
        if source is None or type(node) is not ScalarNode:
            return None
        from builder.language.cel import CelError, lower

        try:
            return lower(source)
        except CelError as error:
            text = self.content.decode().replace("\r\n", "\n").replace("\r", "\n")
            for offset, message, hint in error.complaints:
                self.report.of(Code.INVALID_CONDITION).at(place_in(text, node, offset), f"when: {message}", hint)
            return None

    def constraints(self, node: MapNode, decision: Decision | None) -> dict[str, Constraint]:
        entry = node.entries.get("constraints")
        if entry is None:
            if decision in CONSTRAINING:
                self.report.at(node, f"{decision} without constraints", "add constraints: {max_runtime_sec: 60}, or so")
            return {}
        if decision and decision not in CONSTRAINING:
            hint = "use allow_with_constraints, or constrain to narrow what another rule grants"
            self.report.at(entry[0], f"constraints do not go with {decision}", hint)
        found = fields.mapping(self.report, entry[1], "constraints")
        constraints = {}
        for name, (key, value) in found.entries.items() if found else ():
            problem = check_constraint(name, plain(value))
            if problem:
                if not isinstance(value, BrokenNode):
                    self.report.at(key, *problem)
            else:
                constraints[name] = canonical_constraint(plain(value))
        return constraints

    def skip_errors(self, node: MapNode) -> bool:
        value = node.get("on_missing")
        return bool(value and fields.choice(self.report, value, "on_missing", ("error", "skip")) == "skip")

    def rate(self, node: MapNode, decision: Decision | None) -> Rate | None:
        entry = node.entries.get("rate")
        if entry is None:
            return None
        if decision in GRANTING:
            message = f"a rate does not go with {decision}: it would grant only what happens often"
            self.report.at(entry[0], message, "limit what this rule grants by a rule of its own: decision: throttle")
        return read_rate(self.report, entry[1])

    def approval(self, node: MapNode, decision: Decision | None) -> Approval | None:
        entry = node.entries.get("approval")
        if entry is None:
            return None
        if decision and decision is not Decision.REQUIRE_APPROVAL:
            hint = "it says whose grants satisfy a require_approval"
            self.report.at(entry[0], f"approval does not go with {decision}", hint)
        return read_approval(self.report, entry[1])

    def remediations(self, node: MapNode, decision: Decision | None) -> tuple[Remediation, ...]:
        entry = node.entries.get("remediations")
        if entry is None:
            return ()
        if decision and decision not in RESTRICTING:
            hint = "they say what to do instead, so they go with deny, require_approval and throttle"
            self.report.at(entry[0], f"remediations do not go with {decision}", hint)
        return read_remediations(self.report, entry[1])

    def reason_code(self, node: MapNode) -> str:
        value = node.get("reason_code")
        allowed = "lower-case letters, digits and '_', at most 64, starting with a letter"
        code = value and fields.identifier(self.report, value, "reason_code", _REASON_CODE, allowed)
        if value and code in BUILT_IN_REASON_CODES:
            self.report.at(value, f"reason_code {code} is reserved for Writ itself", "choose a word of your own")
        return code or ""
