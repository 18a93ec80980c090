"""HTTP/1.1 for decisions: parsed by httptools, answered in the event loop, bounded in every direction.

Limits: bytes and number of headers, body, idle time, time for headers and body, connections. Pipelined requests are
answered in order, and together in one write. A peer that does not read its answers is no longer read from. After a
refusal that ends the connection (413, 431, 400) what the peer still sends is read and dropped for a moment, as closing
at once would reset the connection before the answer arrives.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from typing import cast

import httptools

from agent_sidecar import logs
from agent_sidecar.decision_log.log import Log
from agent_sidecar.server.caller import TOKEN_HOLDER, Caller, unix_caller
from agent_sidecar.server.holding import HeldReplies
from agent_sidecar.server.replies import HEADS, TEXT_HEAD, Headed, Reply, Text, error_reply, known_error_reply
from agent_sidecar.server.service import Handler, Service
from policy_core.errors import KnownError

MAX_HEADER_BYTES = 16 << 10
MAX_HEADERS = 64
MAX_BODY_BYTES = 1 << 20
MAX_REQUEST_BYTES = 4 << 20  # with chunk framing and trailers, which are no part of the body
MAX_DRAINED_BYTES = 16 << 20
MAX_REQUEST_ID_CHARS = 128
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(Enum):
    """What a connection waits for; each has its own patience."""

    IDLE = "idle"
    HEADERS = "headers"
    BODY = "body"
    ANSWERING = "answering"
    DRAINING = "draining"


PATIENCE_TICKS = {Phase.IDLE: 75, Phase.HEADERS: 10, Phase.BODY: 10, Phase.DRAINING: 2}
"""Seconds (ticks of `TICK_S`) a connection may stay in a phase. An answer under way is bounded by its handler."""


class Connection(asyncio.Protocol):
    """One connection; httptools calls the ``on_`` methods while `data_received` feeds it."""

    __slots__ = (
        "_authorised", "_body", "_body_bytes", "_caller", "_expects_continue", "_head_bytes", "_headers", "_held",
        "_is_encoded", "_is_overtaken", "_is_unread", "_keeps", "_kept", "_out", "_parser", "_phase", "_request_id",
        "_seen_bytes", "_service", "_since", "_transport", "_url",
    )  # fmt: skip

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._phase = Phase.IDLE
        self._since = service.tick
        self._keeps = service.kept_headers
        self._caller: Caller | None = None
        self._out: list[bytes] = []
        self._held: HeldReplies | None = None
        self._seen_bytes = 0
        self._is_overtaken = False  # more than one request has come while an answer is under way
        self._is_unread = False  # the peer does not read its answers
        self._reset()

    @property
    def caller(self) -> Caller:
        """Return who is at the other end, as far as the connection proves it."""
        if self._caller is None:
            sock = self._transport.get_extra_info("socket") if self._transport else None
            self._caller = TOKEN_HOLDER if self._service.token else unix_caller(sock)
        return self._caller

    @property
    def request_id(self) -> bytes:
        """Return the X-Request-ID of the request that has just arrived, empty if it has none."""
        return self._request_id

    @property
    def method(self) -> bytes:
        """Return the method of the request that has just arrived."""
        method: bytes = self._parser.get_method()
        return method

    @property
    def target(self) -> bytes:
        """Return its target: path and query, as they were sent."""
        return self._url

    @property
    def kept_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return its headers that the service keeps, in the order they were sent."""
        return self._kept

    def hold(self, log: Log, position: int, decision_id: str, instead: Callable[[], Reply]) -> None:
        """Let the reply to the present request leave once the log is durable up to `position`, or else another one.

        `instead` makes that of a handler that answers at once; one that has others wait has a denial of the server.
        """
        if self._phase is Phase.ANSWERING:
            instead = _unlogged
        if self._held is None:
            self._held = HeldReplies(self)
        self._held.expect(log, position, decision_id, instead)

    @property
    def _is_held(self) -> bool:
        return self._held is not None and self._held.is_any

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        service = self._service
        if service.closing or len(service.connections) >= service.max_connections:
            reply = error_reply(503, "too_many_connections", "this sidecar serves no more connections at once")
            self._transport.write(_message(reply, keep_alive=False))
            self._transport.close()
            return
        service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Forget the connection."""
        self._service.connections.discard(self)
        self._transport = None
        if self._held:
            self._held.clear()
        del self._parser  # it refers to this connection; without the cycle both go at once

    def data_received(self, data: bytes) -> None:
        """Feed what arrived to the parser; answers of all requests completed by it leave in one write."""
        self._seen_bytes += len(data)
        if self._phase is Phase.DRAINING:
            if self._seen_bytes > MAX_DRAINED_BYTES:
                self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end()  # answered as HTTP/1.1; what follows would be in another protocol
        except httptools.HttpParserError as error:
            if self._phase is Phase.ANSWERING:
                self._end()
            else:
                self._refuse(400, "bad_request", f"not an HTTP request: {error}")
        if self._phase in _IN_HEAD and self._seen_bytes > MAX_HEADER_BYTES:
            self._refuse(431, "headers_too_large", f"headers are larger than {MAX_HEADER_BYTES} bytes")
        elif self._phase is Phase.BODY and self._seen_bytes > MAX_REQUEST_BYTES:
            self._refuse(413, "body_too_large", f"the request is larger than {MAX_REQUEST_BYTES} bytes")
        self._send()

    def _send(self) -> None:
        if self._transport and self._out:
            is_last = self._phase is Phase.DRAINING
            if self._held and self._held.is_any:
                self._held.queue(self._out, is_last=is_last)
                self._out = []
                if self._held.is_full:
                    self._transport.pause_reading()
                return
            self._transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
            if is_last:
                self._transport.write_eof()

    def let_go(self, messages: list[bytes], *, is_last: bool) -> None:
        """Send what was held back, and do what had to wait for that."""
        if not self._transport or self._transport.is_closing():
            return
        self._transport.write(b"".join(messages))
        if is_last:
            self._transport.write_eof()
        elif not self._is_held:
            if self._phase is Phase.IDLE and self._service.closing:
                self._transport.close()
            elif self._phase is not Phase.ANSWERING and not self._is_unread:
                self._transport.resume_reading()

    def eof_received(self) -> None:
        """Close our side too: a peer that half-closes gets what is written already."""

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read its answers."""
        self._is_unread = True
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._is_unread = False
        if self._transport and self._phase is not Phase.ANSWERING:
            self._transport.resume_reading()

    # what httptools calls

    def on_message_begin(self) -> None:
        """Begin a request, unless this connection takes no more of them."""
        if self._phase is Phase.IDLE:
            self._enter(Phase.HEADERS)
            self._reset()
        self._is_overtaken = self._phase is Phase.ANSWERING

    def _reset(self) -> None:
        self._url = b""
        self._body: bytes | bytearray = b""
        self._headers = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._request_id = b""
        self._kept: tuple[tuple[bytes, bytes], ...] = ()
        self._authorised = not self._service.token
        self._expects_continue = False
        self._is_encoded = False

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that mean something here."""
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        name = name.lower()
        if name == b"x-request-id":
            if len(value) <= MAX_REQUEST_ID_CHARS and value.isascii() and value.decode("ascii").isprintable():
                self._request_id = value
        elif name == b"authorization":
            self._authorised = self._authorised or hmac.compare_digest(value, b"Bearer " + self._service.token)
        elif name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            self._is_encoded = self._is_encoded or value.lower() != b"chunked"
        elif name == b"content-length" and value.isdigit() and int(value[:20]) > MAX_BODY_BYTES:
            self._body_bytes = MAX_BODY_BYTES + 1
        elif self._keeps and name in self._keeps and self._phase is Phase.HEADERS:  # never from trailers
            self._kept += ((name, value),)

    def on_headers_complete(self) -> None:
        """Refuse early what will not be answered, before its body is read."""
        if self._phase is not Phase.HEADERS:
            return
        self._enter(Phase.BODY)
        if self._head_bytes + len(self._url) > MAX_HEADER_BYTES or self._headers > MAX_HEADERS:
            self._refuse(
                431, "headers_too_large", f"more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them"
            )
        elif not self._authorised:
            self._refuse(401, "unauthorised", "send the token as Authorization: Bearer")
        elif self._is_encoded:
            self._refuse(400, "bad_request", "a body may be chunked, and is not decoded otherwise")
        elif self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413, "body_too_large", f"the body is larger than {MAX_BODY_BYTES} bytes")
        elif self._expects_continue:
            self._out.append(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._phase is not Phase.BODY:
            return
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413, "body_too_large", f"the body is larger than {MAX_BODY_BYTES} bytes")
        elif not self._body:
            self._body = body  # the usual case: all of it at once
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)  # grows in place, however small the pieces are
            self._body += body

    def on_message_complete(self) -> None:
        """Answer the request."""
        if self._phase is not Phase.BODY:
            return
        service = self._service
        service.requests += 1
        url = self._url
        routes = service.routes
        route = routes.get(url) or routes.get(url.partition(b"?")[0]) or routes.get(url[: url.find(b"/", 1) + 1])
        if route is None:
            self._turn_away(error_reply(404, "not_found", "there is nothing at this path"))
            return
        method, handler = route
        if method and method != self._parser.get_method():
            reply = error_reply(405, "method_not_allowed", f"this path takes {method.decode()} only")
            self._turn_away(reply, b"Allow: %b\r\n" % method)
            return
        answer = self._handle(handler)
        if isinstance(answer, tuple):
            self._answer(answer)
        else:
            self._enter(Phase.ANSWERING)
            if self._transport:
                self._transport.pause_reading()
            done = partial(self._answer_later, self._request_id, self._parser.should_keep_alive())
            asyncio.ensure_future(answer).add_done_callback(done)

    # ends of a request

    def _handle(self, handler: Handler) -> Reply | Awaitable[Reply]:
        try:
            return handler(self._body, self)
        except KnownError as error:
            return known_error_reply(error)
        except Exception as error:  # noqa: BLE001 - request boundary: one bad request must not end the others
            logs.bug("request_failed", error, path=self._url.decode("latin-1"))
            return error_reply(500, "internal_error", "the sidecar failed on this request; its log says how")

    def _answer(self, reply: Reply, extra: bytes = b"") -> None:
        keep_alive = self._parser.should_keep_alive() and not self._service.closing
        if self._held and self._held.is_expecting:
            self._held.take(len(self._out), partial(_message, keep_alive=keep_alive, request_id=self._request_id))
        self._out.append(_message(reply, keep_alive=keep_alive, request_id=self._request_id, extra=extra))
        if keep_alive:
            self._enter(Phase.IDLE)
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
            logs.bug("request_failed", error, path=self._url.decode("latin-1"))
            reply = error_reply(500, "internal_error", "the sidecar failed on this request; its log says how")
        else:
            reply = done.result()
        keep_alive = keep_alive and not self._is_overtaken and not self._service.closing
        if self._held and self._held.is_expecting:
            self._held.take(0, partial(_message, keep_alive=keep_alive, request_id=request_id))
        self._out.append(_message(reply, keep_alive=keep_alive, request_id=request_id))
        if keep_alive:
            self._enter(Phase.IDLE)
            self._seen_bytes = 0
            self._send()
            if not self._is_unread and not (self._held and self._held.is_full):
                self._transport.resume_reading()
        else:
            self._drain()
            self._send()
            if not self._is_held:
                self._transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self._phase is not Phase.DRAINING:
            extra = b"WWW-Authenticate: Bearer\r\n" if status == 401 else b""
            reply = error_reply(status, code, message)
            self._out.append(_message(reply, keep_alive=False, request_id=self._request_id, extra=extra))
            self._drain()

    def _end(self) -> None:
        """Take no more requests: at once, or once the answer under way is sent."""
        if self._phase is Phase.ANSWERING:
            self._is_overtaken = True
        else:
            self._drain()

    def _drain(self) -> None:
        self._enter(Phase.DRAINING)
        self._seen_bytes = 0

    # time and shutdown

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self._service.tick

    def check_patience(self) -> None:
        """End the connection if it has been in its phase for too long."""
        patience = PATIENCE_TICKS.get(self._phase)
        if patience is None or self._service.tick - self._since <= patience or not self._transport:
            return
        if self._phase in (Phase.HEADERS, Phase.BODY):
            self._refuse(408, "timeout", f"the request did not arrive within {patience} s")
            self._send()
        elif self._transport.is_closing():
            self._transport.abort()  # asked before: the peer does not even read what is left
        else:
            self._transport.close()

    def close_when_idle(self) -> None:
        """Close now if no request is under way; otherwise its answer will say that it is the last."""
        if self._transport and self._phase in (Phase.IDLE, Phase.DRAINING) and not self._is_held:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport:
            self._transport.abort()


def _unlogged() -> Reply:
    return error_reply(503, "log_unavailable", "the decision log cannot be written: nothing is allowed unlogged")


_IN_HEAD = (Phase.IDLE, Phase.HEADERS)


def _message(reply: Reply, *, keep_alive: bool, request_id: bytes = b"", extra: bytes = b"") -> bytes:
    status, body = reply
    if type(body) is Headed:
        extra += body.lines
    head = b"%b%d\r\n%b" % (HEADS[status] if type(body) is not Text else TEXT_HEAD, len(body), extra)
    if request_id:
        head += b"X-Request-ID: %b\r\n" % request_id
    if not keep_alive:
        head += b"Connection: close\r\n"
    return b"%b\r\n%b" % (head, body)
