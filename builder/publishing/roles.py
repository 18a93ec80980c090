"""Changes of several roles at once: roles that are signed anew before they expire, and channels that are added.

Same order as a publish (see `builder.publishing.commit`): everything new under a name of its own, a real client of
every channel, then one conditional write of ``timestamp.json``. A new root is the one thing that hosts see before that:
it is verified with all the rest first, keeps its keys, and is good with the old timestamp, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from securesystemslib.signer import Key
from tuf.api.metadata import MetaFile

from builder.publishing import metadata
from builder.publishing.channels import read_channels
from builder.publishing.commit import Publisher
from builder.publishing.keys import AnyRole
from builder.publishing.staging import verify_staged
from builder.publishing.state import LiveState
from builder.publishing.writing import RaceLostError, attempts, put_immutable, put_numbered, swap_timestamp
from bundle_store.port import Store, StoredObject
from policy_core.trust import layout

States = Mapping[str, LiveState]


@dataclass(frozen=True, slots=True)
class Change:
    """Roles to sign anew as they are, and channels to add, each with its public key."""

    renewed: frozenset[str] = frozenset()
    added: Mapping[str, Key] = field(default_factory=dict)


def change_roles(publishers: Mapping[str, Publisher], propose: Callable[[States], Change | None]) -> Change | None:
    """Commit what `propose` asks for on top of the live states, and return it; None: there was nothing to do.

    `publishers` is by channel, of one store; those whose channel it does not have are passed over. `propose` is asked
    again after every lost race. Raises ConflictError after too many of them, TrustError, RemoteError, and what
    `propose` and the signers raise.
    """
    publisher = next(iter(publishers.values()))
    for _ in attempts(publisher.store.url):
        states = read_channels(lambda channel: publishers[channel].reader, tuple(publishers))
        change = propose(states)
        if change is None:
            return None
        try:
            _commit_once(publisher, states, change)
        except RaceLostError:
            continue
        return change
    raise AssertionError  # `attempts` raises


def _commit_once(publisher: Publisher, states: States, change: Change) -> None:
    """Go from the live states to the changed ones; raises RaceLostError if the live ones are others by now."""
    store, state = publisher.store, next(iter(states.values()))
    now = publisher.signing_time(state)
    pins: dict[str, MetaFile] = {}

    def put(role: str, make: Callable[[int], AnyRole], keys: Sequence[Key]) -> MetaFile:
        live = state.timestamp.snapshot_meta if role == "snapshot" else state.snapshot.meta.get(f"{role}.json")
        first = live.version + 1 if live else 1
        version, data = put_numbered(
            store, role, first, lambda version: publisher.key_ring.sign(role, make(version), keys)
        )
        return metadata.pin_of(version, data)

    # 1. New files, which nothing points at yet.
    if change.added or "targets" in change.renewed:
        pins["targets"] = put(
            "targets",
            lambda version: metadata.next_targets(version, state.targets, change.added, now),
            state.keys("targets"),
        )
    for channel, key in change.added.items():
        pins[channel] = put(channel, lambda version: metadata.channel_role(version, None, now), [key])
    for channel in change.renewed & states.keys():
        release = states[channel].verified.release
        pins[channel] = put(
            channel,
            lambda version, release=release: metadata.channel_role(version, release, now),  # type: ignore[misc]
            state.keys(channel),
        )
    pin = state.timestamp.snapshot_meta
    if pins or "snapshot" in change.renewed:
        pin = put(
            "snapshot",
            lambda version: metadata.next_snapshot(version, state.snapshot, state.chain.snapshot, pins, now),
            state.keys("snapshot"),
        )
    timestamp = publisher.sign("timestamp", metadata.timestamp(state.timestamp.version + 1, pin, now), state)

    # 2. What hosts of every channel would say, of the new root as well.
    new_root: dict[str, bytes] = {}
    if "root" in change.renewed:
        root = metadata.next_root(state.root, now)
        new_root[layout.metadata_name("root", root.version)] = publisher.sign("root", root, state)
    staged = _Overlaid(store, new_root, store.url)
    live: Mapping[str, LiveState | None] = {**states, **dict.fromkeys(change.added)}
    for channel, seen in live.items():
        verify_staged(
            staged,
            timestamp,
            trusted_root=publisher.trusted_root,
            channel=channel,
            release=seen.verified.release if seen else None,
            live=seen,
        )

    # 3. The root, whose numbers leave no room for orphans; then the commit point.
    for name, data in new_root.items():
        if not put_immutable(store, name, data):
            raise RaceLostError(f"{store.url}: somebody else signed a new root at the same time")
    swap_timestamp(store, timestamp, etag=state.etag)


@dataclass(frozen=True, slots=True)
class _Overlaid:
    """A store as it will be with some objects that are not there yet."""

    store: Store
    objects: Mapping[str, bytes]
    url: str

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return one of the objects, or whatever the store holds."""
        if name in self.objects:
            return StoredObject(self.objects[name], etag="")
        return self.store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)
