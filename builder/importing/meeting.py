"""Names that two topic patterns both match: only there does it matter which of two rules comes first."""

from collections.abc import Iterable, Iterator
from itertools import combinations, islice

MAX_PAIRS = 200
MAX_PATTERN_CHARS = 60
"""A longer pattern is not paired: looking for a name takes steps in proportion to the product of both lengths."""
_BEYOND_GLOBS = frozenset("[]\\")
_WILD = frozenset("*?")


def meeting_names(patterns: Iterable[str]) -> Iterator[str]:
    """Yield a name for each pair of patterns that share one; patterns with classes or escapes are left out."""
    globs = [p for p in dict.fromkeys(patterns) if _BEYOND_GLOBS.isdisjoint(p) and len(p) <= MAX_PATTERN_CHARS]
    pairs = ((one, other) for one, other in combinations(globs, 2) if not _WILD.isdisjoint(one + other))
    for one, other in islice(pairs, MAX_PAIRS):
        name = _meeting(one, other)
        if name is not None:
            yield name


def _meeting(one: str, other: str) -> str | None:
    """Return a name that two patterns match, None if there is none."""
    ends = len(one), len(other)
    reached = {(0, 0): ""}  # how far both patterns have got, and by which name
    queue = list(reached.items())
    for (at, beside), name in queue:
        if (at, beside) == ends:
            return name
        here, there = one[at : at + 1], other[beside : beside + 1]
        further = [((at + 1, beside), name)] if here == "*" else []
        further += [((at, beside + 1), name)] if there == "*" else []
        if character := _shared(here, there):
            further.append(((at + (here != "*"), beside + (there != "*")), name + character))
        new = [(places, longer) for places, longer in further if places not in reached]
        reached.update(new)
        queue += new
    return None


def _shared(one: str, other: str) -> str:
    """Return a character that both parts of a pattern take, empty if there is none."""
    if one in _WILD and other in _WILD:
        return "q"
    literal, part = (other, one) if one in _WILD else (one, other)
    return literal if literal == part or (part in _WILD and literal != "/") else ""
