"""Which bundle a host enforced when: intervals between the records of its log that say so. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from policy_core.decision_log.lines import Record
from policy_core.printable import printable

IN_FORCE = frozenset({"activated", "started", "fallback", "rollback", "resume"})
"""Types of records whose bundle is in force from then on."""
STARTS = frozenset({"started", "fallback"})
STOPPED = "stopped"


class _Event(msgspec.Struct):
    bundle_digest: str = ""
    revision: str = ""
    channel: str = ""
    release: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Enforced:
    """A bundle was in force on a host from `start` to `end` (host time; empty: the log says nothing later).

    `began` and `ended` are the types of records that say so; an end without one is the last record before a new start.
    """

    host: str
    start: str
    end: str
    bundle: str
    release: int
    revision: str
    channel: str
    began: str
    ended: str


class Enforcing:
    """Takes the records of a host in order."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._found: list[Enforced] = []
        self._since: tuple[str, str, _Event] | None = None
        self._last_at = ""

    def take(self, record: Record) -> None:
        """Take the next record."""
        if record.type in IN_FORCE:
            event = _event(record)
            unseen = record.type in STARTS  # it ended some time after its last record, without a word
            if unseen or not self._since or self._since[2].bundle_digest != event.bundle_digest:
                self._close(self._last_at if unseen else record.ts, "" if unseen else record.type)
                self._since = record.ts, record.type, event
        elif record.type == STOPPED:
            self._close(record.ts, STOPPED)
        self._last_at = record.ts

    def finish(self) -> list[Enforced]:
        """Return the intervals, oldest first."""
        self._close("", "")
        return self._found

    def _close(self, end: str, ended: str) -> None:
        if self._since:
            start, began, event = self._since
            self._found.append(
                Enforced(
                    self._host, start, end, event.bundle_digest, event.release, event.revision, event.channel,
                    began, ended,
                )
            )  # fmt: skip
        self._since = None


def _event(record: Record) -> _Event:
    """Return what a record says that came into force: what no sidecar writes, its host vouches for all the same."""
    try:
        return msgspec.json.decode(record.line, type=_Event)
    except ValueError:
        return _Event(bundle_digest="unreadable")


def describe_intervals(found: Iterable[Enforced]) -> Iterator[str]:
    """Yield a line for each interval."""
    for each in found:
        end = f"to {each.end} ({each.ended or 'no record of its end'})" if each.end else "on"
        yield printable(
            f"{each.host}  {each.channel} release {each.release}  {each.bundle[:19]}  {each.revision[:12]}  "
            f"from {each.start} ({each.began}) {end}"
        )
