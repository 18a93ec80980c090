"""Matrices: every combination of some subjects, actions and resources, and a table of what each must get.

Cells the table does not list expect ``deny``, so that a grant nobody thought of fails the test.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from builder.language import fields
from builder.language.expectations import Expectation, Known, read_expectation
from builder.language.fixtures import Fixtures
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Report, ScalarNode
from policy_core.model import Decision
from policy_core.request import RequestError, normalise

MAX_CELLS = 10_000
"""Cells of one matrix."""
AXES = {"subject": "subjects", "action": "actions", "resource": "resources"}
"""What a row of the table calls a coordinate, and what the matrix calls the list of them."""

_UNLISTED = Expectation(Decision.DENY.value)
_WELL_FORMED: Mapping[str, Any] = {
    "subject": {"type": "t", "id": "i"}, "action": {"name": "a"}, "resource": {"type": "t", "id": "i"},
}  # fmt: skip


class Cell(NamedTuple):
    """The coordinates of one cell: names of fixtures, and of an action."""

    subject: str
    action: str
    resource: str

    def __str__(self) -> str:
        """Return the coordinates as reports show them."""
        return f"{self.subject}, {self.action}, {self.resource}"


_Listed: TypeAlias = dict[Cell, tuple[Expectation, int]]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One cell as a case: coordinates, the request without its context, what it must get and where that is said."""

    cell: Cell
    request: dict[str, Any]
    expect: Expectation
    line: int


def read_matrix(report: Report, matrix: Node, expect: Node, *, fixtures: Fixtures, known: Known) -> list[MatrixCell]:
    """Return all cells of a matrix, subject by subject; empty if there is a problem, which goes to the report."""
    before = len(report.problems)
    found = fields.mapping(report, matrix, "matrix")
    axes: dict[str, dict[str, Any]] = {}
    if found:
        fields.check_keys(report, found, "matrix", tuple(AXES.values()))
        for part, name in AXES.items():
            node = fields.require(report, found, name, "matrix", f"list at least one of its {name}")
            axes[part] = dict(_axis(report, node, part, fixtures)) if node else {}
        size = math.prod(map(len, axes.values()))
        if size > MAX_CELLS:
            report.at(found, f"matrix has too many cells ({size}, limit {MAX_CELLS})", "split it")
            return []
    table = _Table(report, axes, known).read(expect)
    if len(report.problems) != before:
        return []
    return list(_cells(axes, table, matrix.line))


def _cells(axes: Mapping[str, Mapping[str, Any]], table: _Listed, line: int) -> Iterator[MatrixCell]:
    for coordinates in product(*axes.values()):
        cell = Cell(*coordinates)
        expect, where = table.get(cell, (_UNLISTED, line))
        request = {part: axes[part][name] for part, name in zip(AXES, cell, strict=True)}
        yield MatrixCell(cell, request, expect, where)


def _axis(report: Report, node: Node, part: str, fixtures: Fixtures) -> Iterator[tuple[str, Any]]:
    """Yield each name of an axis with the part of the request it stands for."""
    names: set[str] = set()
    for item in fields.items(report, node, AXES[part]) or ():
        name = fields.one_line(report, item, f"entry of {AXES[part]}")
        if name is None or type(item) is not ScalarNode:
            continue
        if name in names:
            report.at(item, f"{AXES[part]} lists {fields.shown(name)} twice", "list it once")
            continue
        names.add(name)
        value = {"name": name} if part == "action" else fixtures.named(report, item, AXES[part], part)
        if value is not None:
            try:
                normalise({**_WELL_FORMED, part: value}, now=0, host={})
            except RequestError as error:
                report.at(item, error.message, error.hint)
        yield name, value


class _Table:
    """Reads the rows of a table: coordinates (left out: all of that axis), and what those cells must get."""

    def __init__(self, report: Report, axes: Mapping[str, Mapping[str, Any]], known: Known) -> None:
        self.report = report
        self.axes = axes
        self.known = known
        self.listed: _Listed = {}

    def read(self, node: Node) -> _Listed:
        # one mapping is a table of one row
        rows = [node] if type(node) is MapNode else fields.items(self.report, node, "expect of a matrix")
        for row in rows or ():
            found = fields.mapping(self.report, row, "row of expect")
            if found:
                self.row(found)
        return self.listed

    def row(self, row: MapNode) -> None:
        expect = read_expectation(self.report, row, known=self.known, others=tuple(AXES))
        names = [self.coordinates(row, part) for part in AXES]
        cells = [Cell(*coordinates) for coordinates in product(*names)]
        twice = next((cell for cell in cells if cell in self.listed), None)
        if twice:
            message = f"cell {twice} is listed already in line {self.listed[twice][1]}"
            self.report.at(row, message, "let each cell have one row")
        else:
            self.listed |= dict.fromkeys(cells, (expect, row.line))

    def coordinates(self, row: MapNode, part: str) -> list[str]:
        """Return the names a row gives for one axis: one, a list, or all if it gives none."""
        node, axis = row.get(part), self.axes.get(part, {})
        if node is None:
            return list(axis)
        found: list[str] = []
        for item in (fields.items(self.report, node, part) or ()) if type(node) is ListNode else [node]:
            name = fields.one_line(self.report, item, part)
            if name is None or type(item) is BrokenNode:
                continue
            if name in found:
                self.report.at(item, f"{part} lists {fields.shown(name)} twice", "list it once")
            elif axis and name not in axis:
                hint = fields.suggestion(name, axis, "there are")
                self.report.at(item, f"{part} {fields.shown(name)} is not in the matrix", hint)
            else:
                found.append(name)
        return found
