"""Questions to the signed history: what was live when, and does everything hold together?"""

from collections.abc import Sequence
from dataclasses import dataclass

import pygit2

from builder.ledger.branch import Ledger, verify_ledger
from builder.ledger.commits import LEDGER_PATHS, SourceMissingError
from builder.ledger.moments import Interval, intervals, live_during, parse_when
from builder.publishing.channels import Histories
from builder.publishing.expiry import alarms
from builder.publishing.provenance import Provenance
from builder.publishing.publisher import system_clock
from builder.publishing.staging import check_bundle, scratch_folder
from builder.publishing.standing import Standing, standing_of
from builder.publishing.workspace import Workspace
from builder.rebuilding import find_asked, provenance_of, rebuild_release
from bundle_store.client import TrustedClient
from policy_core.errors import UsageError
from policy_core.trust.chain import VerifiedRelease
from policy_core.trust.history import channel_history, check_numbers
from policy_core.trust.release import Release


@dataclass(frozen=True, slots=True)
class Answer:
    """What was live: the intervals asked for, oldest first, and the ledger if it was verified.

    `standing` is how the channel stands now, None if the question was about another time.
    """

    channel: str
    intervals: Sequence[Interval]
    ledger: Ledger | None
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class Verified:
    """A channel that passed every check: its state, all releases, its ledger, how it stands, and what expires soon.

    `provenance` is that of the live release, None without one; `rebuilt` is the release that was built again, if asked.
    """

    channel: str
    state: VerifiedRelease
    intervals: Sequence[Interval]
    ledger: Ledger
    warnings: tuple[str, ...]
    provenance: Provenance | None
    rebuilt: Release | None
    standing: Standing


def look_up(workspace: Workspace, channel: str, *, when: str | None, verify: bool) -> Answer:
    """Return what was live at `when` (a moment, a day, or None for now), verified; expiry does not matter here.

    Raises UsageError for a time in the future, LedgerError, TrustError, RemoteError.
    """
    asked = parse_when(when) if when is not None else None
    reader = workspace.reader(channel)
    state = reader.read()
    history = list(reader.history(state))
    if asked is not None and asked.start > max(system_clock(), state.verified.signed_at):
        raise UsageError(f"time {when!r}: is in the future", hint="ask about the past, or leave --at out")
    found = intervals(history)
    if verify:
        check_numbers(history, channel)
    ledger = verify_ledger(workspace.repository.git, channel, iter(history)) if verify else None
    if asked is not None:
        return Answer(channel, live_during(asked, found), ledger, standing=None)
    return Answer(channel, found[-1:], ledger, standing_of(reader, state, system_clock()))


def file_at(git: pygit2.Repository, answer: Answer, path: str) -> tuple[Interval, bytes]:
    """Return the one interval of `answer` with a release, and a policy file as that release had it.

    Raises UsageError if there is none or are several, or no such file, and SourceMissingError.
    """
    candidates = [(found, found.release) for found in answer.intervals if found.release]
    if len(candidates) > 1:
        raise UsageError(
            f"{path}: {len(candidates)} releases were live in that time", hint="give --at a full timestamp, not a day"
        )
    if not candidates:
        raise UsageError(f"{path}: no release was live then")
    if path.split("/", 1)[0] not in LEDGER_PATHS:
        raise UsageError(f"{path}: is no part of the policy", hint=f"it lies in one of: {', '.join(LEDGER_PATHS)}")
    found, release = candidates[0]
    try:
        tree = git[release.revision].peel(pygit2.Tree)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise SourceMissingError(
            f"release {release.release}: its source {release.revision[:12]} is not in this clone"
        ) from error
    try:
        blob = tree[path]
    except KeyError:
        blob = None
    if not isinstance(blob, pygit2.Blob):
        raise UsageError(f"{path}: release {release.release} has no such file")
    return found, blob.data


def verify_channel(workspace: Workspace, channel: str, *, rebuild: str | None = None) -> Verified:
    """Verify everything there is about a channel, as a host and as an auditor would.

    `rebuild` is the number of a release to build again from its commit, or `LIVE`. Raises ExpiredError, TrustError
    (LedgerError, ProvenanceError and RebuildError among them), RemoteError, UsageError.
    """
    if rebuild is not None:
        workspace.repository.require_history()
    reader = workspace.reader(channel)
    with scratch_folder() as cache:
        client = TrustedClient(reader.store, trusted_root=reader.trusted_root, channel=channel, cache=cache)
        chain, state = client.refresh()
        if state.release is not None:
            check_bundle(state.release, client.download(state.release))
        history = list(channel_history(chain, trusted_root=reader.trusted_root, channel=channel, fetch=reader.fetch))
    check_numbers(history, channel)
    ledger = verify_ledger(workspace.repository.git, channel, iter(history))
    store, histories = reader.store, Histories(workspace.reader, {channel: history})
    asked = find_asked(history, rebuild) if rebuild is not None else None
    if asked is not None:
        rebuild_release(workspace.repository, store, asked, provenance_of(store, asked, histories.of))
    now = system_clock()
    standing = standing_of(reader, reader.state_of(chain), now)
    return Verified(
        channel,
        state,
        intervals(history),
        ledger,
        warnings=(*alarms(state, now), *([standing.warning] if standing.warning else [])),
        provenance=provenance_of(store, state.release, histories.of) if state.release else None,
        rebuilt=asked,
        standing=standing,
    )
