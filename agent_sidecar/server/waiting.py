"""Decisions that wait for the network or a synced disk: a few threads, so that nothing else ever waits with them."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from policy_core.decision import Answer

THREADS = 8
PATIENCE_S = 2.0
"""How long a caller waits at most, threads that are busy included; applications give a decision about as long."""

MAX_UNDERWAY = 1_024
"""Each holds a request of up to 1 MB, and outlives the connection it came on."""


class WaitingRoom:
    """Runs decisions aside, each for at most `PATIENCE_S` seconds as far as its caller is concerned."""

    def __init__(self, *, threads: int = THREADS, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="deciding")
        self._underway: set[Future[Answer]] = set()

    def answer(self, decide: Callable[[], Answer]) -> Coroutine[Any, Any, Answer]:
        """Return what waits for the answer of `decide`, which is under way, in a thread, before anybody does.

        That raises TimeoutError where there is no room, or no patience left; a decision not yet begun then never is.
        """
        if len(self._underway) >= MAX_UNDERWAY:
            return _turned_away()
        future = self._threads.submit(decide)
        self._underway.add(future)
        future.add_done_callback(self._underway.discard)
        return self._patiently(future)

    async def _patiently(self, future: Future[Answer]) -> Answer:
        async with asyncio.timeout(self._patience_s):
            return await asyncio.wrap_future(future)

    def wait_for_all(self, timeout_s: float) -> bool:
        """Wait, in another thread, for the decisions under way now; False if some are not made within the time."""
        return not wait(self._underway.copy(), timeout=timeout_s).not_done

    def close(self) -> None:
        """Begin no more decisions."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _turned_away() -> Answer:
    raise TimeoutError
