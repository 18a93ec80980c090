"""The head of a request: what is read before its body, and why one is refused without reading that.

Nothing in a trailer, or in a request that comes while another is answered, changes what the head said.
"""

from typing import NamedTuple

import httptools

from agent_sidecar.access.hosts import as_host, host_of
from agent_sidecar.access.limits import Limits
from agent_sidecar.access.tokens import digest_of
from agent_sidecar.server.caller import UNKNOWN, Caller
from agent_sidecar.server.heads import ReadHead
from agent_sidecar.server.patience import HEADERS, IDLE, OPENING
from agent_sidecar.server.service import Service

MAX_REQUEST_ID_CHARS = 128
_MEANT = frozenset({
    b"x-request-id", b"authorization", b"expect", b"transfer-encoding", b"content-length", b"origin", b"connection",
    b"upgrade", b"traceparent",
})  # fmt: skip


class Flaw(NamedTuple):
    """Why a request is refused: status, code and message."""

    status: int
    code: str
    message: str


class Head:
    """The head of the request that has just arrived; httptools calls its ``on_`` methods."""

    __slots__ = (
        "_address", "_asker", "_entrance", "_head", "_keeps", "_known", "_limits", "_parser", "_phase", "_service",
    )  # fmt: skip

    _parser: httptools.HttpRequestParser

    def __init__(self, service: Service) -> None:
        self._service = service
        self._entrance = service.entrance
        self._limits: Limits = service.limits
        self._keeps = service.kept_headers
        self._phase = OPENING if service.entrance.must_hurry else IDLE
        self._known: Caller | None = None
        self._asker: Caller | None = None
        self._address = b""
        self._head = ReadHead()

    @property
    def caller(self) -> Caller:
        """Return who asks, as far as the connection or a token proves it."""
        return self._asker or UNKNOWN

    @property
    def request_id(self) -> bytes:
        """Return the X-Request-ID of the request that has just arrived, empty if it has none."""
        return self._head.request_id

    @property
    def method(self) -> bytes:
        """Return the method of the request that has just arrived."""
        return self._head.method

    @property
    def target(self) -> bytes:
        """Return its target: path and query, as they were sent."""
        return self._head.url

    @property
    def kept_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return its headers that the service keeps, in the order they were sent."""
        return self._head.kept

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        if self._phase is HEADERS:
            self._head.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that mean something here."""
        if self._phase is not HEADERS:
            return
        head = self._head
        head.headers += 1
        head.header_bytes += len(name) + len(value)
        name = name.lower()
        if name == b"host":
            head.is_ambiguous = head.host is not None
            head.host = host_of(value) or b""
        elif name in _MEANT:
            _note(head, name, value)
        if name in self._keeps:
            head.kept += ((name, value),)

    def _begin_head(self, head: ReadHead) -> None:
        """Begin a request with a head that is about to be read, or has been read before."""
        self._head = head
        self._asker = self._known

    def _come_to(self, address: object) -> None:
        """Note the address of ours that a peer connected to: a request may be for that."""
        self._address = as_host(str(address[0])) if isinstance(address, tuple) and address else b""

    def _flaw(self) -> Flaw | None:
        """Return why the head that has just been read is refused, the first of several reasons; else None."""
        head, limits = self._head, self._limits
        if head.header_bytes + len(head.url) > limits.header_bytes or head.headers > limits.headers:
            return Flaw(
                431, "headers_too_large",
                f"more than {limits.headers} headers or {limits.header_bytes} bytes of them",
            )  # fmt: skip
        if head.is_ambiguous:
            return Flaw(400, "bad_request", "Host is missing, or there twice")
        if head.url[:1] != b"/":
            return Flaw(400, "bad_request", "the target is no path: this is no proxy")
        if self._entrance.hosts is not None:
            found = self._flaw_of_origin(self._entrance.hosts) or self._flaw_of_asker()
            if found:
                return found
        if head.is_encoded:
            return Flaw(400, "bad_request", "a body may be chunked, and is not decoded otherwise")
        if head.body_bytes > limits.body_bytes:
            return Flaw(413, "body_too_large", f"the body is larger than {limits.body_bytes} bytes")
        return None

    def _flaw_of_origin(self, hosts: frozenset[bytes]) -> Flaw | None:
        """Tell a page that a browser shows under another name from a program that means this host."""
        head = self._head
        if head.url.startswith(self._service.about_others):
            return None
        host = head.host
        if host is not None and (not host or (host not in hosts and host != self._address)):
            return Flaw(421, "other_host", "the request is for another host: hosts lists the names of this one")
        if not self._entrance.origins.issuperset(head.origins):
            return Flaw(403, "other_origin", "a web page asks: origins lists those that may")
        return None

    def _flaw_of_asker(self) -> Flaw | None:
        tokens, shown = self._entrance.tokens, self._head.authorization
        if tokens and shown is not None:
            self._asker = tokens.caller(shown)
        if self._asker is None:
            self._entrance.refused += 1
            how = (
                "send a token as Authorization: Bearer" if tokens else "the certificate of this connection names nobody"
            )
            return Flaw(401, "unauthorised", how)
        return None


def _note(head: ReadHead, name: bytes, value: bytes) -> None:
    if name == b"content-length":
        head.body_bytes = int(value[:20]) if value.isdigit() else 0  # the parser refuses what is no number
        head.is_plain = head.is_plain and value.isdigit() and len(value) <= 20
    elif name == b"authorization":
        head.authorization = digest_of(value) if head.authorization is None else b""  # of two, neither counts
    elif name == b"origin":
        head.origins += (value,)
    elif name == b"connection":
        head.is_plain = head.is_plain and value.lower() == b"keep-alive"
    else:
        head.is_plain = False
        if name == b"x-request-id":
            if len(value) <= MAX_REQUEST_ID_CHARS and value.isascii() and value.decode("ascii").isprintable():
                head.request_id = value
        elif name == b"expect":
            head.expects_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            head.is_encoded = head.is_encoded or value.lower() != b"chunked"
