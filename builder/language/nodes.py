"""What a YAML file says, with the place of every value: the nodes that readers of documents walk over."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import msgspec

from builder.language.codes import Code
from policy_core.errors import Problem

MAX_PROBLEMS = 100
"""Reported of one file at a time."""


class Place(Protocol):
    """Anything with a line and a column, both counted from 1."""

    @property
    def line(self) -> int:
        """Return the line in the file."""

    @property
    def column(self) -> int:
        """Return the column in characters."""


class ScalarNode(msgspec.Struct, frozen=True, gc=False):
    """A string, number, boolean or null; `style` is the YAML quoting, `start` and `end` are offsets in the text."""

    value: str | int | float | bool | None
    line: int
    column: int
    style: str
    start: int
    end: int


class ListNode(msgspec.Struct, frozen=True):
    """A sequence."""

    items: "list[Node]"
    line: int
    column: int


class MapNode(msgspec.Struct, frozen=True):
    """A mapping: each key with the node it was written as, and its value, in the order of the file."""

    entries: "dict[str, tuple[ScalarNode, Node]]"
    line: int
    column: int

    def get(self, key: str) -> "Node | None":
        """Return the value of a key, None if it is absent."""
        entry = self.entries.get(key)
        return None if entry is None else entry[1]


class BrokenNode(msgspec.Struct, frozen=True):
    """Stands for a value that already has a problem, so that it is not reported twice."""

    line: int
    column: int


Node: TypeAlias = ScalarNode | ListNode | MapNode | BrokenNode


@dataclass(frozen=True, slots=True)
class Report:
    """Collects what is wrong with one file; several reports share their lists, so that a run shows everything.

    `code` is the class of the problems noted through this report.
    """

    file: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    code: Code = Code.INVALID_VALUE
    tally: list[int] = field(default_factory=lambda: [0], compare=False)

    @property
    def is_full(self) -> bool:
        """Tell whether so much is wrong with the file that it is not worth reading on."""
        return self.tally[0] > MAX_PROBLEMS

    def of(self, code: Code) -> "Report":
        """Return a report for problems of another class, into the same lists."""
        return replace(self, code=code)

    def at(self, place: Place, message: str, hint: str = "") -> None:
        """Note a problem at a place."""
        self._note(Problem(self.file, place.line, place.column, message, hint, self.code))

    def file_problem(self, message: str, hint: str = "") -> None:
        """Note a problem with the file as a whole."""
        self._note(Problem(self.file, 0, 0, message, hint, self.code))

    def warn(self, place: Place, message: str, hint: str = "", *, code: Code) -> None:
        """Note a finding that does not stop anything."""
        self.warnings.append(Problem(self.file, place.line, place.column, message, hint, code))

    def _note(self, problem: Problem) -> None:
        self.tally[0] += 1
        if self.tally[0] <= MAX_PROBLEMS:
            self.problems.append(problem)
        elif self.tally[0] == MAX_PROBLEMS + 1:
            message, hint = f"more is wrong than these {MAX_PROBLEMS} problems", "correct them, then look again"
            self.problems.append(Problem(self.file, 0, 0, message, hint, self.code))


def plain(node: Node) -> Any:
    """Return the Python value of a node: dict, list, str, int, float, bool or None (a broken node is None)."""
    return _PLAIN[type(node)](node)


_PLAIN: dict[type, Callable[[Any], Any]] = {
    ScalarNode: lambda node: node.value,
    ListNode: lambda node: [plain(item) for item in node.items],
    MapNode: lambda node: {key: plain(value) for key, (_, value) in node.entries.items()},
    BrokenNode: lambda _: None,
}
