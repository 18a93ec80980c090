"""What a release that waits for signatures says of itself, held against what is known without it."""

from collections.abc import Sequence
from dataclasses import replace

from builder.publishing.channels import Histories
from builder.publishing.pending import PendingError, StaleError
from builder.publishing.provenance import Gates, Provenance
from builder.publishing.state import UnknownChannelError
from policy_core.trust.history import HistoryEntry
from policy_core.trust.release import PROMOTE, PUBLISH, ROLLBACK, Release


def check_origin(where: str, release: Release, histories: Histories) -> None:
    """Raise PendingError unless what a release says about where its bundle was before is so.

    StaleError if the channel it was promoted from has gone back from it meanwhile.
    """
    if release.action == PUBLISH and not release.origin:
        return
    if release.action not in {PROMOTE, ROLLBACK} or (release.action == PROMOTE and not release.origin):
        raise PendingError(f"{where}: its action {release.action!r} does not say where the bundle comes from")
    if release.action == PROMOTE:
        channel, _, number = release.origin.partition("/")
        try:
            history = histories.of(channel)
        except UnknownChannelError as error:
            raise PendingError(f"{where}: says that it comes from {channel}, which is no channel here") from error
        before = [_bundle_of(each) for each in _releases(history) if each.release == int(number)]
        found = _bundle_of(release) in before
        if found and _was_taken_back(history, int(number)):
            raise StaleError(f"{where}: {channel} has gone back from release {number} since it was proposed")
    else:
        found = _content_of(release) in map(_content_of, _releases(histories.of(release.channel)))
    if not found:
        raise PendingError(f"{where}: lists a bundle that was not released where it says")


def _was_taken_back(history: Sequence[HistoryEntry], number: int) -> bool:
    """Tell whether what is live now goes back behind a release, rather than being it, or coming after it."""
    releases = _releases(history)
    live, promoted = releases[0], next(each for each in releases if each.release == number)
    return not live.brings_in and live.release > number and live.sha256 != promoted.sha256


def check_reviewers(where: str, release: Release, provenance: Provenance | None, gates: Gates) -> None:
    """Raise PendingError if people are named as reviewers whose approval this machine did not find.

    Provenance of what is promoted tells of the channel it comes from: what was demanded and found there.
    """
    named = set(release.reviewed_by)
    if provenance and not release.origin:
        named |= set(_approvers(provenance.gates))
    if made_up := sorted(named - set(_approvers(gates))):
        raise PendingError(
            f"{where}: says that {', '.join(made_up)} reviewed it, but no such approval counts here",
            hint="export the reviews from the forge yourself (`--reviews FILE`); if it is not there, it was made up",
        )


def _approvers(gates: Gates) -> tuple[str, ...]:
    return gates.approvals.names if gates.approvals else ()


def _content_of(release: Release) -> Release:
    """Return what a release says, whatever made it live and when."""
    return replace(release, release=1, action=PUBLISH, reason="", actor="", min_release=0)


def _bundle_of(release: Release) -> Release:
    """Return what a release says about its bundle alone, in whichever channel."""
    return replace(_content_of(release), channel="any", origin="", reviewed_by=())


def _releases(history: Sequence[HistoryEntry]) -> list[Release]:
    return [entry.release for entry in history if entry.release]
