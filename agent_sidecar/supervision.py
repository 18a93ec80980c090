"""Signs of life for the service manager: only while the event loop turns *and* the polling thread moves on.

What hangs is not repaired here. The sign is withheld, the log says why, and the manager's watchdog ends the process.
"""

import asyncio
from collections.abc import Awaitable, Callable

from agent_sidecar import logs
from agent_sidecar.notifying import Notifier
from agent_sidecar.polling import Poller
from agent_sidecar.server.patience import TICK_S


class Supervision:
    """Reports to a notifier for as long as `run` goes on; `summary` is one line for people."""

    def __init__(self, notifier: Notifier, poller: Poller, *, summary: Callable[[], str]) -> None:
        self._notifier = notifier
        self._poller = poller
        self._summary = summary

    async def run(self) -> None:
        """Report until cancelled."""
        await asyncio.gather(self._tell(), self._live())

    async def _tell(self) -> None:
        while True:
            try:
                self._notifier.status(self._summary())
            except Exception as error:  # noqa: BLE001 - task boundary: what is told must not end what keeps it alive
                logs.bug("status_failed", error)
                return
            await asyncio.sleep(TICK_S)

    async def _live(self) -> None:
        """Give signs of life, twice as often as they are waited for."""
        if self._notifier.watchdog_s is None:
            return
        was_stuck = False
        while True:
            is_stuck = self._poller.is_stuck
            if not is_stuck:
                self._notifier.alive()
            elif not was_stuck:
                logs.warning("watchdog_withheld", reason="the polling thread does not move on")
            was_stuck = is_stuck
            await asyncio.sleep(self._notifier.watchdog_s / 2)


async def every_tick(work: Callable[[], None]) -> None:
    """Do something once a second in a thread, each kind by itself: what is slow holds up nothing else."""
    await _again_and_again(lambda: asyncio.to_thread(work), TICK_S)


async def at_intervals(interval_s: float, work: Callable[[], None]) -> None:
    """Do something quick in the event loop at intervals."""

    async def once() -> None:
        work()

    await _again_and_again(once, interval_s)


async def _again_and_again(work: Callable[[], Awaitable[None]], interval_s: float) -> None:
    """A bug in the work is told of, and it is done again: what would stay undone else, nobody would notice."""
    told = ""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - task boundary
            if told != (told := repr(error)):
                logs.bug("tick_failed", error)
        await asyncio.sleep(interval_s)
