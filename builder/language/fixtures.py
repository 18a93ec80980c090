"""Fixtures of policy tests: subjects, resources and requests with a name, shared by all suites or of one suite.

A name means one thing: a suite may not give a shared name another meaning, nor may two shared files.
"""

from collections import ChainMap
from dataclasses import dataclass
from typing import Any

from builder.language import fields
from builder.language.codes import Code
from builder.language.nodes import BrokenNode, MapNode, Node, Report, ScalarNode, plain
from builder.language.yamlfile import read_yaml

FOLDER = "tests/fixtures/"
KINDS = ("subjects", "resources", "requests")


@dataclass(slots=True)
class _Fixture:
    report: Report
    key: ScalarNode
    value: Any  # None: what is written there has a problem


class Fixtures:
    """Named fixtures by kind, and those of `shared` below them; `used` are kind and name of those asked for."""

    def __init__(self, shared: "Fixtures | None" = None) -> None:
        self.by_kind: dict[str, ChainMap[str, _Fixture]] = {
            kind: ChainMap({}, shared.by_kind[kind]) if shared else ChainMap() for kind in KINDS
        }  # own names first, shared ones behind
        self.used: set[tuple[str, str]] = set()

    def read_file(self, content: bytes, report: Report) -> None:
        """Add the fixtures of a file below tests/fixtures/; problems go to the report."""
        root = read_yaml(content, report)
        found = fields.mapping(report, root, "fixture file") if root else None
        if not found:
            return
        if "cases" in found.entries:
            hint = f"{FOLDER} is for fixtures that suites share; move the suite elsewhere below tests/"
            report.at(found.entries["cases"][0], "cases are not read here", hint)
        fields.check_keys(report, found, "fixture file", ("version", "cases", *KINDS))
        fields.check_version(report, found)
        self._read_kinds(report, found)

    def read(self, report: Report, node: Node) -> None:
        """Add what a suite lists under ``fixtures``."""
        found = fields.mapping(report, node, "fixtures")
        if found:
            fields.check_keys(report, found, "fixtures", KINDS)
            self._read_kinds(report, found)

    def _read_kinds(self, report: Report, node: MapNode) -> None:
        for kind in KINDS:
            value = node.get(kind)
            named = fields.mapping(report, value, f"fixtures.{kind}") if value else None
            for name, (key, fixture) in named.entries.items() if named else ():
                known = fields.mapping(report, fixture, f"fixture {name}")
                self._add(kind, name, _Fixture(report, key, plain(known) if known else None))

    def _add(self, kind: str, name: str, fixture: _Fixture) -> None:
        first = self.by_kind[kind].get(name)
        if first:
            self.used.add((kind, name))
            where = f"{first.report.file}:{first.key.line}"
            message = f"{kind[:-1]} fixture {fields.shown(name)} is there already ({where})"
            fixture.report.of(Code.DUPLICATE_NAME).at(fixture.key, message, "give one of them another name")
        else:
            self.by_kind[kind][name] = fixture

    def named(self, report: Report, node: ScalarNode, kind: str, what: str) -> Any:
        """Return the fixture a text names; None if there is none or it has a problem."""
        name = str(node.value)
        fixture = self.by_kind[kind].get(name)
        if fixture:
            self.used.add((kind, name))
            return fixture.value
        names = self.by_kind[kind]
        hint = fields.suggestion(name, names, "there are") if names else f"add it to fixtures.{kind}"
        report.at(node, f"unknown {what} fixture {fields.shown(name)}", hint)
        return None

    def value(self, report: Report, node: Node, kind: str, what: str) -> Any:
        """Return the fixture a text names, or the value written in its place; None if it has a problem."""
        if type(node) is ScalarNode and type(node.value) is str:
            return self.named(report, node, kind, what)
        if type(node) is MapNode:
            return plain(node)
        if type(node) is not BrokenNode:
            message = f"{what}: expected the name of a fixture or a mapping, found {fields.describe(node)}"
            report.at(node, message)
        return None

    def warn_unused(self) -> None:
        """Note every fixture that nothing asked for; call it when all that may ask has been read."""
        for kind, named in self.by_kind.items():
            for name, fixture in named.maps[0].items():
                if (kind, name) not in self.used:
                    message = f"{kind[:-1]} fixture {fields.shown(name)} is not used by any case"
                    fixture.report.warn(fixture.key, message, "remove it, or test with it", code=Code.UNUSED_FIXTURE)
