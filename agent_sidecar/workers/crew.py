"""The workers of a sidecar as their primary leads them: kept alive, and all on the same policy.

A policy changes in two steps. (1) Every worker that answers loads it; one that cannot is killed, and where none can the
old policy stays. (2) All are told to answer from it, and confirm; one that does not is killed. Between the first and
the last there is a message's time. A new worker opens only once it has done all it was told: no worker ever answers
from what the others have left behind.
"""

import asyncio
import contextlib
import itertools
import math
import pickle
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import msgspec

from agent_sidecar import logs
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.configuration import Configuration
from agent_sidecar.rehearsal.rehearsing import RehearsalError
from agent_sidecar.server.patience import TICK_S
from agent_sidecar.status import WorkerStatus
from agent_sidecar.tally import total
from agent_sidecar.workers.member import Member, ending_of
from agent_sidecar.workers.messages import Adjust, Counts, Decide, Decided, Drain, Enforce, Load, Told
from policy_core.decision import Answer
from policy_core.trust.oncall import Emergency
from policy_core.trust.release import Release

LOAD_PATIENCE_S = 300.0
ENFORCE_PATIENCE_S = 2.0
"""How long a worker has to confirm what it answers from: it has loaded it by then."""
END_PATIENCE_S = 2.0
"""How long a worker has to end once its requests are drained."""
FIRST_DELAY_S, MAX_DELAY_S = 0.1, 30.0
STEADY_S = 60.0
"""A worker that has lived this long is replaced without delay again."""


class Crew:
    """Keeps `size` workers; `start` and `drain` are for the event loop, `load` and `follow` for other threads."""

    def __init__(
        self,
        size: int,
        configuration: Configuration,
        *,
        decide: Callable[[Decide], Awaitable[Answer | None]],
        told: Callable[[], Told],
        keep: Callable[[], Iterable[Release]],
    ) -> None:
        """`decide` decides what takes the memory of the host; `keep` returns the policies to have loaded."""
        self.replaced = 0
        self._size = size
        self._configuration = configuration
        self._decide = decide
        self._told = told
        self._keep = keep
        self._sockets: Mapping[str, socket.socket] = {}
        self._numbers = itertools.count(1)
        self._in_force = Enforce(number=0, release=None, reason="nothing is in force yet", deny_after=math.inf)
        self._members: list[Member] = []
        self._last_told: Told | None = None
        self._told_wrong = ""
        self._past = Counts()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._deciding: set[asyncio.Task[None]] = set()
        self._is_ending = False

    def start(self, sockets: Mapping[str, socket.socket]) -> None:
        """Begin to keep workers that accept on these sockets, by the service behind each."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._sockets = sockets
        self._tasks = [self._loop.create_task(self._keep_one()) for _ in range(self._size)]
        self._tasks.append(self._loop.create_task(self._tick()))

    async def drain(self) -> int:
        """Let requests under way finish, end all workers, and return how many connections had to be cut."""
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        members = list(self._members)
        for member in members:
            member.channel.send(Drain())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._configuration.limits.drain_s + END_PATIENCE_S):
                await asyncio.gather(*(member.gone.wait() for member in members))
        cut = 0
        for member in members:
            cut += member.counts.cut if member.gone.is_set() else member.counts.connections
            if not member.gone.is_set():
                member.kill("it does not end")
            await asyncio.to_thread(member.process.wait)
        return cut

    def load(self, activation: Activation) -> None:
        """(1) Have the workers load a policy that is about to be in force. Raises RehearsalError if none can."""
        problem = self._from_thread(self._load(Load(next(self._numbers), activation.release)))
        if problem:
            raise RehearsalError(f"workers: none can load the bundle: {problem}")

    def follow(self, active: Activation | Unavailable, entries: Iterable[Emergency]) -> None:
        """(2) Have the workers answer from what is about to be in force; when this returns, all that answer do."""
        order = Enforce(
            number=self._in_force.number,
            release=active.release if isinstance(active, Activation) else None,
            reason="" if isinstance(active, Activation) else active.reason,
            entries=tuple(entry.custom() for entry in entries),
            deny_after=active.deny_after if isinstance(active, Activation) else math.inf,
            keep=tuple(self._keep()),
        )
        if order != self._in_force:
            order = msgspec.structs.replace(order, number=next(self._numbers))
            if self._loop is None:
                self._in_force = order
            else:
                self._from_thread(self._enforce(order))

    def adjust(self, name: str, value: Any) -> None:
        """Tell the workers, in the event loop, that a setting has changed; later ones hear of it, too."""
        self._configuration = replace(self._configuration, **{name: value})
        for member in self._members:
            member.channel.send(Adjust(name, pickle.dumps(value)))

    def counts(self) -> Counts:
        """Return what all workers have done, those that are gone included."""
        return _sum([self._past, *(member.counts for member in self._members)])

    def status(self) -> tuple[WorkerStatus, ...]:
        """Return how each worker is."""
        return tuple(
            WorkerStatus(
                pid=member.process.pid,
                ready=member.is_open,
                release=member.release,
                decisions=member.counts.decisions,
                connections=member.counts.connections,
            )
            for member in self._members
        )

    async def _keep_one(self) -> None:
        """Keep one worker alive: replace it when it ends, later and later if it ends again and again."""
        delay_s = FIRST_DELAY_S
        while True:
            began = time.monotonic()
            try:
                ended = await self._live()
            except Exception as error:  # noqa: BLE001 - task boundary: nobody else would keep a worker in its place
                logs.bug("worker_failed", error)
                ended = f"{type(error).__name__} in the primary"
            self.replaced += 1
            delay_s = FIRST_DELAY_S if time.monotonic() - began > STEADY_S else min(2 * delay_s, MAX_DELAY_S)
            logs.warning("worker_ended", reason=ended, replaced_in_s=round(delay_s, 1))
            await asyncio.sleep(delay_s)

    async def _live(self) -> str:
        """Start a worker, let it answer once it is where the others are, and return how it ended."""
        try:
            member = Member(self._configuration, self._sockets, decide=self._answer)
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        self._members.append(member)  # from here on it misses nothing that all are told
        try:
            member.channel.send(self._newest())
            member.order(self._in_force)
            await member.begin()
            if await member.follow_up():
                member.open()
                logs.info("worker_ready", worker=member.process.pid)
            await member.gone.wait()
        finally:
            if not self._is_ending:
                member.kill(member.problem or "it has ended")
                self._members.remove(member)
                self._past = _sum([self._past, msgspec.structs.replace(member.counts, connections=0, log_problem="")])
        code = await asyncio.to_thread(member.process.wait)
        return member.problem or ending_of(code)

    async def _tick(self) -> None:
        """Once a tick: tell how things are, and find those that have fallen silent."""
        while True:
            for member in self._members:
                member.tick()
            try:
                told = self._newest()
                for member in self._members:
                    member.channel.send(told)
            except Exception as error:  # noqa: BLE001 - task boundary: workers that hear nothing deny
                logs.bug("workers_not_told", error)
            await asyncio.sleep(TICK_S)

    def _newest(self) -> Told:
        """Return how things are; where that fails, how they were: what is told must not end who answers."""
        try:
            self._last_told = self._told()
        except Exception as error:
            if self._last_told is None:
                raise
            if self._told_wrong != (text := repr(error)):
                self._told_wrong = text
                logs.bug("status_failed", error)
        return self._last_told

    async def _load(self, order: Load) -> str:
        """Return why no worker could load a policy, empty if one could or there is none."""
        answering = [member for member in self._members if member.is_open]
        problems = await self._ordered(answering, order, LOAD_PATIENCE_S)
        return problems[0] if problems and all(problems) else ""

    async def _enforce(self, order: Enforce) -> None:
        """Have all workers answer from a policy; where they may lack it, they get the time to load it first."""
        if order.release not in (None, self._in_force.release):
            await self._load(Load(next(self._numbers), order.release))
        self._in_force = order
        for member in self._members:
            if not member.is_open:
                member.order(order)
        await self._ordered([member for member in self._members if member.is_open], order, ENFORCE_PATIENCE_S)

    async def _ordered(self, members: list[Member], order: Load | Enforce, patience_s: float) -> list[str]:
        """Give an order and return what came of it; whoever does not carry it out in time is killed."""
        waiting = {member: member.order(order) for member in members}
        if waiting:
            await asyncio.wait(waiting.values(), timeout=patience_s)
        for member, future in waiting.items():
            if not future.done():
                member.kill(f"an order was not carried out within {patience_s:.0f} s")
                future.set_result(member.problem)
        return [future.result() for future in waiting.values()]

    def _answer(self, member: Member, asked: Decide) -> None:
        task = asyncio.get_running_loop().create_task(self._decided(member, asked))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _decided(self, member: Member, asked: Decide) -> None:
        member.channel.send(Decided(asked.number, await self._decide(asked)))

    def _from_thread(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have the event loop do something, and wait for it; nothing is done before it runs, or once it ends."""
        loop = self._loop
        if loop is None or self._is_ending or loop.is_closed():
            work.close()
            return None
        if threading.get_ident() == self._thread:
            raise RuntimeError("workers are led from other threads: the event loop must not wait for itself")
        try:
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        except CancelledError:  # the sidecar is ending
            return None


def _sum(counts: Iterable[Counts]) -> Counts:
    every = list(counts)
    names = set(Counts.__struct_fields__) - {"tally", "log_problem"}
    numbers = {name: sum(getattr(each, name) for each in every) for name in names}
    problem = next((each.log_problem for each in every if each.log_problem), "")
    return Counts(**numbers, log_problem=problem, tally=total(each.tally for each in every))
