"""Promote a release: the very bundle that is live in one channel becomes the next release of another.

Nothing is built anew for it: bundle, provenance and all that is signed about them are copied from the verified channel.
Building the commit again only tells whether the bundle is what its commit gives, and runs its tests and the gates of
what is live where it goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from builder.publishing.candidate import Candidate
from builder.publishing.commit import Outcome, Proposal, commit
from builder.publishing.provenance import Gates
from builder.publishing.publish import bringing_in
from builder.publishing.publisher import Publisher
from builder.publishing.rollback import find_release
from builder.publishing.staging import check_bundle
from builder.publishing.state import LiveState
from builder.source import PolicyRepository
from bundle_store.client import read_signed
from bundle_store.port import Store
from policy_core.errors import UsageError
from policy_core.trust import layout
from policy_core.trust.history import HistoryEntry
from policy_core.trust.release import PROMOTE, Release


def find_promotable(history: Sequence[HistoryEntry], channel: str, number: int | None) -> Release:
    """Return the release of `channel` to promote: that of a number, or the live one. Raises UsageError.

    Only what is live there may go on: what was rolled back was taken back for a reason.
    """
    live = history[0].release
    if live is None:
        raise UsageError(f"channel {channel}: nothing was released there yet", hint=f"writ publish --channel {channel}")
    found = find_release(_releases(history), number, live) if number is not None else live
    if found.sha256 != live.sha256:
        raise UsageError(
            f"channel {channel}: release {found.release} is not what is live there, which is release {live.release}",
            hint="promote what is live, or go back to it there first: `writ rollback`",
        )
    return found


def promote(
    publisher: Publisher,
    repository: PolicyRepository,
    candidate: Candidate,
    source: Release,
    *,
    reason: str,
    actor: str,
) -> Outcome:
    """Make `source`, a verified release of another channel of the store, the next release of the publisher's channel.

    `candidate` is what its commit gives, compared already. Raises SupersededError, GateError as `require_live_gates`,
    ConflictError, TrustError, RemoteError, UsageError.
    """
    bundle, provenance = _targets(publisher.store, source)

    def make(_: LiveState, number: int, gates: Gates) -> Proposal:
        release = replace(
            source,
            channel=publisher.channel,
            release=number,
            action=PROMOTE,
            reason=reason,
            actor=actor,
            origin=f"{source.channel}/{source.release}",
            reviewed_by=gates.reviewed_by,
            min_release=candidate.min_release(publisher.channel),
        )
        return Proposal(release, bundle, provenance)

    return commit(publisher, bringing_in(repository, candidate, make))


def _targets(store: Store, release: Release) -> tuple[bytes, bytes | None]:
    """Return bundle and provenance of a release, both verified by their digests; raises TrustError, RemoteError."""
    about = (release.channel, release.name)
    blob = read_signed(store, layout.target_object(*about, release.sha256), max_bytes=release.length).body
    check_bundle(release, blob)
    if not release.provenance_sha256:
        return blob, None
    name = layout.provenance_object(*about, release.provenance_sha256)
    return blob, read_signed(store, name, max_bytes=layout.MAX_PROVENANCE_BYTES).body


def _releases(history: Sequence[HistoryEntry]) -> Iterator[Release]:
    return (entry.release for entry in history if entry.release)
