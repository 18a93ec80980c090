"""Group commit: batches that wait for the disk, and one thread that syncs it for all of them."""

import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from time import monotonic

from agent_sidecar import logs
from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.durable import StateError

MAX_GATHERING_S = 0.001
"""A sync begins once turns of the event loop bring nothing more, and so long after the first who wants it at most.

One costs as much of the core as several decisions; where each shares it with few others, most of the core goes there.
"""

_QUIET_TURNS = 2  # what a turn brings is written in the next


class GroupCommit:
    """Syncs a spool for everybody who waits: all that came until it begins share it.

    `withheld` is told, before those who wait, what is in the spool and cannot be made durable; in the event loop.
    """

    def __init__(self, spool: Spool, *, withheld: Callable[[list[str], StateError], None]) -> None:
        self._spool = spool
        self._withheld = withheld
        self._waiting: deque[tuple[int, Batch]] = deque()
        self._wanted = threading.Event()
        self._is_busy = False
        self._quiet_turns = 0
        self._gathers_until = 0.0
        self._stopping = False
        self._loop: AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="log-sync", daemon=True)

    def start(self, loop: AbstractEventLoop) -> None:
        """Start the thread."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wanted.set()

    def sync(self, position: int, batch: Batch) -> None:
        """Settle a batch once the spool is durable up to `position`; in the event loop, by rising positions."""
        self._waiting.append((position, batch))
        self._quiet_turns = 0
        if not self._is_busy:
            self._is_busy = True
            self._gather()

    def _gather(self) -> None:
        """Sync, once everybody is here."""
        self._gathers_until = monotonic() + MAX_GATHERING_S
        self._gather_on()

    def _gather_on(self) -> None:
        loop = self._loop
        is_quiet = self._quiet_turns == _QUIET_TURNS
        if is_quiet or not loop or not loop.is_running() or monotonic() >= self._gathers_until:
            self._wanted.set()
        else:
            self._quiet_turns += 1
            loop.call_soon(self._gather_on)

    def _run(self) -> None:
        loop = self._loop
        while loop and self._wanted.wait() and not self._stopping:
            self._wanted.clear()
            error: StateError | None = None
            try:
                position = self._spool.sync()
            except Exception as refused:  # noqa: BLE001 - thread boundary: nobody may be left waiting
                error = refused if isinstance(refused, StateError) else _bug(refused)
                position = self._spool.position  # whatever was written until the spool knew of it
            try:
                loop.call_soon_threadsafe(self._let_go, position, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _let_go(self, position: int, error: StateError | None) -> None:
        """Settle what is durable now, or is known not to be; in the event loop."""
        waiting, done = self._waiting, []
        while waiting and waiting[0][0] <= position:
            done.append(waiting.popleft()[1])
        self._is_busy = bool(waiting)
        if waiting:
            self._gather()
        if error:
            self._withheld([each for batch in done for each in batch.ids], error)
        for batch in done:
            batch.settle(is_durable=error is None)


def _bug(error: Exception) -> StateError:
    logs.bug("log_sync_failed", error)
    return StateError(f"decision log: cannot be synced: {type(error).__name__}")
