"""What a change of keys is made on top of: the live state of all channels, even if an earlier change was cut short."""

from collections.abc import Mapping
from dataclasses import dataclass

from tuf.api.metadata import Metadata, Root, Targets

from builder.publishing.channels import read_channels
from builder.publishing.holders import Holders, holding
from builder.publishing.publisher import Publisher
from builder.publishing.state import ChannelReader, LiveState
from bundle_store.port import ObjectNotFoundError, Store, StoredObject
from policy_core.trust import layout
from policy_core.trust.chain import decode, verify_roots
from policy_core.trust.errors import MetadataError

Publishers = Mapping[str, Publisher]
"""By channel, of one store; those whose channel it does not have are passed over."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a change is made on top of: the live states by channel, one of them at least, and the root's file.

    `begun_bytes` is a root that is in the store already, as the first step of a change that was cut short.
    """

    states: Mapping[str, LiveState]
    root_bytes: bytes
    begun_bytes: bytes = b""

    @property
    def begun(self) -> Metadata[Root] | None:
        """Return the root that is in the store already, None if there is none."""
        return decode(self.begun_bytes, Root, limit=layout.MAX_ROOT_BYTES) if self.begun_bytes else None

    @property
    def state(self) -> LiveState:
        """Return one of the states, for what they have in common."""
        return next(iter(self.states.values()))

    @property
    def holding(self) -> dict[str, Holders]:
        """Return who holds which role."""
        return holding(self.state.root, self.state.targets)

    def version(self, role: str) -> int:
        """Return the live version of a role, 0 if it is new."""
        if role == Root.type:
            return self.state.root.version
        pin = self.state.snapshot.meta.get(f"{role}.json")
        return pin.version if pin else 0

    def data(self, role: str) -> bytes:
        """Return the live file of a role, empty if it is new, or not of a channel that was read."""
        if role in {Root.type, Targets.type}:
            return self.root_bytes if role == Root.type else self.state.chain.targets
        for channel, state in self.states.items():
            if role in {channel, layout.oncall_role(channel)}:
                return state.chain.channel if role == channel else state.chain.oncall
        return b""


def read_before(publishers: Publishers, root: Metadata[Root] | None = None) -> Before:
    """Return what is live now; or, if the newest root is one that nothing has followed yet, what was before it.

    A change of keys writes its root first. If it dies then, what is live may have too few signatures under that root,
    until the rest has followed, too. `root` is that of a change at hand: it may be such a one even if what is live is
    good under it. Raises as `read_channels`.
    """
    trusted_root = next(iter(publishers.values())).trusted_root
    try:
        states = read_channels(lambda channel: publishers[channel].reader, tuple(publishers))
    except MetadataError as error:
        return _read_before_last_root(publishers, error)
    roots = next(iter(states.values())).chain.roots
    live = Before(states, roots[-1] if roots else trusted_root)
    if root is None or decode(live.root_bytes, Root, limit=layout.MAX_ROOT_BYTES).signed_bytes != root.signed_bytes:
        return live
    try:
        return _read_before_last_root(publishers, MetadataError("root: is followed already"))
    except MetadataError:
        return live


def _read_before_last_root(publishers: Publishers, problem: MetadataError) -> Before:
    """Return the state that the last root but one was good for; raises `problem` if that is none either."""
    publisher = next(iter(publishers.values()))
    *_, data = [publisher.trusted_root, *publisher.reader.newer_roots()]
    name = layout.metadata_name(Root.type, decode(data, Root, limit=layout.MAX_ROOT_BYTES).signed.version)
    hidden = _Without(publisher.store, name, publisher.store.url)
    readers = {channel: ChannelReader(hidden, channel, publisher.trusted_root) for channel in publishers}
    try:
        states = read_channels(lambda channel: readers[channel], tuple(readers))
        roots = next(iter(states.values())).chain.roots
        verify_roots((*roots, data), trusted_root=publisher.trusted_root)
    except MetadataError:
        raise problem from None
    return Before(states, roots[-1] if roots else publisher.trusted_root, data)


@dataclass(frozen=True, slots=True)
class _Without:
    """A store as it was before an object was written."""

    store: Store
    name: str
    url: str

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return whatever the store holds, but for that object."""
        if name == self.name:
            raise ObjectNotFoundError(f"{self.url}: {name}: not looked at")
        return self.store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)
