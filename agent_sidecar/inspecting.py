"""What is on disk, looked at without a daemon: verified again, and answered from in process."""

import math
from dataclasses import replace
from pathlib import Path

import msgspec

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar.activation import Activation, prepare
from agent_sidecar.emergencies import saved_entries
from agent_sidecar.history import moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.snapshots import Snapshot, SnapshotFolder, SnapshotRef
from agent_sidecar.state import State, read_state, read_trusted_root
from policy_core.decision import Answer
from policy_core.emergency import overlay_of
from policy_core.errors import InvalidError, TrustError, UsageError
from policy_core.matcher.tightening import tighten


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot on disk, and whether it holds: signatures, digests, its own tests."""

    role: str
    enforced: bool
    bundle: str
    revision: str
    release: int
    rules: int
    expires_at: str
    expired: bool
    problem: str


def verify(path: Path, *, trusted_root: bytes | None = None) -> list[Verified]:
    """Verify every snapshot of a state directory; by default from the trust root its last ``run`` was given.

    Raises UsageError if it holds no state, StateError if that cannot be read.
    """
    state = _state(path)
    root = read_trusted_root(path) if trusted_root is None else trusted_root
    now = _clock(state)()
    found = []
    for role, ref in (("current", state.current), ("previous", state.previous)):
        if ref:
            found.append(_verify(path, state, role, ref, root, now))
    return found


def answer(path: Path, request: object) -> Answer:
    """Answer a request in process, as the sidecar on this state directory would.

    Host labels, staleness and emergency entries are part of that. Raises UsageError if there is no state or the request
    has a wrong shape, TrustError or InvalidError if the snapshot in force does not verify.
    """
    state = _state(path)
    clock = _clock(state)
    ref = state.previous if _is_pinned(state, clock()) else state.current
    if ref is None:
        raise UsageError(f"{path}: holds no policy yet", hint="start writ-sidecar run, or see its log")
    root = read_trusted_root(path)
    snapshot = _load(path, state, ref, root)
    newest = _load(path, state, state.current, root) if state.current else snapshot
    clock.raise_to(newest.verified.signed_at.timestamp())
    activation = _prepare(snapshot, state, clock())
    overlay = overlay_of(saved_entries(state.emergency, now=clock()))
    activation = replace(activation, matcher=tighten(activation.matcher, overlay))
    if state.settings.stale_limit_s is not None:
        expires = min(moment.timestamp() for moment in newest.verified.expires.values())
        activation = replace(activation, deny_after=expires + state.settings.stale_limit_s)
    return activation.answer(request, now=clock(), decision_id="")


def _verify(path: Path, state: State, role: str, ref: SnapshotRef, root: bytes, now: float) -> Verified:
    rules, expires, problem = 0, math.nan, ""
    try:
        snapshot = _load(path, state, ref, root)
        expires = min(moment.timestamp() for moment in snapshot.verified.expires.values())
        rules = len(_prepare(snapshot, state, now).matcher.rules)
    except (TrustError, InvalidError) as error:
        problem = error.message
    return Verified(
        role=role,
        enforced=role == ("previous" if _is_pinned(state, now) else "current"),
        bundle=f"sha256:{ref.sha256}",
        revision=ref.revision,
        release=ref.release,
        rules=rules,
        expires_at="" if math.isnan(expires) else moment(expires),
        expired=now >= expires,
        problem=problem,
    )


def _is_pinned(state: State, now: float) -> bool:
    """Tell whether a rollback holds at host time `now`; one that is over is ended at the next start."""
    return state.pin is not None and now < state.pin.until


def _state(path: Path) -> State:
    state = read_state(path)
    if state is None:
        raise UsageError(f"{path}: is not the state directory of a sidecar", hint="writ-sidecar run --state makes one")
    return state


def _clock(state: State) -> HostClock:
    return HostClock(highest=state.time_seen)


def _load(path: Path, state: State, ref: SnapshotRef, root: bytes) -> Snapshot:
    return SnapshotFolder(path / "snapshots").load(ref, trusted_root=root, channel=state.settings.channel)


def _prepare(snapshot: Snapshot, state: State, now: float) -> Activation:
    return prepare(snapshot.blob, snapshot.release, host=state.settings.host, now=now)
