"""The state of a channel in a store, verified from the trust root, and its history.

Expiry is reported, not enforced: publishing is what ends it, and history stays true when the present has expired.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tuf.api.metadata import Key, Root, Snapshot, Targets, Timestamp

from builder.publishing.metadata import MIN_TIMESTAMP_LIFETIME, TIMESTAMP_LIFETIME
from bundle_store.client import read_signed
from bundle_store.port import ObjectNotFoundError, Store
from policy_core.errors import UsageError
from policy_core.trust import layout
from policy_core.trust.chain import MetadataChain, VerifiedRelease, decode, verify_chain, verify_roots
from policy_core.trust.errors import MetadataError
from policy_core.trust.history import HistoryEntry, channel_history


class UnknownChannelError(UsageError):
    """The store has no such channel."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """One verified state of a store; `etag` is of its timestamp, and publishing over it is conditional on that."""

    chain: MetadataChain
    verified: VerifiedRelease
    etag: str
    root: Root
    targets: Targets
    snapshot: Snapshot
    timestamp: Timestamp

    @property
    def timestamp_lifetime(self) -> timedelta:
        """Return how long timestamps are good for here: each one for as long as the one before it, within bounds."""
        lifetime = self.timestamp.expires - self.verified.signed_at
        return min(max(lifetime, MIN_TIMESTAMP_LIFETIME), TIMESTAMP_LIFETIME)

    def keys(self, role: str) -> Sequence[Key]:
        """Return the public keys that may sign for a top-level role or a channel."""
        delegator = self._delegator(role)
        return [delegator.get_key(keyid) for keyid in delegator.get_delegated_role(role).keyids]

    def threshold(self, role: str) -> int:
        """Return how many of a role's keys must sign."""
        return self._delegator(role).get_delegated_role(role).threshold

    def _delegator(self, role: str) -> Root | Targets:
        return self.root if role in layout.TOP_LEVEL_ROLES else self.targets


@dataclass(frozen=True, slots=True)
class ChannelReader:
    """Reads one channel of one store, trusting one root.

    Numbered metadata never changes, so what was fetched once is kept for the life of the reader: one command.
    """

    store: Store
    channel: str
    trusted_root: bytes
    _fetched: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self) -> LiveState:
        """Fetch and verify what is live now.

        Raises UsageError before ``keys init`` or for an unknown channel, MetadataError, RemoteError.
        """
        # 1. The timestamp first: what it pins cannot change afterwards.
        try:
            stored = read_signed(self.store, layout.TIMESTAMP, max_bytes=layout.MAX_TIMESTAMP_BYTES)
        except ObjectNotFoundError as error:
            raise UsageError(
                f"{self.store.url}: no metadata here", hint="run `writ keys init --dev` first, or check `store`"
            ) from error
        timestamp = decode(stored.body, Timestamp, limit=layout.MAX_TIMESTAMP_BYTES).signed
        # 2. All it leads to, by number.
        roots = tuple(self.newer_roots())
        snapshot_bytes = self.fetch(layout.metadata_name(Snapshot.type, timestamp.snapshot_meta.version))
        snapshot = decode(snapshot_bytes, Snapshot, limit=layout.MAX_SNAPSHOT_BYTES).signed
        chain = MetadataChain(
            roots=roots,
            timestamp=stored.body,
            snapshot=snapshot_bytes,
            targets=self._fetch_pinned(snapshot, Targets.type),
            channel=self._fetch_pinned(snapshot, self.channel),
            oncall=self._fetch_if_pinned(snapshot, layout.oncall_role(self.channel)),
        )
        return self.state_of(chain, stored.etag)

    def state_of(self, chain: MetadataChain, etag: str = "") -> LiveState:
        """Return the state that a chain says, verified; `etag` is of its timestamp. Raises MetadataError."""
        verified = verify_chain(chain, trusted_root=self.trusted_root, channel=self.channel)
        return LiveState(
            chain,
            verified,
            etag,
            root=verify_roots(chain.roots, trusted_root=self.trusted_root)[-1],
            targets=decode(chain.targets, Targets, limit=layout.MAX_TARGETS_BYTES).signed,
            snapshot=decode(chain.snapshot, Snapshot, limit=layout.MAX_SNAPSHOT_BYTES).signed,
            timestamp=decode(chain.timestamp, Timestamp, limit=layout.MAX_TIMESTAMP_BYTES).signed,
        )

    def history(self, state: LiveState) -> Iterator[HistoryEntry]:
        """Yield the releases of the channel, newest first, fetching as far as the caller iterates."""
        return channel_history(state.chain, trusted_root=self.trusted_root, channel=self.channel, fetch=self.fetch)

    def fetch(self, name: str) -> bytes:
        """Return a numbered metadata object, unverified; raises MetadataError if it is too long, RemoteError."""
        if name not in self._fetched:
            self._fetched[name] = read_signed(self.store, name, max_bytes=layout.MAX_TARGETS_BYTES).body
        return self._fetched[name]

    def is_taken(self, role: str, version: int) -> bool:
        """Tell whether something lies under a number of a role, be it a role file or not; raises RemoteError."""
        try:
            self.fetch(layout.metadata_name(role, version))
        except ObjectNotFoundError:
            return False
        except MetadataError:  # too long to be one
            pass
        return True

    def newer_roots(self) -> Iterator[bytes]:
        """Yield the successors of the trust root that are in the store, unverified; raises RemoteError."""
        first = decode(self.trusted_root, Root, limit=layout.MAX_ROOT_BYTES).signed.version + 1
        for version in range(first, first + layout.MAX_ROOT_ROTATIONS):
            try:
                yield self.fetch(layout.metadata_name(Root.type, version))
            except ObjectNotFoundError:
                return

    def _fetch_pinned(self, snapshot: Snapshot, role: str) -> bytes:
        pin = snapshot.meta.get(f"{role}.json")
        if pin is None:
            roles = {name.removesuffix(".json") for name in snapshot.meta} - layout.TOP_LEVEL_ROLES
            known = {name for name in roles if layout.is_channel(name)}
            raise UnknownChannelError(
                f"channel {self.channel}: {self.store.url} has no such channel",
                hint=f"channels there: {', '.join(sorted(known))}; `writ keys add-channel {self.channel}` adds one "
                "that writ.yaml names",
            )
        return self.fetch(layout.metadata_name(role, pin.version))

    def _fetch_if_pinned(self, snapshot: Snapshot, role: str) -> bytes:
        return self._fetch_pinned(snapshot, role) if f"{role}.json" in snapshot.meta else b""
