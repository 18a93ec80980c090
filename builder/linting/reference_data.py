"""Reference data and who reads it: what nobody reads, what is read but not there, what searches cannot read."""

from collections.abc import Iterator, Mapping
from typing import Any

from builder.language.codes import Code
from builder.language.locating import locate
from builder.language.nodes import BrokenNode, Place
from builder.linting.conditions import paths_read
from builder.linting.inspection import Inspection
from policy_core.condition.text import render_path
from policy_core.errors import Problem
from policy_core.searching import PLACES, SearchKind

_Path = tuple[str, ...]
_LISTABLE = "write type: {id: {properties}} for subjects and resources, name: {properties} for actions"


def find_unread(inspection: Inspection) -> Iterator[Problem]:
    """Yield each part of the data that no condition reads: the highest place of which nothing is read."""
    reads = _Reads()
    for place in PLACES.values():
        reads.add(list(place))  # by searches
    for rule in inspection.compiled.rules:
        for (root, *fields), _ in paths_read(rule.when):
            if root == "data":
                reads.add(fields)
    for file, place in _data_files(inspection):
        for path in _unread(_value(inspection.compiled.data, place), place, reads.below(place)):
            where = _place_of(inspection, file, path[len(place) :])
            message = f"{render_path('data', path)} is read by no condition"
            yield Problem(file, where.line, where.column, message, "remove it, or read it", Code.UNUSED_DATA)


def find_missing(inspection: Inspection) -> Iterator[Problem]:
    """Yield each rule whose condition reads data that is not there, without asking with ``has()`` first."""
    data = inspection.compiled.data
    for rule in inspection.compiled.rules:
        read = [(tuple(path[1:]), asked) for path, asked in paths_read(rule.when) if path[0] == "data"]
        guarded = {path for path, asked in read if asked}
        for path, asked in dict.fromkeys(read):
            missing = not asked and _missing(data, path)
            if missing and not any(path[: len(guard)] == guard for guard in guarded):
                message = f"reads {render_path('data', missing)}, which is not there: an error wherever it is evaluated"
                yield inspection.finding(Code.MISSING_DATA, rule, message, "correct the path, or add it to data/")
                break


def find_unlistable(inspection: Inspection) -> Iterator[Problem]:
    """Yield each part of the directory that is no mapping, where a search reads one."""
    for file, place in _data_files(inspection):
        value = _value(inspection.compiled.data, place)
        found = (path for kind in SearchKind for path in _unlistable(value, place, kind))
        for path in dict.fromkeys(found):
            where = _place_of(inspection, file, path[len(place) :])
            message = f"{render_path('data', path)} is not a mapping, and searches fail on it"
            yield Problem(file, where.line, where.column, message, _LISTABLE, Code.UNLISTABLE)


class _Reads:
    """The paths that conditions read, as a tree: a path that ends somewhere reads all below it."""

    def __init__(self) -> None:
        self.whole = False
        self.parts: dict[str, _Reads] = {}

    def add(self, path: list[str]) -> None:
        here = self
        for name in path:
            here = here.parts.setdefault(name, _Reads())
        here.whole = True

    def below(self, path: _Path) -> "_Reads | None":
        """Return what is read at or below a path, None if nothing is; a read of something above reads it whole."""
        here: _Reads | None = self
        for name in path:
            if here is None or here.whole:
                break
            here = here.parts.get(name)
        return here


def _unread(value: Any, path: _Path, reads: _Reads | None) -> Iterator[_Path]:
    if reads is None:
        yield path
    elif not reads.whole and isinstance(value, dict):
        for name, part in value.items():
            yield from _unread(part, (*path, name), reads.parts.get(name))


def _unlistable(value: Any, path: _Path, kind: SearchKind) -> Iterator[_Path]:
    """Yield what is no mapping on the way to candidates of a kind, and of their properties."""
    place = PLACES[kind]
    if value is None or path[: len(place)] != place[: len(path)]:
        return
    if not isinstance(value, dict):
        yield path
    elif len(path) < len(place) + (1 if kind is SearchKind.ACTION else 2):
        for name, part in value.items():
            yield from _unlistable(part, (*path, name), kind)


def _missing(data: Mapping[str, Any], path: _Path) -> _Path:
    """Return the shortest beginning of a path that leads nowhere, empty if the path can be followed."""
    value: Any = data
    for size, name in enumerate(path, 1):
        if not isinstance(value, dict) or name not in value:
            return path[:size]
        value = value[name]
    return ()


def _data_files(inspection: Inspection) -> Iterator[tuple[str, _Path]]:
    for file, _ in inspection.compiled.tree.below("data"):
        stem, _, suffix = file.removeprefix("data/").rpartition(".")
        if suffix in ("yaml", "json"):
            yield file, tuple(stem.split("/"))


def _value(data: Any, path: _Path) -> Any:
    for name in path:
        data = data[name]
    return data


def _place_of(inspection: Inspection, file: str, path: _Path) -> Place:
    """Return where a key of a data file is written; the whole file has no place."""
    return locate(file, inspection.compiled.tree.files[file], path, at_key=True) if path else BrokenNode(0, 0)
