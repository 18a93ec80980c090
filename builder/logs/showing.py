"""Records of logs, picked out and printed: from segments that are whole, whoever signed them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from builder.logs.parts import part
from builder.logs.sources import EVER, LogSource, Span
from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import CHECKPOINT, Record
from policy_core.printable import printable


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records are wanted: `types` and `decisions` are any-of, empty for all but checkpoints."""

    host: str | None = None
    span: Span = EVER
    types: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()

    def wants(self, record: Record) -> bool:
        """Tell whether a record may be wanted, by what all records have."""
        types = ("decision",) if self.decisions else self.types
        if types and record.type not in types:
            return False
        if not types and record.type == CHECKPOINT:
            return False
        moment = datetime.fromisoformat(record.ts)
        first, last = self.span.first, self.span.last
        return (first is None or moment >= first) and (last is None or moment <= last)


def chosen(source: LogSource, choice: Choice) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield host and content of each record that is wanted, host by host, as they were written.

    Raises LogError at a segment that is not whole, RemoteError.
    """
    found = source.find(host=choice.host, span=choice.span.with_late)
    for host in sorted(found):
        for read in source.read(found[host]):
            if read.misplaced:
                raise LogError(read.name, read.misplaced)
            for line in read.parts():
                if isinstance(line, Record) and choice.wants(line):
                    content = _content(line)
                    if not choice.decisions or part(content, "answer").get("decision") in choice.decisions:
                        yield host, content


def _content(record: Record) -> dict[str, Any]:
    """Return the members of a record, as JSON text if they are nested too deeply or have numbers beyond all."""
    try:
        found: dict[str, Any] = msgspec.json.decode(record.line)
    except (ValueError, RecursionError):
        texts = msgspec.json.decode(record.line, type=dict[str, msgspec.Raw])
        found = {name: bytes(text).decode() for name, text in texts.items()}
        found |= {"type": record.type, "seq": record.seq, "ts": record.ts}
    return found


def describe_record(host: str, content: dict[str, Any]) -> str:
    """Return a record as one line for people."""
    given, answer = part(content, "input"), part(content, "answer")
    words = [content["ts"], host, str(content["seq"]), content["type"]]
    if content["type"] == "decision":
        words += [
            str(answer.get("decision", "?")),
            str(part(given, "subject").get("id", "")),
            str(part(given, "action").get("name", "")),
            str(part(given, "resource").get("id", "")),
            str(answer.get("matched_rule") or answer.get("reason_code") or ""),
        ]
    else:
        shown = ("release", "bundle_digest", "reason", "by", "entry", "first_seq", "last_seq")
        words += [f"{name}={content[name]}" for name in shown if content.get(name)]
    return "  ".join(printable(word) for word in words if word)
