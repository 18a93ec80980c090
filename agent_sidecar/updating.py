"""One poll of the store: is there something new, is it to be trusted, does it work; only then it is enforced.

The order is the guarantee. (1) One conditional GET of the timestamp; unchanged, and no root probe due: done.
(2) A full TUF update from the trust root. (3) Host time, versions and release may not fall, nor leap ahead
(`acceptance`). (4) Emergency entries take effect: no bundle that is missing or refused can hold them up. (5) The
bundle, from disk or store, is rehearsed in a process of its own, then loaded and tests itself aside. (6) Snapshot
durable, state durable, then one reference changes. (7) Only now the ETag is remembered, so that nothing hides a failed
update.

A refusal is permanent until something changes: it is reported once, and while the store serves the same timestamp a
poll costs one conditional GET. Bytes that were refused although their digest was signed are never fetched again; those
of which nobody could tell, as their rehearsal died, are tried again with the next root probe.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from msgspec import structs

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar import logs
from agent_sidecar.acceptance import (
    ReleaseError,
    SignedAheadError,
    check_expiry,
    check_release,
    check_signed_time,
    check_versions,
)
from agent_sidecar.activation import Activation, prepare
from agent_sidecar.alarms import Alarms
from agent_sidecar.disposal import take_apart
from agent_sidecar.durable import StateError
from agent_sidecar.enforcement import Enforcement
from agent_sidecar.freshness import Freshness
from agent_sidecar.giving_way import GivingWay
from agent_sidecar.history import History, HistoryEvent, moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.rehearsal.rehearsing import RehearsalError
from agent_sidecar.snapshots import SnapshotFolder, SnapshotRef
from agent_sidecar.state import Rejection
from bundle_store.port import Store, StoredObject
from policy_core import __version__
from policy_core.errors import InvalidError, KnownError, RemoteError, TrustError
from policy_core.trust.chain import MetadataChain, VerifiedRelease
from policy_core.trust.layout import MAX_TIMESTAMP_BYTES, TIMESTAMP
from policy_core.trust.release import Release

ROOT_PROBE_S = 600.0
"""How often a new root, which a changed timestamp need not announce, is looked for; also the retry of a refusal."""
TIME_PERSISTED_EVERY_S = 300.0
REPORT_AGAIN_S = 3600.0
"""A store that alternates between good and bad must not flood the history: the same reason waits this long."""
MAX_REPORTED = 16
"""How many are written down in that time: whoever invents ever new ones must not push the past out of the history."""
MAX_REASON_CHARS = 1000
"""A reason quotes what was signed; more of it than this would fill ``state.json`` beyond what the next start reads."""


class Outcome(StrEnum):
    """How a poll ended."""

    UNCHANGED = "unchanged"
    ACTIVATED = "activated"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"


class Client(Protocol):
    """What is needed of `bundle_store.client.TrustedClient`."""

    def refresh(self, *, timestamp: StoredObject | None) -> tuple[MetadataChain, VerifiedRelease]:
        """Return the newest metadata, verified, as of a timestamp just read. Raises TrustError, RemoteError."""
        ...

    def download(self, release: Release) -> bytes:
        """Return the bundle of a release, verified. Raises TrustError, RemoteError."""
        ...


class Updater:
    """Polls one channel of one store into an enforcement; used by one thread, its attributes may be read by any."""

    def __init__(
        self,
        *,
        store: Store,
        client: Client,
        snapshots: SnapshotFolder,
        enforcement: Enforcement,
        clock: HostClock,
        history: History,
        min_release: int = 0,
        aging_after_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wait_for_requests: Callable[[], bool] = lambda: False,
        rehearse: Callable[[bytes], None] = lambda blob: None,  # noqa: ARG005
    ) -> None:
        """`wait_for_requests` returns once every request that had begun is answered, False if it cannot tell.

        `rehearse` raises what `Rehearsal` does for a bundle that must not be loaded.
        """
        self.freshness = Freshness(aging_after_s)
        self.rejection: Rejection | None = None
        self.published: Release | None = None
        self.signers: tuple[str, ...] = ()
        self._store = store
        self._client = client
        self._snapshots = snapshots
        self._enforcement = enforcement
        self._clock = clock
        self._history = history
        self._min_release = min_release
        self._monotonic = monotonic
        self._wait_for_requests = wait_for_requests
        self._rehearse = rehearse
        self._polled: StoredObject | None = None
        self._probe_due = 0.0
        self._clock_reported = False
        self._reported: dict[str, float] = {}
        self._alarms = Alarms()

    def start(self) -> None:
        """Enforce what is on disk."""
        found = self._enforcement.start()
        if found:
            self._take_times(self.freshness.loaded(found), found)

    def poll(self, *, full: bool = False) -> Outcome:
        """Look for something new, `full` even if the timestamp is unchanged. Never raises an expected error."""
        self._watch_clock()
        self._enforcement.end_expired_entries()
        outcome = self._reported_poll(full=full)
        self._alarms.watch(self.freshness, self._clock())
        return outcome

    def _reported_poll(self, *, full: bool) -> Outcome:
        try:
            outcome = self._poll(full=full)
            self._enforcement.note_time(every_s=TIME_PERSISTED_EVERY_S)
        except (RemoteError, StateError) as error:
            self._fail(error)
            return Outcome.UNREACHABLE
        except (TrustError, InvalidError) as error:
            self._reject(error)
            return Outcome.REJECTED
        return outcome

    def _poll(self, *, full: bool) -> Outcome:
        known = self._polled
        found = self._store.get(TIMESTAMP, max_bytes=MAX_TIMESTAMP_BYTES, unless_etag=known.etag if known else "")
        if found is None and not full and self._monotonic() < self._probe_due:
            self._answered()
            return Outcome.UNCHANGED
        try:
            outcome = self._update(found or known)
        except (RemoteError, StateError):
            raise
        except SignedAheadError as error:  # asked again at every poll: a clock that is set right changes nothing there
            self._answered()
            self._reject(error)
            return Outcome.REJECTED
        except (TrustError, InvalidError) as error:
            self._answered()
            self._reject(error)
            outcome = Outcome.REJECTED
        self._polled = found or known
        self._probe_due = self._monotonic() + ROOT_PROBE_S
        return outcome

    def _update(self, timestamp: StoredObject | None) -> Outcome:
        chain, verified = self._client.refresh(timestamp=timestamp)
        state = self._enforcement.state
        check_signed_time(verified, self._clock)
        check_versions(state, self._snapshots, chain, verified, trusted_root=self._enforcement.trusted_root)
        check_expiry(verified, self._clock)
        self._take_times(self.freshness.verified(verified, self._clock()), verified)
        release = verified.release
        if release is None:
            if state.highest_release:
                raise ReleaseError("channel: lists no release any more")
            return Outcome.UNCHANGED
        check_release(release, state, self._clock, min_release=self._min_release)
        self._enforcement.take_entries(verified)
        ref = SnapshotRef.of(release)
        if ref == state.current and self._enforcement.is_loaded(ref):
            self._enforcement.keep_chain(ref, chain, verified)
            self.rejection = None
            return Outcome.UNCHANGED
        if known := self._refused_before(release):
            self.rejection = known
            return Outcome.REJECTED
        blob = self._snapshots.bundle(release.sha256) or self._client.download(release)
        try:
            activation = self._enforcement.loaded_as(release) or self._prepared(blob, release)
        except InvalidError as error:
            self._reject(error, release, is_final=not isinstance(error, RehearsalError))
            return Outcome.REJECTED
        gone = self._enforcement.install(activation, chain, blob, verified)
        self.rejection = None
        take_apart(gone, wait_for_requests=self._wait_for_requests, pause=GivingWay())
        return Outcome.ACTIVATED

    def _prepared(self, blob: bytes, release: Release) -> Activation:
        """Return an activation of a bundle, rehearsed first: one that does not fit must not take this process with it.

        Raises RehearsalError where nothing is known of the bytes, InvalidError where they are refused.
        """
        self._rehearse(blob)
        host, before = self._enforcement.state.settings.host, self._enforcement.active
        try:
            return prepare(blob, release, host=host, now=self._clock(), pause=GivingWay(), before=before)
        except MemoryError:
            raise RehearsalError("bundle: no memory is left to load it") from None

    def _refused_before(self, release: Release) -> Rejection | None:
        """Return the refusal of these very bytes by this version of the sidecar, which would end the same way."""
        for rejection in self._enforcement.state.rejected:
            if (rejection.sha256, rejection.version) == (release.sha256, __version__):
                return rejection
        return None

    def _reject(self, error: KnownError, release: Release | None = None, *, is_final: bool = False) -> None:
        """Report a refusal, once; a final one is about the signed bytes of a release and holds for good."""
        rejection = Rejection(at=self._clock(), reason=_shortened(error.message), hint=error.hint)
        if release:
            rejection = structs.replace(rejection, release=release.release, revision=release.revision)
        if release and is_final:
            rejection = structs.replace(rejection, version=__version__, sha256=release.sha256)
        before, self.rejection = self.rejection, rejection
        if rejection.sha256:
            self._enforcement.reject(rejection)
        if before and (before.reason, before.sha256) == (rejection.reason, rejection.sha256):
            return
        recent = {reason: at for reason, at in self._reported.items() if rejection.at - at < REPORT_AGAIN_S}
        if rejection.reason not in recent and (rejection.sha256 or len(recent) < MAX_REPORTED):
            self._reported = {**recent, rejection.reason: rejection.at}
            self._record("rejected", rejection.reason, release)

    def _fail(self, error: KnownError) -> None:
        if not self.freshness.failure or self.freshness.failure.message != error.message:
            logs.warning("store_unreachable", reason=error.message, hint=error.hint)
        self.freshness = self.freshness.failed(error, self._clock())

    def _answered(self) -> None:
        self.freshness = self.freshness.answered(self._clock())

    def _take_times(self, freshness: Freshness, verified: VerifiedRelease) -> None:
        self.freshness, self.published, self.signers = freshness, verified.release, verified.signers
        self._clock.raise_to(verified.signed_at.timestamp())
        self._enforcement.believe_until(freshness.expires)

    def _watch_clock(self) -> None:
        """Report once when the system clock was set back; host time stands still until it has caught up."""
        self._clock()
        behind_s = self._clock.behind_s
        if behind_s and not self._clock_reported:
            self._record("clock_back", f"the system clock is {behind_s:.0f} s behind the latest time seen", None)
        self._clock_reported = behind_s > 0

    def _record(self, event: str, reason: str, release: Release | None) -> None:
        self._history.record(
            HistoryEvent(
                at=moment(self._clock()),
                event=event,
                bundle_digest=f"sha256:{release.sha256}" if release else "",
                revision=release.revision if release else "",
                channel=self._enforcement.state.settings.channel,
                release=release.release if release else 0,
                reason=reason,
            )
        )


def _shortened(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON_CHARS else f"{reason[: MAX_REASON_CHARS - 1]}…"
