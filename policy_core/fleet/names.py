"""The names under which hosts report, so that a listing alone shows a fleet. Pure.

reports/prod/2026-03-01T1410/web-1=1772374205=42=42=1137=1772373600=fresh==0a1b2c3d=0.4.0.json

A host reports once in each slot of ten minutes, at a moment of its own, and whenever its state changes. Nothing is
overwritten: a host may only add, and what it reported before stays for as long as the store keeps it.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

SLOT_S = 600
"""How long a slot is; slots begin at whole multiples of it."""
SILENT_AFTER_S = 2.0 * SLOT_S
"""A host that is well has reported in the slot of now, or in the one before it."""
FOLDER = "reports"

_NAME = re.compile(
    r"reports/(?P<channel>[a-z][a-z0-9-]{0,39})/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{4}/"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,119})=(?P<at>[0-9]{1,12})=(?P<enforced>[0-9]{1,16})=(?P<listed>[0-9]{1,16})="
    r"(?P<timestamp>[0-9]{1,16})=(?P<signed_at>[0-9]{1,12})=(?P<freshness>fresh|aging|stale|unreachable)="
    r"(?P<marks>[a-z]*)=(?P<features>[0-9a-f]{8})=(?P<version>[0-9A-Za-z.]{1,40})\.json"
)


class Mark(StrEnum):
    """Something about a host that somebody should look at, as a letter."""

    ROLLED_BACK = "b"
    CLOCK_BEHIND = "c"
    EMERGENCY = "e"
    LOG_UNWRITABLE = "l"
    REJECTED = "r"

    @property
    def words(self) -> str:
        """Return it as people read it."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """A host as a listing shows it; times are seconds since the epoch, releases and versions 0 where there is none.

    `host` is spelled as in names. `enforced` is the release requests are answered from, `listed` the newest it has
    verified; `timestamp` and `signed_at` are of the newest timestamp it has verified. `features` names the set of
    features its version can evaluate.
    """

    host: str
    channel: str
    at: int
    enforced: int
    listed: int
    timestamp: int
    signed_at: int
    freshness: str
    marks: frozenset[Mark]
    features: str
    version: str

    @property
    def name(self) -> str:
        """Return the name of the object."""
        marks = "".join(sorted(self.marks))
        facts = (self.at, self.enforced, self.listed, self.timestamp, self.signed_at, self.freshness, marks)
        fields = "=".join((self.host, *map(str, facts), self.features, self.version))
        return f"{slot_folder(self.channel, self.at)}{fields}.json"


def read_state(name: str) -> HostState | None:
    """Return what the name of an object says; None for one that no host of this version gives."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    try:
        state = HostState(
            host=found["host"],
            channel=found["channel"],
            at=int(found["at"]),
            enforced=int(found["enforced"]),
            listed=int(found["listed"]),
            timestamp=int(found["timestamp"]),
            signed_at=int(found["signed_at"]),
            freshness=found["freshness"],
            marks=frozenset(map(Mark, found["marks"])),
            features=found["features"],
            version=found["version"],
        )
        is_ours = state.name == name
    except (ValueError, OverflowError):  # a mark that a later version knows, or a year that none does
        return None
    return state if is_ours else None


def slot_folder(channel: str, at: float) -> str:
    """Return the beginning of the names of all reports on a channel in the slot of a moment."""
    begin = datetime.fromtimestamp(at // SLOT_S * SLOT_S, UTC)
    return f"{FOLDER}/{channel}/{begin:%Y-%m-%dT%H%M}/"


def slots(channel: str, *, since: float, until: float) -> list[str]:
    """Return the folders of all slots from one moment to another, oldest first."""
    first, last = int(since // SLOT_S), int(until // SLOT_S)
    return [slot_folder(channel, number * SLOT_S) for number in range(first, last + 1)]


def moment_in_slot(host: str) -> float:
    """Return how many seconds after the beginning of a slot a host reports: hosts spread evenly over it."""
    digest = hashlib.sha256(host.encode()).digest()
    return int.from_bytes(digest[:8]) % (SLOT_S * 1000) / 1000


def features_digest(features: Iterable[str]) -> str:
    """Return the name of a set of features, 8 hex digits."""
    return hashlib.sha256("\n".join(sorted(features)).encode()).hexdigest()[:8]
