"""The one way a channel gets a release: write everything new beside the old, then make it live in one transaction.

1. read the live state; 2. ask what to release on top of it; 3. bundle, provenance and channel role, each under its own
name; 4. the transaction, whose last step is one conditional write. Who loses that race starts again at step 1. Where
the channel takes more than one signature, step 3 ends in a pending document for the people who sign.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from builder.publishing import metadata
from builder.publishing.pending import write_pending
from builder.publishing.publisher import Publisher
from builder.publishing.state import LiveState
from builder.publishing.transaction import Change, WrittenSnapshot, make_live
from builder.publishing.writing import RaceLostError, attempts, put_immutable, put_numbered
from bundle_store.port import WritableStore
from policy_core.errors import TrustError
from policy_core.trust import layout
from policy_core.trust.history import HistoryEntry
from policy_core.trust.release import Release


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to make live: a release and, unless the store holds them already, its bundle and provenance."""

    release: Release
    bundle: bytes | None = None
    provenance: bytes | None = None


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """The live state is what was asked for already; `reason` is a sentence for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A release and whether this call committed it; then it is live unless `note` says what is, by now.

    Not committed: `release` is what is live, and `note` says why nothing was to be done; or `pending` is the number of
    the document in which `release` waits for signatures.
    """

    release: Release | None
    committed: bool
    note: str = ""
    pending: int = 0


Propose = Callable[[LiveState, Callable[[], Iterator[HistoryEntry]]], Proposal | NothingToDo]
"""Decides on top of a state, given a way to its history (newest first); asked again after every lost race."""


def commit(publisher: Publisher, propose: Propose) -> Outcome:
    """Make what `propose` asks for live, or leave it for people to sign, and return the outcome.

    Raises ConflictError after too many lost races, TrustError, RemoteError, and what `propose` and the signers raise.
    """
    role = _WrittenRole()

    def step(state: LiveState, written: WrittenSnapshot) -> Outcome:
        proposal = propose(state, partial(publisher.reader.history, state))
        if isinstance(proposal, NothingToDo):
            return Outcome(state.verified.release, committed=False, note=proposal.reason)
        _put_targets(publisher, proposal)
        if state.threshold(publisher.channel) > 1:
            number = write_pending(publisher, state, proposal.release)
            return Outcome(proposal.release, committed=False, pending=number)
        _commit_once(publisher, state, proposal.release, role, written)
        return Outcome(proposal.release, committed=True)

    return repeat(publisher, step)


def repeat(publisher: Publisher, step: Callable[[LiveState, WrittenSnapshot], Outcome]) -> Outcome:
    """Take `step` on top of what is live, again after every race it loses, and return its outcome.

    A step notes in what is written which release it is about. Raises ConflictError after too many lost races, and what
    `step` raises.
    """
    written = WrittenSnapshot()
    for _ in attempts(publisher.store.url):
        state = publisher.reader.read()
        if written.is_committed(publisher.reader, state):
            return _overtaken(written.release, state)
        try:
            return step(state, written)
        except RaceLostError:
            continue
    raise AssertionError  # `attempts` raises


def _overtaken(release: Release | None, state: LiveState) -> Outcome:
    """Return the outcome of a commit whose answer was lost, and on top of which others have signed since."""
    live = state.verified.release
    if live == release or live is None or release is None:
        return Outcome(release, committed=True)
    note = f"release {release.release} was committed, but by now release {live.release} is live"
    return Outcome(release, committed=True, note=note)


@dataclass(slots=True)
class _WrittenRole:
    """The channel role that earlier attempts of a call have put into the store, on top of which role file."""

    release: Release | None = None
    base: bytes = b""
    version: int = 0
    data: bytes = b""


def _commit_once(
    publisher: Publisher, state: LiveState, release: Release, role: _WrittenRole, written: WrittenSnapshot
) -> None:
    """Go from the live state to the proposed one; raises RaceLostError if the live state is another by now."""
    channel, now = publisher.channel, publisher.signing_time(state)
    if (role.base, role.release) != (state.chain.channel, release):  # else the last attempt's file still fits
        role.version, role.data = put_numbered(
            publisher.store,
            channel,
            state.verified.versions[channel] + 1,
            lambda version: publisher.sign(
                channel, metadata.channel_role(version, release, state.verified.channel, now), state
            ),
        )
        role.base, role.release = state.chain.channel, release
    written.release = release
    change = Change({channel: metadata.pin_of(role.version, role.data)}, {channel: release})
    make_live(publisher, {channel: state}, change, written)


def _put_targets(publisher: Publisher, proposal: Proposal) -> None:
    """Write bundle and provenance, if they are given, under the names that the release has for them."""
    release = proposal.release
    about = (release.channel, release.name)
    _put(publisher.store, layout.target_object(*about, release.sha256), proposal.bundle)
    _put(publisher.store, layout.provenance_object(*about, release.provenance_sha256), proposal.provenance)


def _put(store: WritableStore, name: str, body: bytes | None) -> None:
    if body is not None and not put_immutable(store, name, body):
        raise TrustError(
            f"{store.url}: {name} does not hold what its name says",
            hint="somebody wrote to the store: find out who, then remove that object",
        )
