"""Services: an API behind one or more sockets, who may come in, its routes and its open connections."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_sidecar.access.entrance import Entrance, UnixEntrance
from agent_sidecar.access.limits import STANDARD, Limits
from agent_sidecar.access.tls import Tls
from agent_sidecar.server.heads import KnownHeads
from agent_sidecar.server.patience import Phase, patience_ticks
from agent_sidecar.server.replies import Reply

if TYPE_CHECKING:
    from agent_sidecar.server.connection import Connection

Handler = Callable[[bytes | bytearray, "Connection"], Reply | Awaitable[Reply]]
ANY = b""
"""In place of a method: the handler looks at it itself."""
Route = tuple[bytes, Handler]
Routes = Mapping[bytes, Route]
"""Path to the one method it has and what answers it. One segment between slashes (``/v1/``) has all paths below it."""


@dataclass(eq=False, slots=True)
class Service:
    """One API behind one or more sockets, and the connections to it, counted from the moment they are accepted.

    With `tls`, connections on TCP begin with a handshake. `kept_headers` are those its handlers read, in lower case.
    Below the paths `about_others` a request is about another one, whose host and origin it has.
    """

    routes: Routes
    entrance: Entrance = field(default_factory=UnixEntrance)
    tls: Tls | None = None
    kept_headers: frozenset[bytes] = frozenset()
    about_others: tuple[bytes, ...] = ()
    limits: Limits = STANDARD
    heads: KnownHeads = field(default_factory=KnownHeads)
    connections: "set[Connection]" = field(default_factory=set)
    tick: int = 0
    closing: bool = False
    requests: int = 0
    turned_away: int = 0
    buffered_bytes: int = 0
    patience: dict[Phase, float] = field(init=False)
    _taken: dict[object, int] = field(default_factory=dict)
    _total: int = 0

    def __post_init__(self) -> None:
        self.patience = patience_ticks(self.limits)

    def take_place(self, owner: object) -> bool:
        """Count one more connection of somebody, unless they, or all together, have as many as they may."""
        mine = self._taken.get(owner, 0)
        limits = self.limits
        if self.closing or self._total >= limits.connections or mine >= limits.connections_per_caller:
            self.turned_away += 1
            return False
        self._taken[owner] = mine + 1
        self._total += 1
        return True

    def leave_place(self, owner: object) -> None:
        """Count one less."""
        self._total -= 1
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]

    def sweep(self) -> None:
        """Advance time by a tick and end connections that have waited too long."""
        self.tick += 1
        for connection in list(self.connections):
            connection.check_patience()

    def close(self) -> None:
        """Let requests under way finish and close everything else."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_when_idle()

    def abort(self) -> int:
        """Cut what is still open and return how many connections that were."""
        left = list(self.connections)
        for connection in left:
            connection.abort()
        return len(left)
