"""Which snapshot this host enforces: the current one, or the previous one while a host rollback holds.

The only writer of `active`, the one reference requests are answered from. Whatever changes what is in force is durable
first and takes effect with one assignment after it. Going back needs no network, as the previous snapshot stays loaded;
a second rollback is refused, so it never toggles. Releases verified during a rollback become the current snapshot and
wait for its end.

The newest verified policy limits a rollback, also one that holds already: how long, and how far back. A snapshot that
the keys of today do not vouch for is forgotten, so that nothing goes back to it either. Emergency entries lie over
whichever snapshot is in force.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar import logs
from agent_sidecar.activation import Activation, Unavailable, prepare
from agent_sidecar.disposal import unshared
from agent_sidecar.durable import StateError
from agent_sidecar.emergencies import Emergencies, Entries
from agent_sidecar.history import History, HistoryEvent, moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.limits import limited, limits_of, stricter
from agent_sidecar.snapshots import Snapshot, SnapshotError, SnapshotRef
from agent_sidecar.state import MAX_REJECTED, Limits, Pin, Rejection, State, StateDirectory
from policy_core.errors import ConflictError, InvalidError, KnownError, TrustError, UsageError
from policy_core.matcher import Matcher
from policy_core.matcher.tightening import TightenedMatcher, tighten
from policy_core.trust.chain import MetadataChain, VerifiedRelease
from policy_core.trust.recovery import is_still_signed
from policy_core.trust.release import Release

MAX_REASON_CHARS = 500
NO_POLICY = Unavailable("no verified policy has been loaded yet")
PINNED_DAMAGED = Unavailable("the snapshot this host was rolled back to cannot be used; resume ends the rollback")


class Enforcement:
    """Holds the loaded activations and the state they follow; safe to call from any thread."""

    def __init__(
        self,
        directory: StateDirectory,
        *,
        clock: HostClock,
        history: History,
        min_release: int,
        max_pin_s: float,
        announce: Callable[[Activation | Unavailable, Entries], None] = lambda active, entries: None,  # noqa: ARG005
        spread: Callable[[Activation], None] = lambda activation: None,  # noqa: ARG005
    ) -> None:
        """`announce` is told what is about to be in force, and under which emergency entries.

        `spread` has other processes load a policy that is about to be in force, and raises RehearsalError if it must
        not be; its bundle is in the snapshots by then.
        """
        self.active: Activation | Unavailable = NO_POLICY
        self.unusable: dict[SnapshotRef, str] = {}
        self._directory = directory
        self._snapshots = directory.snapshots
        self._clock = clock
        self._history = history
        self._own_limits = Limits(max_pin_s, min_release)
        self._loaded: dict[SnapshotRef, Activation] = {}
        self._deny_after = math.inf
        self._announce = announce
        self._spread = spread
        self._lock = threading.RLock()
        clock.raise_to(self.state.time_seen)
        self.emergencies = Emergencies(directory, clock=clock, history=history, select=self._select)

    @property
    def state(self) -> State:
        """Return the durable state as of now."""
        return self._directory.state

    @property
    def trusted_root(self) -> bytes:
        """Return the trust root everything is verified from."""
        return self._directory.trusted_root

    @property
    def limits(self) -> Limits:
        """Return how far a host rollback may go: the stricter of configuration and newest verified policy."""
        return stricter(self._own_limits, self.state.limits)

    @property
    def loaded(self) -> tuple[Activation, ...]:
        """Return the policies that could take effect at once."""
        return tuple(self._loaded.values())

    def is_loaded(self, ref: SnapshotRef | None) -> bool:
        """Tell whether a snapshot could take effect at once."""
        return ref in self._loaded

    def as_enforced(self, ref: SnapshotRef) -> Activation | None:
        """Return a snapshot as requests would be answered from it at present, None if it is not loaded; never waits."""
        loaded = self._loaded.get(ref)
        return self._enforced(loaded) if loaded else None

    def start(self) -> VerifiedRelease | None:
        """Enforce what is on disk, verified again, without network; return what its newest metadata says.

        Only what is to be enforced is loaded: `load_rest` does the rest once requests are being answered.
        """
        try:
            self.end_expired_pin()
        except StateError as error:  # tried again while running; what is on disk is enforced meanwhile
            logs.warning("resume_failed", reason=error.message, hint=error.hint)
        self.end_expired_entries()
        with self._lock:
            found = {ref: snapshot for ref in self.state.referenced if (snapshot := self._verify(ref))}
            for ref in self._wanted():
                if ref in found and self._prepare(ref, found[ref]):
                    break
            self._select()
        if isinstance(self.active, Activation):
            self._record("started" if self.active.ref == self._wanted()[0] else "fallback", self.active.ref)
        return max((snapshot.verified for snapshot in found.values()), key=lambda each: each.signed_at, default=None)

    def load_rest(self) -> None:
        """Load the snapshot that is not in force, so that going back or forth is instant."""
        for ref in self.state.referenced:
            with self._lock:
                if ref in self.state.referenced and not self.is_loaded(ref) and self._load(ref):
                    self._select()

    def believe_until(self, expires: float) -> None:
        """Take note when (host time) the newest verified metadata expires, which may bound how long it is enforced."""
        limit_s = self.state.settings.stale_limit_s
        with self._lock:
            self._deny_after = math.inf if limit_s is None else expires + limit_s
            self._select()

    def install(
        self, activation: Activation, chain: MetadataChain, blob: bytes, verified: VerifiedRelease
    ) -> list[Matcher]:
        """Make a prepared activation current: snapshot durable, then state, then in force. Raises StateError.

        Return the matchers that no new request can reach; one that is being answered still may.
        """
        ref = activation.ref
        self._snapshots.save(ref, blob, chain)
        self._spread(activation)
        with self._lock:
            state = self.state
            previous = state.previous
            if not state.pin and state.current and state.current.sha256 != ref.sha256 and self.is_loaded(state.current):
                previous = state.current
            limits = limits_of(activation.matcher.provisions, activation.policy.channel)
            self._take_over(chain, verified, previous, limits, current=ref, highest_release=ref.release)
            before, loaded = self._loaded, {**self._loaded, ref: activation}
            self._loaded = {kept: loaded[kept] for kept in self.state.referenced if kept in loaded}
            gone = unshared([old.matcher for old in before.values()], [kept.matcher for kept in self._loaded.values()])
            self.unusable = {kept: why for kept, why in self.unusable.items() if kept in self.state.referenced}
            self.unusable.pop(ref, None)
            self._select()
            pinned = self.state.pin is not None
        self._snapshots.collect(self.state.referenced)
        self._record("held" if pinned else "activated", ref)
        return gone

    def loaded_as(self, release: Release) -> Activation | None:
        """Return a loaded policy as a release lists its bytes again: an emergency, or going back, loads nothing."""
        with self._lock:
            listed = (each.listed_as(release, now=self._clock()) for each in self._loaded.values())
            return next((activation for activation in listed if activation), None)

    def keep_chain(self, ref: SnapshotRef, chain: MetadataChain, verified: VerifiedRelease) -> None:
        """Save newer metadata that authorises the current snapshot again; nothing to do if it is the same.

        Raises StateError.
        """
        with self._lock:
            if dict(verified.versions) != self.state.versions:
                self._snapshots.save_chain(ref, chain)
                self._take_over(chain, verified, self.state.previous, self.state.limits)
                self._select()

    def reject(self, rejection: Rejection) -> None:
        """Remember a refusal that is about the bytes, so that they are not fetched again. Raises StateError."""
        with self._lock:
            others = [old for old in self.state.rejected if old.sha256 != rejection.sha256]
            self._save(rejected=(*others, rejection)[-MAX_REJECTED:])

    def note_time(self, *, every_s: float) -> None:
        """Persist the time seen, if what is on disk is older than `every_s` seconds. Raises StateError."""
        with self._lock:
            if self._clock() - self.state.time_seen >= every_s:
                self._save()

    def rollback(self, *, reason: str, by: str) -> None:
        """Enforce the previous snapshot until `resume`, or until the longest time a rollback may hold is over.

        Raises UsageError for a bad reason, ConflictError if one holds already or there is nothing to go back to,
        StateError.
        """
        if not 0 < len(reason) <= MAX_REASON_CHARS or not reason.isprintable():
            raise UsageError(f"reason: expected 1 to {MAX_REASON_CHARS} printable characters on one line")
        with self._lock:
            previous = self._rollback_target()
            now = self._clock()
            self._save(pin=Pin(now, now + self.limits.max_pin_s, reason, by))
            self._select()
        self._record("rollback", previous, reason=reason, by=by)

    def resume(self, *, reason: str, by: str) -> None:
        """End a host rollback: enforce the current snapshot again.

        Raises ConflictError if none holds or the current snapshot cannot be used, StateError.
        """
        with self._lock:
            state = self.state
            if not state.pin or not state.current:
                raise ConflictError("resume: no rollback is in force", hint="see writ-sidecar status")
            if not self.is_loaded(state.current) and not self._load(state.current):
                raise ConflictError(
                    f"resume: the current snapshot cannot be used: {self.unusable[state.current]}",
                    hint="the next poll fetches it again",
                )
            self._save(pin=None)
            self._select()
        self._record("resume", state.current, reason=reason, by=by)

    def end_expired_pin(self) -> bool:
        """Resume if a rollback has held as long as it may, and tell whether it had. Raises StateError.

        What it may is asked again, as the configuration may have changed with a restart.
        """
        with self._lock:
            pin, current = self.state.pin, self.state.current
            if not pin or not current:
                return False
            kept, ended = limited(pin, self.state.previous, self.limits)
            over = kept is None or self._clock() >= kept.until
            if over or kept != pin:
                self._save(pin=None if over else kept)
                self._select()
        if over:
            self._record("resume", current, reason=ended or _HELD_LONG_ENOUGH, by="timer")
        return over

    def take_entries(self, verified: VerifiedRelease) -> None:
        """Enforce the emergency entries of the newest verified metadata. Raises EmergencyError, StateError."""
        with self._lock:
            self.emergencies.take(verified)

    def end_expired_entries(self) -> None:
        """Let go of emergency entries that have expired."""
        with self._lock:
            self.emergencies.end_expired()

    def _take_over(
        self, chain: MetadataChain, verified: VerifiedRelease, previous: SnapshotRef | None, limits: Limits, **more: Any
    ) -> None:
        """Make newer metadata durable, with what it leaves of a host rollback and of the snapshot to go back to."""
        revoked = previous and self._is_revoked(previous, chain, verified)
        kept = None if revoked else previous
        pin, ended = limited(self.state.pin, kept, stricter(self._own_limits, limits))
        self._save(versions=dict(verified.versions), previous=kept, limits=limits, pin=pin, **more)
        if previous and revoked:
            self._record("revoked", previous, reason="the keys the channel has now do not vouch for it")
        if ended and self.state.current:
            self._record("resume", self.state.current, reason=ended, by="policy")

    def _is_revoked(self, ref: SnapshotRef, chain: MetadataChain, verified: VerifiedRelease) -> bool:
        """Tell whether the keys that newer metadata gives the channel vouch for a snapshot no longer: they have neither
        signed it nor the role that offers its bundle. Asked when that may have changed.

        One that is damaged is no longer vouched for either.
        """
        roles = ("targets", self.state.settings.channel)
        if all(verified.versions[role] == self.state.versions.get(role) for role in roles):
            return False
        if any(offered.sha256 == ref.sha256 for offered in verified.channel.selectable):
            return False
        before = self._snapshots.chain(ref)
        return before is None or not is_still_signed(before, chain, channel=self.state.settings.channel)

    def _rollback_target(self) -> SnapshotRef:
        state = self.state
        if state.pin:
            raise ConflictError(
                f"rollback: one is in force since {moment(state.pin.since)}: {state.pin.reason}",
                hint="it never goes back further; end it with writ-sidecar resume",
            )
        previous, current = state.previous, state.current
        if not previous or not current:
            raise ConflictError("rollback: there is no previous snapshot", hint="see writ-sidecar history")
        if previous.sha256 == current.sha256:
            raise ConflictError("rollback: the previous snapshot holds the same policy as the current one")
        if previous.release < self.limits.min_release:
            raise ConflictError(
                f"rollback: the previous snapshot is release {previous.release}, below the least this host accepts "
                f"({self.limits.min_release})",
                hint="writ rollback makes an older policy live again as a higher release",
            )
        if not self.is_loaded(previous) and not self._load(previous):
            raise ConflictError(f"rollback: the previous snapshot cannot be used: {self.unusable[previous]}")
        return previous

    def _wanted(self) -> tuple[SnapshotRef, ...]:
        """Return what to enforce, best first; a host rollback has no second choice, as the first was refused."""
        state = self.state
        if state.pin:
            return (state.previous,) if state.previous else ()
        return state.referenced

    def _select(self) -> None:
        """Put in force what the state says; who follows in process hears of it first, and answers from nothing else."""
        selected = self._selected()
        self._announce(selected, self.emergencies.entries)
        self.active = selected

    def _selected(self) -> Activation | Unavailable:
        for ref in self._wanted():
            if ref in self._loaded:
                return self._enforced(self._loaded[ref])
        return PINNED_DAMAGED if self.state.pin else NO_POLICY

    def _enforced(self, loaded: Activation) -> Activation:
        return replace(loaded, matcher=self._tightened(loaded.matcher), deny_after=self._deny_after)

    def _tightened(self, matcher: Matcher) -> Matcher:
        """Return a matcher under the emergency entries: the one in force, if that is it."""
        overlay = self.emergencies.overlay
        known = self.active.matcher if isinstance(self.active, Activation) else None
        if isinstance(known, TightenedMatcher) and known.base is matcher and known.overlay is overlay:
            return known
        return tighten(matcher, overlay)

    def _load(self, ref: SnapshotRef) -> bool:
        """Load a snapshot from disk; False if it cannot be used, with the reason in `unusable`."""
        snapshot = self._verify(ref)
        return snapshot is not None and self._prepare(ref, snapshot)

    def _verify(self, ref: SnapshotRef) -> Snapshot | None:
        try:
            return self._snapshots.load(
                ref,
                trusted_root=self._directory.trusted_root,
                channel=self.state.settings.channel,
                min_release=(self._own_limits if ref == self.state.current else self.limits).min_release,
            )
        except SnapshotError as error:
            self._mark_unusable(ref, error)
            return None

    def _prepare(self, ref: SnapshotRef, snapshot: Snapshot) -> bool:
        try:
            activation = prepare(snapshot.blob, snapshot.release, host=self.state.settings.host, now=self._clock())
        except (InvalidError, TrustError) as error:
            self._mark_unusable(ref, error)
            return False
        except MemoryError:
            self._mark_unusable(ref, StateError(f"snapshot {ref.sha256[:12]}: no memory is left to load it"))
            return False
        self._loaded[ref] = activation
        self.unusable.pop(ref, None)
        return True

    def _mark_unusable(self, ref: SnapshotRef, error: KnownError) -> None:
        if self.unusable.get(ref) != error.message:
            self.unusable[ref] = error.message
            logs.warning(
                "snapshot_unusable", bundle_digest=f"sha256:{ref.sha256}", reason=error.message, hint=error.hint
            )

    def _save(self, **changes: Any) -> None:
        self._directory.save(msgspec.structs.replace(self.state, time_seen=self._clock(), **changes))

    def _record(self, event: str, ref: SnapshotRef, *, reason: str = "", by: str = "") -> None:
        self._history.record(
            HistoryEvent(
                at=moment(self._clock()), event=event, bundle_digest=f"sha256:{ref.sha256}", revision=ref.revision,
                channel=self.state.settings.channel, release=ref.release, reason=reason, by=by,
            )
        )  # fmt: skip


_HELD_LONG_ENOUGH = "the longest time a rollback may hold is over"
