"""Policy test suites (docs/reference/policy-tests.md): fixtures, and cases that say what a request must get."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from builder.language import fields
from builder.language.nodes import BrokenNode, MapNode, Node, Report, ScalarNode, plain
from builder.language.yamlfile import read_yaml
from policy_core.constraints import canonical_constraint, check_constraint
from policy_core.model import Constraint, Decision
from policy_core.request import RequestError, normalise

DEFAULT_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
"""The time of a case that names none: fixed, so that a test gives the same result on any day."""

_SUITE_KEYS = ("version", "name", "now", "host", "fixtures", "cases")
_FIXTURES = ("subjects", "resources", "requests")
_PARTS = ("subject", "action", "resource", "context")
_CASE_KEYS = ("name", "request", *_PARTS, "now", "host", "expect", "skip")
_EXPECT_KEYS = ("decision", "rule", "reason_code", "constraints")
_DECISIONS = tuple(decision.value for decision in Decision if decision is not Decision.CONSTRAIN)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a case expects of the answer; None: anything."""

    decision: str
    rule: str | None = None
    reason_code: str | None = None
    constraints: Mapping[str, Constraint] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One case: a request as JSON in either form, its circumstances (`now` in seconds), what it must get."""

    name: str
    line: int
    request: Any
    now: float
    host: Mapping[str, str]
    expect: Expectation
    skip: str


@dataclass(frozen=True, slots=True)
class Suite:
    """One file of cases."""

    file: str
    name: str
    cases: tuple[Case, ...]


def read_suite(content: bytes, report: Report, *, rules: Collection[str]) -> Suite | None:
    """Return the suite in a file below tests/; problems go to the report.

    An expected rule must be one of `rules` (``<policy>/<rule>``), unless these are empty.
    """
    root = read_yaml(content, report)
    found = fields.mapping(report, root, "test suite") if root else None
    if found is None:
        return None
    fields.check_keys(report, found, "test suite", _SUITE_KEYS)
    fields.check_version(report, found)
    name = found.get("name")
    reader = _SuiteReader(report, found, rules)
    cases = fields.require(report, found, "cases", "test suite", "list its cases under cases:")
    return Suite(
        file=report.file,
        name=(name and fields.one_line(report, name, "name")) or report.file.removeprefix("tests/").rsplit(".", 1)[0],
        cases=tuple(reader.cases(cases)) if cases else (),
    )


class _SuiteReader:
    """Reads the cases of one suite against its fixtures."""

    def __init__(self, report: Report, suite: MapNode, rules: Collection[str]) -> None:
        self.report = report
        self.rules = rules
        self.now, self.host = self.circumstances(suite, DEFAULT_NOW, {})
        self.fixtures: dict[str, dict[str, Any]] = {kind: {} for kind in _FIXTURES}
        node = suite.get("fixtures")
        fixtures = fields.mapping(report, node, "fixtures") if node else None
        if fixtures:
            fields.check_keys(report, fixtures, "fixtures", _FIXTURES)
        for kind, (_, value) in fixtures.entries.items() if fixtures else ():
            named = fields.mapping(report, value, f"fixtures.{kind}")
            for name, (_, fixture) in named.entries.items() if named else ():
                if fields.mapping(report, fixture, f"fixture {name}"):
                    self.fixtures.setdefault(kind, {})[name] = plain(fixture)

    def circumstances(self, node: MapNode, now: float, host: Mapping[str, str]) -> tuple[float, Mapping[str, str]]:
        """Return time and host labels that a suite or case gives, else the ones handed in."""
        given = node.get("now")
        if given:
            seconds = fields.moment(self.report, given, "now")
            now = now if seconds is None else seconds
        labels = node.get("host")
        if labels:
            host = {name: text for name, (_, text) in fields.string_map(self.report, labels, "host").items()}
        return now, host

    def cases(self, node: Node) -> list[Case]:
        cases, names = [], set()
        for item in fields.items(self.report, node, "cases") or ():
            found = fields.mapping(self.report, item, "case")
            case = self.case(found) if found else None
            if case and case.name in names:
                self.report.at(item, f"duplicate case name {fields.shown(case.name)}", "give each case its own name")
            elif case:
                names.add(case.name)
                cases.append(case)
        return cases

    def case(self, node: MapNode) -> Case | None:
        report = self.report
        if "matrix" in node.entries:
            report.at(node.entries["matrix"][0], "matrix is not yet supported", "list the cases one by one")
            return None
        fields.check_keys(report, node, "case", _CASE_KEYS)
        title = fields.require(report, node, "name", "case", "say in a sentence what it claims")
        name = title and fields.one_line(report, title, "name")
        now, host = self.circumstances(node, self.now, self.host)
        request = self.request(node)
        if request is not None:
            self.check_request(node, request)
        expected = fields.require(report, node, "expect", "case", "such as expect: {decision: allow}")
        expect = self.expectation(expected) if expected else None
        reason = node.get("skip")
        skip = reason and fields.one_line(report, reason, "skip")
        if not name or request is None or expect is None:
            return None
        return Case(name, node.line, request, now, host, expect, skip or "")

    def request(self, node: MapNode) -> Any:
        """Return the request of a case: a fixture or inline, or put together from its parts; None if it is broken."""
        given = node.entries.get("request")
        parts = [name for name in _PARTS if name in node.entries]
        if given and parts:
            self.report.at(given[0], f"request beside {', '.join(parts)}", "give the request, or its parts")
            return None
        if given:
            return self.fixture(given[1], "requests", "request")
        if not parts:
            self.report.at(node, "case has no request", "name a fixture: request: NAME, or write the request here")
            return None
        request: dict[str, Any] = {}
        for part in parts:
            value = node.entries[part][1]
            if part == "action" and type(value) is ScalarNode and type(value.value) is str:
                request[part] = {"name": value.value}
            elif part in ("subject", "resource"):
                request[part] = self.fixture(value, f"{part}s", part)
            elif type(value) is MapNode:
                request[part] = plain(value)
            else:
                request[part] = None
                if type(value) is not BrokenNode:
                    wanted = "a name or a mapping" if part == "action" else "a mapping"
                    self.report.at(value, f"{part}: expected {wanted}, found {fields.describe(value)}")
        return None if None in request.values() else request

    def fixture(self, node: Node, kind: str, what: str) -> Any:
        """Return the fixture a text names, or the value written in its place."""
        if type(node) is ScalarNode and type(node.value) is str:
            fixtures = self.fixtures[kind]
            if node.value in fixtures:
                return fixtures[node.value]
            hint = fields.suggestion(node.value, fixtures, "there are") if fixtures else f"add it to fixtures.{kind}"
            self.report.at(node, f"unknown {what} fixture {fields.shown(node.value)}", hint)
            return None
        if type(node) is not MapNode:
            if type(node) is not BrokenNode:
                message = f"{what}: expected the name of a fixture or a mapping, found {fields.describe(node)}"
                self.report.at(node, message)
            return None
        return plain(node)

    def check_request(self, node: MapNode, request: Any) -> None:
        try:
            normalise(request, now=self.now, host={})
        except RequestError as error:
            self.report.at(node.get("request") or node, error.message, error.hint)

    def expectation(self, node: Node) -> Expectation | None:
        report = self.report
        found = fields.mapping(report, node, "expect")
        if found is None:
            return None
        fields.check_keys(report, found, "expect", _EXPECT_KEYS)
        value = fields.require(report, found, "decision", "expect", f"expected one of: {', '.join(_DECISIONS)}")
        decision = value and fields.choice(report, value, "decision", _DECISIONS)
        named, code, bounds = found.get("rule"), found.get("reason_code"), found.get("constraints")
        rule = fields.one_line(report, named, "rule") if named else None
        if named and rule and self.rules and rule not in self.rules:
            hint = fields.suggestion(rule, self.rules, "rules") if len(self.rules) < 10 else "write POLICY/RULE"
            report.at(named, f"unknown rule {fields.shown(rule)}", hint)
        return Expectation(
            decision=decision or "",
            rule=rule,
            reason_code=fields.one_line(report, code, "reason_code") if code else None,
            constraints=self.constraints(bounds) if bounds else None,
        )

    def constraints(self, node: Node) -> Mapping[str, Constraint] | None:
        if type(node) is MapNode and not node.entries:
            return {}
        found = fields.mapping(self.report, node, "constraints")
        constraints = {}
        for name, (key, value) in found.entries.items() if found else ():
            problem = check_constraint(name, plain(value))
            if not problem:
                constraints[name] = canonical_constraint(plain(value))
            elif type(value) is not BrokenNode:
                self.report.at(key, *problem)
        return constraints
