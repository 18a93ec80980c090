"""How far a host may go back by itself, and what that leaves of a rollback that holds. Pure.

Two have a say: the configuration of this host, and the newest policy it has verified. The stricter one counts.
"""

import msgspec

from agent_sidecar.snapshots import SnapshotRef
from agent_sidecar.state import Limits, Pin
from policy_core.model import HostLimits, Provisions


def limits_of(provisions: Provisions, channel: str) -> Limits:
    """Return what a policy allows hosts of a channel."""
    signed = provisions.hosts or HostLimits()
    return Limits(signed.max_pin_s, signed.min_release.get(channel, 0))


def stricter(one: Limits, other: Limits) -> Limits:
    """Return what both allow."""
    return Limits(min(one.max_pin_s, other.max_pin_s), max(one.min_release, other.min_release))


def limited(pin: Pin | None, previous: SnapshotRef | None, limits: Limits) -> tuple[Pin | None, str]:
    """Return what limits leave of a host rollback to `previous`, and why it ends if it does."""
    if pin is None:
        return None, ""
    if previous is None:
        return None, "the keys the channel has now do not vouch for what this host went back to"
    if previous.release < limits.min_release:
        return None, f"the policy forbids to go below release {limits.min_release}"
    return msgspec.structs.replace(pin, until=min(pin.until, pin.since + limits.max_pin_s)), ""
