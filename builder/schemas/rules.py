"""Rules held against declared schemas: every attribute they ask for exists, and is compared with what it can be.

Rules are looked at in their compiled form. Where a complaint stands in its file is found out only once there is one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

from builder.language.classify import ClassifyDocument
from builder.language.codes import Code
from builder.language.documents import PolicyDocument
from builder.language.exceptions import ExceptionDocument
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Place, Report, ScalarNode
from builder.language.placing import place_in
from builder.language.remembering import Remembered
from builder.language.yamlfile import read_yaml
from builder.schemas.conditions import condition_complaints
from builder.schemas.declarations import Declarations, Scope
from builder.schemas.findings import Complaint, never, undeclared, unlike
from policy_core.attributes import ORDERED
from policy_core.glob import match_glob
from policy_core.model import AttributeTests, Clauses, EntityClauses, Rule

Keys = tuple[str | int, ...]
_CHECKED: Remembered[None] = Remembered()


@dataclass(frozen=True, slots=True)
class Violation:
    """A complaint about what stands at the keys of a rule, or (`at_key`) about the last of them.

    `variable` counts those of a condition.
    """

    keys: Keys
    complaint: Complaint
    at_key: bool = False
    variable: int = -1


def check_rules(
    documents: Iterable[PolicyDocument | ClassifyDocument],
    files: Mapping[str, bytes],
    declarations: Declarations,
    overall: Report,
) -> None:
    """Note everything in the rules of documents, and in required facts, that contradicts declared schemas."""
    for document in documents if declarations.requests else ():
        report = Report(document.file, overall.problems, overall.warnings, Code.UNDECLARED)
        check = partial(_check_document, document, declarations)
        _CHECKED.read(check, files[document.file], report, beside=declarations.files)


def _check_document(
    document: PolicyDocument | ClassifyDocument, declarations: Declarations, content: bytes, report: Report
) -> None:
    for rule, line in zip(document.rules, document.lines, strict=True):
        check = RuleCheck(declarations)
        if isinstance(document, ClassifyDocument):
            check.facts(rule)
        else:
            check.rule(rule)
        check.note(content, line, report.of(Code.UNDECLARED))


def check_scopes(
    exceptions: Iterable[ExceptionDocument], files: Mapping[str, bytes], declarations: Declarations, overall: Report
) -> None:
    """Note everything in the scopes of exceptions that contradicts declared schemas."""
    for document in exceptions if declarations.requests else ():
        check = RuleCheck(declarations)
        check.side(document.exception.scope, Scope(), ("scope", "match"))
        report = Report(document.file, overall.problems, overall.warnings, Code.UNDECLARED)
        check.note(files[document.file], 0, report)


def _located(violation: Violation) -> Complaint:
    message, hint = violation.complaint
    return f"{'.'.join(key for key in violation.keys if isinstance(key, str))}: {message}", hint


class RuleCheck:
    """Gathers what is wrong with a rule, and `doubts`: types that no schema describes, so that anything passes."""

    def __init__(self, declarations: Declarations) -> None:
        self.declarations = declarations
        self.violations: list[Violation] = []
        self.doubts: list[Violation] = []

    def note(self, content: bytes, line: int, report: Report) -> None:
        """Note what was found in the entry of a file that starts at a line (0: all of it)."""
        if self.violations or self.doubts:
            finder = _Finder(content, line)
            for violation in self.violations:
                report.at(finder.place(violation), *_located(violation))
            for doubt in self.doubts:
                message, hint = _located(doubt)
                report.warn(finder.place(doubt), message, hint, code=Code.TYPE_WITHOUT_SCHEMA)

    def facts(self, rule: Rule) -> None:
        """Check the rule that required facts became."""
        required = rule.unless.attributes if rule.unless else {}
        for index, path in enumerate(required):
            self.known(tuple(path.split(".")), _scope(rule.match, Scope()), ("require_facts", index))

    def rule(self, rule: Rule) -> None:
        """Check all parts of a rule that name attributes."""
        scope = _scope(rule.match, Scope())
        self.side(rule.match, Scope(), ("match",))
        if rule.unless:
            self.side(rule.unless, scope, ("unless",))
        for index, path in enumerate(rule.rate.key if rule.rate else ()):
            self.known(tuple(path.split(".")), scope, ("rate", "key", index))
        for variable, complaint in condition_complaints(rule.when, self.declarations, scope) if rule.when else ():
            self.violations.append(Violation(("when",), complaint, variable=variable))

    def side(self, clauses: Clauses, outer: Scope, keys: Keys) -> None:
        """Check the clauses of one side; where they name no types, those of `outer` count."""
        scope = _scope(clauses, outer)
        for root, entity in (("subject", clauses.subject), ("resource", clauses.resource)):
            if entity:
                self.types(root, entity.types, (*keys, root, "types"))
                self.entity(root, entity, scope, (*keys, root))
        for path, tests in clauses.attributes.items():
            self.tests(tuple(path.split(".")), tests, scope, (*keys, "attributes", path))
        if clauses.none_of:
            self.side(clauses.none_of, scope, (*keys, "not"))

    def types(self, root: str, globs: tuple[str, ...], keys: Keys) -> None:
        types = sorted(self.declarations.requests.get(root, {}))
        for index, glob in enumerate(globs):
            if types and not any(match_glob(glob, name) for name in types):
                near = get_close_matches(glob, types, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"add schemas/{root}s/TYPE.yaml"
                message = f"type {glob!r} has no schema, so its attributes are not checked"
                self.doubts.append(Violation((*keys, index), (message, hint)))

    def entity(self, root: str, entity: EntityClauses, scope: Scope, keys: Keys) -> None:
        for name, wanted in entity.properties.items():
            path, here = (root, "properties", name), (*keys, "properties", name)
            if self.known(path, scope, here, at_key=True):
                self.values(path, wanted, scope, here, glob=True)
        roles = self.declarations.entry((root, "properties", "roles"), scope)
        for index, role in enumerate(entity.roles if roles else ()):
            if roles and (complaint := never("a role", roles, role)):
                self.violations.append(Violation((*keys, "roles", index), complaint))

    def tests(self, path: tuple[str, ...], tests: AttributeTests, scope: Scope, keys: Keys) -> None:
        if not self.known(path, scope, keys, at_key=True):
            return
        for operator, wanted in tests.operators().items():
            here = (*keys, operator)
            found = self.declarations.declared(path, scope)
            if operator in ("eq", "ne", "in", "not_in", "glob"):
                values = (wanted,) if operator in ("eq", "ne") else wanted
                self.values(path, values, scope, here, glob=operator == "glob")
            elif found and operator != "exists":
                kind, use = ("number", "compares numbers") if operator in ORDERED else ("string", "tests text")
                if complaint := unlike(found, [kind], f"{operator} {use}, but {path[-1]}"):
                    self.violations.append(Violation(here, complaint))

    def known(self, path: tuple[str, ...], scope: Scope, keys: Keys, *, at_key: bool = False) -> bool:
        """Tell whether an attribute can exist, noting it if not."""
        complaint = undeclared(self.declarations, path, scope)
        if complaint:
            self.violations.append(Violation(keys, complaint, at_key))
        return complaint is None

    def values(
        self, path: tuple[str, ...], wanted: tuple[Any, ...], scope: Scope, keys: Keys, *, glob: bool = False
    ) -> None:
        found = self.declarations.declared(path, scope)
        for index, value in enumerate(wanted):
            if found and (complaint := never(path[-1], found, value, glob=glob)):
                self.violations.append(Violation((*keys, index), complaint))


def _scope(clauses: Clauses, outer: Scope) -> Scope:
    """Return the types that clauses ask for, those of `outer` where they ask for none."""
    return Scope(
        subject=(clauses.subject.types if clauses.subject else ()) or outer.subject,
        action=clauses.actions or outer.action,
        resource=(clauses.resource.types if clauses.resource else ()) or outer.resource,
    )


class _Finder:
    """Finds places within the entry of a file which could be read: the one that starts at a line (0: all of it)."""

    def __init__(self, content: bytes, line: int) -> None:
        root = read_yaml(content, Report(""))
        lists = [value for _, value in root.entries.values()] if type(root) is MapNode else []
        entries = [item for value in lists if type(value) is ListNode for item in value.items]
        self.text = content.decode().replace("\r\n", "\n").replace("\r", "\n")
        self.entry: Node = next((item for item in entries if item.line == line), root or BrokenNode(0, 0))

    def place(self, violation: Violation) -> Place:
        node = self.entry
        key_node: Node = node
        for key in violation.keys:
            if type(node) is MapNode and str(key) in node.entries:
                key_node, node = node.entries[str(key)]
            elif type(node) is ListNode and isinstance(key, int):
                node = node.items[key]
            else:  # one value instead of a list
                break
        if violation.variable >= 0 and type(node) is ScalarNode:
            from builder.language.cel import variable_offsets

            return place_in(self.text, node, variable_offsets(str(node.value))[violation.variable])
        return key_node if violation.at_key else node
