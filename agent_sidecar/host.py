"""What a host is made of beside its sockets: clock, policy, memory and log, and the thread that polls for newer ones.

Put together here, started before anything is answered, ended after everything is.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from functools import cache, partial

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar import logs
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.configuration import Configuration
from agent_sidecar.decision_log.opening import open_log
from agent_sidecar.durable import StateError
from agent_sidecar.emergencies import Entries
from agent_sidecar.enforcement import Enforcement
from agent_sidecar.fleet import FleetStore
from agent_sidecar.history import History
from agent_sidecar.host_clock import HostClock
from agent_sidecar.host_key import open_host_key
from agent_sidecar.memory import HostMemory
from agent_sidecar.polling import Poller
from agent_sidecar.rehearsal.rehearsing import Rehearsal
from agent_sidecar.rehearsal.room import room_bytes
from agent_sidecar.state import StateDirectory
from agent_sidecar.updating import Updater
from bundle_store.client import TrustedClient
from bundle_store.opening import open_reader


class Host:
    """The parts, each under its name; `events` counts what went into the history."""

    def __init__(
        self,
        configuration: Configuration,
        directory: StateDirectory,
        *,
        announce: Callable[[Activation | Unavailable, Entries], None],
        spread: Callable[[Activation], None],
        wait_for_requests: Callable[[], bool],
    ) -> None:
        """`announce` is told what is about to be in force, `spread` what is loaded for others to load.

        `wait_for_requests` returns once every request that had begun is answered, False if it cannot tell.
        """
        path = directory.path
        self.clock = HostClock()
        self.history = History(path)
        self.enforcement = Enforcement(
            directory,
            clock=self.clock,
            history=self.history,
            min_release=configuration.min_release,
            max_pin_s=configuration.max_pin_s,
            announce=announce,
            spread=spread,
        )
        self.signer = cache(lambda: open_host_key(path, host=configuration.host_id, now=self.clock()))
        self.log = open_log(
            path,
            configuration.log,
            self.signer,
            host_id=configuration.host_id,
            host=configuration.host,
            clock=self.clock,
            is_alone=configuration.workers == 1,
        )
        self.events: Counter[str] = Counter()
        self.history.also(self.log.event)
        self.history.also(lambda name, _facts: self.events.update((name,)))
        fleet_url = configuration.fleet_store
        self.fleet = FleetStore(fleet_url, channel=configuration.channel) if fleet_url else None
        self.memory = HostMemory(path, host_id=configuration.host_id, clock=self.clock, fleet=self.fleet)
        self.rehearsal = Rehearsal(room=partial(room_bytes, processes=_loading(configuration)))
        self.updater = self._new_updater(configuration, directory, wait_for_requests)
        self.poller = Poller(self.updater, poll_s=configuration.poll_s, first=self.enforcement.load_rest)
        self._reported = ""

    def in_force(self) -> Activation | Unavailable:
        """Return what requests are answered from."""
        return self.enforcement.active

    def end_expired_pin(self) -> None:
        """End a rollback that has held as long as it may: every second, in a thread. What goes wrong is logged once."""
        pin = self.enforcement.state.pin
        if not pin or self.clock() < pin.until:
            return
        try:
            self.enforcement.end_expired_pin()
            self._reported = ""
        except StateError as error:
            if error.message != self._reported:
                logs.warning("resume_failed", reason=error.message, hint=error.hint)
            self._reported = error.message

    def end(self) -> None:
        """Keep what was counted and logged, and the time seen, for the next start."""
        self.memory.tend()
        self.log.end()
        if self.fleet:
            self.fleet.close()
        with contextlib.suppress(StateError):  # the disk has refused before, and said so
            self.enforcement.note_time(every_s=0.0)

    def _new_updater(
        self, configuration: Configuration, directory: StateDirectory, wait_for_requests: Callable[[], bool]
    ) -> Updater:
        store = open_reader(configuration.store)
        client = TrustedClient(
            store,
            trusted_root=configuration.trusted_root,
            channel=configuration.channel,
            cache=directory.path / "tuf",
        )
        return Updater(
            store=store,
            client=client,
            snapshots=directory.snapshots,
            enforcement=self.enforcement,
            clock=self.clock,
            history=self.history,
            min_release=configuration.min_release,
            aging_after_s=configuration.aging_after_s,
            wait_for_requests=wait_for_requests,
            rehearse=self.rehearsal,
        )


def _loading(configuration: Configuration) -> int:
    """Return how many processes load a policy: this one, and its workers if it has some."""
    return 1 if configuration.workers == 1 else 1 + configuration.workers
