"""Sign what waits for signatures, after finding out for oneself what it is; and make live what has all of them.

An approver trusts neither the store, nor the builder, nor the pending document: the document must be what follows from
the verified live state, the bundle what its commit gives on this machine, and where it came from must say the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builder.publishing.candidate import Candidate
from builder.publishing.channels import Histories
from builder.publishing.claims import check_origin, check_reviewers
from builder.publishing.commit import Outcome, repeat
from builder.publishing.gates import require_live_gates
from builder.publishing.holders import holders_of
from builder.publishing.pending import (
    PendingError,
    SignedAlreadyError,
    UnderSignedError,
    Waiting,
    check_pending,
    find_pending,
)
from builder.publishing.provenance import Gates, Provenance
from builder.publishing.publish import SupersededError, newest_brought_in, what_is_live
from builder.publishing.publisher import Publisher
from builder.publishing.rollback import min_release_of
from builder.publishing.state import LiveState
from builder.publishing.transaction import Change, WrittenSnapshot, make_live, put_signed
from builder.publishing.writing import RaceLostError, attempts, swap
from builder.rebuilding import provenance_of, rebuild_release
from builder.source import PolicyRepository
from policy_core.errors import ConflictError, UsageError
from policy_core.trust import layout
from policy_core.trust.chain import owners_of
from policy_core.trust.history import HistoryEntry
from policy_core.trust.release import Release


class NothingPendingError(UsageError):
    """No document waits for signatures."""


@dataclass(frozen=True, slots=True)
class Review:
    """A pending document that passed every check, and what an approver should know about it.

    `live` is what it would replace. `candidate` is what its commit gives here, tests run; None for a rollback, whose
    bundle was live before.
    """

    waiting: Waiting
    live: Release | None
    candidate: Candidate | None
    provenance: Provenance | None


def review(
    publisher: Publisher,
    repository: PolicyRepository,
    prepare: Callable[[str], Candidate],
    histories: Histories,
    *,
    number: int | None = None,
) -> Review:
    """Find what waits for signatures and check it; `prepare` builds and tests a revision, as for a publish.

    With a `number`, it must be that document. Raises NothingPendingError, SupersededError, PendingError, StaleError,
    RebuildError, ProvenanceError, GateError, InvalidPolicyError, PolicyTestsFailedError, RemoteError.
    """
    state = publisher.reader.read()
    waiting = _find(publisher, state, number)
    release, live = waiting.release, state.verified.release
    where = layout.pending_object(publisher.channel, waiting.version)
    check_origin(where, release, histories)
    provenance = provenance_of(publisher.store, release, _with_pending(histories, state, release))
    candidate = None
    if release.brings_in:  # what a rollback goes back to was approved once
        rebuild_release(repository, publisher.store, release, provenance)
        candidate = prepare(release.revision)
        newest = newest_brought_in(live, lambda: iter(histories.of(publisher.channel)))
        if nothing := what_is_live(repository, candidate, live, newest):
            raise SupersededError(f"{where}: {nothing.reason}")
        gates = Gates(0, ())
        if live is not None and newest is not None:
            gates = require_live_gates(repository, candidate, live=live, since=newest.revision)
        check_reviewers(where, release, provenance, gates)
    least = candidate.min_release(publisher.channel) if candidate else min_release_of(state)
    if release.min_release != least:
        raise PendingError(f"{where}: lets people on call go back to {release.min_release} (expected {least})")
    return Review(waiting, live, candidate, provenance)


def approve(publisher: Publisher, reviewed: Review) -> Waiting:
    """Sign what was reviewed, in the store, and return the document with that signature.

    Raises SignedAlreadyError, ConflictError if it was superseded or changed meanwhile, RemoteError, and what the signer
    raises.
    """
    channel, waiting = publisher.channel, reviewed.waiting
    for attempt in attempts(publisher.store.url):
        state = publisher.reader.read()
        role = waiting.pending.roles[channel]
        signature = publisher.key_ring.signature(channel, role.signed_bytes, state.keys(channel))
        if signature.keyid in role.signatures:
            if attempt:  # somebody else has signed on top of it, before it was known that it is there
                return waiting
            raise SignedAlreadyError(f"{channel}: {_name_of(state, channel, signature.keyid)} has signed it already")
        signed = waiting.pending.signed_with(channel, signature)
        try:
            name = layout.pending_object(channel, waiting.version)
            swap(publisher.store, name, signed.to_bytes(), etag=waiting.etag, max_bytes=layout.MAX_PENDING_BYTES)
        except RaceLostError:
            waiting = _same(publisher, waiting)
            continue
        return check_pending(channel, state, waiting.version, signed, etag="")  # it may be live by now
    raise AssertionError  # `attempts` raises


def complete(publisher: Publisher, *, number: int | None = None) -> Outcome:
    """Make the newest pending document live, if it has all the signatures it takes, and return the outcome.

    That none waits, or the one of that number no longer, is nothing to do. Raises UnderSignedError, SupersededError,
    PendingError, StaleError, TrustError, RemoteError, and NothingPendingError for a number that is yet to come.
    """
    channel = publisher.channel

    def step(state: LiveState, written: WrittenSnapshot) -> Outcome:
        found = find_pending(publisher.reader, state)
        if found is None and (number or 0) <= state.verified.versions[channel]:
            return Outcome(state.verified.release, committed=False, note=f"{channel}: nothing waits for signatures")
        waiting = _asked_for(channel, found, number)
        if not waiting.is_complete:
            have = f"{len(waiting.signed)} of {waiting.threshold} signatures"
            raise UnderSignedError(
                f"{layout.pending_object(channel, waiting.version)}: has {have}",
                hint=f"`writ approve --channel {channel}` signs; to ask: {', '.join(missing(state, waiting))}",
            )
        written.release = waiting.release
        pin = put_signed(publisher, channel, waiting.pending.roles[channel], [holders_of(state.targets, channel)])
        make_live(publisher, {channel: state}, Change({channel: pin}, {channel: waiting.release}), written)
        return Outcome(waiting.release, committed=True)

    return repeat(publisher, step)


def missing(state: LiveState, waiting: Waiting) -> list[str]:
    """Return who may still sign: owners of keys, or short key ids."""
    channel = next(iter(waiting.pending.roles))
    signed = {key.keyid for key in waiting.signed}
    return [_name_of(state, channel, key.keyid) for key in state.keys(channel) if key.keyid not in signed]


def _find(publisher: Publisher, state: LiveState, number: int | None) -> Waiting:
    return _asked_for(publisher.channel, find_pending(publisher.reader, state), number)


def _asked_for(channel: str, waiting: Waiting | None, number: int | None) -> Waiting:
    if waiting is None:
        raise NothingPendingError(
            f"channel {channel}: nothing waits for signatures", hint=f"`writ promote --to {channel}` proposes something"
        )
    if number is not None and number != waiting.version:
        raise SupersededError(
            f"{layout.pending_object(channel, number)}: superseded by {waiting.version}"
            if number < waiting.version
            else f"{layout.pending_object(channel, number)}: is not there, the newest is {waiting.version}",
            hint="look at the newest one",
        )
    return waiting


def _same(publisher: Publisher, before: Waiting) -> Waiting:
    """Return the document as it is in the store now; raises ConflictError if it is about something else."""
    channel = publisher.channel
    waiting = _find(publisher, publisher.reader.read(), before.version)
    if waiting.pending.roles[channel].signed_bytes != before.pending.roles[channel].signed_bytes:
        raise ConflictError(
            f"{layout.pending_object(channel, before.version)}: is another one than was reviewed",
            hint="review it again",
        )
    return waiting


def _with_pending(histories: Histories, state: LiveState, release: Release) -> Callable[[str], Sequence[HistoryEntry]]:
    """Return the histories as they will be with the pending release in them, whose keys are those of today."""

    def of(channel: str) -> Sequence[HistoryEntry]:
        found = histories.of(channel)
        if channel != release.channel:
            return found
        keys = (*state.keys(channel), *state.keys("snapshot"))
        return [HistoryEntry(release, state.verified.signed_at, keys), *found]

    return of


def _name_of(state: LiveState, channel: str, keyid: str) -> str:
    keys = [key for key in state.keys(channel) if key.keyid == keyid]
    return ", ".join(owners_of(keys)) or f"key {keyid[:12]}"
