"""Finds, among many, those that hold wherever a given one does; the time hardly depends on how many there are.

Each entry is filed under the rarest of its facets, and only entries filed under what the given one asks are compared.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from builder.linting.facets import ANY_TAG, TAGS, Facets, Key, covers
from policy_core.glob import is_glob, literal_prefix, literal_suffix

MAX_COMPARED = 256
"""Of the entries filed in one place; what lies further back is not found."""

T = TypeVar("T")
_Drawer = tuple[Key, str, Any]
"""Facet, how its value is written (exact, prefix, suffix, glob), and what to look it up by."""


class CoverIndex(Generic[T]):
    """Entries by what they ask; one that asks nothing holds everywhere."""

    def __init__(self, entries: Iterable[tuple[Facets, T]]) -> None:
        entries = list(entries)
        crowd = Counter(drawer for facets, _ in entries for key in facets for drawer in _drawers(key, facets[key]))
        self._everywhere: list[tuple[Facets, T]] = []
        self._filed: dict[_Drawer, list[tuple[Facets, T]]] = defaultdict(list)
        self._lengths: dict[tuple[Key, str], set[int]] = defaultdict(set)
        for facets, entry in entries:
            choices = (drawers for key in facets for drawers in _choices(key, facets[key]))
            best = min(choices, key=lambda drawers: sum(crowd[drawer] for drawer in drawers), default=None)
            if best is None:
                self._everywhere.append((facets, entry))
            for drawer in best or ():
                self._filed[drawer].append((facets, entry))
                if drawer[1] != "exact":
                    self._lengths[drawer[0], drawer[1]].add(len(drawer[2]))

    def covering(self, narrow: Facets) -> Iterator[T]:
        """Yield the entries that are sure to hold wherever all the given facets do, possibly itself among them."""
        for _, entry in islice(self._everywhere, MAX_COMPARED):
            yield entry
        for drawer in self._looked_up(narrow):
            for facets, entry in islice(self._filed.get(drawer, ()), MAX_COMPARED):
                if covers(facets, narrow):
                    yield entry

    def _looked_up(self, narrow: Facets) -> Iterator[_Drawer]:
        for key, values in narrow.items():
            if key[0] == "same":
                yield key, "exact", values
            elif key[0] == "all":
                for value in sorted(values):  # the order decides which of several is found first
                    yield key, "exact", value
                    if key == TAGS:
                        yield ANY_TAG, "exact", value
            else:
                yield from self._patterns(key, min(values, key=str))  # all must be covered, so looking for one will do

    def _patterns(self, key: Key, value: Any) -> Iterator[_Drawer]:
        yield key, "exact", value
        if not isinstance(value, str):
            return
        start, end = literal_prefix(value), literal_suffix(value)
        for kind in ("prefix", "glob"):
            sizes = sorted(self._lengths.get((key, kind), ()))
            yield from ((key, kind, start[:size]) for size in sizes if size <= len(start))
        for size in sorted(self._lengths.get((key, "suffix"), ())):
            if size <= len(end):
                yield key, "suffix", end[len(end) - size :]


def _choices(key: Key, values: frozenset[Any]) -> Iterator[list[_Drawer]]:
    """Yield the sets of drawers an entry can be filed under by one facet: each set is found from all it covers."""
    drawers = list(_drawers(key, values))
    if key[0] == "all":
        yield from ([drawer] for drawer in drawers)
    else:
        yield drawers


def _drawers(key: Key, values: frozenset[Any]) -> Iterator[_Drawer]:
    if key[0] == "same":
        yield key, "exact", values
        return
    for value in values:
        if key[0] == "all" or not isinstance(value, str) or not is_glob(value):
            yield key, "exact", value
        elif value[-1] == "*" and not is_glob(value[:-1]):
            yield key, "prefix", value[:-1]
        elif value[0] == "*" and not is_glob(value[1:]):
            yield key, "suffix", value[1:]
        else:
            yield key, "glob", literal_prefix(value)
