"""What this host enforced and refused, and who intervened: ``history.jsonl`` in the state directory.

Append-only, every line synced before the call returns; at `MAX_BYTES` the file becomes ``history.1.jsonl`` and a new
one begins, so the last lines are always there and the disk never fills.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent_sidecar import logs
from agent_sidecar.durable import StateError, append_line, read_file, sync_directory

MAX_BYTES = 1 << 20


class HistoryEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line: `at` is host time in RFC 3339; the events are listed in docs/reference/sidecar-api.md."""

    at: str
    event: str
    bundle_digest: str = ""
    revision: str = ""
    channel: str = ""
    release: int = 0
    reason: str = ""
    by: str = ""
    entry: str = ""


class History:
    """The two files of a state directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "history.jsonl"
        self._older = directory / "history.1.jsonl"
        self._others: list[Callable[[str, dict[str, object]], object]] = []

    def also(self, told: Callable[[str, dict[str, object]], object]) -> None:
        """Tell somebody else of each event, too: its name, and its facts but for the time."""
        self._others.append(told)

    def record(self, event: HistoryEvent) -> None:
        """Write one event durably, and to the log. A disk that refuses is logged: what happened has happened."""
        facts = {key: value for key, value in msgspec.structs.asdict(event).items() if value and key != "at"}
        name = facts.pop("event")
        logs.info(name, **facts)
        for told in self._others:
            told(name, facts)
        try:
            self._rotate()
            append_line(self._path, msgspec.json.encode(event))
        except StateError as error:
            logs.warning("history_unwritable", reason=error.message, hint=error.hint)

    def last(self, count: int) -> list[HistoryEvent]:
        """Return the newest events, oldest first; a line torn by a crash is skipped."""
        lines: list[bytes] = []
        for path in (self._older, self._path):
            try:
                lines += read_file(path, max_bytes=4 * MAX_BYTES).splitlines()
            except FileNotFoundError:
                continue
        events = []
        for line in lines[-count:]:
            try:
                events.append(msgspec.json.decode(line, type=HistoryEvent))
            except ValueError:
                continue
        return events

    def _rotate(self) -> None:
        try:
            if self._path.exists() and self._path.stat().st_size > MAX_BYTES:
                self._path.replace(self._older)
                sync_directory(self._path.parent)
        except OSError as error:
            raise StateError(f"{self._path}: cannot be rotated: {error.strerror}") from error


def moment(seconds: float) -> str:
    """Return host time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
