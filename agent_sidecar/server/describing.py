"""``GET /openapi.json``: what a service answers, told by itself. The document is made when it is first asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from agent_sidecar.server.connection import Connection
from agent_sidecar.server.replies import Reply, encode
from agent_sidecar.server.service import Route, Routes

if TYPE_CHECKING:  # for whoever asks: hosts do without what makes it
    from agent_sidecar.server.openapi.document import Volume

PATH = b"/openapi.json"


def described(routes: Routes, volume: "Callable[[], Volume]") -> dict[bytes, Route]:
    """Return the routes with the one that serves their document, made of what `volume` loads."""
    made: dict[bytes, Route] = dict(routes)
    made[PATH] = (b"GET", _Document(made, volume).reply)
    return made


class _Document:
    def __init__(self, routes: Routes, volume: "Callable[[], Volume]") -> None:
        self._routes = routes
        self._volume = volume
        self._encoded = b""

    def reply(self, _body: bytes | bytearray, _peer: Connection) -> Reply | Awaitable[Reply]:
        """Reply with the document; making it, which takes some 50 ms, is done in a thread."""
        return (200, self._encoded) if self._encoded else self._make()

    async def _make(self) -> Reply:
        self._encoded = await asyncio.to_thread(lambda: encode(self._volume().document(self._routes)))
        return 200, self._encoded
