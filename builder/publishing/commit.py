"""The one way a channel changes: write everything new beside the old, verify it as a host would, swap the timestamp.

1. read the live state; 2. ask what to release on top of it; 3. bundle, provenance, channel role, snapshot role, each
under a name of its own; 4. a real client verifies the staged state; 5. one conditional write of ``timestamp.json``.
Who loses the race at step 5 starts again at step 1. Whoever dies anywhere leaves orphans, never a half-published state.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial

from builder.publishing import metadata
from builder.publishing.keys import AnyRole, KeyRing
from builder.publishing.staging import verify_staged
from builder.publishing.state import ChannelReader, LiveState
from builder.publishing.writing import RaceLostError, attempts, put_immutable, put_numbered, swap_timestamp
from bundle_store.port import WritableStore
from policy_core.errors import TrustError
from policy_core.trust import layout
from policy_core.trust.history import HistoryEntry, walk_history
from policy_core.trust.release import Release

MAX_CLOCK_DIFFERENCE = timedelta(days=1)

Clock = Callable[[], datetime]


class SignedInFutureError(TrustError):
    """The live state says that it was signed later than now; signing on top of it would make that time history."""

    default_hint = "check the clock of this machine; if it is right, the key of that role may be in foreign hands"


def system_clock() -> datetime:
    """Return the present time, aware, in whole seconds as metadata spells it."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)  # without slots: its reader is made once
class Publisher:
    """Where and as whom to publish: one channel of one store, its trust root, and the keys at hand."""

    store: WritableStore
    channel: str
    trusted_root: bytes
    key_ring: KeyRing
    clock: Clock = system_clock

    @cached_property
    def reader(self) -> ChannelReader:
        """Return the reading half."""
        return ChannelReader(self.store, self.channel, self.trusted_root)

    def sign(self, role: str, signed: AnyRole, state: LiveState) -> bytes:
        """Return the signed metadata file of a role; raises as `KeyRing.sign`."""
        return self.key_ring.sign(role, signed, state.keys(role))

    def seal(self, payload: bytes, payload_type: str, state: LiveState) -> bytes:
        """Return a DSSE envelope signed for the channel; raises as `KeyRing.sign`."""
        return self.key_ring.seal(self.channel, payload, payload_type, state.keys(self.channel))

    def signing_time(self, state: LiveState) -> datetime:
        """Return the time to sign with: now, but never before a time signed already (a clock may be behind).

        Raises SignedInFutureError if that is more than `MAX_CLOCK_DIFFERENCE` ahead: times in the ledger never
        decrease, so whoever has stolen a refresher's key could spoil them for good.
        """
        now = self.clock()
        last = layout.parse_time(state.snapshot.unrecognized_fields.get(layout.SIGNED_AT))
        for role, signed_at in (("timestamp", state.verified.signed_at), ("snapshot", last)):
            if signed_at > now + MAX_CLOCK_DIFFERENCE:
                raise SignedInFutureError(
                    f"{self.store.url}: the {role} role was signed at {layout.format_time(signed_at)}, "
                    f"but here it is {layout.format_time(now)}"
                )
        return max(now, state.verified.signed_at, last)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to make live: a release and, unless the store holds them already, its bundle and provenance.

    The live release itself means that its metadata is only signed anew.
    """

    release: Release | None
    bundle: bytes | None = None
    provenance: bytes | None = None


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """The live state is what was asked for already; `reason` is a sentence for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A release and whether this call committed it; then it is live unless `note` says what is, by now.

    Not committed: `release` is what is live, and `note` says why nothing was to be done.
    """

    release: Release | None
    committed: bool
    note: str = ""


Propose = Callable[[LiveState, Callable[[], Iterator[HistoryEntry]]], Proposal | NothingToDo]
"""Decides on top of a state, given a way to its history (newest first); asked again after every lost race."""


def commit(publisher: Publisher, propose: Propose) -> Outcome:
    """Make what `propose` asks for live and return the outcome.

    Raises ConflictError after too many lost races, TrustError, RemoteError, and what `propose` and the signers raise.
    """
    reader = publisher.reader
    written = _Written()
    for _ in attempts(publisher.store.url):
        state = reader.read()
        if written.snapshot_version and written.is_committed(reader, state):
            return _overtaken(written.release, state)
        proposal = propose(state, partial(reader.history, state))
        if isinstance(proposal, NothingToDo):
            return Outcome(state.verified.release, committed=False, note=proposal.reason)
        try:
            _commit_once(publisher, state, proposal, written)
        except RaceLostError:
            continue
        return Outcome(proposal.release, committed=True)
    raise AssertionError  # `attempts` raises


def _overtaken(release: Release | None, state: LiveState) -> Outcome:
    """Return the outcome of a commit whose answer was lost, and on top of which others have signed since."""
    live = state.verified.release
    if live == release or live is None or release is None:
        return Outcome(release, committed=True)
    note = f"release {release.release} was committed, but by now release {live.release} is live"
    return Outcome(release, committed=True, note=note)


@dataclass(slots=True)
class _Written:
    """What earlier attempts of this call have put into the store."""

    release: Release | None = None
    base: bytes = b""
    channel_version: int = 0
    channel_role: bytes = b""
    snapshot_version: int = 0
    snapshot_sha256: str = ""

    def is_committed(self, reader: ChannelReader, state: LiveState) -> bool:
        """Tell whether the snapshot role of the last attempt is part of the committed history."""
        for past in walk_history(state.chain.snapshot, reader.fetch):
            if past.snapshot.version <= self.snapshot_version:
                return past.sha256 == self.snapshot_sha256
        return False


def _commit_once(publisher: Publisher, state: LiveState, proposal: Proposal, written: _Written) -> None:
    """Go from the live state to the proposed one; raises RaceLostError if the live state is another by now."""
    store, channel, release = publisher.store, publisher.channel, proposal.release
    now = publisher.signing_time(state)
    if release is not None:
        _put(store, layout.target_object(channel, release.name, release.sha256), proposal.bundle)
        _put(store, layout.provenance_object(channel, release.name, release.provenance_sha256), proposal.provenance)

    if (written.base, written.release) != (state.chain.channel, release):  # else the last attempt's file still fits
        written.channel_version, written.channel_role = put_numbered(
            store,
            channel,
            state.verified.versions[channel] + 1,
            lambda version: publisher.sign(channel, metadata.channel_role(version, release, now), state),
        )
        written.base, written.release = state.chain.channel, release

    pins = {channel: metadata.pin_of(written.channel_version, written.channel_role)}
    written.snapshot_version, snapshot = put_numbered(
        store,
        "snapshot",
        state.snapshot.version + 1,
        lambda version: publisher.sign(
            "snapshot", metadata.next_snapshot(version, state.snapshot, state.chain.snapshot, pins, now), state
        ),
    )
    written.snapshot_sha256 = hashlib.sha256(snapshot).hexdigest()

    pin = metadata.pin_of(written.snapshot_version, snapshot)
    timestamp = publisher.sign("timestamp", metadata.timestamp(state.timestamp.version + 1, pin, now), state)
    verify_staged(store, timestamp, trusted_root=publisher.trusted_root, channel=channel, release=release, live=state)
    swap_timestamp(store, timestamp, etag=state.etag)


def _put(store: WritableStore, name: str, body: bytes | None) -> None:
    if body is not None and not put_immutable(store, name, body):
        raise TrustError(
            f"{store.url}: {name} does not hold what its name says",
            hint="somebody wrote to the store: find out who, then remove that object",
        )
