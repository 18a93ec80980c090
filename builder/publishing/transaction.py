"""The commit of a change, whatever it changes: snapshot, timestamp, what hosts would say, then one conditional write.

New role files are in the store by then, each under a name of its own, and nothing points at them. A new root is the one
thing that hosts see before the commit point: it is verified with all the rest first, and good with the old timestamp.
Who loses the race for the timestamp starts again from the new state. Whoever dies anywhere leaves orphans, never a
half-published state.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets

from builder.publishing import metadata
from builder.publishing.holders import Holders
from builder.publishing.pending import PendingError, valid_signatures
from builder.publishing.publisher import Publisher
from builder.publishing.staging import verify_staged
from builder.publishing.state import ChannelReader, LiveState
from builder.publishing.writing import RaceLostError, put_immutable, put_numbered, swap_timestamp
from bundle_store.port import Store, StoredObject
from policy_core.errors import ConflictError
from policy_core.trust import layout
from policy_core.trust.chain import decode
from policy_core.trust.errors import MetadataError
from policy_core.trust.history import walk_history
from policy_core.trust.release import Release


class NumberTakenError(ConflictError):
    """Somebody else wrote under the number that signatures were given for."""

    default_hint = "propose the change again: it takes the next number"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become live: role files in the store by role name, and the file of a new root (empty: none).

    `releases` is what each channel that is affected then has; `renew_snapshot` signs the snapshot role even if no role
    file is new.
    """

    pins: Mapping[str, MetaFile]
    releases: Mapping[str, Release | None]
    root: bytes = b""
    renew_snapshot: bool = False


@dataclass(slots=True)
class WrittenSnapshot:
    """The snapshot role that the last attempt of a call has put into the store; version 0 before the first.

    `release` is what that attempt was to make live.
    """

    release: Release | None = None
    version: int = 0
    sha256: str = ""

    def is_committed(self, reader: ChannelReader, state: LiveState) -> bool:
        """Tell whether it is part of the committed history; raises as `walk_history`."""
        for past in walk_history(state.chain.snapshot, reader.fetch) if self.version else ():
            if past.snapshot.version <= self.version:
                return past.sha256 == self.sha256
        return False


def make_live(
    publisher: Publisher, states: Mapping[str, LiveState], change: Change, written: WrittenSnapshot | None = None
) -> None:
    """Commit a change on top of `states`, which are by channel, one of them at least, and of one moment.

    Raises RaceLostError if the live state is another by now, StagedStateError, RemoteError, and what signers raise.
    """
    store, state = publisher.store, next(iter(states.values()))
    roots: dict[str, bytes] = {}
    if change.root:  # it says who signs the two that follow
        state = replace(state, root=decode(change.root, Root, limit=layout.MAX_ROOT_BYTES).signed)
        roots = {layout.metadata_name(Root.type, state.root.version): change.root}
    now = publisher.signing_time(state)
    pin = state.timestamp.snapshot_meta
    if change.pins or change.renew_snapshot:
        pin = _put_snapshot(publisher, state, change.pins, written or WrittenSnapshot())
    successor = metadata.timestamp(state.timestamp.version + 1, pin, now, state.timestamp_lifetime)
    timestamp = publisher.sign("timestamp", successor, state)
    staged = _Overlaid(store, roots, store.url) if roots else store
    for channel, release in change.releases.items():
        verify_staged(
            staged,
            timestamp,
            trusted_root=publisher.trusted_root,
            channel=channel,
            release=release,
            live=states.get(channel),
        )
    for name, data in roots.items():  # root numbers leave no room for orphans
        if not put_immutable(store, name, data):
            raise RaceLostError(f"{store.url}: somebody else signed a new root at the same time")
    swap_timestamp(store, timestamp, etag=state.etag)


def put_signed(publisher: Publisher, role: str, signed: Metadata[Targets], signers: Sequence[Holders]) -> MetaFile:
    """Write a role file, which all of `signers` have signed, under the number it was signed for and return its pin.

    Several people may complete one document with different sets of signatures: the file that is there counts then.
    Raises NumberTakenError if that is another one, or not signed by all, RemoteError.
    """
    version, data = signed.signed.version, signed.to_bytes()
    name = layout.metadata_name(role, version)
    if not put_immutable(publisher.store, name, data):
        try:
            data = publisher.reader.fetch(name)
            there = decode(data, Targets, limit=layout.MAX_TARGETS_BYTES, name=role)
            enough = all(len(valid_signatures(name, there, each.keys)) >= each.threshold for each in signers)
        except (MetadataError, PendingError) as error:
            raise NumberTakenError(f"{role}: number {version} is taken by what is no such file") from error
        if there.signed_bytes != signed.signed_bytes or not enough:
            raise NumberTakenError(f"{role}: number {version} is taken, with other content or signatures")
    return metadata.pin_of(version, data)


def _put_snapshot(
    publisher: Publisher, state: LiveState, pins: Mapping[str, MetaFile], written: WrittenSnapshot
) -> MetaFile:
    now = publisher.signing_time(state)

    def make(version: int) -> bytes:
        successor = metadata.next_snapshot(version, state.snapshot, state.chain.snapshot, pins, now)
        return publisher.sign(Snapshot.type, successor, state)

    written.version, data = put_numbered(publisher.store, Snapshot.type, state.snapshot.version + 1, make)
    written.sha256 = hashlib.sha256(data).hexdigest()
    return metadata.pin_of(written.version, data)


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
