"""The CEL library's error text as problems: offset in the source, a plain message, a hint."""

import difflib
import re
from collections.abc import Iterable

from policy_core.condition import MAX_DEPTH, ROOTS

_ERROR = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?: \[[A-Z_]+\])?$", re.MULTILINE)
_SYNTAX = re.compile(
    r"Syntax error: (?:mismatched input|extraneous input|no viable alternative at input) '(.*?)'(?: expecting .*)?"
)
_UNREADABLE = re.compile(r"Syntax error: token recognition error at: '(.*?)'?")
_UNDECLARED = re.compile(r"undeclared reference to '(.*)' \(in container ''\)")
_OVERLOAD = re.compile(r"found no matching overload for '(.*)' applied to '\((.*)\)'")
_TOO_DEEP = re.compile(r"[Rr]ecursion (?:depth|limit)")
_TYPES = {"google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration", "null_type": "null"}
_MAX_MESSAGE_CHARS = 200


def library_problems(source: str, report: str) -> list[tuple[int, str, str]]:
    """Return (offset, message, hint) of each error in what the library raised for `source`."""
    lines = source.split("\n")
    problems = []
    for line, column, text in _ERROR.findall(report):
        if "parsetree" in text:
            continue  # only ever a consequence of an error before it
        before = lines[: int(line) - 1] if int(line) > 0 else []
        offset = min(sum(len(earlier) + 1 for earlier in before) + max(int(column), 1) - 1, len(source))
        overload = _OVERLOAD.fullmatch(text)
        problems.append((name_offset(source, offset, overload[1] if overload else ""), *_plain(text)))
    if not problems:
        problems.append((0, *_plain(report.split("\n", maxsplit=1)[0])))
    return problems


def name_offset(source: str, offset: int, name: str) -> int:
    """Return where `name` starts if `offset` is that of the parenthesis after it, as the library gives it."""
    before = source[:offset].rstrip()
    return len(before) - len(name) if source[offset : offset + 1] == "(" and before.endswith(name) else offset


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint naming the most similar of the `known` names, or the empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def unknown_name(name: str) -> tuple[str, str]:
    """Return message and hint for a name that is no variable."""
    return f"unknown name {name}", suggestion(name, ROOTS) or f"the variables are {', '.join(ROOTS)}"


def _plain(text: str) -> tuple[str, str]:
    if _TOO_DEEP.search(text):
        return f"nested deeper than {MAX_DEPTH}", "split it into several rules"
    if match := _SYNTAX.fullmatch(text):
        return ("ends too early" if match[1] == "<EOF>" else f"unexpected {_printable(match[1])}"), ""
    if match := _UNREADABLE.fullmatch(text):
        return f"cannot read {_printable(match[1])}", "are quotes and escapes right?"
    if match := _UNDECLARED.fullmatch(text):
        return unknown_name(_printable(match[1]))
    if match := _OVERLOAD.fullmatch(text):
        return _no_overload(match[1], match[2])
    if text.startswith("invalid int literal"):
        return "integer beyond 64 bits", ""
    return _printable(text[:1].lower() + text[1:]).replace("at '<EOF>'", "at the end"), ""


def _no_overload(function: str, types: str) -> tuple[str, str]:
    for name, plain in _TYPES.items():
        types = types.replace(name, plain)
    name = function.strip("_@") if not function[:1].isalpha() else function
    name = {"?_:": "?:", "[_]": "[]", "[": "[]"}.get(name, name)
    hint = "write both as int (1) or both as double (1.0)" if set(types.split(", ")) == {"int", "double"} else ""
    return f"{name} is not defined on ({types})", hint


def _printable(text: str) -> str:
    clean = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return clean[:_MAX_MESSAGE_CHARS]
