"""Replies of one connection that are held back until the decisions in them are durable, in their order.

What comes after a reply that is held waits behind it, whatever it is.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from agent_sidecar.server.replies import Reply, message

if TYPE_CHECKING:
    from agent_sidecar.decision_log.batch import Batch
    from agent_sidecar.server.connection import Connection

MAX_HELD = 8
"""So many writes a connection holds back before it is not read from; each has what came in one piece."""

Instead = Callable[[], Reply]
"""Makes what is replied if a decision could not be made durable."""


class _Piece:
    """What goes out in one write, and the messages in it to replace if a decision could not be made durable."""

    __slots__ = ("has_failed", "instead", "is_last", "messages", "waits_for")

    def __init__(
        self, messages: list[bytes], instead: list[tuple[int, Instead, bool, bytes]], waits_for: int, *, is_last: bool
    ) -> None:
        self.messages = messages
        self.instead = instead
        self.waits_for = waits_for
        self.is_last = is_last
        self.has_failed = False

    def deny(self) -> None:
        """Put other messages in the place of those that may not leave."""
        for index, instead, keep_alive, request_id in self.instead:
            self.messages[index] = message(instead(), keep_alive=keep_alive, request_id=request_id)


class HeldReplies:
    """The replies a connection holds back."""

    __slots__ = ("_batches", "_connection", "_expected", "_instead", "_pieces")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._pieces: deque[_Piece] = deque()
        self._expected: tuple[Batch, Instead] | None = None
        self._instead: list[tuple[int, Instead, bool, bytes]] = []
        self._batches: list[Batch] = []

    @property
    def is_any(self) -> bool:
        """Tell whether anything is, or is about to be, held back."""
        return bool(self._batches or self._pieces)

    @property
    def is_full(self) -> bool:
        """Tell whether so much is held back that the connection should not be read from."""
        return len(self._pieces) >= MAX_HELD

    def expect(self, batch: "Batch", instead: Instead) -> None:
        """Take note that the reply to the present request, which has one decision at most, waits for a batch."""
        self._expected = batch, instead

    def take(self, index: int, *, keep_alive: bool, request_id: bytes) -> None:
        """Take note that the next message, of this index in its write, is the reply to the present request."""
        if self._expected is None:
            return
        batch, instead = self._expected
        self._expected = None
        batches = self._batches
        if not batches or batches[-1] is not batch:
            batches.append(batch)
        self._instead.append((index, instead, keep_alive, request_id))

    def queue(self, messages: list[bytes], *, is_last: bool) -> None:
        """Hold back what would be written now."""
        batches, self._batches = self._batches, []
        piece = _Piece(messages, self._instead, len(batches), is_last=is_last)
        self._instead = []
        self._pieces.append(piece)
        for batch in batches:
            batch.tell(partial(self._told, piece))

    def clear(self) -> None:
        """Forget everything: the connection is gone."""
        self._pieces.clear()
        self._expected = None

    def _told(self, piece: _Piece, is_durable: bool) -> None:
        piece.waits_for -= 1
        piece.has_failed = piece.has_failed or not is_durable
        pieces = self._pieces
        while pieces and not pieces[0].waits_for:
            ready = pieces.popleft()
            if ready.has_failed:
                ready.deny()
            self._connection.let_go(ready.messages, is_last=ready.is_last)
