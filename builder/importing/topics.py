"""Topic patterns of job-style files: ``*`` and ``?`` stop at a slash, there are character classes and escapes.

A pattern becomes a glob of ours where it can, which has no such stop, and a regular expression where it must.
"""

import re
from dataclasses import dataclass

from policy_core.glob import RESERVED

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True, slots=True)
class Topic:
    """One pattern: as RE2 over the whole name, and as a glob, which means the same for names without a slash.

    `glob` is empty where none says it; `literal` is the only name it matches, empty if there are more.
    """

    regex: str
    glob: str
    literal: str

    @property
    def prefix(self) -> str:
        """Return what every name it matches starts with, as far as that is plain to see."""
        return self.literal or re.split(r"[*?]", self.glob)[0]


def read_topic(pattern: str) -> Topic:
    """Return the meaning of a pattern. Raises ValueError for one that could never match."""
    regex, glob, literal = "", "", ""
    plain = wild = False
    rest = pattern
    while rest:
        first = rest[0]
        if first in "*?":
            wild = True
            regex += "[^/]*" if first == "*" else "[^/]"
            glob += first
            rest = rest[1:]
        elif first == "[":
            text, rest = _character_class(rest[1:])
            regex += text
            wild = plain = True
        else:
            if first == "\\" and len(rest) == 1:
                raise ValueError("it ends in a backslash")
            character, rest = (rest[1], rest[2:]) if first == "\\" else (first, rest[1:])
            regex += quote(character)
            glob += character
            literal += character
            plain = plain or character in RESERVED or character in "*?"
    return Topic(regex, "" if plain else glob, "" if wild else literal)


def quote(text: str) -> str:
    """Return the RE2 pattern that matches just this text."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _character_class(rest: str) -> tuple[str, str]:
    """Return (RE2, what follows) of a class whose opening bracket has been taken."""
    negated = rest.startswith("^")
    rest = rest[negated:]
    ranges: list[str] = []
    while not (rest.startswith("]") and ranges):
        low, rest = _member(rest)
        high = low
        if rest.startswith("-"):
            high, rest = _member(rest[1:])
        if low > high:
            raise ValueError(f"the range {low}-{high} is empty")
        ranges.append(f"\\x{{{ord(low):x}}}-\\x{{{ord(high):x}}}" if low != high else f"\\x{{{ord(low):x}}}")
    return f"[{'^' if negated else ''}{''.join(ranges)}]", rest[1:]


def _member(rest: str) -> tuple[str, str]:
    if not rest or rest[0] in "]-" or rest == "\\":
        raise ValueError("a character class is not closed" if not rest else f"{rest[0]!r} in a class wants a backslash")
    return (rest[1], rest[2:]) if rest[0] == "\\" else (rest[0], rest[1:])
