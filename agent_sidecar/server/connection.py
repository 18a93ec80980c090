"""HTTP/1.1 for decisions: parsed by httptools, answered in the event loop, bounded in every direction.

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
from agent_sidecar.server.arriving import ArrivingRequest
from agent_sidecar.server.heads import END, ReadHead
from agent_sidecar.server.holding import HeldReplies, Instead
from agent_sidecar.server.patience import ANSWERING, BODY, DRAINING, HEADERS, IDLE, OPENING, Phase
from agent_sidecar.server.replies import Reply, error_reply, known_error_reply, message
from agent_sidecar.server.service import Handler, Service
from policy_core.errors import KnownError

MAX_DRAINED_BYTES = 16 << 20
SLICE_BYTES = 16 << 10
"""How much of what one peer has sent is answered before others get their turn: some hundred small requests at most."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_PLACE = object()


class Connection(ArrivingRequest, asyncio.Protocol):
    """One connection; httptools calls the ``on_`` methods while `data_received` feeds it."""

    __slots__ = (
        "_backlog", "_has_ended", "_held", "_is_due", "_is_overtaken", "_is_refused", "_is_unread", "_out",
        "_place", "_seen_bytes", "_since", "_transport", "_unlearned",
        "_unparsed",
    )  # fmt: skip

    def __init__(self, service: Service, *, place: object = _NO_PLACE) -> None:
        """`place` is in whose share of the connections this one has been counted already, if it has."""
        super().__init__(service)
        self._transport: asyncio.Transport | None = None
        self._since = service.tick
        self._place = place
        self._out: list[bytes] = []
        self._held: HeldReplies | None = None
        self._seen_bytes = 0
        self._backlog = b""  # has arrived, and waits until others have had their turn
        self._is_due = False  # others have their turn, and then the backlog is looked at
        self._unparsed = b""  # a known head that the parser sees only if its body does not come in one piece
        self._unlearned: tuple[bytes, ReadHead] | None = None  # a head that came by itself, until it is answered
        self._is_overtaken = False  # more than one request has come while an answer is under way
        self._is_unread = False  # the peer does not read its answers
        self._has_ended = False  # the peer sends nothing more
        self._is_refused = False  # the peer may still be sending what nobody will look at

    def hold(self, batch: Batch, instead: Instead) -> None:
        """Let the reply to the present request leave once a batch of the log is durable, and otherwise `instead`."""
        if self._transport is None:
            return  # the peer is gone, and nothing leaves
        if self._held is None:
            self._held = HeldReplies(self)
        self._held.expect(batch, instead)

    @property
    def _is_held(self) -> bool:
        return self._held is not None and self._held.is_any

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away: who may not come in, and if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
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
        if self._held:
            self._held.clear()
            self._held = None  # it refers to this connection, as the parser does
        self._backlog = b""
        self._forget_body()
        self.leave()
        del self._parser  # it refers to this connection; without the cycle both go at once

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
        if self._transport:
            self._transport.pause_reading()
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
            self._read_on()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take_slice)

    def _read_on(self) -> None:
        """Read again, if nothing is in the way of that."""
        if self._transport and not (self._is_stopped or self._backlog or self._phase is ANSWERING):
            self._transport.resume_reading()

    @property
    def _is_stopped(self) -> bool:
        """Tell whether no more requests are answered for now: their answers could not leave."""
        return self._is_unread or (self._held is not None and self._held.is_full)

    def _take(self, data: bytes) -> None:
        """Take requests from bytes; answers of all those completed by them leave in one write."""
        self._seen_bytes += len(data)
        if self._phase is DRAINING:
            if self._seen_bytes > MAX_DRAINED_BYTES:
                self.abort()
            return
        if self._phase in _BETWEEN:
            self._begin(data)
        elif self._unparsed:
            self._go_on_with(data)
        else:
            self._parse(data)
            if self._unlearned and self._phase is not BODY:
                unlearned, self._unlearned = self._unlearned, None
                self._learn(*unlearned)
        self._send()

    def _begin(self, data: bytes) -> None:
        """Take bytes that come between requests: without the parser, if they have a head that it has read before.

        What follows the head is then its body, or nothing as yet.
        """
        service = self._service
        end = data.find(END) + len(END)  # not found: some bytes that are no head
        follow = len(data) - end
        known = service.heads.get(data[:end])
        if known is not None and (known.body_bytes == follow or not follow):
            if self._take_head(known):
                if known.body_bytes == follow:
                    self._take_body(data[end:])
                else:
                    self._unparsed = data
                    self._bound()
            return
        before = service.requests
        self._parse(data)
        if service.requests == before + 1 and self._body_bytes == follow:
            self._learn(data[:end], self._head)
        elif self._phase is BODY and self._head.is_plain and not follow:
            self._unlearned = data, self._head

    def _learn(self, raw: bytes, head: ReadHead) -> None:
        """Remember a head whose request the parser has read, if that went the usual way to its end."""
        is_answered = head is self._head and head.keep_alive and self._phase in _TAKEN
        if is_answered and head.is_plain and head.body_bytes == self._body_bytes:
            self._service.heads.learn(raw, head)

    def _go_on_with(self, data: bytes) -> None:
        """Take what follows a known head that came by itself: all of the body, or else all goes to the parser."""
        head, self._unparsed = self._unparsed, b""
        if len(data) == self._head.body_bytes:
            self._take_body(data)
        else:
            self._parse(head + data)  # of the head it changes nothing: that has been taken

    def _take_head(self, head: ReadHead) -> bool:
        """Begin a request that the parser does not see, and tell whether it goes on: for the parser none has begun."""
        self._phase = BODY
        self._since = self._service.tick
        self._begin_head(head)
        self._body_bytes = 0
        flaw = self._flaw()
        if flaw:
            self._refuse(*flaw)
        return not flaw

    def _take_body(self, body: bytes) -> None:
        self._body = body
        try:
            self._respond()
        except Exception as error:  # noqa: BLE001 - as much as the parser catches where it calls
            self._failed(error)
            self._refuse(*_FAILURE)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end()  # answered as HTTP/1.1; what follows would be in another protocol
        except httptools.HttpParserError as error:
            if self._phase is ANSWERING:
                self._end()
            else:
                self._refuse(400, "bad_request", f"not an HTTP request: {error}")
        self._bound()

    def _bound(self) -> None:
        """Refuse a request of which too much has arrived."""
        limits = self._limits
        if self._phase in _IN_HEAD and self._seen_bytes > limits.header_bytes:
            self._refuse(431, "headers_too_large", f"headers are larger than {limits.header_bytes} bytes")
        elif self._phase is BODY and self._seen_bytes > limits.request_bytes:
            self._refuse(413, "body_too_large", f"the request is larger than {limits.request_bytes} bytes")

    def _send(self) -> None:
        if self._transport and self._out:
            is_last = self._phase is DRAINING
            if self._held and self._held.is_any:
                out, self._out = self._out, []
                self._held.queue(out, is_last=is_last)
                if self._held.is_full:
                    self._transport.pause_reading()
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

    def let_go(self, messages: list[bytes], *, is_last: bool) -> None:
        """Send what was held back, and do what had to wait for that."""
        if not self._transport or self._transport.is_closing():
            return
        self._transport.write(b"".join(messages))
        if is_last:
            self._finish()
        elif not self._is_held:
            if self._has_ended or (self._phase is IDLE and self._service.closing):
                self._transport.close()
            else:
                self._look_again()

    def eof_received(self) -> bool:
        """Close our side too, once a peer that half-closes has what is held back for it; TLS has no half of a close."""
        self._has_ended = True
        return self._is_held and self._transport is not None and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read its answers."""
        self._is_unread = True
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._is_unread = False
        self._look_again()

    # what httptools calls

    def on_message_begin(self) -> None:
        """Begin a request, unless this connection takes no more of them."""
        if self._phase in _BETWEEN:
            self._enter(HEADERS)
            self._begin_head(ReadHead())
            self._body_bytes = 0
        self._is_overtaken = self._phase is ANSWERING

    def on_headers_complete(self) -> None:
        """Refuse early what will not be answered, before its body is read."""
        if self._phase is not HEADERS:
            return
        self._enter(BODY)
        head = self._head
        head.method = self._parser.get_method()
        if head.host is None:
            head.is_ambiguous = self._parser.get_http_version() != "1.0"
        flaw = self._flaw()
        if flaw:
            self._refuse(*flaw)
        elif head.expects_continue:
            self._out.append(_CONTINUE)

    def on_message_complete(self) -> None:
        """Answer the request."""
        if self._phase is BODY:
            self._head.keep_alive = self._parser.should_keep_alive()
            self._respond()

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
            if self._transport:
                self._transport.pause_reading()
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
        return error_reply(*_FAILURE)

    def _answer(self, reply: Reply, extra: bytes = b"") -> None:
        keep_alive = self._head.keep_alive and not self._service.closing
        if self._held:
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
        if self._held:
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

    def _end(self) -> None:
        """Take no more requests: at once, or once the answer under way is sent."""
        if self._phase is ANSWERING:
            self._is_overtaken = True
        else:
            self._drain()

    def _drain(self) -> None:
        self._enter(DRAINING)
        self._seen_bytes = 0

    # time and shutdown

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self._service.tick
        if self._body and (phase is IDLE or phase is DRAINING):
            self._forget_body()

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
        if self._transport and self._phase in (*_BETWEEN, DRAINING) and not self._is_held:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport:
            self._transport.abort()


_FAILURE = (500, "internal_error", "the sidecar failed on this request; its log says how")
_NO_MORE = error_reply(503, "too_many_connections", "this sidecar serves no more connections at once")


_BETWEEN = (IDLE, OPENING)
_IN_HEAD = (*_BETWEEN, HEADERS)
_TAKEN = (IDLE, ANSWERING)
"""A request has arrived as a whole, and the connection goes on."""
