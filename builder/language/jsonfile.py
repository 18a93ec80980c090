"""Strict JSON for data files: RFC 8259 with every key once, finite numbers, bounded size and depth."""

import json
import re
from typing import Any

from builder.language.codes import Code
from builder.language.nodes import BrokenNode, Report
from builder.language.yamlfile import MAX_DEPTH, MAX_INTEGER, forbidden_character

MAX_JSON_BYTES = 8 * 2**20
MAX_DUPLICATE_KEYS = 20
"""Reported of one file; each costs a count of the lines before it."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')
_HINT = "write it as JSON (RFC 8259), or as YAML"


def read_json(content: bytes, report: Report) -> Any:
    """Return the value in a JSON file; problems go to the report (the value is None then)."""
    report = report.of(Code.UNREADABLE)
    if len(content) > MAX_JSON_BYTES:
        report.file_problem(f"file is too large ({len(content)} bytes, limit {MAX_JSON_BYTES})", "split the file")
        return None
    before = len(report.problems)
    try:
        text = content.decode()
        _check_structure(text, report)
        value = json.loads(text, parse_constant=_refuse_constant) if len(report.problems) == before else None
    except UnicodeDecodeError:
        report.file_problem("not UTF-8", "save the file as UTF-8 without byte order mark")
        return None
    except json.JSONDecodeError as error:
        report.at(BrokenNode(error.lineno, error.colno), f"not valid JSON: {error.msg.lower()}", _HINT)
        return None
    except ValueError as error:  # a constant, or an integer of more digits than Python converts
        report.file_problem(f"not valid JSON: {' '.join(str(error).split()).lower()}", _HINT)
        return None
    problem = _bad_value(value)
    if problem:
        report.file_problem(*problem)
    return value if len(report.problems) == before else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


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


def _bad_value(value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a number or text anywhere in a value, as (message, hint)."""
    if isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
        return next(filter(None, map(_bad_value, parts)), None)
    if isinstance(value, list):
        return next(filter(None, map(_bad_value, value)), None)
    if isinstance(value, str) and (found := forbidden_character(value)):
        return f"forbidden character {found}", "remove control characters and marks that reorder text"
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return f"integer {str(value)[:30]} does not fit into 64 bits", "write it as text"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "number is too large", "write it as text"
    return None


def _place(text: str, offset: int) -> BrokenNode:
    return BrokenNode(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
