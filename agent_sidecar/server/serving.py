"""Services behind their sockets: opened, swept once a second, and drained at the end."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agent_sidecar.server.connection import Connection
from agent_sidecar.server.door import ACCEPTED_AT_ONCE, LEAVE_TO_OTHERS_S, Door
from agent_sidecar.server.listening import listen_unix
from agent_sidecar.server.service import Service
from agent_sidecar.server.tls_door import TlsDoor

_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket and the service behind it; `path` is where a Unix socket of ours lies."""

    service: Service
    sock: socket.socket
    path: Path | None = None

    @property
    def address(self) -> str:
        """Return the socket as logs name it."""
        return str(self.path or self.sock.getsockname())

    def remove(self) -> None:
        """Take the socket file away, if there is one."""
        if self.path:
            self.path.unlink(missing_ok=True)


def listen_at(made: ExitStack, service: Service, path: Path, *, mode: int) -> Listener:
    """Return a listener on a Unix socket that goes with `made`. Raises UsageError, ConflictError."""
    sock = made.enter_context(listen_unix(path, mode=mode))
    made.callback(path.unlink, missing_ok=True)
    return Listener(service, sock, path)


class Serving:
    """Accepts on some listeners from `open` to `drain`, `shared` with other processes or not; for the event loop."""

    def __init__(self, listeners: Iterable[Listener], *, shared: bool = False) -> None:
        self._listeners = tuple(listeners)
        self._is_shared = shared
        self._services = tuple({id(each.service): each.service for each in self._listeners}.values())
        self._servers: list[asyncio.Server | Door] = []

    async def open(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            is_unix = listener.sock.family == socket.AF_UNIX
            if door := self._door(listener, is_unix=is_unix):
                door.open()
                self._servers.append(door)
                continue
            create = loop.create_unix_server if is_unix else loop.create_server
            self._servers.append(await create(_factory(listener.service), sock=listener.sock))

    def _door(self, listener: Listener, *, is_unix: bool) -> Door | None:
        """Return what accepts where the event loop's own server does not do."""
        at_once, pause_s = (1, LEAVE_TO_OTHERS_S) if self._is_shared else (ACCEPTED_AT_ONCE, 0.0)
        service, sock = listener.service, listener.sock
        if service.tls and not is_unix:
            return TlsDoor(service, sock, service.tls, at_once=at_once, pause_s=pause_s)
        return Door(service, sock, at_once=at_once, pause_s=pause_s) if self._is_shared else None

    def sweep(self) -> None:
        """End connections that have waited too long: once every `TICK_S` seconds."""
        for service in self._services:
            service.sweep()

    async def drain(self) -> int:
        """Accept no more, let requests under way finish within a limit, cut the rest, return how many that were."""
        for server in self._servers:
            server.close()
        for service in self._services:
            service.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(service.limits.drain_s for service in self._services)):
                while any(service.connections for service in self._services):
                    await asyncio.sleep(_LOOK_AGAIN_S)
        return sum(service.abort() for service in self._services)


def _factory(service: Service) -> Callable[[], Connection]:
    return lambda: Connection(service)
