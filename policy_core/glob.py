"""Globs of the policy language: ``*`` is any run of characters (dots included), ``?`` is exactly one; case-sensitive.

Matching is linear in the text for each ``*`` (atomic groups never backtrack), so no request can make a pattern slow.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

RESERVED = frozenset("[]{}\\")
"""Characters refused in patterns, so that character classes and alternatives can be given a meaning later."""

_WILDCARD = re.compile(r"[*?]")


def is_glob(pattern: str) -> bool:
    """Tell whether a pattern has a wildcard; one without is compared as it is."""
    return _WILDCARD.search(pattern) is not None


def literal_prefix(pattern: str) -> str:
    """Return the part before the first wildcard: what every match starts with."""
    return _WILDCARD.split(pattern, maxsplit=1)[0]


def literal_suffix(pattern: str) -> str:
    """Return the part after the last wildcard: what every match ends with."""
    return _WILDCARD.split(pattern)[-1]


def match_glob(pattern: str, text: str) -> bool:
    """Tell whether the whole text matches one pattern."""
    return _compiled(pattern)(text) is not None


def covers_glob(wide: str, narrow: str) -> bool:
    """Tell whether it is certain that the wide pattern matches whatever the narrow one does."""
    if wide == narrow:
        return True
    if not is_glob(narrow):
        return match_glob(wide, narrow)
    if wide[-1:] == "*" and not is_glob(wide[:-1]):
        return literal_prefix(narrow).startswith(wide[:-1])
    return wide[:1] == "*" and not is_glob(wide[1:]) and literal_suffix(narrow).endswith(wide[1:])


def any_glob(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a predicate that tells whether a text matches any of the patterns.

    Exact, prefix and suffix patterns cost one hash or one C call; a regular expression is compiled, on its first use
    (0.1 ms each), only for what is left.
    """
    exact, prefixes, suffixes, rest = set(), [], [], []
    for pattern in patterns:
        if not is_glob(pattern):
            exact.add(pattern)
        elif not is_glob(pattern[:-1]) and pattern[-1] == "*":
            prefixes.append(pattern[:-1])
        elif not is_glob(pattern[1:]) and pattern[0] == "*":
            suffixes.append(pattern[1:])
        else:
            rest.append(pattern)
    if not (prefixes or suffixes or rest):
        return frozenset(exact).__contains__
    starts, ends = tuple(prefixes), tuple(suffixes)

    def matches(text: str) -> bool:
        return (
            text in exact
            or text.startswith(starts)
            or text.endswith(ends)
            or any(_compiled(pattern)(text) is not None for pattern in rest)
        )

    return matches


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """Translate: each run between stars is found leftmost and never given back, only the last is tied to the end."""
    first, *rest = (_literal(run) for run in pattern.split("*"))
    if not rest:
        return re.compile(first, re.DOTALL).fullmatch
    middle = "".join(f"(?>.*?{run})" for run in rest[:-1] if run)
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL).fullmatch


def _literal(run: str) -> str:
    return ".".join(re.escape(part) for part in run.split("?"))
