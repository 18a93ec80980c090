"""Accepts connections at a listening socket itself, a bounded number before others get their turn.

Where several processes share a socket each takes one, and leaves the next to the others for a moment. Event loops take
all there are: a client that opens its connections together would have them all with the process that wakes first.
"""

import asyncio
import contextlib
import socket

from agent_sidecar.server.connection import Connection
from agent_sidecar.server.service import Service

ACCEPTED_AT_ONCE = 64
"""Connections accepted before others get their turn, by a process that shares its socket with no other."""
LEAVE_TO_OTHERS_S = 0.001
"""As long as a process takes to wake up. It bounds what one process accepts to 1,000 connections a second."""
_WAIT_FOR_DESCRIPTORS_S = 0.1


class Door:
    """Accepts from `open` to `close`; used in the event loop."""

    def __init__(self, service: Service, sock: socket.socket, *, at_once: int = 1, pause_s: float = 0.0) -> None:
        """It accepts `at_once` connections before others get their turn, and then none for `pause_s`."""
        self._service = service
        self._sock = sock
        self._at_once = at_once
        self._pause_s = pause_s
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begin to accept."""
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept no more, and end what has only begun."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        for task in self._tasks:
            task.cancel()

    async def connect(self, sock: socket.socket, peer: object) -> None:  # noqa: ARG002 - where it comes from
        """Let one connection in."""
        connection = Connection(self._service)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock)
        except (OSError, asyncio.CancelledError):
            with contextlib.suppress(OSError):
                sock.close()

    def takes(self, peer: object) -> bool:  # noqa: ARG002 - where it comes from
        """Tell whether a connection may begin at all."""
        return True

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left: others are closed meanwhile
                self._pause(_WAIT_FOR_DESCRIPTORS_S)
                return
            if not self.takes(peer):
                sock.close()
                continue
            sock.setblocking(False)
            task = asyncio.get_running_loop().create_task(self.connect(sock, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._pause_s:
            self._pause(self._pause_s)

    def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock)
        loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self.open()
