"""Whether all reporting hosts can evaluate a bundle: others would refuse it and keep the policy they have."""

from collections.abc import Iterable
from dataclasses import dataclass

from builder.fleet.listing import read_fleet, report_of
from bundle_store.port import RecordsStore
from policy_core.errors import GateError, TrustError
from policy_core.features import SUPPORTED
from policy_core.fleet.names import HostState, features_digest

NAMED_KINDS, NAMED_HOSTS = 8, 5
"""How many kinds of hosts a message tells of, and how many of each."""
ASKED_HOSTS, MAX_READ = 3, 64
"""How many hosts of a kind are asked what they can evaluate, and how many reports are read in all."""


class HostsLackFeaturesError(GateError):
    """Hosts that report would refuse the bundle."""

    default_hint = "update them first, or leave them with the policy they have: --leave-hosts-behind"


@dataclass(frozen=True, slots=True)
class Lacking:
    """Hosts of one version that lack the same features of a bundle."""

    version: str
    features: tuple[str, ...]
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        """Say who lacks what."""
        more = f" and {len(self.hosts) - NAMED_HOSTS} more" if len(self.hosts) > NAMED_HOSTS else ""
        named = ", ".join(self.hosts[:NAMED_HOSTS])
        return f"{named}{more} (version {self.version}) cannot evaluate {', '.join(self.features)}"


def lacking(store: RecordsStore, channel: str, needed: Iterable[str], *, now: float) -> tuple[Lacking, ...]:
    """Return the hosts of a channel that report, and cannot evaluate a bundle that needs some features.

    One report is read for each set of features that differs from ours; of a set that no signed report explains, nothing
    is known, and so it lacks what is not basic. Raises RemoteError.
    """
    states = read_fleet(store, (channel,), now=now).states.get(channel, {}).values()
    wanted = frozenset(needed)
    groups: dict[tuple[str, str], list[HostState]] = {}
    for state in states:
        groups.setdefault((state.features, state.version), []).append(state)
    found, readable = [], MAX_READ
    for (digest, version), members in sorted(groups.items()):
        if digest == features_digest(SUPPORTED):
            continue  # whatever this version builds
        asked = members[: min(ASKED_HOSTS, readable)]
        readable -= len(asked)
        if missing := wanted - _features(store, asked):
            hosts = tuple(sorted(member.host for member in members))
            found.append(Lacking(version, tuple(sorted(missing)), hosts))
    return tuple(found)


def require_features(store: RecordsStore, channel: str, needed: Iterable[str], *, now: float) -> None:
    """Raise HostsLackFeaturesError if a host that reports would refuse a bundle; raises as `lacking`."""
    if found := lacking(store, channel, needed, now=now):
        more = len(found) - NAMED_KINDS
        told = [*map(str, found[:NAMED_KINDS]), *([f"and {more} more kinds of hosts"] if more > 0 else [])]
        raise HostsLackFeaturesError(f"{channel}: {'; '.join(told)}")


def _features(store: RecordsStore, members: Iterable[HostState]) -> frozenset[str]:
    """Return what hosts of one kind can evaluate, as the first of them that may be believed says; nothing if none."""
    for member in members:
        try:
            return frozenset(report_of(store, member).features)
        except TrustError:
            continue
    return frozenset()
