"""Accepts connections that begin with a TLS handshake: counted from the first moment, each with the newest certificate.

A handshake costs more than a request, and is made by peers that have proved nothing: as many as are waited for are
counted as connections of their address, and each has only the time that headers have.
"""

import asyncio
import contextlib
import socket
import ssl

from agent_sidecar.access.entrance import place_of
from agent_sidecar.access.tls import Tls
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.door import ACCEPTED_AT_ONCE, Door
from agent_sidecar.server.service import Service

SHUTDOWN_S = 2.0


class TlsDoor(Door):
    """Accepts at a listening socket from `open` to `close`; used in the event loop."""

    def __init__(
        self,
        service: Service,
        sock: socket.socket,
        tls: Tls,
        *,
        at_once: int = ACCEPTED_AT_ONCE,
        pause_s: float = 0.0,
    ) -> None:
        super().__init__(service, sock, at_once=at_once, pause_s=pause_s)
        self._tls = tls
        self.failed = 0

    def takes(self, peer: object) -> bool:
        """Tell whether the address of a peer may have one more connection, which is counted from now on."""
        return self._service.take_place(place_of(peer))

    async def connect(self, sock: socket.socket, peer: object) -> None:
        """Shake hands, and let the connection in."""
        connection = Connection(self._service, place=place_of(peer))
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=self._tls.context,
                ssl_handshake_timeout=self._service.limits.header_time_s,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except (OSError, ssl.SSLError, TimeoutError, asyncio.CancelledError):
            self.failed += 1
            connection.leave()
            with contextlib.suppress(OSError):
                sock.close()
