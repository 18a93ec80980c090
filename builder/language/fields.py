"""Reading typed values out of nodes: each function returns the value, or notes the problem and returns None."""

import datetime
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice

from builder.language.codes import Code
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Place, Report, ScalarNode
from builder.language.times import duration_s, duration_text
from policy_core.glob import RESERVED, covers_glob, is_glob
from policy_core.model import Scalar

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})")
_YEAR_10000 = 253_402_300_800  # seconds since the epoch
MOMENT_HINT = "write it as 2026-11-01T12:00:00Z"
MAX_COMPARED_GLOBS = 32
"""Of one list: with so many, each entry is compared, to see whether it says anything new."""
_SHOWN_CHARS = 40
_LISTED_NAMES = 10
_COMPARED_NAMES = 200


def describe(node: Node) -> str:
    """Return what a node is, for messages: ``found …``."""
    match node:
        case ListNode():
            return "a list"
        case MapNode():
            return "a mapping"
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode(value=str() as value):
            return f"the text {shown(value)}"
        case ScalarNode(value=value):
            return f"{'true' if value is True else 'false' if value is False else value}"
    return "a value with problems"


def shown(text: str) -> str:
    """Return authored text in quotes, shortened."""
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


def suggestion(word: str, known: Collection[str], what: str) -> str:
    """Return *did you mean …?* for a near miss, otherwise the list of what is known."""
    close = get_close_matches(word[:_SHOWN_CHARS], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"{what}: {', '.join(known)}"


def name_hint(name: str, known: Collection[str], otherwise: str) -> str:
    """Return a hint for an unknown name, of which there may be very many: rules are compared within their policy."""
    if 0 < len(known) < _LISTED_NAMES:
        return suggestion(name, known, "there are")
    policy = name.partition("/")[0] + "/"
    alike = [each for each in known if each.startswith(policy)] or known
    close = get_close_matches(name[:_SHOWN_CHARS], islice(alike, _COMPARED_NAMES), n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise


def mapping(report: Report, node: Node, what: str) -> MapNode | None:
    """Return a mapping that has at least one entry."""
    if type(node) is MapNode:
        if node.entries:
            return node
        report.at(node, f"{what} is empty", "fill it, or leave it out if it is optional")
    elif type(node) is not BrokenNode:
        report.at(node, f"{what}: expected a mapping, found {describe(node)}")
    return None


def check_keys(
    report: Report, node: MapNode, what: str, known: Collection[str], later: Collection[str] = frozenset()
) -> None:
    """Refuse keys that are unknown, and those of `later`, which a coming version will know."""
    for name, (key, _) in node.entries.items():
        if name in known:
            continue
        if name in later:
            report.at(key, f"{name} is not yet supported", "remove it: it would not be enforced")
        else:
            hint = suggestion(name, known, "known keys")
            report.of(Code.UNKNOWN_KEY).at(key, f"unknown key {shown(name)} in {what}", hint)


def require(report: Report, node: MapNode, name: str, what: str, hint: str) -> Node | None:
    """Return the value of a mandatory key."""
    value = node.get(name)
    if value is None:
        report.of(Code.MISSING_KEY).at(node, f"{what} has no {name}", hint)
    return value


def check_version(report: Report, node: MapNode) -> None:
    """Refuse a file of another version than ours."""
    version = node.get("version")
    if version and type(version) is not BrokenNode and not (type(version) is ScalarNode and version.value == "v1"):
        report.at(version, f"version: expected v1, found {describe(version)}", "write version: v1")


def items(report: Report, node: Node, what: str, *, may_be_empty: bool = False) -> list[Node] | None:
    """Return the items of a list."""
    if type(node) is ListNode:
        if node.items or may_be_empty:
            return node.items
        report.at(node, f"{what} is an empty list", "list at least one entry, or leave it out if it is optional")
    elif type(node) is not BrokenNode:
        text = node.value if type(node) is ScalarNode else None
        hint = f"write [{text}]" if type(text) is str and text.isprintable() and len(text) <= _SHOWN_CHARS else ""
        report.at(node, f"{what}: expected a list, found {describe(node)}", hint)
    return None


def string(report: Report, node: Node, what: str, *, max_chars: int = 1_000) -> str | None:
    """Return a text that is not empty."""
    if type(node) is ScalarNode and type(node.value) is str:
        if not node.value.strip():
            report.at(node, f"{what} is empty", "fill it, or leave it out if it is optional")
        elif len(node.value) > max_chars:
            report.at(node, f"{what} is too long ({len(node.value)} characters, limit {max_chars})", "shorten it")
        else:
            return node.value
    elif type(node) is not BrokenNode:
        quotable = type(node) is ScalarNode and node.value is not None
        report.at(node, f"{what}: expected text, found {describe(node)}", "put it in quotes" if quotable else "")
    return None


def one_line(report: Report, node: Node, what: str) -> str | None:
    """Return a text of one line, without surrounding white space."""
    text = string(report, node, what)
    if text is None:
        return None
    text = text.strip()
    if "\n" in text:
        report.at(node, f"{what} has several lines", "write it as one line, or fold it with '>'")
        return None
    return text


def identifier(report: Report, node: Node, what: str, pattern: re.Pattern[str], allowed: str) -> str | None:
    """Return a name that fully matches `pattern`; `allowed` says in words what that is."""
    text = string(report, node, what, max_chars=128)
    if text is None or pattern.fullmatch(text):
        return text
    report.at(node, f"{what} {shown(text)} is not valid", f"use {allowed}")
    return None


def choice(report: Report, node: Node, what: str, words: Collection[str], later: Collection[str] = ()) -> str | None:
    """Return one of the given words."""
    text = string(report, node, what)
    if text is None or text in words:
        return text
    if text in later:
        report.at(node, f"{what} {text} is not yet supported", f"supported: {', '.join(words)}")
    else:
        report.at(node, f"unknown {what} {shown(text)}", suggestion(text, words, "expected one of"))
    return None


def integer(report: Report, node: Node, what: str, *, least: int, most: int) -> int | None:
    """Return a whole number within bounds."""
    if type(node) is ScalarNode and type(node.value) is int and least <= node.value <= most:
        return node.value
    if type(node) is not BrokenNode:
        report.at(node, f"{what}: expected a whole number from {least} to {most}, found {describe(node)}")
    return None


def date(report: Report, node: Node, what: str) -> datetime.date | None:
    """Return a date written as 2026-11-01."""
    if type(node) is ScalarNode and type(node.value) is str and (day := parse_date(node.value)) is not None:
        return day
    if type(node) is not BrokenNode:
        report.at(node, f"{what}: expected a date, found {describe(node)}", "write it as 2026-11-01")
    return None


def parse_date(text: str) -> datetime.date | None:
    """Return the day of a date written as 2026-11-01, None for anything else."""
    try:
        return datetime.date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:  # such as the 30th of February
        return None


def moment(report: Report, node: Node, what: str) -> float | None:
    """Return a time with its zone, written as 2026-11-01T12:00:00Z, as seconds since the epoch."""
    if type(node) is ScalarNode and type(node.value) is str and (seconds := parse_moment(node.value)) is not None:
        return seconds
    if type(node) is not BrokenNode:
        report.at(node, f"{what}: expected a time, found {describe(node)}", MOMENT_HINT)
    return None


def parse_moment(text: str) -> float | None:
    """Return seconds since the epoch of a time with its zone, from 1970 to 9999; None for anything else."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        seconds = datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):  # such as hour 25
        return None
    return seconds if 0 <= seconds < _YEAR_10000 else None


def duration(report: Report, node: Node, what: str, *, most_s: int) -> int | None:
    """Return a duration of at least a second, written as 90s, 1h30m or 7d, in seconds."""
    seconds = duration_s(node.value) if type(node) is ScalarNode and type(node.value) is str else None
    if seconds is not None and 1 <= seconds <= most_s:
        return seconds
    if type(node) is not BrokenNode:
        wanted = f"{what}: expected a duration from 1s to {duration_text(most_s)}, found {describe(node)}"
        report.at(node, wanted, "write it as 90s, 1h30m or 7d")
    return None


def strings(report: Report, node: Node, what: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
    """Return a list of texts, none of them empty; an entry that occurs twice is worth a warning."""
    found = tuple(_strings(report, items(report, node, what, may_be_empty=may_be_empty) or (), what))
    if len(set(found)) != len(found):
        report.warn(node, f"{what} lists an entry twice", "list it once", code=Code.REPEATED_ENTRY)
    return found


def words(report: Report, node: Node, what: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
    """Return a list of texts that are compared as they are; a glob among them would silently never match."""
    found = strings(report, node, what, may_be_empty=may_be_empty)
    if any(map(is_glob, found)):
        report.at(node, f"{what} are compared exactly, '*' and '?' have no meaning there", "list the exact words")
    return found


def globs(report: Report, node: Node, what: str) -> tuple[str, ...]:
    """Return a list of glob patterns."""
    found = strings(report, node, what)
    if type(node) is ListNode and not RESERVED.isdisjoint("".join(found)):
        for item in node.items:
            if type(item) is ScalarNode and type(item.value) is str:
                check_glob(report, item, item.value, what)
    if len(found) > 1 and any(map(is_glob, found)):
        _warn_covered(report, node, found, what)
    return found


def _warn_covered(report: Report, node: Node, found: tuple[str, ...], what: str) -> None:
    """Note that some entries of a list match nothing beyond what another one does."""
    wide = [pattern for pattern in dict.fromkeys(found) if is_glob(pattern)][:MAX_COMPARED_GLOBS]
    for pattern in dict.fromkeys(found):
        covering = next((other for other in wide if other != pattern and covers_glob(other, pattern)), None)
        if covering:
            message = f"{what}: {shown(pattern)} matches nothing that {shown(covering)} does not"
            report.warn(node, message, "leave it out, or narrow the other", code=Code.COVERED_ENTRY)


def check_glob(report: Report, place: Place, pattern: str, what: str) -> None:
    """Refuse a pattern that contains a reserved character."""
    reserved = sorted(RESERVED.intersection(pattern))
    if reserved:
        report.at(
            place,
            f"{what}: reserved character {' '.join(reserved)} in glob {shown(pattern)}",
            "a glob has only * (any run of characters) and ? (one character); list alternatives one by one",
        )


def scalars(report: Report, node: Node, what: str, *, globs: bool = False) -> tuple[Scalar, ...]:
    """Return one accepted value, or a list of them: texts (`globs`: as patterns), numbers and booleans."""
    nodes = items(report, node, what) or [] if type(node) is ListNode else [node]
    accepted: list[Scalar] = []
    for item in nodes:
        if type(item) is ScalarNode and item.value is not None:
            if globs and isinstance(item.value, str):
                check_glob(report, item, item.value, what)
            accepted.append(item.value)
        elif type(item) is not BrokenNode:
            kind = "text, numbers and booleans" if type(item) is MapNode else "a value"
            report.at(item, f"{what}: expected {kind}, found {describe(item)}")
    return tuple(accepted)


def string_map(report: Report, node: Node, what: str) -> Mapping[str, tuple[ScalarNode, str]]:
    """Return a mapping of texts, each with the node it was written as."""
    found = mapping(report, node, what)
    values = {}
    for name, (_, value) in found.entries.items() if found else ():
        text = string(report, value, f"{what}.{name}")
        if text is not None and type(value) is ScalarNode:
            values[name] = (value, text)
    return values


def _strings(report: Report, nodes: Collection[Node], what: str) -> Iterator[str]:
    for node in nodes:
        if type(node) is ScalarNode and type(node.value) is str and node.value:
            yield node.value
        else:
            string(report, node, f"entry of {what}")
