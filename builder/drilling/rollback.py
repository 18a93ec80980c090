"""Rehearse what one person on call does at night: a rollback, an emergency deny, and its end, each until hosts see it.

The real store is only read: the live state, the bundles on offer, one timestamp for the round trip. All else happens on
a copy (see `builder.drilling.copying`), where no real key signs anything. What a drill cannot rehearse without doing
it (the network to the store, passphrases, services that sign, the ledger's push) is not part of its seconds.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from builder.drilling.copying import ACTOR, REASON, Copy, CountingStore, make_copy
from builder.drilling.host import Host
from builder.drilling.readiness import fetch_bundles, find_target, look_around
from builder.publishing.commit import Outcome
from builder.publishing.oncall import add_emergency, lift_emergency, roll_back_on_call
from builder.publishing.publisher import system_clock
from builder.publishing.rollback import NoSuchReleaseError
from builder.publishing.staging import scratch_folder
from builder.publishing.state import ChannelReader
from builder.publishing.workspace import Workspace
from bundle_store.client import read_signed
from policy_core.decision import EMERGENCY_DENY
from policy_core.emergency import encode_deny
from policy_core.errors import KnownError
from policy_core.model import Clauses
from policy_core.trust import layout
from policy_core.trust.chain import VerifiedRelease
from policy_core.trust.oncall import Emergency, EmergencyKind
from policy_core.trust.release import Release

ENTRY = "drill"
ACTION = "drill.rehearsal"
REQUEST = {
    "subject": {"type": "drill", "id": "drill"},
    "action": {"name": ACTION},
    "resource": {"type": "drill", "id": "drill"},
}


class DrillError(KnownError):
    """A rehearsed step did not do what it does in earnest."""

    default_hint = "this is a bug: do not rely on an on-call rollback until it is found"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done, the seconds it took, and on the copy the requests to its store."""

    name: str
    seconds: float
    requests: int | None = None


@dataclass(slots=True)
class Drill:
    """What was rehearsed. `target` is where a rollback would go, None if nowhere.

    `reading` was done on the real store, `rehearsed` on the copy, nothing of it where the live bundle is missing;
    `missing` is what the earnest case would fail with, `untried` the keys of which only signing would tell.
    """

    channel: str
    live: Release
    target: Release | None
    round_trip_s: float
    reading: list[Step] = field(default_factory=list)
    rehearsed: list[Step] = field(default_factory=list)
    missing: tuple[KnownError, ...] = ()
    untried: tuple[str, ...] = ()

    @property
    def seconds_in_earnest(self) -> float:
        """Return about how long it takes from the command to a rollback, or a deny, that hosts can see."""
        if not self.rehearsed:
            return 0.0
        first = self.rehearsed[0]
        return first.seconds + (first.requests or 0) * self.round_trip_s


def drill_rollback(workspace: Workspace, channel: str) -> Drill:
    """Rehearse an on-call rollback and an emergency deny.

    Raises NoSuchReleaseError if nothing is live, DrillError, TrustError, RemoteError, UsageError.
    """
    reader = workspace.reader(channel)
    reading: list[Step] = []
    with _timed("live state read and verified", reading):
        state = reader.read()
    live = state.verified.release
    if live is None:
        raise NoSuchReleaseError(f"channel {channel}: nothing was ever released")
    drill = Drill(channel, live, None, _round_trip_s(reader), reading)
    with _timed("release to go back to found", reading):
        target = find_target(reader, state, live)
    with _timed("bundles on offer fetched and verified", reading):
        bundles, missing = fetch_bundles(reader.store, state.verified.channel.selectable)
    ready = look_around(workspace, channel, state, live)
    if isinstance(target, KnownError):
        missing.append(target)
    else:
        drill.target = target
    drill.missing, drill.untried = (*missing, *ready.missing), ready.untried
    here = {release.sha256 for release, _ in bundles}
    if live.sha256 in here:
        with scratch_folder() as folder:
            copy = make_copy(folder, channel, state, bundles)
            _rehearse(drill, copy, folder, drill.target if drill.target and drill.target.sha256 in here else None)
    return drill


def _rehearse(drill: Drill, copy: Copy, folder: Path, target: Release | None) -> None:
    """Take each step on the copy, where a host has the live bundle, and that of the `target` if there is one."""
    publisher, store, host = copy.publisher, copy.store, Host(copy, folder)
    for release in (target, drill.live):
        if release is not None:
            host.activate(release)
    host.poll()

    def seen(outcome: Outcome, sees: str) -> VerifiedRelease:
        with step(sees):
            state = host.poll()
        _require(state.release == outcome.release, sees)
        return state

    step = partial(_timed, steps=drill.rehearsed, store=store)
    if target is not None:
        with step("rollback signed and committed"):
            done = roll_back_on_call(publisher, to=copy.numbers[target.sha256], reason=REASON, actor=ACTOR)
        on_disk = store.bundle_bytes  # the publisher has read it once more, as real clients would
        state = seen(done, "a host that polls sees the rollback")
        with step("the bundle, on its disk already, is loaded"):
            host.activate(target)
        _require(store.bundle_bytes == on_disk, "a bundle on disk is not fetched")
    with step("deny signed and committed"):
        done = add_emergency(publisher, _deny())
    state = seen(done, "a host that polls sees the deny")
    with step("the deny decides a request"):
        _require(host.reason_code(state, REQUEST) == EMERGENCY_DENY, "the deny decides a request")
    with step("lift signed and committed"):
        done = lift_emergency(publisher, ENTRY, reason=REASON, actor=ACTOR)
    state = seen(done, "a host that polls sees the lift")
    _require(host.reason_code(state, REQUEST) != EMERGENCY_DENY, "what is lifted decides nothing")


def _deny() -> Emergency:
    now = system_clock()
    return Emergency(
        id=ENTRY,
        kind=EmergencyKind.DENY,
        rule=encode_deny(ENTRY, reason=REASON, match=Clauses(actions=(ACTION,))),
        reason=REASON,
        actor=ACTOR,
        created=now,
        expires=now + timedelta(hours=1),
    )


def _round_trip_s(reader: ChannelReader) -> float:
    start = time.perf_counter()
    read_signed(reader.store, layout.TIMESTAMP, max_bytes=layout.MAX_TIMESTAMP_BYTES)
    return time.perf_counter() - start


@contextlib.contextmanager
def _timed(name: str, steps: list[Step], store: CountingStore | None = None) -> Iterator[None]:
    """Note how long the block takes, and how many requests it makes to `store`."""
    start, before = time.perf_counter(), store.requests if store else 0
    yield
    seconds = time.perf_counter() - start
    steps.append(Step(name, seconds, store.requests - before if store else None))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise DrillError(f"drill: {what}: that did not happen")
