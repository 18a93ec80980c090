"""From a command to the ledger: fetch, check, publish or roll back, then record and push what is live.

The store's commit point is what counts. Everything after it can be repeated: a release whose ledger commit is missing
is live all the same, and ``writ ledger sync`` adds the commit with the very id it would have had.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from builder.fleet.requirements import HostsLackFeaturesError, require_features
from builder.ledger.branch import Ledger, check_store_is_current, extend_ledger, rebuild_ledger
from builder.ledger.commits import check_source
from builder.ledger.remote import Origin, OriginError
from builder.merging.reviews import ReviewRecord
from builder.publishing.approve import Review, complete, review
from builder.publishing.candidate import Candidate, prepare_candidate
from builder.publishing.channels import Histories, read_channels
from builder.publishing.commit import Outcome
from builder.publishing.enrol import enrol
from builder.publishing.maintain import Maintained, maintain
from builder.publishing.oncall import can_act, roll_back_on_call
from builder.publishing.promote import find_promotable, promote
from builder.publishing.publish import publish
from builder.publishing.publisher import Publisher
from builder.publishing.refresh import Refreshed, refresh
from builder.publishing.rollback import roll_back
from builder.publishing.workspace import Workspace
from builder.rebuilding import provenance_of, rebuild_release
from bundle_store.probe import probe_conditional_writes
from policy_core.errors import KnownError, RemoteError, UsageError


@dataclass(frozen=True, slots=True)
class Released:
    """How a publish or rollback ended: what is live, its ledger, and what people should know."""

    outcome: Outcome
    ledger: Ledger
    warnings: tuple[str, ...] = ()


def publish_commit(
    workspace: Workspace,
    channel: str,
    revision: str,
    *,
    actor: str,
    reviews: tuple[ReviewRecord, ...] = (),
    leave_hosts_behind: bool = False,
) -> Released:
    """Publish a commit to a channel and record it; safe to repeat after any failure.

    Hosts that report, and cannot evaluate it, stop it unless they may be left behind.

    Raises InvalidPolicyError, PolicyTestsFailedError, HostsLackFeaturesError, SupersededError, TrustError, RemoteError,
    UsageError.
    """
    origin = Origin.of(workspace.repository.git)
    if origin:
        origin.fetch()  # descent is judged by all there is, and the ledger goes on where others left it
    publisher = workspace.publisher(channel)
    candidate = prepare_candidate(workspace.repository, revision, today=publisher.clock().date(), reviews=reviews)
    check_source(workspace.repository.git, candidate.bundle.revision)
    probe_conditional_writes(publisher.store)
    _check_store(workspace, publisher)
    left_behind = _check_hosts(workspace, publisher, candidate, may_leave=leave_hosts_behind)
    outcome = publish(publisher, workspace.repository, candidate, actor=actor)
    warnings = tuple(f"{problem.where}: {problem.message}" for problem in candidate.warnings)
    return Released(outcome, _record(workspace, publisher, outcome, origin), (*warnings, *left_behind))


def publish_rollback(
    workspace: Workspace, channel: str, *, to: int | None, reason: str, actor: str, propose: bool = False
) -> Released:
    """Roll a channel back and record it. An unreachable ``origin`` does not stop it: it is needed most in a bad hour.

    Where the keys here are not enough for the channel, an on-call key that is here does it at once, unless it is to be
    left to people (`propose`).

    Raises NoSuchReleaseError, ConflictError, TrustError, RemoteError, UsageError.
    """

    def go_back(publisher: Publisher) -> Outcome:
        state = publisher.reader.read()
        enough = state.threshold(channel) == 1 and publisher.key_ring.has(channel)
        on_call = not propose and not enough and can_act(publisher, state)
        act = roll_back_on_call if on_call else roll_back
        return act(publisher, to=to, reason=reason, actor=actor)

    return act_on_call(workspace, channel, go_back)


def act_on_call(workspace: Workspace, channel: str, act: Callable[[Publisher], Outcome]) -> Released:
    """Do what cannot wait and record it; an unreachable ``origin`` becomes a warning. Raises as `act`, LedgerError."""
    workspace.repository.require_history()
    origin, warnings = Origin.of(workspace.repository.git), []
    if origin:
        try:
            origin.fetch()
        except OriginError as error:
            warnings.append(f"{error.message}: going on without it")
    publisher = workspace.publisher(channel)
    probe_conditional_writes(publisher.store)
    _check_store(workspace, publisher)
    outcome = act(publisher)
    return Released(outcome, _record(workspace, publisher, outcome, origin), tuple(warnings))


def promote_release(
    workspace: Workspace,
    to: str,
    source_channel: str,
    *,
    number: int | None,
    reason: str,
    actor: str,
    reviews: tuple[ReviewRecord, ...] = (),
    leave_hosts_behind: bool = False,
) -> Released:
    """Promote what is live in one channel to another and record it, or leave it for people to sign.

    Hosts that report there, and cannot evaluate it, stop it unless they may be left behind.

    Raises as `promote`, RebuildError if the bundle is not what its commit gives, InvalidPolicyError,
    PolicyTestsFailedError, HostsLackFeaturesError.
    """
    origin = Origin.of(workspace.repository.git)
    if origin:
        origin.fetch()
    publisher = workspace.publisher(to)
    for channel in (source_channel, to):
        _check_store(workspace, workspace.publisher(channel))
    histories = Histories(workspace.reader)
    source = find_promotable(histories.of(source_channel), source_channel, number)
    provenance = provenance_of(publisher.store, source, histories.of)
    rebuild_release(workspace.repository, publisher.store, source, provenance)
    today = publisher.clock().date()
    candidate = prepare_candidate(workspace.repository, source.revision, today=today, reviews=reviews)
    probe_conditional_writes(publisher.store)
    left_behind = _check_hosts(workspace, publisher, candidate, may_leave=leave_hosts_behind)
    outcome = promote(publisher, workspace.repository, candidate, source, reason=reason, actor=actor)
    warnings = tuple(f"{problem.where}: {problem.message}" for problem in candidate.warnings)
    return Released(outcome, _record(workspace, publisher, outcome, origin), (*warnings, *left_behind))


def review_pending(
    workspace: Workspace, publisher: Publisher, *, number: int | None, reviews: tuple[ReviewRecord, ...] = ()
) -> Review:
    """Check what waits for signatures, on this machine and against this clone; raises as `review`, OriginError."""
    workspace.repository.require_history()
    origin = Origin.of(workspace.repository.git)
    if origin:
        origin.fetch()
    _check_store(workspace, publisher)
    prepare = partial(prepare_candidate, workspace.repository, today=publisher.clock().date(), reviews=reviews)
    return review(publisher, workspace.repository, prepare, Histories(workspace.reader), number=number)


def complete_pending(workspace: Workspace, publisher: Publisher, *, number: int | None) -> Released:
    """Make live what has all its signatures, and record it; raises as `complete`, LedgerError."""
    workspace.repository.require_history()
    origin = Origin.of(workspace.repository.git)
    if origin:
        origin.fetch()
    probe_conditional_writes(publisher.store)
    _check_store(workspace, publisher)
    outcome = complete(publisher, number=number)
    return Released(outcome, _record(workspace, publisher, outcome, origin))


def refresh_store(workspace: Workspace, *, lifetime: timedelta | None = None) -> Refreshed:
    """Sign the timestamp again, for all channels of the store, and renew what expires soon; `lifetime` as `refresh`.

    A store that was put back to an older state is not made to look new. Raises as `refresh`, and LedgerError.
    """
    publishers, warnings = _publishers(workspace)
    refreshed = refresh(list(publishers.values()), lifetime=lifetime)
    return replace(refreshed, warnings=(*warnings, *refreshed.warnings))


def maintain_store(workspace: Workspace) -> Maintained:
    """Sign anew whatever expires soon, root and targets included; raises as `maintain`, and LedgerError."""
    publishers, warnings = _publishers(workspace)
    maintained = maintain(publishers)
    return replace(maintained, warnings=(*warnings, *maintained.warnings))


def enrolling(workspace: Workspace, channel: str) -> dict[str, Publisher]:
    """Return what it takes to add a channel that ``writ.yaml`` names: a publisher for it and for all that are there.

    Raises UsageError if ``writ.yaml`` does not name it, LedgerError for a store that was put back.
    """
    if workspace.channel(channel) not in workspace.project.channels:
        raise UsageError(f"channel {channel}: is not in writ.yaml", hint="add it to `channels` there and commit that")
    publishers, _ = _publishers(workspace)
    return {**publishers, channel: workspace.publisher(channel)}


def add_channel(channel: str, publishers: Mapping[str, Publisher]) -> bool:
    """Add a channel to the store; `publishers` as `enrolling` returns them. Raises and returns as `enrol`."""
    probe_conditional_writes(publishers[channel].store)
    return enrol(channel, publishers)


def sync_ledger(workspace: Workspace, channel: str) -> Ledger:
    """Derive the whole ledger of a channel from the signed history, and push it.

    Raises LedgerError if the branch disagrees, SourceMissingError, TrustError, RemoteError, UsageError.
    """
    workspace.repository.require_history()
    origin = Origin.of(workspace.repository.git)
    if origin:
        origin.fetch()
    reader = workspace.reader(channel)
    ledger = rebuild_ledger(workspace.repository.git, channel, reader.history(reader.read()))
    if origin:
        origin.push(channel, ledger.tip)
    return ledger


def _publishers(workspace: Workspace) -> tuple[dict[str, Publisher], tuple[str, ...]]:
    """Return a publisher for each channel that the store has, and a warning for each that it does not have yet.

    A channel whose name was merged before it was added must not keep the others from being refreshed.
    """
    publishers = {channel: workspace.publisher(channel) for channel in workspace.project.channels}
    there = read_channels(lambda channel: publishers[channel].reader, tuple(publishers))
    warnings = tuple(
        f"channel {channel} is not in the store yet: run `writ keys add-channel {channel}`"
        for channel in publishers
        if channel not in there
    )
    for channel in there:
        _check_store(workspace, publishers[channel])
    return {channel: publishers[channel] for channel in there}, warnings


def _check_store(workspace: Workspace, publisher: Publisher) -> None:
    """Raise LedgerError if a ledger at hand knows more releases than the store."""
    live = publisher.reader.read().verified.release
    check_store_is_current(workspace.repository.git, publisher.channel, live.release if live else 0)


def _check_hosts(
    workspace: Workspace, publisher: Publisher, candidate: Candidate, *, may_leave: bool
) -> tuple[str, ...]:
    """Return a warning for hosts that will refuse a bundle; raises HostsLackFeaturesError unless they may."""
    if not workspace.project.reports:
        return ()
    live = publisher.reader.read().verified.release
    if live and live.policy_sha256 == candidate.bundle.policy_sha256:
        return ()  # whom that leaves behind is behind already
    now, needed = publisher.clock().timestamp(), candidate.bundle.requires
    try:
        require_features(workspace.records(), publisher.channel, needed, now=now)
    except (HostsLackFeaturesError, RemoteError) as error:
        if not may_leave:
            raise
        return (f"hosts may refuse this release: {error.message}",)
    return ()


def _record(workspace: Workspace, publisher: Publisher, outcome: Outcome, origin: Origin | None) -> Ledger:
    """Bring the ledger up to date with the store; its failures say that the release itself is live."""
    try:
        reader = publisher.reader
        ledger = extend_ledger(workspace.repository.git, publisher.channel, reader.history(reader.read()))
        if origin:
            origin.push(ledger.channel, ledger.tip)
    except KnownError as error:
        live = outcome.release
        if live is not None and not outcome.pending:
            error.message = f"release {live.release} of {live.channel} is live, its ledger is behind: {error.message}"
        if isinstance(error, OriginError):
            error.hint = f"when origin answers again: writ ledger sync --channel {publisher.channel}"
        raise
    return ledger
