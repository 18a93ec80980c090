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
from agent_sidecar.server.service import Service

ACCEPTED_AT_ONCE = 64
"""Connections accepted before others get their turn."""
SHUTDOWN_S = 2.0
_WAIT_FOR_DESCRIPTORS_S = 0.1


class TlsDoor:
    """Accepts at a listening socket from `open` to `close`; used in the event loop."""

    def __init__(self, service: Service, sock: socket.socket, tls: Tls) -> None:
        self._service = service
        self._sock = sock
        self._tls = tls
        self._handshakes: set[asyncio.Task[None]] = set()
        self.failed = 0

    def open(self) -> None:
        """Begin to accept."""
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept no more, and end handshakes under way."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        for handshake in self._handshakes:
            handshake.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left: others are closed meanwhile
                self._pause()
                return
            place = place_of(peer)
            if not self._service.take_place(place):
                sock.close()
                continue
            sock.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._shake_hands(sock, place))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock)
        loop.call_later(_WAIT_FOR_DESCRIPTORS_S, self._resume)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self.open()

    async def _shake_hands(self, sock: socket.socket, place: object) -> None:
        connection = Connection(self._service, place=place)
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
