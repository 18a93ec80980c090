"""Strict YAML: the 1.2 core schema over PyYAML's event parser, every value with its place, every problem of a file.

The parser knows YAML 1.1, but events carry scalars unresolved: ``on``, ``yes`` and ``22:00`` are strings here, ``0o7``
is seven. Refused, because they let a file mean something else than it seems to say: aliases, anchors, tags, merge keys,
directives, a second document, duplicate keys, keys that are no strings, control and bidirectional characters.
Size and depth are bounded, and nothing is ever expanded, so reading is linear in the size of the file.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml
import yaml.parser
import yaml.reader
import yaml.scanner

from builder.language.codes import Code
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Report, ScalarNode


class PureParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """The same events from pure Python, where PyYAML comes without libyaml."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


_new_parser: Callable[[str], Any] = PureParser
try:
    from yaml._yaml import CParser
except ImportError:
    pass
else:
    _new_parser = CParser  # libyaml: 8 times faster

MAX_YAML_BYTES = 4 * 2**20
MAX_DEPTH = 32
MAX_KEY_CHARS = 200
MAX_INTEGER = 2**63 - 1

# C0 and C1 but tab and line ends, line ends only YAML 1.1 knows, byte order marks, what reorders text on a screen
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_MAX_CHARACTER_PROBLEMS = 20

# YAML 1.2.2, section 10.3.2
_WORDS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"), None)
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_STARTS = frozenset("+-.0123456789")


class _StopReading(Exception):  # noqa: N818 (not an error: what is wrong is in the report already)
    """Reading cannot go on in this file."""


def read_yaml(content: bytes, report: Report) -> Node | None:
    """Return the root node of the one document in a file; problems go to the report.

    None means that nothing could be read. Otherwise the tree is complete but for `BrokenNode`s, so that a caller can
    look for further problems.
    """
    report = report.of(Code.UNREADABLE)
    text = _decode(content, report)
    if text is None:
        return None
    try:
        return _Composer(text, report).document()
    except _StopReading:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (0, 0) if mark is None else (mark.line + 1, mark.column + 1)
        report.at(BrokenNode(line, column), f"not valid YAML: {error.problem or error.context}", _syntax_hint(error))
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an escape beyond Unicode, in the pure parser
        report.file_problem(f"not valid YAML: {' '.join(str(error).split())}")
    return None


def resolve(text: str) -> str | int | float | bool | None:
    """Return what a plain (unquoted) scalar means in the YAML 1.2 core schema.

    Raises ValueError for infinities, NaN, and numbers out of range (integers have 64 bits).
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        number = int(text, 10 if _INTEGER.fullmatch(text) else 0) if len(text) < 30 else MAX_INTEGER + 1
        if abs(number) > MAX_INTEGER:
            raise ValueError("integer does not fit into 64 bits")
        return number
    if _FLOAT.fullmatch(text):
        real = float(text)
        if real in (float("inf"), float("-inf")):
            raise ValueError("number is too large")
        return real
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("number is not finite")
    return text


def forbidden_character(text: str) -> str:
    """Return the first control or bidirectional character as ``U+XXXX``, empty if there is none."""
    found = _FORBIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def _decode(content: bytes, report: Report) -> str | None:
    if len(content) > MAX_YAML_BYTES:
        report.file_problem(f"file is too large ({len(content)} bytes, limit {MAX_YAML_BYTES})", "split the file")
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        report.at(_place(before, len(before)), "not UTF-8", "save the file as UTF-8 without byte order mark")
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = [match for match, _ in zip(_FORBIDDEN.finditer(text), range(_MAX_CHARACTER_PROBLEMS), strict=False)]
    for match in found:
        report.at(
            _place(text, match.start()),
            f"forbidden character U+{ord(match[0]):04X}",
            "remove control characters, byte order marks and marks that reorder text",
        )
    return None if found else text


def _place(text: str, offset: int) -> BrokenNode:
    """Return the place of an offset in a text whose lines end in a line feed."""
    return BrokenNode(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    if "cannot start any token" in (error.problem or ""):
        return "indent with spaces, never tabs, and quote values that start with one of @ ` % * & !"
    if "mapping values are not allowed" in (error.problem or ""):
        return "quote a value that contains ': ', and check the indentation"
    if error.context and error.context_mark:
        return f"{error.context} that starts at line {error.context_mark.line + 1}"
    return "check indentation, quotes and brackets"


class _Composer:
    """Turns the events of one file into nodes."""

    __slots__ = ("next_event", "report")

    def __init__(self, text: str, report: Report) -> None:
        self.next_event: Callable[[], Any] = _new_parser(text).get_event
        self.report = report

    def document(self) -> Node:
        """Compose the only document. Raises yaml.YAMLError for bad syntax, _StopReading where going on is useless."""
        self.next_event()  # the start of the stream
        start = self.next_event()
        if type(start) is yaml.StreamEndEvent:
            self.report.file_problem("file is empty", "write its content, or remove the file")
            raise _StopReading
        if start.version is not None or start.tags:
            self.report.at(_at(start), "YAML directives are not supported", "remove the lines that start with '%'")
        root = self.node(self.next_event(), 1)
        self.next_event()  # the end of the document
        after = self.next_event()
        if type(after) is not yaml.StreamEndEvent:
            self.report.at(_at(after), "more than one document in this file", "one file, one document: split the file")
        return root

    def node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            return self.scalar(event)
        if kind is yaml.AliasEvent:
            return self.refuse(
                event, f"alias *{event.anchor[:40]} is not supported", "repeat the value, or move it into data/"
            )
        if event.anchor is not None or event.tag is not None:
            self.refuse_properties(event)
        if depth > MAX_DEPTH:
            self.refuse(event, f"nested too deeply (limit {MAX_DEPTH} levels)", "flatten the structure")
            raise _StopReading
        return self.mapping(event, depth) if kind is yaml.MappingStartEvent else self.sequence(event, depth)

    def sequence(self, start: Any, depth: int) -> Node:
        next_event = self.next_event
        items = []
        while type(event := next_event()) is not yaml.SequenceEndEvent:
            items.append(self.node(event, depth + 1))
        mark = start.start_mark
        return ListNode(items, mark.line + 1, mark.column + 1)

    def mapping(self, start: Any, depth: int) -> Node:
        next_event = self.next_event
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        while type(event := next_event()) is not yaml.MappingEndEvent:
            key = self.node(event, depth + 1)
            value = self.node(next_event(), depth + 1)
            if type(key) is not ScalarNode or type(name := key.value) is not str:
                if type(key) is not BrokenNode:
                    self.report.at(key, "key is not a string", "quote it, if it is meant as a key")
            elif name in entries:
                first = entries[name][0]
                self.report.at(key, f"duplicate key {name[:40]!r} (first in line {first.line})", "keep one of them")
            elif len(name) > MAX_KEY_CHARS or not name.isprintable():
                self.report.at(key, "key is too long or not printable", f"use at most {MAX_KEY_CHARS} plain characters")
            elif name == "<<" and not key.style:
                self.report.at(key, "merge keys are not supported", "repeat the values")
            else:
                entries[name] = (key, value)
                continue
            self.stop_if_full()
        mark = start.start_mark
        return MapNode(entries, mark.line + 1, mark.column + 1)

    def scalar(self, event: Any) -> Node:
        if event.anchor is not None or event.tag is not None:
            return self.refuse_properties(event)
        start = event.start_mark
        style = event.style or ""
        value = event.value
        if not style:
            try:
                value = resolve(value)
            except ValueError as error:
                return self.refuse(event, f"{value[:40]}: {error}", "quote it, if it is meant as text")
        elif style == '"' and (found := forbidden_character(value)):
            return self.refuse(event, f"forbidden character {found} in an escape", "remove control characters")
        return ScalarNode(value, start.line + 1, start.column + 1, style, start.index, event.end_mark.index)

    def refuse_properties(self, event: Any) -> Node:
        if event.tag is not None:
            return self.refuse(event, f"tag {event.tag[:40]} is not supported", "write the value without a tag")
        return self.refuse(event, f"anchor &{event.anchor[:40]} is not supported", "write the value without an anchor")

    def refuse(self, event: Any, message: str, hint: str) -> Node:
        node = _at(event)
        self.report.at(node, message, hint)
        self.stop_if_full()
        return node

    def stop_if_full(self) -> None:
        """End the reading where a hostile file would go on giving problems for minutes."""
        if self.report.is_full:
            raise _StopReading


def _at(event: Any) -> BrokenNode:
    mark = event.start_mark
    return BrokenNode(mark.line + 1, mark.column + 1)
