"""Strict JSON for data files: RFC 8259 with every key once, finite numbers, bounded size and depth."""

import json
import math
import re
from typing import Any

from builder.language.codes import Code
from builder.language.nodes import BrokenNode, Report
from builder.language.yamlfile import MAX_DEPTH, MAX_INTEGER, forbidden_character

MAX_JSON_BYTES = 8 * 2**20
MAX_DUPLICATE_KEYS = 20
"""Reported of one file; each costs a count of the lines before it."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+')
_INTEGER = re.compile(r"-?[0-9]+")
_INTEGER_CHARS = 30


def read_json(content: bytes, report: Report) -> Any:
    """Return the value in a JSON file; problems go to the report (the value is None then)."""
    report = report.of(Code.UNREADABLE)
    if len(content) > MAX_JSON_BYTES:
        report.file_problem(f"file is too large ({len(content)} bytes, limit {MAX_JSON_BYTES})", "split the file")
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        report.at(_place(before, len(before)), "not UTF-8", "save the file as UTF-8 without byte order mark")
        return None
    noted = len(report.problems)
    _check_structure(text, report)
    if len(report.problems) > noted:
        return None
    value: Any = None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        _note_syntax(text, error, report)
    except (_ConstantError, ValueError):  # the latter: an integer of more digits than Python converts
        _note_scalars(text, report)
    else:
        if _has_bad_scalar(value):
            _note_scalars(text, report)
    return value if len(report.problems) == noted else None


class _ConstantError(Exception):
    """Not a number of JSON."""


def _refuse_constant(_name: str) -> None:
    raise _ConstantError


def _note_syntax(text: str, error: json.JSONDecodeError, report: Report) -> None:
    """Note what the parser stopped at, a trailing comma in words of our own: they differ between versions of Python."""
    place = BrokenNode(error.lineno, error.colno)
    before = text[: error.pos + 1].rstrip("]} \t\r\n")
    if text.startswith("\ufeff"):
        report.at(place, "forbidden character U+FEFF", "save the file as UTF-8 without byte order mark")
    elif before.endswith(",") and text[len(before) :].lstrip()[:1] in ("]", "}"):
        report.at(_place(text, len(before) - 1), "not valid JSON: trailing comma", "take the comma away")
    else:
        report.at(place, f"not valid JSON: {error.msg.lower()}", "write it as JSON (RFC 8259), or as YAML")


def _check_structure(text: str, report: Report) -> None:
    """Note every duplicate key with its place, and nesting beyond the limit, before anything is built.

    What is no JSON at all passes here and fails in the parser.
    """
    levels: list[dict[str, int]] = []
    duplicates = 0
    candidate: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        symbol = text[token.start()]
        if symbol in "{[":
            levels.append({})
            if len(levels) > MAX_DEPTH:
                report.at(_place(text, token.start()), f"nested too deeply (limit {MAX_DEPTH} levels)", "flatten it")
                return
        elif symbol in "}]" and levels:
            levels.pop()
        elif symbol == ":" and candidate and levels:
            name = _unescaped(candidate[0])
            if name in levels[-1]:
                first = text.count("\n", 0, levels[-1][name]) + 1
                place = _place(text, candidate.start())
                report.at(place, f"duplicate key {name[:40]!r} (first in line {first})", "keep one of them")
                duplicates += 1
                if duplicates == MAX_DUPLICATE_KEYS:
                    return
            levels[-1].setdefault(name, candidate.start())
        candidate = token if symbol == '"' else None


def _unescaped(literal: str) -> str:
    try:
        return str(json.loads(literal))
    except ValueError:
        return literal


def _has_bad_scalar(value: Any) -> bool:
    """Tell whether a number or text anywhere in a value is one that `_scalar_problem` refuses."""
    if isinstance(value, dict):
        return any(map(_has_bad_scalar, value)) or any(map(_has_bad_scalar, value.values()))
    if isinstance(value, list):
        return any(map(_has_bad_scalar, value))
    if isinstance(value, str):
        return bool(forbidden_character(value))
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and abs(value) > MAX_INTEGER


def _note_scalars(text: str, report: Report) -> None:
    """Note every number and text that no host could do with, each in its place."""
    for token in _SCALAR.finditer(text):
        if problem := _scalar_problem(token[0]):
            report.at(_place(text, token.start()), *problem)
        if report.is_full:
            break


def _scalar_problem(token: str) -> tuple[str, str] | None:
    if token.startswith('"'):
        found = forbidden_character(_unescaped(token))
        hint = "remove control characters and marks that reorder text"
        return (f"forbidden character {found}", hint) if found else None
    if token in ("NaN", "Infinity", "-Infinity"):
        return f"{token} is no JSON number", "write it as text, or leave it out"
    if _INTEGER.fullmatch(token):
        fits = len(token) < _INTEGER_CHARS and abs(int(token)) <= MAX_INTEGER
        return None if fits else (f"integer {token[:30]} does not fit into 64 bits", "write it as text")
    return ("number is too large", "write it as text") if _is_infinite(token) else None


def _is_infinite(token: str) -> bool:
    try:
        return not math.isfinite(float(token))
    except ValueError:  # a word, or what would have been the next problem of the parser
        return False


def _place(text: str, offset: int) -> BrokenNode:
    return BrokenNode(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
