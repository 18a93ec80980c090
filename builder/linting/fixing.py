"""Puts right what can be put right without changing a decision: list entries that say nothing new are taken out.

Only the characters of the entry and what separates it from its neighbour go; everything else, comments included, stays
as it was written. A file in which that is not plainly possible is left alone, and so is every file if the policies as a
whole would not be sound afterwards.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from builder.language.codes import Code
from builder.language.nodes import ListNode, MapNode, Node, Report, ScalarNode, plain
from builder.language.yamlfile import read_yaml
from builder.linting.linter import LintResult
from builder.source import PolicyTree
from policy_core.glob import covers_glob

FIXABLE = frozenset({Code.REPEATED_ENTRY, Code.COVERED_ENTRY})

_BLOCK_ENTRY = re.compile(r"[ ]*-[ ]+")


@dataclass(frozen=True, slots=True)
class Fix:
    """One entry taken out of a list."""

    file: str
    line: int
    entry: str

    def __str__(self) -> str:
        """Return the fix as a line for people."""
        return f"{self.file}:{self.line}: fixed: removed the entry {self.entry!r}"


class Cut(NamedTuple):
    """The characters from `start` up to `end` go."""

    start: int
    end: int


def fix_tree(tree: PolicyTree, result: LintResult) -> tuple[PolicyTree, list[Fix]]:
    """Return the tree with everything of a lint result that can be fixed, and what was done."""
    places: dict[str, dict[tuple[int, int], bool]] = defaultdict(dict)
    for finding in result.warnings:
        if finding.code in FIXABLE:
            here = places[finding.file]
            place = finding.line, finding.column
            here[place] = here.get(place, False) or finding.code == Code.COVERED_ENTRY
    files, fixes = dict(tree.files), []
    for path, lists in places.items():
        content, done = _fix_file(path, files[path], lists)
        files[path] = content
        fixes += done
    return replace(tree, files=files), fixes


def _fix_file(path: str, content: bytes, lists: dict[tuple[int, int], bool]) -> tuple[bytes, list[Fix]]:
    """Return a file without the entries that say nothing new; `lists` are the places of lists, true: of globs."""
    line_end = "\r\n" if b"\r\n" in content else "\n"
    text = content.decode().replace("\r\n", "\n")  # offsets in nodes are those of such a text
    root = read_yaml(content, Report(path))
    if root is None or text.replace("\n", line_end).encode() != content:
        return content, []
    dropped: dict[int, set[int]] = {}
    cuts: list[Cut] = []
    fixes = []
    for node in _lists(root):
        if (node.line, node.column) not in lists:
            continue
        needless = _needless(node, globs=lists[node.line, node.column])
        found = [_cut(text, node.items, index, needless) for index in sorted(needless)]
        if None not in found:
            dropped[id(node)] = needless
            cuts += [cut for cut in found if cut]
            fixes += [Fix(path, node.items[index].line, str(plain(node.items[index]))) for index in sorted(needless)]
    for cut in sorted(cuts, reverse=True):
        text = text[: cut.start] + text[cut.end :]
    fixed = text.replace("\n", line_end).encode()
    after = read_yaml(fixed, Report(path))
    if after is None or plain(after) != _expected(root, dropped):
        return content, []
    return fixed, fixes


def _lists(node: Node) -> Iterator[ListNode]:
    if type(node) is ListNode:
        yield node
        for item in node.items:
            yield from _lists(item)
    elif type(node) is MapNode:
        for _, value in node.entries.values():
            yield from _lists(value)


def _needless(node: ListNode, *, globs: bool) -> set[int]:
    """Return the positions of entries that an earlier one repeats, or, of globs, that another one covers."""
    values = [plain(item) for item in node.items]
    needless = {index for index, value in enumerate(values) if value in values[:index]}
    if globs:
        needless |= {
            index
            for index, value in enumerate(values)
            if any(other != value and covers_glob(other, value) for other in values)
        }
    return needless


def _cut(text: str, items: list[Node], index: int, needless: set[int]) -> Cut | None:
    """Return the characters to remove for one entry, None if they are not plainly its own."""
    item = items[index]
    if type(item) is not ScalarNode:
        return None
    start = text.rfind("\n", 0, item.start) + 1
    end = text.find("\n", item.end) + 1 or len(text)
    if _BLOCK_ENTRY.fullmatch(text, start, item.start):
        return Cut(start, end) if not text[item.end : end].strip() else None
    kept_before = [other for other in range(index) if other not in needless]
    neighbour = items[index - 1] if kept_before else items[index + 1]
    if type(neighbour) is not ScalarNode:
        return None
    cut = Cut(neighbour.end, item.end) if kept_before else Cut(item.start, neighbour.start)
    between = text[neighbour.end : item.start] if kept_before else text[item.end : neighbour.start]
    return cut if between.strip() == "," else None


def _expected(node: Node, dropped: dict[int, set[int]]) -> Any:
    if type(node) is ListNode:
        gone = dropped.get(id(node), set())
        return [_expected(item, dropped) for index, item in enumerate(node.items) if index not in gone]
    if type(node) is MapNode:
        return {key: _expected(value, dropped) for key, (_, value) in node.entries.items()}
    return plain(node)
