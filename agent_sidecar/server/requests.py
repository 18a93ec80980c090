"""From bytes to requests: parsed by httptools, or taken without it where the head is one that it has read before."""

from abc import abstractmethod

import httptools

from agent_sidecar.server.arriving import ArrivingRequest
from agent_sidecar.server.heads import END, ReadHead
from agent_sidecar.server.patience import ANSWERING, BODY, DRAINING, HEADERS, IDLE, OPENING, Phase
from agent_sidecar.server.replies import INTERNAL_ERROR, Reply
from agent_sidecar.server.service import Service

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Requests(ArrivingRequest):
    """The requests of one connection, one after the other; httptools calls the ``on_`` methods."""

    __slots__ = ("_is_overtaken", "_out", "_seen_bytes", "_since", "_unlearned", "_unparsed")

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._since = service.tick
        self._seen_bytes = 0
        self._out: list[bytes] = []  # what is to be sent
        self._unparsed = b""  # a known head that the parser sees only if its body does not come in one piece
        self._unlearned: tuple[bytes, ReadHead] | None = None  # a head that came by itself, until it is answered
        self._is_overtaken = False  # something has come that makes the answer under way the last

    @abstractmethod
    def _respond(self) -> None:
        """Have the request answered that has arrived as a whole."""

    @abstractmethod
    def _failed(self, error: BaseException) -> Reply:
        """Log a bug that a request has met, and return what is replied."""

    def _take_requests(self, data: bytes) -> None:
        """Take requests, or a part of one, from bytes; their answers are in `_out`, or follow."""
        if self._phase in BETWEEN:
            self._begin(data)
        elif self._unparsed:
            self._go_on_with(data)
        else:
            self._parse(data)
            if self._unlearned and self._phase is not BODY:
                unlearned, self._unlearned = self._unlearned, None
                self._learn(*unlearned)

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
        goes_on = head is self._head and head.keep_alive and self._phase in _TAKEN and not self._is_overtaken
        if goes_on and head.is_plain and head.body_bytes == self._body_bytes:
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
        self._complete()

    def _complete(self) -> None:
        """Have the request answered; a bug ends the connection, and is not taken for a bad request by the parser."""
        try:
            self._respond()
        except Exception as error:  # noqa: BLE001 - request boundary
            self._failed(error)
            self._refuse(*INTERNAL_ERROR)

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

    # what httptools calls

    def on_message_begin(self) -> None:
        """Begin a request, unless this connection takes no more of them."""
        if self._phase in BETWEEN:
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
            self._complete()

    # phases

    def _end(self) -> None:
        """Take no more requests: at once, or once the answer under way is sent."""
        if self._phase is ANSWERING:
            self._is_overtaken = True
        else:
            self._drain()

    def _drain(self) -> None:
        self._enter(DRAINING)
        self._seen_bytes = 0

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self._service.tick
        if self._body and (phase is IDLE or phase is DRAINING):
            self._forget_body()


BETWEEN = (IDLE, OPENING)
_IN_HEAD = (*BETWEEN, HEADERS)
_TAKEN = (IDLE, ANSWERING)
"""A request has arrived as a whole; the connection goes on, unless it is overtaken."""
