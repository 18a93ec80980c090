"""HTTP/1.1 for decisions: requests that arrive are answered in the event loop, bounded in every direction.

Limits: bytes and number of headers, body, idle time, time for headers and body, connections. Pipelined requests are
answered in order, together in one write, a slice of what has arrived at a time, so that nobody waits long for one who
sends much. A peer that does not read its answers is no longer read from. After a refusal that ends the connection (413,
431, 400) what the peer still sends is read and dropped for a moment, as closing at once would reset the connection
before the answer arrives.
"""

import asyncio
import time
from collections.abc import Awaitable
from functools import partial
from typing import cast

import httptools

from agent_sidecar import logs
from agent_sidecar.access.entrance import NotAdmittedError
from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.server.holding import HeldReplies, Instead
from agent_sidecar.server.patience import ANSWERING, BODY, DRAINING, HEADERS, IDLE
from agent_sidecar.server.replies import INTERNAL_ERROR, Reply, error_reply, known_error_reply, message
from agent_sidecar.server.requests import BETWEEN, Requests
from agent_sidecar.server.service import Handler, Service
from policy_core.errors import KnownError

MAX_DRAINED_BYTES = 16 << 20
SLICE_BYTES = 16 << 10
"""How much of what one peer has sent is answered before others get their turn: some hundred small requests at most."""
_NO_PLACE = object()


class Connection(Requests, asyncio.Protocol):
    """One connection: what has arrived on it is taken in turn, and what is answered leaves."""

    __slots__ = (
        "_backlog", "_has_ended", "_held", "_is_due", "_is_paused", "_is_refused", "_is_unread", "_place", "_transport",
    )  # fmt: skip

    _held: HeldReplies

    def __init__(self, service: Service, *, place: object = _NO_PLACE) -> None:
        """`place` is in whose share of the connections this one has been counted already, if it has."""
        super().__init__(service)
        self._transport: asyncio.Transport | None = None
        self._place = place
        self._backlog = b""  # has arrived, and waits until others have had their turn
        self._is_due = False  # others have their turn, and then the backlog is looked at
        self._is_paused = False  # nothing is read
        self._is_unread = False  # the peer does not read its answers
        self._has_ended = False  # the peer sends nothing more
        self._is_refused = False  # the peer may still be sending what nobody will look at

    def hold(self, batch: Batch, instead: Instead) -> None:
        """Let the reply to the present request leave once a batch of the log is durable, and otherwise `instead`."""
        if self._transport is not None:  # or else the peer is gone, and nothing leaves
            self._held.expected = batch, instead

    @property
    def _is_held(self) -> bool:
        return self._held.is_any

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away: who may not come in, and if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)  # both refer to this connection, until it is lost
        self._held = HeldReplies(self._let_go)
        service, entrance = self._service, self._entrance
        try:
            self._known = entrance.admit(transport)
        except NotAdmittedError as error:
            self._refuse_peer(str(error))
            return
        if self._place is _NO_PLACE and not self._take_place(entrance.place(transport)):
            return
        if entrance.hosts is not None:
            self._come_to(transport.get_extra_info("sockname"))
        service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Forget the connection."""
        self._service.connections.discard(self)
        self._transport = None
        self._held.clear()
        self._backlog = b""
        self._forget_body()
        self.leave()
        del self._parser  # without the cycle both go at once

    def leave(self) -> None:
        """Give the place of this connection to others, once."""
        if self._place is not _NO_PLACE:
            self._service.leave_place(self._place)
            self._place = _NO_PLACE

    def admit_again(self) -> None:
        """Ask again who is at the other end, and end the connection at once if they may not come in any more."""
        try:
            self._known = self._entrance.admit(self._transport) if self._transport else None
        except NotAdmittedError:
            self.abort()

    def doubt(self) -> None:
        """Believe no more what the connection has proved: the next request shows a token, or is the last."""
        self._known = None

    def data_received(self, data: bytes) -> None:
        """Feed what arrived to the parser, a slice at a time."""
        if self._backlog or len(data) > SLICE_BYTES:
            self._queue(data)
        else:
            self._take(data)

    def _queue(self, data: bytes) -> None:
        """Read no more until what has arrived is looked at, beginning in this turn if it is the first of it."""
        is_first = not self._backlog
        self._backlog += data
        self._pause()
        if is_first:
            self._take_slice()

    def _take_slice(self) -> None:
        self._is_due = False
        if self._is_stopped or not self._backlog or not self._transport:
            return  # until the peer reads, or the log is written, or for ever
        data, self._backlog = self._backlog[:SLICE_BYTES], self._backlog[SLICE_BYTES:]
        self._take(data)
        self._look_again()

    def _look_again(self) -> None:
        """Look at what has arrived, after others have had their turn, or read again.

        Never at once: who calls may be in the middle of a request, of this connection or another.
        """
        if not self._backlog:
            if self._is_paused:
                self._read_on()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take_slice)

    def _pause(self) -> None:
        """Read nothing for now."""
        self._is_paused = True
        if self._transport:
            self._transport.pause_reading()

    def _read_on(self) -> None:
        """Read again, if nothing is in the way of that."""
        if self._transport and not (self._is_stopped or self._backlog or self._phase is ANSWERING):
            self._is_paused = False
            self._transport.resume_reading()

    @property
    def _is_stopped(self) -> bool:
        """Tell whether no more requests are answered for now: their answers could not leave."""
        return self._is_unread or self._held.is_full

    def _take(self, data: bytes) -> None:
        """Take requests from bytes; answers of all those completed by them leave in one write."""
        self._seen_bytes += len(data)
        if self._phase is not DRAINING:
            self._take_requests(data)
            self._send()
        elif self._seen_bytes > MAX_DRAINED_BYTES:
            self.abort()

    def _send(self) -> None:
        if self._transport and self._out:
            is_last = self._phase is DRAINING
            if self._held.is_any:
                out, self._out = self._out, []
                self._held.queue(out, is_last=is_last)
                if self._held.is_full:
                    self._pause()
                return
            self._transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
            if is_last:
                self._finish()

    def _finish(self) -> None:
        """Say that nothing follows. TLS has no half of a close: what is left of a refused request is read first."""
        if self._transport and self._transport.can_write_eof() and not self._has_ended:
            self._transport.write_eof()
        elif self._transport and (self._has_ended or not self._is_refused):
            self._transport.close()

    def _let_go(self, messages: list[bytes], *, is_last: bool) -> None:
        """Send what was held back, and do what had to wait for that."""
        if not self._transport or self._transport.is_closing():
            return
        self._transport.write(b"".join(messages))
        if is_last:
            self._finish()
        elif self._has_ended or (self._phase is IDLE and self._service.closing):
            if not self._is_held:
                self._transport.close()
        elif self._is_paused and not self._is_held:
            self._look_again()

    def eof_received(self) -> bool:
        """Close our side too, once a peer that half-closes has what is held back for it; TLS has no half of a close."""
        self._has_ended = True
        return self._is_held and self._transport is not None and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read its answers."""
        self._is_unread = True
        self._pause()

    def resume_writing(self) -> None:
        """Read again."""
        self._is_unread = False
        self._look_again()

    # ends of a request

    def _respond(self) -> None:
        """Have the request answered that has arrived as a whole."""
        service = self._service
        service.requests += 1
        url = self._head.url
        routes = service.routes
        route = routes.get(url) or routes.get(url.partition(b"?")[0]) or routes.get(url[: url.find(b"/", 1) + 1])
        if route is None:
            self._turn_away(error_reply(404, "not_found", "there is nothing at this path"))
            return
        method, handler = route
        if method and method != self._head.method:
            reply = error_reply(405, "method_not_allowed", f"this path takes {method.decode()} only")
            self._turn_away(reply, b"Allow: %b\r\n" % method)
            return
        answer = self._handle(handler)
        if isinstance(answer, tuple):
            self._answer(answer)
        else:
            self._enter(ANSWERING)
            self._pause()
            done = partial(self._answer_later, self._head.request_id, self._head.keep_alive)
            asyncio.ensure_future(answer).add_done_callback(done)

    def _handle(self, handler: Handler) -> Reply | Awaitable[Reply]:
        try:
            return handler(self._body, self)
        except KnownError as error:
            return known_error_reply(error)
        except Exception as error:  # noqa: BLE001 - request boundary: one bad request must not end the others
            return self._failed(error)

    def _failed(self, error: BaseException) -> Reply:
        path = self._head.url.partition(b"?")[0]  # what follows may be secret
        logs.bug("request_failed", error, path=path.decode("latin-1"))
        return error_reply(*INTERNAL_ERROR)

    def _answer(self, reply: Reply, extra: bytes = b"") -> None:
        keep_alive = self._head.keep_alive and not self._service.closing
        if self._held.expected:
            self._held.take(len(self._out), keep_alive=keep_alive, request_id=self._head.request_id)
        self._out.append(message(reply, keep_alive=keep_alive, request_id=self._head.request_id, extra=extra))
        if keep_alive:
            self._enter(IDLE)
            self._seen_bytes = 0
        else:
            self._drain()

    def _turn_away(self, reply: Reply, extra: bytes = b"") -> None:
        """Answer a request that no handler gets, HEAD without a body: it would be taken for the next answer."""
        self._answer((reply[0], b"") if self.method == b"HEAD" else reply, extra)

    def _answer_later(self, request_id: bytes, keep_alive: bool, done: "asyncio.Future[Reply]") -> None:
        """Send the answer of a handler that had to wait.

        It is the last one of its connection if the peer did not wait for it: what came meanwhile was not kept.
        """
        if done.cancelled() or not self._transport or self._transport.is_closing():
            return
        error = done.exception()
        if isinstance(error, KnownError):
            reply = known_error_reply(error)
        elif error is not None:
            reply = self._failed(error)
        else:
            reply = done.result()
        keep_alive = keep_alive and not self._is_overtaken and not self._service.closing
        if self._held.expected:
            self._held.take(0, keep_alive=keep_alive, request_id=request_id)
        self._out.append(message(reply, keep_alive=keep_alive, request_id=request_id))
        if keep_alive:
            self._enter(IDLE)
            self._seen_bytes = 0
            self._send()
            self._read_on()
        else:
            self._drain()
            self._send()
            if not self._is_held:
                self._transport.close()

    def _refuse(self, status: int, code: str, text: str) -> None:
        if self._phase is not DRAINING:
            extra = b"WWW-Authenticate: Bearer\r\n" if status == 401 and self._entrance.tokens else b""
            reply = error_reply(status, code, text)
            self._out.append(message(reply, keep_alive=False, request_id=self._head.request_id, extra=extra))
            self._is_refused = True
            self._drain()

    def _take_place(self, owner: object) -> bool:
        """Take a place of somebody's share, or close the connection, as there is none left."""
        if self._service.take_place(owner):
            self._place = owner
            return True
        if self._transport:
            self._transport.write(message(_NO_MORE, keep_alive=False))
            self._transport.close()
        return False

    def _refuse_peer(self, rule: str) -> None:
        """Tell a peer that it may not come in; all of those have one share. What it sends is not looked at."""
        if self._take_place(NotAdmittedError):
            self._service.connections.add(self)
            self._refuse(403, "caller_not_allowed", f"this user may not ask here: {rule}")
            self._send()

    # time and shutdown

    def check_patience(self) -> None:
        """End the connection if it has been in its phase for too long, and its caller's proof once it expires."""
        if self._known and self._known.expires <= time.time():
            self.doubt()
        is_last_held = self._phase is DRAINING and self._is_held
        patience = self._service.patience.get(IDLE if is_last_held else self._phase)
        if patience is None or self._service.tick - self._since <= patience or not self._transport:
            return
        if self._phase in (HEADERS, BODY):
            self._refuse(408, "timeout", f"the request did not arrive within {patience:g} s")
            self._send()
        elif self._transport.is_closing():
            self._transport.abort()  # asked before: the peer does not even read what is left
        else:
            self._transport.close()

    def close_when_idle(self) -> None:
        """Close now if no request is under way; otherwise its answer will say that it is the last."""
        if self._transport and self._phase in (*BETWEEN, DRAINING) and not self._is_held:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport:
            self._transport.abort()


_NO_MORE = error_reply(503, "too_many_connections", "this sidecar serves no more connections at once")
