"""Bring a commit into a channel: the next release, if it descends from everything brought into the channel before.

The newest revision *ever* brought in counts, not the live one. So when a release was rolled back, running its old job
again cannot undo the rollback; only a new commit on top can.

Gates are those of what is live when the release is proposed, read from the verified state: not the candidate's own, and
again if another publisher was faster.
"""

import hashlib
from collections.abc import Callable, Iterator

from builder.policytest import Status
from builder.publishing.candidate import Candidate
from builder.publishing.commit import NothingToDo, Outcome, Proposal, Propose, commit
from builder.publishing.gates import require_live_gates
from builder.publishing.provenance import PAYLOAD_TYPE, Gates, TestCounts, make_statement, origin_url
from builder.publishing.publisher import Publisher
from builder.publishing.state import LiveState
from builder.source import PolicyRepository
from policy_core.errors import ConflictError
from policy_core.trust.history import HistoryEntry
from policy_core.trust.release import PUBLISH, Release


class SupersededError(ConflictError):
    """The revision may not be published any more: something else came after it, or beside it."""


def publish(publisher: Publisher, repository: PolicyRepository, candidate: Candidate, *, actor: str) -> Outcome:
    """Make the candidate live and return the outcome; probe the store with `probe_conditional_writes` before.

    Raises SupersededError, GateError as `require_live_gates`, ConflictError, TrustError, RemoteError, and for keys
    UsageError.
    """
    sealed: dict[bytes, bytes] = {}  # a signer may sign differently each time, and what fits is not written again

    def make(state: LiveState, number: int, gates: Gates) -> Proposal:
        bundle, statement = candidate.bundle, _statement(publisher.channel, repository, candidate, gates)
        if statement not in sealed:
            sealed[statement] = publisher.seal(statement, PAYLOAD_TYPE, state)
        provenance = sealed[statement]
        release = Release(
            channel=publisher.channel,
            release=number,
            revision=bundle.revision,
            action=PUBLISH,
            reason="",
            actor=actor,
            name=bundle.name,
            sha256=bundle.sha256,
            length=len(candidate.blob),
            content_sha256=bundle.content_sha256,
            policy_sha256=bundle.policy_sha256,
            provenance_sha256=hashlib.sha256(provenance).hexdigest(),
            reviewed_by=gates.reviewed_by,
            min_release=candidate.min_release(publisher.channel),
        )
        return Proposal(release, candidate.blob, provenance)

    return commit(publisher, bringing_in(repository, candidate, make))


def bringing_in(
    repository: PolicyRepository, candidate: Candidate, make: Callable[[LiveState, int, Gates], Proposal]
) -> Propose:
    """Return the way to propose a candidate: held against descent and live gates, then made the release of a number.

    What it returns raises SupersededError, GateError as `require_live_gates`, and what `make` raises.
    """
    passed: dict[int, Gates] = {}  # by live release, so that a lost race costs no second simulation

    def propose(state: LiveState, history: Callable[[], Iterator[HistoryEntry]]) -> Proposal | NothingToDo:
        live = state.verified.release
        newest = newest_brought_in(live, history)
        if nothing := what_is_live(repository, candidate, live, newest):
            return nothing
        if live is None or newest is None:
            return make(state, 1, Gates(0, ()))
        if live.release not in passed:
            passed[live.release] = require_live_gates(repository, candidate, live=live, since=newest.revision)
        return make(state, live.release + 1, passed[live.release])

    return propose


def what_is_live(
    repository: PolicyRepository, candidate: Candidate, live: Release | None, newest: Release | None
) -> NothingToDo | None:
    """Return why there is nothing to do, None if there is; raises SupersededError unless the candidate comes next.

    `newest` is the newest release that brought a revision in.
    """
    bundle = candidate.bundle
    if newest is not None:
        if bundle.revision == newest.revision and live is not None and live.revision == newest.revision:
            return NothingToDo(f"{_short(bundle.revision)} is live already, as release {live.release}")
        _check_descent(repository, bundle.revision, newest, live)
    same_policy = live is not None and live.policy_sha256 == bundle.policy_sha256
    if live is not None and same_policy and not _changes_signers(repository, candidate, live):
        return NothingToDo(f"the policy is the one of release {live.release}, which is live: nothing to publish")
    return None


def _statement(channel: str, repository: PolicyRepository, candidate: Candidate, gates: Gates) -> bytes:
    return make_statement(
        candidate.bundle,
        channel=channel,
        repository_url=origin_url(repository.git),
        tests=TestCounts(candidate.tests.count(Status.PASSED), candidate.tests.count(Status.SKIPPED)),
        gates=gates,
    )


def newest_brought_in(live: Release | None, history: Callable[[], Iterator[HistoryEntry]]) -> Release | None:
    """Return the newest release that brought a revision in, None if nothing was ever released."""
    if live is not None and live.brings_in:
        return live
    return next((entry.release for entry in history() if entry.release and entry.release.brings_in), None)


def _changes_signers(repository: PolicyRepository, candidate: Candidate, live: Release) -> bool:
    """Tell whether a candidate with the same policy lists other keys, by which approvals will be judged.

    Hosts need none of them. But a key could otherwise be taken off the list only with the next change of a policy.
    """
    demanded, files = candidate.compiled.project.governance.path_approvals, candidate.compiled.tree.files
    if not demanded.teams_by_glob:
        return False
    return files.get(demanded.signers) != repository.tree(live.revision).files.get(demanded.signers)


def _check_descent(repository: PolicyRepository, revision: str, newest: Release, live: Release | None) -> None:
    """Raise SupersededError unless `revision` strictly descends from the newest revision ever published."""
    if repository.descends(revision, newest.revision):
        return
    where = f"{_short(revision)}: superseded by release {newest.release} of {newest.channel}"
    if revision == newest.revision and live is not None:
        why = f" ({live.reason})" if live.reason else ""
        raise SupersededError(
            f"{_short(revision)}: release {newest.release} of {newest.channel} was rolled back "
            f"by release {live.release}{why}",
            hint="commit the correction on top and publish that: the same commit again would undo the rollback",
        )
    if repository.descends(newest.revision, revision):
        raise SupersededError(
            f"{where}, which was built from a later commit ({_short(newest.revision)})",
            hint="publish that commit or a later one; to go back on purpose use `writ rollback`",
        )
    raise SupersededError(
        f"{where}, whose commit {_short(newest.revision)} is no ancestor of it",
        hint="merge or rebase onto what was published (`git fetch` if that commit is not here), then publish again",
    )


def _short(revision: str) -> str:
    return revision[:12]
