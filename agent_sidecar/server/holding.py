"""Replies of one connection that are held back until the decisions in them are durable, in their order.

What comes after a reply that is held waits behind it, whatever it is.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_sidecar.server.replies import Reply

if TYPE_CHECKING:
    from agent_sidecar.decision_log.log import Log
    from agent_sidecar.server.connection import Connection

MAX_HELD = 8
"""So many writes a connection holds back before it is not read from; each has what came in one piece."""

Spelled = Callable[[Reply], bytes]


@dataclass(slots=True)
class _Piece:
    """What goes out in one write, and the messages in it to replace if a decision could not be made durable."""

    messages: list[bytes]
    is_last: bool
    instead: list[tuple[int, Callable[[], bytes]]] = field(default_factory=list)
    waits_for: int = 0
    has_failed: bool = False


class HeldReplies:
    """The replies a connection holds back."""

    __slots__ = ("_connection", "_expected", "_instead", "_pieces", "_waiting")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._pieces: deque[_Piece] = deque()
        self._expected: list[tuple[Log, int, str, Callable[[], Reply]]] = []
        self._instead: list[tuple[int, Callable[[], bytes]]] = []
        self._waiting: list[tuple[Log, int, str]] = []

    @property
    def is_expecting(self) -> bool:
        """Tell whether the present request had a decision that is not durable yet."""
        return bool(self._expected)

    @property
    def is_any(self) -> bool:
        """Tell whether anything is, or is about to be, held back."""
        return bool(self._waiting or self._pieces)

    @property
    def is_full(self) -> bool:
        """Tell whether so much is held back that the connection should not be read from."""
        return len(self._pieces) >= MAX_HELD

    def expect(self, log: "Log", position: int, decision_id: str, instead: Callable[[], Reply]) -> None:
        """Take note of a decision of the present request."""
        self._expected.append((log, position, decision_id, instead))

    def take(self, index: int, spell: Spelled) -> None:
        """Take note that the next message, of this index in its write, is the reply of the present request."""
        instead = self._expected[-1][3]
        self._instead.append((index, lambda: spell(instead())))
        self._waiting += [(log, position, decision_id) for log, position, decision_id, _ in self._expected]
        self._expected.clear()

    def queue(self, messages: list[bytes], *, is_last: bool) -> None:
        """Hold back what would be written now."""
        piece = _Piece(messages, is_last, self._instead, len(self._waiting))
        waiting, self._waiting, self._instead = self._waiting, [], []
        self._pieces.append(piece)
        for log, position, decision_id in waiting:
            log.wait(position, decision_id, lambda is_durable: self._told(piece, is_durable))

    def clear(self) -> None:
        """Forget everything: the connection is gone."""
        self._pieces.clear()
        self._expected.clear()

    def _told(self, piece: _Piece, is_durable: bool) -> None:
        piece.waits_for -= 1
        piece.has_failed = piece.has_failed or not is_durable
        pieces = self._pieces
        while pieces and not pieces[0].waits_for:
            ready = pieces.popleft()
            if ready.has_failed:
                for index, spell in ready.instead:
                    ready.messages[index] = spell()
            self._connection.let_go(ready.messages, is_last=ready.is_last)
