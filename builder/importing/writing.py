"""Writes the new document as YAML that a person would have written: short values in one line, long ones in blocks."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from builder.importing.ordering import OurRule
from builder.language.yamlfile import resolve

_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_KEYS = (
    "match", "unless", "when", "rate", "decision", "constraints", "reason", "remediations",
)  # fmt: skip


def write_document(policy_id: str, title: str, head: Iterable[str], rules: Iterable[tuple[OurRule, str]]) -> str:
    """Return the document; `head` are lines of comment above it, each rule comes with one line of comment."""
    lines = [*(f"# {line}".rstrip() for line in head), "version: v1", f"id: {_scalar(policy_id)}"]
    lines += ["metadata:", f"  title: {_scalar(title)}", "rules:"]
    for number, (rule, comment) in enumerate(rules):
        if number:
            lines.append("")
        lines += [f"  # {comment}", f"  - id: {_scalar(rule.id)}"]
        for key in _KEYS:
            if key in rule.body:
                lines += _entry(key, rule.body[key], 4)
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, indent: int) -> Iterator[str]:
    start = f"{' ' * indent}{_scalar(key)}:"
    if key == "match" and isinstance(value, Mapping) and len(value) > 1:
        yield start
        for name, inner in value.items():
            yield from _entry(name, inner, indent + 2)
    elif len(line := f"{start} {_flow(value)}") <= _WIDTH:
        yield line
    elif isinstance(value, str):
        yield from _folded(start, value, indent + 2)
    elif isinstance(value, Mapping):
        yield start
        for name, inner in value.items():
            yield from _entry(name, inner, indent + 2)
    else:
        yield start
        yield from (f"{' ' * (indent + 2)}- {_flow(item)}" for item in value)


def _folded(start: str, text: str, indent: int) -> Iterator[str]:
    """Yield a long text, broken where a condition joins its parts: folding it back gives the same text."""
    if text != text.strip() or "  " in text or "\n" in text or " && " not in text:
        yield f"{start} {_scalar(text)}"
        return
    yield f"{start} >-"
    yield from (f"{' ' * indent}{part}" for part in text.replace(" && ", " &&\n").split("\n"))


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: str | bool | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value) and _is_text(value):
        return value
    if "'" not in value and ("\\" in value or '"' in value) and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def _is_text(plain: str) -> bool:
    try:
        return resolve(plain) == plain
    except ValueError:  # a number that YAML cannot hold
        return False
