"""``writ-sidecar run``: the parts put together, and their start and end in the right order.

Start: lock and state, enforce what is on disk, listen, answer, then poll. End (SIGTERM, SIGINT): stop accepting, let
requests under way finish within a limit, cut the rest, stop polling. A second signal ends at once. SIGHUP reloads the
configuration. The service manager is told of each.
"""

import asyncio
import contextlib
import gc
import math
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import uvloop

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar import logs
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.announcing import BEAT_EVERY_S, Announcer, Silent
from agent_sidecar.calling import ADMIN_SOCKET
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
from agent_sidecar.metrics import Readings, metrics_text
from agent_sidecar.notifying import Notifier
from agent_sidecar.polling import Poller
from agent_sidecar.rehearsal.rehearsing import Rehearsal
from agent_sidecar.rehearsal.room import room_bytes
from agent_sidecar.reloading import Reloader
from agent_sidecar.reports.telling import Telling
from agent_sidecar.server.administration import AdminApi
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.front import admin_service, decision_services
from agent_sidecar.server.gatekeeper import Gatekeeper
from agent_sidecar.server.handed_over import HandedOver
from agent_sidecar.server.insights import InsightApi
from agent_sidecar.server.listening import check_socket_path, claim_socket, listen_tcp
from agent_sidecar.server.patience import TICK_S
from agent_sidecar.server.serving import Listener, Serving, listen_at
from agent_sidecar.state import Settings, StateDirectory
from agent_sidecar.status import Health, Status, health_of, status_of, summary_of
from agent_sidecar.supervision import Supervision, every_tick
from agent_sidecar.tally import total
from agent_sidecar.traces.exporting import new_exporter
from agent_sidecar.updating import Updater
from agent_sidecar.workers.crew import Crew
from agent_sidecar.workers.deciding import Deciding
from agent_sidecar.workers.messages import Counts, Told
from bundle_store.client import TrustedClient
from bundle_store.opening import open_reader
from policy_core import __version__

POLLER_STOP_S = 2.0
REQUESTS_S = 5.0
SWITCH_INTERVAL_S = 0.0005
"""How long the polling thread may keep a request waiting for the interpreter, while it verifies and loads."""


class Daemon:
    """A sidecar between `start` and `end`."""

    def __init__(
        self,
        configuration: Configuration,
        directory: StateDirectory,
        *,
        reread: Callable[[], Configuration],
        notifier: Notifier,
    ) -> None:
        self._configuration = configuration
        self._notifier = notifier
        self._clock = HostClock()
        history = History(directory.path)
        self._announcer = (Announcer if configuration.in_process else Silent)(directory.path)
        self._crew: Crew | None = None
        self._enforcement = Enforcement(
            directory,
            clock=self._clock,
            history=history,
            min_release=configuration.min_release,
            max_pin_s=configuration.max_pin_s,
            announce=self._announce,
            spread=self._spread,
        )
        host_id = configuration.host_id
        signer = cache(lambda: open_host_key(directory.path, host=host_id, now=self._clock()))
        self._log = open_log(
            directory.path,
            configuration.log,
            signer,
            host_id=host_id,
            host=configuration.host,
            clock=self._clock,
            is_alone=configuration.workers == 1,
        )
        history.also(self._log.event)
        self._events: Counter[str] = Counter()
        history.also(lambda name, _facts: self._events.update((name,)))
        self._spans = new_exporter(configuration)
        fleet_url = configuration.fleet_store
        self._fleet = FleetStore(fleet_url, channel=configuration.channel) if fleet_url else None
        self._memory = HostMemory(directory.path, host_id=configuration.host_id, clock=self._clock, fleet=self._fleet)
        loading = 1 if configuration.workers == 1 else 1 + configuration.workers
        self._rehearsal = Rehearsal(room=partial(room_bytes, processes=loading))
        store = open_reader(configuration.store)
        self._updater = Updater(
            store=store,
            client=TrustedClient(
                store,
                trusted_root=configuration.trusted_root,
                channel=configuration.channel,
                cache=directory.path / "tuf",
            ),
            snapshots=directory.snapshots,
            enforcement=self._enforcement,
            clock=self._clock,
            history=history,
            min_release=configuration.min_release,
            aging_after_s=configuration.aging_after_s,
            wait_for_requests=self._wait_for_requests,
            rehearse=self._rehearsal,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poller = Poller(self._updater, poll_s=configuration.poll_s, first=self._enforcement.load_rest)
        self._api = DecisionApi(
            in_force=lambda: self._enforcement.active,
            clock=self._clock,
            memory=self._memory,
            status=self.status,
            health=self.health,
            metrics=self.metrics,
            log=self._log,
            spans=self._spans,
        )
        if configuration.workers > 1:
            self._crew = self._new_crew(configuration)
        self._admin_api = AdminApi(
            enforcement=self._enforcement,
            poller=self._poller,
            history=history,
            status=self.status,
        )
        self._insight_api = InsightApi(enforcement=self._enforcement, clock=self._clock, memory=self._memory)
        self._gatekeeper = Gatekeeper(configuration, now=self._clock)
        self._local, self._tcp = decision_services(
            configuration,
            self._api,
            status=self.status,
            health=self.health,
            gatekeeper=self._gatekeeper,
        )
        self._admin = admin_service(self._admin_api, self._insight_api, gatekeeper=self._gatekeeper)
        reports = configuration.reports
        self._telling = Telling(reports, signer(), status=self.status, clock=self._clock) if reports else None
        self._reloader = Reloader(
            configuration,
            read=reread,
            appliers={
                "poll_s": self._poller.set_interval,
                **self._applying_to_callers(),
                "log_level": self._everywhere("log_level", logs.set_level),
            },
        )

    def status(self) -> Status:
        """Return the status document."""
        elsewhere = self._crew.counts() if self._crew else Counts()
        return status_of(
            self._enforcement,
            self._updater,
            self._clock,
            self._memory,
            self._log.status(),
            polls=self._poller.polls,
            decisions=self._api.decisions + elsewhere.decisions,
            workers=self._crew.status() if self._crew else (),
            workers_replaced=self._crew.replaced if self._crew else 0,
            access=self._gatekeeper.status(refused=elsewhere.refused, turned_away=elsewhere.turned_away),
        )

    def health(self) -> Health:
        """Return whether a policy is enforced, and how fresh it is."""
        return health_of(self._enforcement, self._updater, self._clock)

    def metrics(self) -> bytes:
        """Return the metrics document."""
        active = self._enforcement.active
        services = (self._local, self._tcp, self._admin)
        workers = self._crew.counts() if self._crew else Counts()
        spans = (self._spans.exported, self._spans.dropped) if self._spans else None
        return metrics_text(
            Readings(
                now=self._clock(),
                status=self.status(),
                freshness=self._updater.freshness,
                activated_at=active.activated_at if isinstance(active, Activation) else math.nan,
                tally=total([self._api.tally, workers.tally]),
                polls=self._poller.outcomes,
                events=self._events,
                requests=sum(service.requests for service in services) + workers.requests,
                connections=sum(len(service.connections) for service in services) + workers.connections,
                spans=(spans[0] + workers.spans_exported, spans[1] + workers.spans_dropped) if spans else None,
            )
        )

    def listen(self, state: Path, handed: HandedOver) -> list[Listener]:
        """Return the listening sockets: those handed over, and new ones. Raises UsageError or ConflictError."""
        configuration = self._configuration
        admin, decision = state / ADMIN_SOCKET, configuration.socket
        with ExitStack() as made:
            if sock := handed.unix("admin", admin, is_private=True):
                listeners = [Listener(self._admin, sock)]
            else:
                listeners = [listen_at(made, self._admin, admin, mode=0o600)]
            if sock := handed.unix("decision", decision):
                listeners.append(Listener(self._local, sock))
            else:
                made.callback(os.close, claim_socket(decision))  # held for as long as this process lives
                listeners.append(listen_at(made, self._local, decision, mode=configuration.socket_mode))
            if configuration.listen:
                tcp = handed.tcp("tcp", configuration.listen) or listen_tcp(*configuration.listen)
                listeners.append(Listener(self._tcp, made.enter_context(tcp)))
            handed.check_all_used()
            made.pop_all()
        return listeners

    async def serve(self, listeners: list[Listener]) -> int:
        """Answer until a signal comes; return how many connections had to be cut."""
        self._loop = loop = asyncio.get_running_loop()
        stop, reload = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _on_signal, stop)
        loop.add_signal_handler(signal.SIGHUP, reload.set)
        serving = Serving(self._own(listeners))
        await serving.open()
        self._log.start(loop)
        if self._spans:
            self._spans.start()
        self._poller.start()
        supervision = Supervision(self._notifier, self._poller, summary=lambda: summary_of(self.status()))
        tending = (every_tick(self._memory.tend), every_tick(self._log.tend))
        works = (self._tick(serving), *tending, self._reload(reload), supervision.run())
        ticking = [loop.create_task(work) for work in works]
        ticking.append(loop.create_task(self._beat()))
        if self._fleet:
            ticking.append(loop.create_task(every_tick(self._fleet.probe)))
        if self._telling:
            ticking.append(loop.create_task(every_tick(self._telling.tend)))
        ticking.append(loop.create_task(every_tick(self._gatekeeper.refresh)))
        logs.info(
            "serving",
            version=__version__,
            channel=self._configuration.channel,
            store=self.status().store,
            sockets=[listener.address for listener in listeners],
        )
        self._notifier.ready()
        self._gatekeeper.announce()
        try:
            await stop.wait()
        finally:
            self._notifier.stopping()
            self._announcer.end()
            cut = await serving.drain()
            if self._crew:
                cut += await self._crew.drain()
            for task in ticking:
                task.cancel()
            self._api.waiting_room.close()
            if self._spans:
                await asyncio.to_thread(self._spans.stop, timeout_s=POLLER_STOP_S)
            self._rehearsal.close()
            await asyncio.to_thread(self._poller.stop, timeout_s=POLLER_STOP_S)
        return cut

    def _new_crew(self, configuration: Configuration) -> Crew:
        return Crew(
            configuration.workers,
            configuration,
            decide=Deciding(
                in_force=lambda: self._enforcement.active,
                clock=self._clock,
                memory=self._memory,
                room=self._api.waiting_room,
            ),
            told=lambda: Told(self.status(), self.metrics(), self._clock()),
            keep=lambda: [loaded.release for loaded in self._enforcement.loaded],
        )

    def _own(self, listeners: list[Listener]) -> list[Listener]:
        """Return what this process accepts on; workers, if there are any, are started on the rest."""
        if self._crew is None:
            return listeners
        services = {"decision": self._local, "tcp": self._tcp}
        self._crew.start(
            {
                name: listener.sock
                for name, service in services.items()
                for listener in listeners
                if listener.service is service
            }
        )
        return [listener for listener in listeners if listener.service is self._admin]

    def _announce(self, active: Activation | Unavailable, entries: Entries) -> None:
        """Tell all who answer beside this process what is about to be in force; workers have confirmed it then."""
        self._announcer.say(active, entries)
        if self._crew:
            self._crew.follow(active, entries)

    def _applying_to_callers(self) -> dict[str, Callable[[Any], None]]:
        """Return how settings of who may ask change: nobody decides in process once callers are bound."""
        appliers = {field: self._everywhere(field, apply) for field, apply in self._gatekeeper.appliers.items()}
        bind = appliers["binds"]

        def change(value: Any) -> None:
            if value and self._configuration.in_process:
                self._announcer.end()
                logs.warning("in_process_ended", reason="bind", hint="a restart opens it again, without bind")
            bind(value)

        return {**appliers, "binds": change}

    def _everywhere(self, name: str, apply: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return how a setting changes here and in all workers."""

        def change(value: Any) -> None:
            apply(value)
            if self._crew:
                self._crew.adjust(name, value)

        return change

    def _spread(self, activation: Activation) -> None:
        if self._crew:
            self._crew.load(activation)

    def start(self) -> None:
        """Enforce what is on disk, without network."""
        self._updater.start()
        gc.collect()
        gc.freeze()  # the libraries stay: walking them is wasted time in some request

    def end(self) -> None:
        """Keep what was counted and logged, and the time seen, for the next start."""
        self._memory.tend()
        self._log.end()
        if self._fleet:
            self._fleet.close()
        with contextlib.suppress(StateError):  # the disk has refused before, and said so
            self._enforcement.note_time(every_s=0.0)

    def _wait_for_requests(self) -> bool:
        """Wait, in the polling thread, until decisions that have begun are made: in the event loop, and in threads.

        Explanations and simulations are made in threads of their own: while one goes on, nothing can be said.
        """
        passed = threading.Event()
        if self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(passed.set)
        except RuntimeError:  # the loop is closed: the sidecar is ending
            return False
        made = passed.wait(REQUESTS_S) and self._api.waiting_room.wait_for_all(REQUESTS_S)
        return made and self._api.wait_for_walks(REQUESTS_S) and not self._insight_api.under_way

    async def _beat(self) -> None:
        """Say that requests are being answered, to those who need not ask."""
        while True:
            self._announcer.beat(self._clock())
            await asyncio.sleep(BEAT_EVERY_S)

    async def _reload(self, asked: asyncio.Event) -> None:
        """Reload whenever that is asked for; asked for twice meanwhile is once more."""
        while True:
            await asked.wait()
            asked.clear()
            self._notifier.reloading()
            try:
                if wanted := await asyncio.to_thread(self._reloader.read):
                    self._reloader.apply(wanted)
                await asyncio.to_thread(self._gatekeeper.reload)
            except Exception as error:  # noqa: BLE001 - task boundary: what was in force stays
                logs.bug("reload_failed", error)
            self._notifier.ready()

    async def _tick(self, serving: Serving) -> None:
        """Once a second: connections that wait too long, rollbacks that have held as long as they may."""
        reported = ""
        while True:
            await asyncio.sleep(TICK_S)
            serving.sweep()
            pin = self._enforcement.state.pin
            if pin and self._clock() >= pin.until:
                try:
                    await asyncio.to_thread(self._enforcement.end_expired_pin)
                    reported = ""
                except StateError as error:
                    if error.message != reported:
                        logs.warning("resume_failed", reason=error.message, hint=error.hint)
                    reported = error.message


def run(configuration: Configuration, *, reread: Callable[[], Configuration]) -> None:
    """Run a sidecar until a signal ends it. Raises KnownError if it cannot start.

    `reread` reads the configuration anew and raises ConfigurationError.
    """
    logs.configure(level=configuration.log_level)
    signal.signal(signal.SIGHUP, _nothing_to_reload)
    notifier, handed = Notifier.taken_from(os.environ), HandedOver.taken_from(os.environ)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    check_socket_path(configuration.state / ADMIN_SOCKET)
    settings = Settings(
        store=open_reader(configuration.store).url,
        channel=configuration.channel,
        host=dict(configuration.host),
        stale_limit_s=configuration.stale_limit_s,
    )
    # never closed: a poll that outlives its patience may still write, so the lock is held until the process is gone
    directory = StateDirectory.open(
        configuration.state,
        settings=settings,
        trusted_root=configuration.trusted_root,
        group_reads=configuration.in_process,
    )
    daemon = Daemon(configuration, directory, reread=reread, notifier=notifier)
    daemon.start()
    listeners = daemon.listen(directory.path, handed)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            cut = runner.run(daemon.serve(listeners))
    finally:
        for listener in listeners:
            listener.remove()
        daemon.end()
    logs.info("stopped", connections_cut=cut)


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        logs.warning("forced")
        os._exit(130)
    stop.set()


def _nothing_to_reload(_number: int, _frame: object) -> None:
    """Ignore a signal to reload while the start goes on: the configuration has just been read."""
