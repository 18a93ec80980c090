"""The emergency entries in force on this host, whichever snapshot it enforces.

They come from the newest verified metadata and are part of ``state.json``, so that a restart without network, or a host
rollback to a snapshot whose own metadata is older, loses none. An entry that is here ends when newer metadata lifts it,
or by host time. What tightens takes effect before it is durable: a disk that refuses must not hold it up.
"""

import contextlib
from collections.abc import Callable, Iterable

import msgspec

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar.durable import StateError
from agent_sidecar.history import History, HistoryEvent, moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.state import STATE_FILE, StateDirectory
from policy_core.emergency import EmergencyError, check_entries, check_times, in_force, overlay_of
from policy_core.matcher.tightening import Overlay
from policy_core.trust import layout
from policy_core.trust.chain import VerifiedRelease
from policy_core.trust.errors import MetadataError
from policy_core.trust.oncall import Emergency

Entries = tuple[Emergency, ...]


class Emergencies:
    """Used under the lock of the enforcement, which calls `select` whenever the entries change."""

    def __init__(
        self, directory: StateDirectory, *, clock: HostClock, history: History, select: Callable[[], None]
    ) -> None:
        """Raise StateError for an entry this version cannot enforce: without it the host would be less strict.

        Those that expired while no sidecar ran are among the entries until `end_expired`.
        """
        self._directory = directory
        self._clock = clock
        self._history = history
        self._select = select
        self.overlay: Overlay = overlay_of(saved_entries(directory.state.emergency, now=clock()))
        self.entries = decoded_entries(directory.state.emergency)

    def take(self, verified: VerifiedRelease) -> None:
        """Enforce the entries of newer verified metadata, and no others. Raises EmergencyError, StateError."""
        state, now = self._directory.state, self._clock()
        before, wanted = self.entries, in_force(verified.emergency, now)
        signed = tuple(entry.custom() for entry in wanted)
        if wanted == before and signed == state.emergency:
            return
        check_entries(wanted)
        check_times(wanted, now)
        names = {entry.id for entry in wanted}
        self._enforce((*wanted, *(entry for entry in before if entry.id not in names)))
        role = layout.oncall_role(state.settings.channel)
        versions = {name: version for name, version in verified.versions.items() if name == role}
        self._directory.save(
            msgspec.structs.replace(state, emergency=signed, versions=state.versions | versions, time_seen=now)
        )
        self._enforce(wanted)
        for entry in wanted:
            if entry.custom() not in state.emergency:
                self._record("emergency", entry)
        for entry in in_force(decoded_entries(state.emergency), now):
            if entry.id not in names:
                self._record("emergency_lifted", entry)

    def end_expired(self) -> None:
        """Let go of entries that have expired by host time."""
        now = self._clock()
        left = in_force(self.entries, now)
        if left == self.entries:
            return
        ended = [entry for entry in self.entries if entry not in left]
        self._enforce(left)
        with contextlib.suppress(StateError):  # whoever reads it drops what has expired
            signed = tuple(entry.custom() for entry in left)
            self._directory.save(msgspec.structs.replace(self._directory.state, emergency=signed, time_seen=now))
        for entry in ended:
            self._record("emergency_expired", entry)

    def _enforce(self, entries: Entries) -> None:
        self.entries, self.overlay = entries, overlay_of(entries)
        self._select()

    def _record(self, event: str, entry: Emergency) -> None:
        what = f"{entry.kind} {entry.target}".rstrip()
        self._history.record(
            HistoryEvent(
                at=moment(self._clock()), event=event, channel=self._directory.state.settings.channel,
                entry=entry.id, reason=f"{what}: {entry.reason}", by=entry.actor,
            )
        )  # fmt: skip


def saved_entries(saved: Iterable[dict[str, str]], *, now: float) -> Entries:
    """Return the entries of a state that are in force. Raises StateError if this version cannot enforce one."""
    try:
        entries = in_force(decoded_entries(saved), now)
        check_entries(entries)
    except (MetadataError, EmergencyError) as error:
        raise StateError(
            f"{STATE_FILE}: {error.message}", hint="enforce it with the version of the sidecar that took it, or newer"
        ) from error
    return entries


def decoded_entries(saved: Iterable[dict[str, str]]) -> Entries:
    """Return the entries of a state, those that have expired too. Raises MetadataError."""
    return tuple(map(Emergency.from_custom, saved))
