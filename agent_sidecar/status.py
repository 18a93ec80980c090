"""The status document: what is enforced, what would be without a host rollback, and how fresh it is.

``GET /status`` and ``writ-sidecar status --format json``; its fields are a contract (docs/reference/sidecar-api.md).
"""

from typing import Any

import msgspec

from agent_sidecar.activation import Activation
from agent_sidecar.decision_log.log import LogStatus
from agent_sidecar.enforcement import Enforcement
from agent_sidecar.freshness import Failure, Freshness, FreshnessState
from agent_sidecar.history import moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import HostMemory, MemoryStatus
from agent_sidecar.reports.status import ReportsStatus
from agent_sidecar.snapshots import SnapshotRef
from agent_sidecar.state import Pin
from agent_sidecar.updating import Updater
from policy_core import __version__
from policy_core.emergency import clauses_of, targets_of
from policy_core.trust.oncall import EmergencyKind
from policy_core.trust.release import Release


class SnapshotStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """A snapshot, and why it cannot be used if so."""

    bundle: str
    revision: str
    release: int
    unusable: str = ""


class EnforcedStatus(msgspec.Struct, frozen=True):
    """What requests are answered from."""

    bundle: str
    revision: str
    release: int
    rules: int
    activated_at: str


class PinStatus(msgspec.Struct, frozen=True):
    """A host rollback in force."""

    since: str
    until: str
    reason: str
    by: str


class FailureStatus(msgspec.Struct, frozen=True):
    """Why the store gave no usable answer."""

    since: str
    message: str
    hint: str


class RejectionStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was refused and is not enforced."""

    at: str
    reason: str
    hint: str = ""
    release: int = 0
    revision: str = ""
    bundle: str = ""


class RoleStatus(msgspec.Struct, frozen=True):
    """The newest verified metadata of a role; `expiring` while it is time to sign it anew."""

    version: int
    expires_at: str
    expiring: bool


class EmergencyStatus(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An emergency entry in force: `rule` says when a deny applies, `target` what is revoked.

    `names_nothing` if the policy that is enforced has no exception or approver of that id.
    """

    id: str
    kind: str
    reason: str
    actor: str
    until: str
    target: str = ""
    rule: dict[str, Any] = {}
    names_nothing: bool = False


class LimitsStatus(msgspec.Struct, frozen=True):
    """How far a host rollback may go: the stricter of configuration and newest verified policy."""

    max_pin_s: float
    min_release: int


class AccessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Who may ask, and whom it was refused.

    `tcp` is how callers on TCP prove who they are (empty: it is off). `refused` counts users who are on no list and
    requests without credentials that are known, `turned_away` connections beyond a limit. `problems` are of tokens and
    certificates that cannot be used.
    """

    tcp: str = ""
    bound: bool = False
    refused: int = 0
    turned_away: int = 0
    certificate_expires_at: str = ""
    problems: tuple[str, ...] = ()


NO_ACCESS = AccessStatus()


class Health(msgspec.Struct, frozen=True):
    """Whether requests are answered from a policy, and how fresh that is."""

    ready: bool
    state: FreshnessState


class PublishedStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The release the channel lists, as its publisher signed it; `signed_by` are the people who have signed that."""

    release: int
    revision: str
    action: str
    actor: str
    reason: str = ""
    signed_by: tuple[str, ...] = ()


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process: whether it accepts connections, and the release it answers from (0: none)."""

    pid: int
    ready: bool
    release: int
    decisions: int
    connections: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The document; times are RFC 3339, empty where there is none yet."""

    state: FreshnessState
    ready: bool
    reason: str
    version: str
    store: str
    channel: str
    enforced: EnforcedStatus | None
    pinned: PinStatus | None
    emergency: tuple[EmergencyStatus, ...]
    limits: LimitsStatus
    published: PublishedStatus | None
    current: SnapshotStatus | None
    previous: SnapshotStatus | None
    signed_at: str
    expires_at: str
    metadata: dict[str, RoleStatus]
    verified_at: str
    answered_at: str
    failure: FailureStatus | None
    rejection: RejectionStatus | None
    clock_behind_s: float
    memory: MemoryStatus
    log: LogStatus
    access: AccessStatus = NO_ACCESS
    reports: ReportsStatus | None = None
    polls: int
    decisions: int
    workers: tuple[WorkerStatus, ...] = ()
    workers_replaced: int = 0


def status_of(
    enforcement: Enforcement,
    updater: Updater,
    clock: HostClock,
    memory: HostMemory,
    log: LogStatus,
    *,
    access: AccessStatus = NO_ACCESS,
    reports: ReportsStatus | None = None,
    polls: int = 0,
    decisions: int = 0,
    workers: tuple[WorkerStatus, ...] = (),
    workers_replaced: int = 0,
) -> Status:
    """Return the status as of now."""
    now, state, active, freshness = clock(), enforcement.state, enforcement.active, updater.freshness
    return Status(
        state=freshness.state(now),
        ready=is_ready(enforcement, clock),
        reason=_reason(active, now),
        version=__version__,
        store=state.settings.store,
        channel=state.settings.channel,
        enforced=_enforced(active),
        pinned=_pin(state.pin),
        emergency=_emergency(enforcement),
        limits=LimitsStatus(enforcement.limits.max_pin_s, enforcement.limits.min_release),
        published=_published(updater.published, updater.signers),
        current=_snapshot(state.current, enforcement),
        previous=_snapshot(state.previous, enforcement),
        signed_at=_moment(freshness.signed_at),
        expires_at=_moment(freshness.expires),
        metadata=_metadata(freshness, now),
        verified_at=_moment(freshness.verified_at),
        answered_at=_moment(freshness.answered_at),
        failure=_failure(freshness.failure),
        rejection=_rejection(updater),
        clock_behind_s=round(clock.behind_s, 1),
        memory=memory.status(),
        log=log,
        access=access,
        reports=reports,
        polls=polls,
        decisions=decisions,
        workers=workers,
        workers_replaced=workers_replaced,
    )


def summary_of(status: Status) -> str:
    """Return a status as one line, such as the service manager shows."""
    enforced = status.enforced
    if not enforced:
        return f"channel {status.channel}: everything is denied, no verified policy"
    rolled_back = ", rolled back on this host" if status.pinned else ""
    return f"channel {status.channel}: release {enforced.release}, {status.state}{rolled_back}"


def health_of(enforcement: Enforcement, updater: Updater, clock: HostClock) -> Health:
    """Return what ``GET /health/ready`` says."""
    return Health(is_ready(enforcement, clock), updater.freshness.state(clock()))


def is_ready(enforcement: Enforcement, clock: HostClock) -> bool:
    """Tell whether a policy is enforced that is not too stale to answer from."""
    active = enforcement.active
    return isinstance(active, Activation) and clock() < active.deny_after


def _reason(active: object, now: float) -> str:
    if not isinstance(active, Activation):
        return getattr(active, "reason", "")
    return "" if now < active.deny_after else "the policy is stale beyond its limit: everything is denied"


def _enforced(active: object) -> EnforcedStatus | None:
    if not isinstance(active, Activation):
        return None
    policy, rules = active.policy, len(active.matcher.rules)
    return EnforcedStatus(policy.bundle, policy.revision, policy.release, rules, moment(active.activated_at))


def _emergency(enforcement: Enforcement) -> tuple[EmergencyStatus, ...]:
    active = enforcement.active
    has = targets_of(active.matcher) if isinstance(active, Activation) else {}
    return tuple(
        EmergencyStatus(
            id=entry.id,
            kind=entry.kind.value,
            reason=entry.reason,
            actor=entry.actor,
            until=moment(entry.expires.timestamp()),
            target=entry.target,
            rule=clauses_of(entry) if entry.kind is EmergencyKind.DENY else {},
            names_nothing=entry.kind in has and entry.target not in has[entry.kind],
        )
        for entry in enforcement.emergencies.entries
    )


def _metadata(freshness: Freshness, now: float) -> dict[str, RoleStatus]:
    expiring = freshness.expiring(now)
    return {
        role: RoleStatus(term.version, moment(term.expires), role in expiring) for role, term in freshness.terms.items()
    }


def _snapshot(ref: SnapshotRef | None, enforcement: Enforcement) -> SnapshotStatus | None:
    if ref is None:
        return None
    return SnapshotStatus(f"sha256:{ref.sha256}", ref.revision, ref.release, enforcement.unusable.get(ref, ""))


def _published(release: Release | None, signers: tuple[str, ...]) -> PublishedStatus | None:
    if release is None:
        return None
    return PublishedStatus(release.release, release.revision, release.action, release.actor, release.reason, signers)


def _failure(failure: Failure | None) -> FailureStatus | None:
    return FailureStatus(moment(failure.since), failure.message, failure.hint) if failure else None


def _pin(pin: Pin | None) -> PinStatus | None:
    return PinStatus(moment(pin.since), moment(pin.until), pin.reason, pin.by) if pin else None


def _rejection(updater: Updater) -> RejectionStatus | None:
    found = updater.rejection
    if found is None:
        return None
    bundle = f"sha256:{found.sha256}" if found.sha256 else ""
    return RejectionStatus(moment(found.at), found.reason, found.hint, found.release, found.revision, bundle)


def _moment(seconds: float) -> str:
    return moment(seconds) if seconds > 0 else ""
