"""A refresher without a policy repository: a store's URL, the trust root and the timestamp's key are all it takes.

A clone would know from the ledger how far each channel had got. Here the caller remembers it: the newest release seen
of each channel. Else an old state, put back by whoever owns the bucket, would be given a new date, and new hosts would
take it for what is live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from tuf.api.metadata import Snapshot, Targets, Timestamp

from builder.publishing.channels import read_channels
from builder.publishing.key_files import configuration_home
from builder.publishing.keys import KeyRing
from builder.publishing.publisher import Publisher
from builder.publishing.refresh import Refreshed, refresh
from bundle_store.client import read_signed
from bundle_store.opening import open_store
from bundle_store.port import Store
from bundle_store.remembering import RememberingStore
from policy_core.errors import TrustError
from policy_core.trust import layout
from policy_core.trust.chain import Role, decode, pinned


class StorePutBackError(TrustError):
    """The store is older than it was: somebody has put it back."""

    default_hint = "find out who wrote to the store; `writ publish` from a clone continues with higher numbers"


@dataclass(frozen=True, slots=True)
class RefreshedAlone:
    """What was signed, and the newest release of each channel, which the next call is to be given."""

    refreshed: Refreshed
    seen: Mapping[str, int]


def refresh_alone(
    url: str,
    trusted_root: bytes,
    *,
    seen: Mapping[str, int],
    environment: Mapping[str, str],
    lifetime: timedelta | None = None,
) -> RefreshedAlone:
    """Sign the timestamp of a store again, and whatever else is due and whose key is here; `lifetime` as `refresh`.

    Raises StorePutBackError if a channel is behind what was `seen`, and as `refresh`.
    """
    store = RememberingStore(open_store(url))
    keys = KeyRing(configuration_home(environment) / "keys", environment)
    publishers = {name: Publisher(store, name, trusted_root, keys) for name in _channels_said_to_be_in(store)}
    states = read_channels(lambda channel: publishers[channel].reader, tuple(publishers))
    releases = {name: state.verified.release.release if state.verified.release else 0 for name, state in states.items()}
    for channel, newest in sorted(seen.items()):
        if releases.get(channel, 0) < newest:
            raise StorePutBackError(
                f"{store.url}: {channel} is at release {releases.get(channel, 0)}, but release {newest} was seen here"
            )
    return RefreshedAlone(refresh([publishers[channel] for channel in states], lifetime=lifetime), releases)


def _channels_said_to_be_in(store: Store) -> list[str]:
    """Return the channels that a store names, unverified: who reads one of them verifies that it is there."""
    timestamp = _read(store, layout.TIMESTAMP, Timestamp, layout.MAX_TIMESTAMP_BYTES)
    number = timestamp.snapshot_meta.version
    snapshot = _read(store, layout.metadata_name(Snapshot.type, number), Snapshot, layout.MAX_SNAPSHOT_BYTES)
    number = pinned(snapshot, Targets.type).version
    targets = _read(store, layout.metadata_name(Targets.type, number), Targets, layout.MAX_TARGETS_BYTES)
    roles = targets.delegations.roles if targets.delegations else None
    return sorted(filter(layout.is_channel, roles or ()))


def _read(store: Store, name: str, kind: type[Role], limit: int) -> Role:
    return decode(read_signed(store, name, max_bytes=limit).body, kind, limit=limit).signed
