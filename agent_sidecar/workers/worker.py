"""A worker process: accepts on the sockets it was given, and answers from what its primary has in force.

It is replaceable and remembers nothing: what takes the memory of the host is decided by the primary. Without its
primary it ends at once, as nobody would renew or revoke what it answers from; while the primary is silent it denies.
"""

import asyncio
import gc
import itertools
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar import logs
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.configuration import Configuration
from agent_sidecar.decision_log.opening import join_log
from agent_sidecar.host_clock import HostClock
from agent_sidecar.host_key import open_host_key
from agent_sidecar.memory import Elsewhere
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.front import decision_services
from agent_sidecar.server.gatekeeper import Gatekeeper
from agent_sidecar.server.patience import TICK_S
from agent_sidecar.server.serving import Listener, Serving
from agent_sidecar.server.waiting import MAX_UNDERWAY, PATIENCE_S
from agent_sidecar.snapshots import SnapshotFolder
from agent_sidecar.status import Health, Status
from agent_sidecar.supervision import every_tick
from agent_sidecar.traces.exporting import new_exporter
from agent_sidecar.workers.channel import Channel
from agent_sidecar.workers.following import Following
from agent_sidecar.workers.messages import (
    Adjust,
    Begin,
    Counts,
    Decide,
    Decided,
    Done,
    Drain,
    Enforce,
    Load,
    Open,
    Told,
    ToWorker,
)  # fmt: skip
from policy_core.decision import Answer
from policy_core.errors import KnownError
from policy_core.matcher import Matcher

MAX_SILENT_TICKS = 10
"""How long a primary may be silent before its workers deny everything."""
REQUESTS_S = 5.0
SPANS_S = 1.0
"""How long the end waits for the last spans to be exported."""
ALONE = Unavailable("the primary process of this sidecar has not been heard of for too long")


class Worker:
    """One worker, from its first message to its end."""

    def __init__(self, begin: Begin, channel: Channel) -> None:
        configuration: Configuration = pickle.loads(begin.configuration)  # noqa: S301 - from who started this process
        logs.set_level(configuration.log_level)
        sys.setswitchinterval(begin.switch_interval_s)
        self.stop = asyncio.Event()
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._clock = HostClock()
        self._told: Told | None = None
        self._silent_ticks = 0
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Answer | None]] = {}
        self._begin_threads()
        self._following = Following(
            SnapshotFolder(configuration.state / "snapshots"),
            host=configuration.host,
            clock=self._clock,
            wait_for_requests=self._wait_for_requests,
        )
        self._log = join_log(
            configuration.state,
            configuration.log,
            lambda: open_host_key(configuration.state, host=configuration.host_id, now=self._clock()),
            host_id=configuration.host_id,
            host=configuration.host,
            clock=self._clock,
        )
        self._spans = new_exporter(configuration)
        self._api = DecisionApi(
            in_force=self._in_force,
            clock=self._clock,
            memory=Elsewhere(configuration.host_id, self._decide),
            status=self._status,
            health=self._health,
            metrics=lambda: self._told.metrics if self._told else b"",
            log=self._log,
            spans=self._spans,
        )
        self._gatekeeper = Gatekeeper(configuration, now=self._clock)
        local, tcp = decision_services(
            configuration,
            self._api,
            status=self._status,
            health=self._health,
            gatekeeper=self._gatekeeper,
        )
        services = {"decision": local, "tcp": tcp}
        self._services = tuple(services.values())
        self._adjusting: dict[str, Callable[[Any], None]] = {
            **self._gatekeeper.appliers,
            "log_level": logs.set_level,
        }
        listeners = [Listener(services[name], socket.socket(fileno=number)) for name, number in begin.sockets.items()]
        self._serving = Serving(listeners, shared=True)

    def _begin_threads(self) -> None:
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="loading")
        self._orders = ThreadPoolExecutor(1, thread_name_prefix="following")
        self._tidying = ThreadPoolExecutor(1, thread_name_prefix="tidying")

    def take(self, message: ToWorker) -> None:
        """Do what a message says; orders about policies in their order, in a thread for each kind.

        A large policy takes long to load, and a rollback must not wait for it.
        """
        match message:
            case Load():
                self._loading.submit(self._carry_out, message)
            case Enforce():
                self._orders.submit(self._carry_out, message)
            case Decided():
                if (asked := self._asked.get(message.number)) and not asked.done():
                    asked.set_result(message.answer)
            case Told():
                self._told, self._silent_ticks = message, 0
                self._clock.raise_to(message.host_time)
            case Adjust():
                self._adjusting[message.name](pickle.loads(message.value))  # noqa: S301 - from who started this process
            case Open():
                gc.collect()
                gc.freeze()
                self._log.start(self._loop)
                if self._spans:
                    self._spans.start()
                self._loop.create_task(self._serving.open())
            case Drain():
                self.stop.set()

    async def run(self) -> None:
        """Live until told to stop; then finish what is under way."""
        ticking = [self._loop.create_task(work) for work in (self._tick(), every_tick(self._gatekeeper.refresh))]
        await self.stop.wait()
        cut = await self._serving.drain()
        for task in ticking:
            task.cancel()
        self._log.end()
        if self._spans:
            await asyncio.to_thread(self._spans.stop, timeout_s=SPANS_S)
        self._channel.send(self._counts(cut=cut))

    async def _tick(self) -> None:
        while True:
            self._channel.send(self._counts())
            self._silent_ticks += 1
            self._serving.sweep()
            await asyncio.sleep(TICK_S)

    def _counts(self, *, cut: int = 0) -> Counts:
        log = self._log.status()
        return Counts(
            decisions=self._api.decisions,
            requests=sum(service.requests for service in self._services),
            connections=sum(len(service.connections) for service in self._services),
            cut=cut,
            refused=self._gatekeeper.refused,
            turned_away=self._gatekeeper.turned_away,
            spans_exported=self._spans.exported if self._spans else 0,
            spans_dropped=self._spans.dropped if self._spans else 0,
            unlogged=log.denied,
            left_out=log.left_out,
            log_problem=log.problem,
            tally=self._api.tally,
        )

    def _carry_out(self, order: Load | Enforce) -> None:
        """Carry out an order, in its thread, and say so; what is to be cleared up takes its time elsewhere."""
        problem = ""
        try:
            self._following.load(order.release) if isinstance(order, Load) else self._following.enforce(order)
        except KnownError as error:
            problem = error.message
        except Exception as error:  # noqa: BLE001 - thread boundary: the primary ends a worker that cannot follow
            logs.bug("order_failed", error)
            problem = f"{type(error).__name__}: {error}"
        self._loop.call_soon_threadsafe(self._channel.send, Done(order.number, problem))
        if isinstance(order, Enforce) and not problem:
            self._tidying.submit(self._tidy, order, self._following.let_go(order))

    def _tidy(self, order: Enforce, gone: list[Matcher]) -> None:
        try:
            self._following.tidy(order, gone)
        except (KnownError, MemoryError) as error:  # it is loaded when it is to be enforced
            logs.warning("policy_not_kept", reason=str(error))
        except Exception as error:  # noqa: BLE001 - thread boundary
            logs.bug("tidying_failed", error)

    def _in_force(self) -> Activation | Unavailable:
        return self._following.active if self._silent_ticks <= MAX_SILENT_TICKS else ALONE

    def _decide(self, request: object, decision_id: str, is_trial: bool) -> Coroutine[Any, Any, Answer]:
        """Send a request to where the memory is, and return what waits for its answer."""
        number = next(self._numbers)
        if len(self._asked) < MAX_UNDERWAY:
            self._asked[number] = self._loop.create_future()
            self._channel.send(Decide(number, msgspec.json.encode(request), decision_id, is_trial))
        return self._patiently(number)

    async def _patiently(self, number: int) -> Answer:
        asked = self._asked.get(number)
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await asked if asked else None
        finally:
            self._asked.pop(number, None)
        if answer is None:
            raise TimeoutError
        return answer

    def _status(self) -> Status:
        assert self._told is not None  # noqa: S101 - for the type checker: told before it is opened
        return self._told.status

    def _health(self) -> Health:
        active = self._in_force()
        is_ready = isinstance(active, Activation) and self._clock() < active.deny_after
        return Health(is_ready, self._status().state)

    def _wait_for_requests(self) -> bool:
        """Wait, in the thread of orders, until decisions that have begun are made: the event loop goes round once."""
        passed = threading.Event()
        try:
            self._loop.call_soon_threadsafe(passed.set)
        except RuntimeError:  # the loop is closed: the worker is ending
            return False
        return passed.wait(REQUESTS_S) and self._api.wait_for_walks(REQUESTS_S)


async def work(descriptor: int) -> None:
    """Be a worker of the process at the other end of a socket pair."""
    begun: asyncio.Future[tuple[Begin, Channel]] = asyncio.get_running_loop().create_future()
    workers: list[Worker] = []

    def receive(message: Any) -> None:
        if workers:
            workers[0].take(message)
        else:
            workers.append(Worker(message, channel))
            begun.set_result((message, channel))

    channel = Channel(ToWorker, receive=receive, lost=_orphaned)
    await channel.open(socket.socket(fileno=descriptor))
    await begun
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, workers[0].stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reloaded_by_the_primary)
    await workers[0].run()


def _reloaded_by_the_primary() -> None:
    """Do nothing: whoever signals a whole group means the primary, which says what has changed."""


def _orphaned() -> None:
    """End at once: nobody renews what this process would answer from."""
    logs.warning("primary_lost", hint="the process that led this worker has ended")
    os._exit(1)
