"""What verified metadata is held against before a host takes it: its own clock, what it has seen, what it was told.

A TUF client remembers versions and goes by the system clock. A host remembers, too, in a place of its own, and its time
never goes back. What a thief could sign to bring fleets to a halt for good is refused here: a date that would make all
that is honest look expired, and a release number after which none would be left.
"""

from agent_sidecar.history import moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.snapshots import SnapshotFolder, SnapshotRef
from agent_sidecar.state import State
from policy_core.errors import TrustError
from policy_core.trust.chain import MetadataChain, VerifiedRelease
from policy_core.trust.errors import ExpiredError, MetadataError, RollbackError
from policy_core.trust.recovery import binding_roles
from policy_core.trust.release import Release

MAX_AHEAD_S = 86_400.0
"""How far a signed time may be ahead of the system clock: host time follows signed times, and never comes back."""


class ReleaseError(TrustError):
    """A correctly signed release that this host must not go to."""

    default_hint = "a rollback is published as a higher release: writ rollback"


class SignedAheadError(MetadataError):
    """Metadata says it was signed in the future."""

    default_hint = "correct the clock of this host; if it is right, the timestamp's key was misused: replace it"


def check_signed_time(verified: VerifiedRelease, clock: HostClock) -> None:
    """Raise SignedAheadError if the timestamp was signed at a time the system clock is far from having reached."""
    if clock.is_ahead(verified.signed_at.timestamp(), tolerance_s=MAX_AHEAD_S):
        raise SignedAheadError(f"timestamp: signed at {moment(verified.signed_at.timestamp())}, which is yet to come")


def check_versions(
    state: State, snapshots: SnapshotFolder, chain: MetadataChain, verified: VerifiedRelease, *, trusted_root: bytes
) -> None:
    """Refuse metadata older than what was in force, even if the TUF client's own memory was lost. Raises RollbackError.

    Only what keys of the newest root still vouch for counts as seen (`policy_core.trust.recovery`).
    """
    seen, found = state.versions, verified.versions
    fallen = [role for role in found if found[role] < seen.get(role, 0)]
    if not fallen:
        return
    before = snapshots.chain(state.current) if state.current else None
    binding = binding_roles(before, chain, trusted_root=trusted_root) if before else frozenset(_BOUND_BY.values())
    for role in fallen:
        if role == "root" or _BOUND_BY.get(role, "snapshot") in binding:
            raise RollbackError(f"{role}: version {found[role]} (expected at least {seen[role]})")


def check_expiry(verified: VerifiedRelease, clock: HostClock) -> None:
    """Refuse what expired by host time; the TUF client went by the system clock, which may have been set back.

    Raises ExpiredError.
    """
    now = clock()
    for role, expires in verified.expires.items():
        if expires.timestamp() <= now:
            raise ExpiredError(
                f"{role}: expired at {moment(expires.timestamp())} (host time {moment(now)})",
                hint=_CLOCK_WAS_AHEAD if clock.behind_s else None,
            )


def check_release(release: Release, state: State, clock: HostClock, *, min_release: int) -> None:
    """Refuse a release lower than one seen, or than this host accepts, or so high that none could follow.

    Nobody publishes once a second: a number above the seconds since 1970 is there to use the numbers up. As time goes
    on, the next number is always left for whoever takes the channel back. Raises ReleaseError.
    """
    number = release.release
    if number < min_release:
        raise ReleaseError(
            f"release {number}: below the least this host accepts ({min_release})",
            hint="the store may have been replaced by an older one; if it is right, lower min_release",
        )
    if number < state.highest_release:
        raise ReleaseError(f"release {number}: lower than {state.highest_release}, which this host has seen")
    if clock.is_ahead(number, tolerance_s=0.0):
        raise ReleaseError(
            f"release {number}: higher than any channel can have come to",
            hint="the keys of the channel were misused: revoke them, and publish the release after the last good one",
        )
    if state.current and number == state.current.release and SnapshotRef.of(release) != state.current:
        raise ReleaseError(f"release {number}: lists other bytes than before")


_BOUND_BY = {"timestamp": "timestamp", "snapshot": "timestamp", "targets": "snapshot"}
"""By whose signatures a version that was seen binds; those of channels, as that of targets, by the snapshot role's."""
_CLOCK_WAS_AHEAD = (
    "the system clock is behind the latest time this host has seen: correct it; if it once was ahead instead, stop the "
    "sidecar and move state.json away"
)
