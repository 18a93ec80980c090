"""Several decisions in one reply, which leaves once the log has all of them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.server.caller import Caller
from agent_sidecar.server.decisions import Peer

Item = TypeVar("Item")
LOGGED_S = 60.0
"""How long a disk may take; what waits for it holds its place among a limited number of others."""


class Together(Generic[Item]):
    """The peer of whom several decisions are asked: what each of them waits for, the reply to all of them does.

    `made` are the items of the reply; the one that is being decided becomes the next.
    """

    def __init__(self, peer: Peer) -> None:
        self.caller: Caller = peer.caller
        self.request_id: bytes = peer.request_id
        self.kept_headers: Sequence[tuple[bytes, bytes]] = peer.kept_headers
        self.made: list[Item] = []
        self._waits_for: list[tuple[Batch, int, Callable[[], Any]]] = []

    def hold(self, batch: Batch, instead: Callable[[], Any]) -> None:
        """Note that the next item waits for a batch of the log, and is replaced if that cannot be written."""
        self._waits_for.append((batch, len(self.made), instead))

    async def logged(self) -> list[Item]:
        """Return the items once the log has them; those that it has not are replaced. Raises TimeoutError."""
        async with asyncio.timeout(LOGGED_S):
            for batch, index, instead in self._waits_for:
                if not await batch.settled():
                    self.made[index] = instead()
        return self.made
