"""The admin API, on a socket only the owner of the state directory can open: orders and history."""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from agent_sidecar import logs
from agent_sidecar.enforcement import Enforcement
from agent_sidecar.history import History
from agent_sidecar.polling import Poller
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.replies import Reply, encode, error_reply, headed
from agent_sidecar.server.service import ANY, Routes
from policy_core.errors import UsageError

REFRESH_PATIENCE_S = 60.0
HISTORY_EVENTS = 1000


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""


class _Level(msgspec.Struct, forbid_unknown_fields=True):
    level: Literal["debug", "info", "warning", "error"]  # those of `logs.LEVELS`


Decoded = TypeVar("Decoded")


class AdminApi:
    """What an operator on this host may do. Orders run in a thread: they wait for the disk, decisions do not."""

    def __init__(
        self,
        *,
        enforcement: Enforcement,
        poller: Poller,
        history: History,
        status: Callable[[], object],
        set_level: Callable[[str], None] = logs.set_level,
    ) -> None:
        """`set_level` sets the least level that is logged, in all processes that log."""
        self._enforcement = enforcement
        self._poller = poller
        self._history = history
        self._status = status
        self._set_level = set_level

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        return {
            b"/rollback": (b"POST", self.rollback),
            b"/resume": (b"POST", self.resume),
            b"/refresh": (b"POST", self.refresh),
            b"/status": (b"GET", self.status),
            b"/history": (b"GET", self.history),
            b"/log-level": (ANY, self.log_level),
        }

    async def rollback(self, body: bytes | bytearray, peer: Connection) -> Reply:
        """Enforce the previous snapshot; the reply follows once that is durable and in force."""
        order, by = _order(body), peer.caller.name
        await asyncio.to_thread(self._enforcement.rollback, reason=order.reason, by=by)
        return self.status(b"", peer)

    async def resume(self, body: bytes | bytearray, peer: Connection) -> Reply:
        """Enforce the current snapshot again."""
        order, by = _order(body), peer.caller.name
        await asyncio.to_thread(self._enforcement.resume, reason=order.reason, by=by)
        return self.status(b"", peer)

    async def refresh(self, _body: bytes | bytearray, _peer: Connection) -> Reply:
        """Poll now, root included, and reply with the outcome."""
        try:
            async with asyncio.timeout(REFRESH_PATIENCE_S):
                outcome = await asyncio.wrap_future(self._poller.refresh())
        except TimeoutError:
            return error_reply(504, "timeout", f"the poll has not ended within {REFRESH_PATIENCE_S:.0f} s")
        return 200, encode({"outcome": outcome, "status": self._status()})

    def status(self, _body: bytes | bytearray, _peer: Connection) -> Reply:
        """Reply with the status document."""
        return 200, encode(self._status())

    async def history(self, _body: bytes | bytearray, _peer: Connection) -> Reply:
        """Reply with the newest events, oldest first."""
        return 200, encode(await asyncio.to_thread(self._history.last, HISTORY_EVENTS))

    def log_level(self, body: bytes | bytearray, peer: Connection) -> Reply:
        """Reply with the least level that is logged; with POST, after setting it."""
        if peer.method not in (b"GET", b"POST"):
            _, body = error_reply(405, "method_not_allowed", "this path takes GET and POST only")
            return 405, headed(b"" if peer.method == b"HEAD" else body, b"Allow: GET, POST\r\n")
        if peer.method == b"POST":
            level = _decoded(body, _Level, hint='send {"level": "debug"}').level
            logs.set_level("info")  # whatever the levels are: that is logged
            logs.info("log_level", level=level, by=peer.caller.name)
            self._set_level(level)
        return 200, encode({"level": logs.level()})


def _order(body: bytes | bytearray) -> _Order:
    return _decoded(body or b"{}", _Order, hint='send {"reason": "…"}')


def _decoded(body: bytes | bytearray, kind: type[Decoded], *, hint: str) -> Decoded:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"order: {error}", hint=hint) from error
