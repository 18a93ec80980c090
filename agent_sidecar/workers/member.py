"""One worker process as its primary sees it: started, told what to do, watched, and killed if it does not follow."""

import asyncio
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping

import msgspec

from agent_sidecar import logs
from agent_sidecar.children import child_command, child_environment
from agent_sidecar.configuration import Configuration
from agent_sidecar.workers.channel import Channel
from agent_sidecar.workers.messages import Begin, Counts, Decide, Done, Enforce, Load, Open, ToPrimary

SILENT_TICKS = 5
"""How long a worker may say nothing (ticks) before it counts as hung."""
STARTING_TICKS = 60
"""The same before its first word: on a machine that is busy a process starts slowly."""


class Member:
    """A worker process, from its start to its end."""

    def __init__(
        self,
        configuration: Configuration,
        sockets: Mapping[str, socket.socket],
        *,
        decide: Callable[["Member", Decide], None],
    ) -> None:
        """Start the process, which is told to begin before anything else; `decide` is called with what only the primary
        can decide. Raises OSError.
        """
        self.counts = Counts()
        self.is_open = False
        self.release = 0
        self.gone = asyncio.Event()
        self.problem = ""
        self._decide = decide
        self._orders: dict[int, tuple[Load | Enforce, asyncio.Future[str]]] = {}
        self._patience_ticks = STARTING_TICKS
        self._silent_ticks = 0
        self.channel = Channel(ToPrimary, receive=self._receive, lost=self._lost)
        self._ours, theirs = socket.socketpair()
        with theirs:
            numbers = {name: sock.fileno() for name, sock in sockets.items()}
            try:
                self.process = subprocess.Popen(
                    child_command("agent_sidecar.workers", str(theirs.fileno())),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=child_environment(), cwd="/",
                    pass_fds=(theirs.fileno(), *numbers.values()),
                )  # fmt: skip
            except OSError:
                self._ours.close()
                raise
        self.channel.send(Begin(pickle.dumps(configuration), numbers, sys.getswitchinterval()))

    async def begin(self) -> None:
        """Tell the process all that it was sent so far, and whatever it is sent from now on."""
        self._ours.setblocking(False)
        await self.channel.open(self._ours)

    def order(self, order: Load | Enforce) -> "asyncio.Future[str]":
        """Tell it to load or enforce a policy; the future gets why it could not, or the empty text."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.gone.is_set():
            future.set_result("it is gone")
        else:
            self._orders[order.number] = (order, future)
            self.channel.send(order)
        return future

    async def follow_up(self) -> bool:
        """Wait until it has done all it was told, by then, to do; tell whether it has."""
        while self._orders:
            await asyncio.wait([future for _, future in self._orders.values()])
        return not self.problem and not self.gone.is_set()

    def open(self) -> None:
        """Let it accept connections."""
        self.is_open = True
        self.channel.send(Open())

    def tick(self) -> None:
        """Count a tick of silence, and kill it after too many."""
        self._silent_ticks += 1
        if self._silent_ticks > self._patience_ticks:
            self.kill("it does not answer")

    def kill(self, reason: str) -> None:
        """End the process at once: it must not answer from what is not in force."""
        if not self.problem:
            self.problem = reason
            logs.warning("worker_killed", worker=self.process.pid, reason=reason)
        self.process.kill()
        self.channel.close()

    def _receive(self, message: Done | Decide | Counts) -> None:
        self._silent_ticks, self._patience_ticks = 0, SILENT_TICKS
        match message:
            case Counts():
                self.counts = message
            case Decide():
                self._decide(self, message)
            case Done():
                self._done(message)

    def _done(self, message: Done) -> None:
        order, future = self._orders.pop(message.number)
        if message.problem:
            self.kill(message.problem)
        elif isinstance(order, Enforce):
            self.release = order.release.release if order.release else 0
        if not future.done():
            future.set_result(message.problem)

    def _lost(self) -> None:
        self.counts = msgspec.structs.replace(self.counts, connections=0)
        self.is_open = False
        self.gone.set()
        for _, future in self._orders.values():
            if not future.done():
                future.set_result("it is gone")
        self._orders.clear()


def ending_of(code: int) -> str:
    """Return how a process ended, for people."""
    return f"signal {-code}" if code < 0 else f"exit code {code}" if code else "as it was told"
