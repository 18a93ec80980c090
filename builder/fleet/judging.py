"""What a host's report means beside what is live: one word for each host. Pure.

The reports are to be listed before the live state is read: then no honest host is ahead of it.
"""

from dataclasses import dataclass
from enum import StrEnum

from policy_core.fleet.names import SILENT_AFTER_S, HostState, Mark

GRACE_S = 120.0
"""How long an update takes at most where all is well: a poll, and the report of the change."""


class Standing(StrEnum):
    """How a host stands, worst first.

    `AHEAD`: enforces what the store does not list, which was put back or is another one. `LEFT_BEHIND`: polls, and is
    shown an older state of the store than everybody else. `SILENT`: has not reported for two slots.
    """

    AHEAD = "ahead"
    LEFT_BEHIND = "left_behind"
    STALE = "stale"
    REFUSING = "refusing"
    UNREACHABLE = "unreachable"
    BEHIND = "behind"
    SILENT = "silent"
    ROLLED_BACK = "rolled_back"
    UPDATING = "updating"
    CURRENT = "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What is live in a channel, verified: release (0: none yet), version of the timestamp, and when it was signed."""

    channel: str
    release: int
    timestamp: int
    signed_at: float


def standing_of(state: HostState, live: Live, *, now: float) -> Standing:
    """Return how a host stands as of `now` (seconds since the epoch)."""
    if now - state.at > SILENT_AFTER_S:
        return Standing.SILENT
    if state.enforced > live.release or state.timestamp > live.timestamp:
        return Standing.AHEAD
    if state.freshness == "stale":
        return Standing.STALE
    if Mark.REJECTED in state.marks:
        return Standing.REFUSING
    if state.freshness == "unreachable":
        return Standing.UNREACHABLE
    if state.timestamp < live.timestamp and state.at > live.signed_at + GRACE_S:
        return Standing.LEFT_BEHIND
    if Mark.ROLLED_BACK in state.marks:
        return Standing.ROLLED_BACK
    if state.enforced < live.release:
        return Standing.UPDATING if now < live.signed_at + GRACE_S else Standing.BEHIND
    return Standing.CURRENT
