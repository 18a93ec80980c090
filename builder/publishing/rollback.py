"""Roll a channel back: a *higher* release that lists older bytes, so that hosts accept it as news.

Without a number it goes to the newest earlier release whose policy differs from the live one. Called again it goes one
policy further back; it never returns to what was just left.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from builder.publishing.commit import NothingToDo, Outcome, Proposal, commit
from builder.publishing.publisher import Publisher
from builder.publishing.staging import check_bundle
from builder.publishing.state import LiveState
from bundle_store.client import read_signed
from policy_core.errors import UsageError
from policy_core.trust import layout
from policy_core.trust.history import HistoryEntry
from policy_core.trust.release import ROLLBACK, Release


class NoSuchReleaseError(UsageError):
    """There is no release to go back to."""

    default_hint = "`writ live --channel C` shows what is live, `git log live/C` all that ever was"


def roll_back(publisher: Publisher, *, to: int | None, reason: str, actor: str) -> Outcome:
    """Make an earlier release's bundle live again, as a new release, and return the outcome.

    Raises NoSuchReleaseError, ConflictError, TrustError (also if the old bundle is gone or damaged), RemoteError.
    """

    def propose(state: LiveState, history: Callable[[], Iterator[HistoryEntry]]) -> Proposal | NothingToDo:
        live = state.verified.release
        if live is None:
            raise NoSuchReleaseError(f"channel {publisher.channel}: nothing was ever released")
        releases = (entry.release for entry in history() if entry.release)
        old = find_release(releases, to, live) if to is not None else _earlier(releases, live)
        if old.sha256 == live.sha256:
            return NothingToDo(f"release {live.release}, which is live, has the bundle of release {old.release}")
        name = layout.target_object(old.channel, old.name, old.sha256)
        check_bundle(old, read_signed(publisher.store, name, max_bytes=old.length).body)
        new = replace(old, release=live.release + 1, action=ROLLBACK, reason=reason, actor=actor)
        return Proposal(replace(new, min_release=min_release_of(state)))

    return commit(publisher, propose)


def min_release_of(state: LiveState) -> int:
    """Return the `min_release` of what the channel role lists: going back does not take it back."""
    listed = state.verified.channel.listed
    return listed.min_release if listed else 0


def find_release(releases: Iterable[Release], number: int, live: Release) -> Release:
    """Return the release of that number; raises NoSuchReleaseError, which names the live one."""
    for release in releases:
        if release.release == number:
            return release
    raise NoSuchReleaseError(f"channel {live.channel}: no release {number} (the live one is {live.release})")


def earlier_releases(releases: Iterator[Release], live: Release) -> Iterator[Release]:
    """Yield what a rollback may go to, newest first, of all releases of a channel, the live one being the first.

    That is what was live before the live bundle was first brought in, where its policy is another one.
    """
    brought_in = live.brings_in
    next(releases)  # the live one
    for release in releases:
        if brought_in and release.policy_sha256 != live.policy_sha256:
            yield release
        # a revision is brought in only once: descent is strict
        brought_in = brought_in or (release.brings_in and release.revision == live.revision)


def _earlier(releases: Iterator[Release], live: Release) -> Release:
    for release in earlier_releases(releases, live):
        return release
    raise NoSuchReleaseError(
        f"channel {live.channel}: no earlier release with another policy than the live one ({live.release})",
        hint="name one with --to RELEASE",
    )
