"""``writ-sidecar run``: its start and its end in the right order.

Start: lock and state, enforce what is on disk, listen, answer, then poll. End (SIGTERM, SIGINT): stop accepting, let
requests under way finish within a limit, cut the rest, stop polling. A second signal ends at once. SIGHUP reloads the
configuration. The service manager is told of each.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar import logs
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.announcing import BEAT_EVERY_S, Announcer, Silent
from agent_sidecar.calling import ADMIN_SOCKET
from agent_sidecar.configuration import Configuration
from agent_sidecar.emergencies import Entries
from agent_sidecar.host import Host
from agent_sidecar.notifying import Notifier
from agent_sidecar.observing import Observer
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
from agent_sidecar.status import Health, Status, summary_of
from agent_sidecar.supervision import Supervision, at_intervals, every_tick
from agent_sidecar.traces.exporting import new_exporter
from agent_sidecar.workers.crew import Crew
from agent_sidecar.workers.deciding import Deciding
from agent_sidecar.workers.messages import Told
from bundle_store.opening import open_reader
from policy_core import __version__

THREADS = 32
"""For orders, and for what is done once a second: a disk that hangs must not take all of them."""
STOP_S = 2.0
"""How long the polling thread, and that which exports spans, may take to end."""
REQUESTS_S = 5.0
SWITCH_INTERVAL_S = 0.0005
"""How long the polling thread may keep a request waiting for the interpreter, while it verifies and loads."""


class Daemon:
    """A sidecar between `start` and `end`: a host, the services in front of it, and its workers if it has some."""

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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._crew: Crew | None = None
        self._announcer = (Announcer if configuration.in_process else Silent)(directory.path)
        self._host = host = Host(
            configuration,
            directory,
            announce=self._announce,
            spread=self._spread,
            wait_for_requests=self._wait_for_requests,
        )
        self._spans = new_exporter(configuration)
        self._gatekeeper = Gatekeeper(configuration, now=host.clock)
        self._api = DecisionApi(
            in_force=host.in_force,
            clock=host.clock,
            memory=host.memory,
            status=self.status,
            health=self.health,
            metrics=self.metrics,
            log=host.log,
            spans=self._spans,
        )
        if configuration.workers > 1:
            self._crew = self._new_crew()
        self._local, self._tcp = decision_services(
            configuration, self._api, status=self.status, health=self.health, gatekeeper=self._gatekeeper
        )
        orders = AdminApi(
            enforcement=host.enforcement,
            poller=host.poller,
            history=host.history,
            status=self.status,
            set_level=self._everywhere("log_level", logs.set_level),
        )
        self._insights = InsightApi(enforcement=host.enforcement, clock=host.clock, memory=host.memory)
        self._admin = admin_service(orders, self._insights, gatekeeper=self._gatekeeper)
        reports = configuration.reports
        self._telling = Telling(reports, host.signer(), status=self.status, clock=host.clock) if reports else None
        self._observer = Observer(
            host=host,
            decisions=self._api,
            services=(self._local, self._tcp, self._admin),
            gatekeeper=self._gatekeeper,
            telling=self._telling,
            crew=self._crew,
            spans=self._spans,
        )
        self._reloader = Reloader(configuration, read=reread, appliers=self._appliers())

    def status(self) -> Status:
        """Return the status document."""
        return self._observer.status()

    def health(self) -> Health:
        """Return whether a policy is enforced, and how fresh it is."""
        return self._observer.health()

    def metrics(self) -> bytes:
        """Return the metrics document."""
        return self._observer.metrics()

    def start(self) -> None:
        """Enforce what is on disk, without network."""
        self._host.updater.start()
        gc.collect()
        gc.freeze()  # the libraries stay: walking them is wasted time in some request

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
        loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="aside"))
        stop, reload = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _on_signal, stop)
        loop.add_signal_handler(signal.SIGHUP, reload.set)
        serving = Serving(self._own(listeners))
        await serving.open()
        self._host.log.start(loop)
        if self._spans:
            self._spans.start()
        self._host.poller.start()
        tending = [loop.create_task(work) for work in self._works(serving, reload)]
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
            cut = await self._wind_up(serving, tending)
        return cut

    def _works(self, serving: Serving, reload: asyncio.Event) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield what goes on for as long as requests are answered."""
        host = self._host
        yield at_intervals(TICK_S, serving.sweep)
        yield self._reload(reload)
        yield at_intervals(BEAT_EVERY_S, lambda: self._announcer.beat(host.clock()))
        yield Supervision(self._notifier, host.poller, summary=lambda: summary_of(self.status())).run()
        yield every_tick(host.memory.tend)
        yield every_tick(host.log.tend)
        yield every_tick(host.end_expired_pin)
        yield every_tick(self._gatekeeper.refresh)
        if host.fleet:
            yield every_tick(host.fleet.probe)
        if self._telling:
            yield every_tick(self._telling.tend)

    async def _wind_up(self, serving: Serving, tending: list[asyncio.Task[None]]) -> int:
        """Stop what `serve` has started, in order; return how many connections had to be cut."""
        self._notifier.stopping()
        self._announcer.end()
        cut = await serving.drain()
        if self._crew:
            cut += await self._crew.drain()
        for task in tending:
            task.cancel()
        self._api.waiting_room.close()
        if self._spans:
            await asyncio.to_thread(self._spans.stop, timeout_s=STOP_S)
        self._host.rehearsal.close()
        await asyncio.to_thread(self._host.poller.stop, timeout_s=STOP_S)
        return cut

    def end(self) -> None:
        """Keep what was counted and logged, and the time seen, for the next start."""
        self._host.end()

    # workers, and those who decide in process

    def _new_crew(self) -> Crew:
        host = self._host
        return Crew(
            self._configuration.workers,
            self._configuration,
            decide=Deciding(in_force=host.in_force, clock=host.clock, memory=host.memory, room=self._api.waiting_room),
            told=lambda: Told(self.status(), self.metrics(), host.clock()),
            keep=lambda: [loaded.release for loaded in host.enforcement.loaded],
        )

    def _own(self, listeners: list[Listener]) -> list[Listener]:
        """Return what this process accepts on; workers, if there are any, are started on the rest."""
        if self._crew is None:
            return listeners
        names = {id(self._local): "decision", id(self._tcp): "tcp"}
        self._crew.start({names[id(each.service)]: each.sock for each in listeners if id(each.service) in names})
        return [listener for listener in listeners if listener.service is self._admin]

    def _announce(self, active: Activation | Unavailable, entries: Entries) -> None:
        """Tell all who answer beside this process what is about to be in force; workers have confirmed it then."""
        self._announcer.say(active, entries)
        if self._crew:
            self._crew.follow(active, entries)

    def _spread(self, activation: Activation) -> None:
        if self._crew:
            self._crew.load(activation)

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
        return made and self._api.wait_for_walks(REQUESTS_S) and not self._insights.under_way

    # reloading

    def _appliers(self) -> dict[str, Callable[[Any], None]]:
        """Return how each setting that can change while this runs does: here and in all workers."""
        callers = {field: self._everywhere(field, apply) for field, apply in self._gatekeeper.appliers.items()}
        return {
            "poll_s": self._host.poller.set_interval,
            "log_level": self._everywhere("log_level", logs.set_level),
            **callers,
            "binds": self._bind(callers["binds"]),
        }

    def _bind(self, apply: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return how binds change: nobody decides in process once callers are bound."""

        def change(value: Any) -> None:
            if value and self._configuration.in_process:
                self._announcer.end()
                logs.warning("in_process_ended", reason="bind", hint="a restart opens it again, without bind")
            apply(value)

        return change

    def _everywhere(self, name: str, apply: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return how a setting changes here and in all workers."""

        def change(value: Any) -> None:
            apply(value)
            if self._crew:
                self._crew.adjust(name, value)

        return change

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
