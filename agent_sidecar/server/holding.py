"""Replies of one connection that are held back until the decisions in them are durable, in their order.

What comes after a reply that is held waits behind it, whatever it is.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from agent_sidecar import logs
from agent_sidecar.server.replies import INTERNAL_ERROR, Reply, error_reply, message

if TYPE_CHECKING:
    from agent_sidecar.decision_log.batch import Batch

MAX_HELD = 8
"""So many writes a connection holds back before it is not read from; each has what came in one piece."""

Instead = Callable[[], Reply]
"""Makes what is replied if a decision could not be made durable."""


class _Waiting(msgspec.Struct, gc=False):
    """A message that waits for a batch: its place in its write, and what takes its place if that fails."""

    batch: "Batch"
    place: int
    instead: Instead
    keep_alive: bool
    request_id: bytes


class _Piece(msgspec.Struct, eq=False):
    """What goes out in one write, once the batches are settled that messages in it wait for."""

    messages: list[bytes]
    waiting: list[_Waiting]
    waits_for: int
    is_last: bool

    def deny(self, batch: "Batch") -> None:
        """Put other messages in the place of those that waited for a batch."""
        for each in self.waiting:
            if each.batch is batch:
                self.messages[each.place] = _denial(each)


def _to_nobody(_messages: list[bytes], *, is_last: bool) -> None:
    """Send nothing."""


def _denial(waiting: _Waiting) -> bytes:
    spell = partial(message, keep_alive=waiting.keep_alive, request_id=waiting.request_id)
    try:
        return spell(waiting.instead())
    except Exception as error:  # noqa: BLE001 - request boundary: what may not leave is replaced whatever happens
        logs.bug("denial_failed", error)
        return spell(error_reply(*INTERNAL_ERROR))


class HeldReplies:
    """The replies a connection holds back.

    `expected` is the batch that the reply to the present request, which has one decision at most, waits for, and what
    makes another one if that fails.
    """

    __slots__ = ("_batches", "_let_go", "_pieces", "_waiting", "expected")

    def __init__(self, let_go: Callable[..., None]) -> None:
        """`let_go` is given the messages that may leave in one write, and `is_last` if nothing follows them."""
        self._let_go = let_go
        self._pieces: deque[_Piece] = deque()
        self.expected: tuple[Batch, Instead] | None = None
        self._waiting: list[_Waiting] = []
        self._batches: list[Batch] = []

    @property
    def is_any(self) -> bool:
        """Tell whether anything is, or is about to be, held back."""
        return bool(self._batches or self._pieces)

    @property
    def is_full(self) -> bool:
        """Tell whether so much is held back that the connection should not be read from."""
        return len(self._pieces) >= MAX_HELD

    def take(self, index: int, *, keep_alive: bool, request_id: bytes) -> None:
        """Take note that the next message, of this index in its write, is the reply that is expected."""
        if self.expected is None:
            return
        (batch, instead), self.expected = self.expected, None
        batches = self._batches
        if not batches or batches[-1] is not batch:
            batches.append(batch)
        self._waiting.append(_Waiting(batch, index, instead, keep_alive, request_id))

    def queue(self, messages: list[bytes], *, is_last: bool) -> None:
        """Hold back what would be written now."""
        batches, self._batches = self._batches, []
        piece = _Piece(messages, self._waiting, len(batches), is_last)
        self._waiting = []
        self._pieces.append(piece)
        for batch in batches:
            batch.tell(partial(self._told, piece, batch))

    def clear(self) -> None:
        """Forget everything, also what batches know of that are not settled for long: the connection is gone."""
        self._let_go = _to_nobody  # it refers to the connection; without the cycle both go at once
        for piece in self._pieces:
            piece.messages.clear()
            piece.waiting.clear()
        self._pieces.clear()
        self.expected = None

    def _told(self, piece: _Piece, batch: "Batch", is_durable: bool) -> None:
        piece.waits_for -= 1
        if not is_durable:
            piece.deny(batch)
        pieces = self._pieces
        while pieces and not pieces[0].waits_for:
            ready = pieces.popleft()
            self._let_go(ready.messages, is_last=ready.is_last)
