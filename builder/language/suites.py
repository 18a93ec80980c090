"""Policy test suites (docs/reference/policy-tests.md): fixtures, and cases that say what a request must get."""

import dataclasses
import datetime
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from builder.language import fields
from builder.language.codes import Code
from builder.language.expectations import Expectation, Known, read_expectation
from builder.language.fixtures import FOLDER, Fixtures
from builder.language.matrices import Cell, MatrixCell, read_matrix
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Report, ScalarNode, plain
from builder.language.remembering import Remembered
from builder.language.yamlfile import read_yaml
from policy_core.memory import Assumed
from policy_core.request import RequestError, normalise

DEFAULT_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
"""The time of a case that names none: fixed, so that a test gives the same result on any day."""
MAX_CASES = 50_000
"""Cases of one suite, cells of matrices included."""

_SUITE_KEYS = ("version", "name", "now", "host", "fixtures", "cases")
_PARTS = ("subject", "action", "resource", "context")
_SINGLE = ("request", "subject", "action", "resource")
_CASE_KEYS = ("name", *_SINGLE, "context", "matrix", "now", "host", "counted", "approved_by", "expect", "skip")
MAX_COUNTED = 10**9


@dataclass(frozen=True, slots=True)
class Case:
    """One case or cell of a matrix: a request as JSON in either form, its time in seconds, what it must get.

    `counted` is how many allowed requests a rule with a rate has counted for it already, `approved_by` whose grants it
    has.
    """

    name: str
    line: int
    request: Any
    now: float
    host: Mapping[str, str]
    expect: Expectation
    skip: str
    cell: Cell | None = None
    counted: Mapping[str, int] = field(default_factory=dict)
    approved_by: tuple[str, ...] = ()

    @property
    def memory(self) -> Assumed:
        """Return what the matcher is to take for granted about earlier requests."""
        return Assumed(self.counted, self.approved_by)

    @property
    def title(self) -> str:
        """Return the name; of a cell with its coordinates."""
        return f"{self.name} [{self.cell}]" if self.cell else self.name


@dataclass(frozen=True, slots=True)
class Suite:
    """One file of cases; `used` are kind and name of the fixtures it asks for."""

    file: str
    name: str
    cases: tuple[Case, ...]
    used: frozenset[tuple[str, str]] = frozenset()


def read_suites(files: Iterable[tuple[str, bytes]], report: Callable[[str], Report], *, known: Known) -> list[Suite]:
    """Return the suites below tests/, in the order of `files`; those below tests/fixtures/ are what they share.

    `report` gives the report of a file; see `read_suite`.
    """
    shared = Fixtures()
    suites: list[tuple[str, bytes]] = []
    names = [sorted(getattr(known, each.name)) for each in dataclasses.fields(known)]
    beside = hashlib.sha256(msgspec.json.encode(names))
    for path, content in files:
        if path.startswith(FOLDER):
            shared.read_file(content, report(path))
            beside.update(hashlib.sha256(path.encode()).digest() + hashlib.sha256(content).digest())
        else:
            suites.append((path, content))
    read = partial(read_suite, known=known, shared=shared)
    found = [_REMEMBERED.read(read, content, report(path), beside=beside.digest()) for path, content in suites]
    for suite in found:
        shared.used |= suite.used if suite else frozenset()
    if not report(FOLDER).problems:  # what a broken case would have used is not known
        shared.warn_unused()
    return [suite for suite in found if suite]


def read_suite(content: bytes, report: Report, *, known: Known, shared: Fixtures | None = None) -> Suite | None:
    """Return the suite in a file below tests/; problems go to the report. `known` is what its cases may name."""
    before = len(report.problems)
    root = read_yaml(content, report)
    found = fields.mapping(report, root, "test suite") if root else None
    if found is None:
        return None
    fields.check_keys(report, found, "test suite", _SUITE_KEYS)
    fields.check_version(report, found)
    name = found.get("name")
    reader = _SuiteReader(report, found, known, Fixtures(shared))
    cases = fields.require(report, found, "cases", "test suite", "list its cases under cases:")
    suite = Suite(
        file=report.file,
        name=(name and fields.one_line(report, name, "name")) or report.file.removeprefix("tests/").rsplit(".", 1)[0],
        cases=tuple(reader.cases(cases)) if cases else (),
        used=frozenset(reader.fixtures.used),
    )
    if len(report.problems) == before:
        reader.fixtures.warn_unused()
    return suite


_REMEMBERED: Remembered[Suite | None] = Remembered()


class _SuiteReader:
    """Reads the cases of one suite against its fixtures."""

    def __init__(self, report: Report, suite: MapNode, known: Known, fixtures: Fixtures) -> None:
        self.report = report
        self.known = known
        self.now, self.host = self.circumstances(suite, DEFAULT_NOW, {})
        self.fixtures = fixtures
        node = suite.get("fixtures")
        if node:
            fixtures.read(report, node)

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
        cases: list[Case] = []
        names: set[str] = set()
        for item in fields.items(self.report, node, "cases") or ():
            found = fields.mapping(self.report, item, "case")
            read = list(self.case(found)) if found else []
            if read and read[0].name in names:
                name = fields.shown(read[0].name)
                self.report.of(Code.DUPLICATE_NAME).at(
                    item, f"duplicate case name {name}", "give each case its own name"
                )
            elif read:
                names.add(read[0].name)
                cases += read
            if len(cases) > MAX_CASES:
                self.report.at(item, f"suite has too many cases (limit {MAX_CASES}, cells included)", "split it")
            if len(cases) > MAX_CASES or self.report.is_full:
                break
        return cases

    def case(self, node: MapNode) -> Iterator[Case]:
        """Yield the case, or every cell of its matrix; nothing if it has a problem."""
        report = self.report
        fields.check_keys(report, node, "case", _CASE_KEYS)
        matrix = node.get("matrix")
        title = fields.require(report, node, "name", "case", "say in a sentence what it claims")
        name = title and fields.one_line(report, title, "name")
        now, host = self.circumstances(node, self.now, self.host)
        reason = node.get("skip")
        skip = (reason and fields.one_line(report, reason, "skip")) or ""
        counted, approved_by = self.assumptions(node)
        if matrix:
            for cell in self.cells(node, matrix):
                yield Case(
                    name or "", cell.line, cell.request, now, host, cell.expect, skip, cell.cell, counted, approved_by
                )
            return
        request = self.request(node)
        if request is not None:
            self.check_request(node, request)
        expected = fields.require(report, node, "expect", "case", "such as expect: {decision: allow}")
        found = fields.mapping(report, expected, "expect") if expected else None
        expect = read_expectation(report, found, known=self.known) if found else None
        if name and request is not None and expect is not None:
            yield Case(name, node.line, request, now, host, expect, skip, None, counted, approved_by)

    def assumptions(self, node: MapNode) -> tuple[dict[str, int], tuple[str, ...]]:
        """Return what a case takes for granted: requests counted by rule, and who has approved."""
        counts, names = node.get("counted"), node.get("approved_by")
        found = fields.mapping(self.report, counts, "counted") if counts else None
        counted = {}
        for rule, (place, value) in found.entries.items() if found else ():
            self.known.check(self.report, place, rule, "rule")
            if rule in self.known.rules and rule not in self.known.rated:
                self.report.at(place, f"rule {rule} has no rate", "count for rules that have one")
            counted[rule] = fields.integer(self.report, value, f"counted.{rule}", least=0, most=MAX_COUNTED) or 0
        approved_by = fields.strings(self.report, names, "approved_by") if names else ()
        for item in names.items if type(names) is ListNode else ():
            if type(item) is ScalarNode and type(item.value) is str and item.value:
                self.known.check(self.report, item, item.value, "approver")
        return counted, approved_by

    def cells(self, node: MapNode, matrix: Node) -> Iterator[MatrixCell]:
        """Yield every cell of a matrix, its request complete."""
        for part in _SINGLE:
            if part in node.entries:
                self.report.at(node.entries[part][0], f"{part} beside matrix", "give the matrix, or a single request")
        context = node.get("context")
        shared = {"context": self.part(context, "context")} if context else {}
        hint = "such as expect: [{subject: ann, decision: allow}]; cells that are not listed expect deny"
        expected = fields.require(self.report, node, "expect", "case", hint)
        if expected is None:
            return
        for cell in read_matrix(self.report, matrix, expected, fixtures=self.fixtures, known=self.known):
            yield dataclasses.replace(cell, request=cell.request | shared)

    def request(self, node: MapNode) -> Any:
        """Return the request of a case: a fixture or inline, or put together from its parts; None if it is broken."""
        given = node.entries.get("request")
        parts = [name for name in _PARTS if name in node.entries]
        if given and parts:
            self.report.at(given[0], f"request beside {', '.join(parts)}", "give the request, or its parts")
            return None
        if given:
            return self.fixtures.value(self.report, given[1], "requests", "request")
        if not parts:
            self.report.at(node, "case has no request", "name a fixture: request: NAME, or write the request here")
            return None
        request = {part: self.part(node.entries[part][1], part) for part in parts}
        return None if None in request.values() else request

    def part(self, node: Node, part: str) -> Any:
        """Return one part of a request; None if it is broken."""
        if part in ("subject", "resource"):
            return self.fixtures.value(self.report, node, f"{part}s", part)
        if part == "action" and type(node) is ScalarNode and type(node.value) is str:
            return {"name": node.value}
        if type(node) is MapNode:
            return plain(node)
        if type(node) is not BrokenNode:
            wanted = "a name or a mapping" if part == "action" else "a mapping"
            self.report.at(node, f"{part}: expected {wanted}, found {fields.describe(node)}")
        return None

    def check_request(self, node: MapNode, request: Any) -> None:
        try:
            normalise(request, now=self.now, host={})
        except RequestError as error:
            self.report.at(node.get("request") or node, error.message, error.hint)
