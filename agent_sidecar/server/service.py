"""Services: an API behind one or more sockets, its routes and its open connections."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_sidecar.server.replies import Reply

if TYPE_CHECKING:
    from agent_sidecar.server.connection import Connection

MAX_CONNECTIONS = 1024
TICK_S = 1.0

Handler = Callable[[bytes | bytearray, "Connection"], Reply | Awaitable[Reply]]
ANY = b""
"""In place of a method: the handler looks at it itself."""
Routes = Mapping[bytes, tuple[bytes, Handler]]
"""Path to the one method it has and what answers it. One segment between slashes (``/v1/``) has all paths below it."""


@dataclass(eq=False, slots=True)
class Service:
    """One API behind one or more sockets: its routes, its open connections, and the token TCP peers must show.

    `kept_headers` are those its handlers read, in lower case; none that this protocol itself reads.
    """

    routes: Routes
    token: bytes = b""
    kept_headers: frozenset[bytes] = frozenset()
    max_connections: int = MAX_CONNECTIONS
    connections: "set[Connection]" = field(default_factory=set)
    tick: int = 0
    closing: bool = False
    requests: int = 0

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
