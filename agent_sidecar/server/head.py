"""The head of a request: what is read before its body, and why one is refused without reading that.

Nothing in a trailer, or in a request that comes while another is answered, changes what the head said.
"""

from typing import NamedTuple

import httptools

from agent_sidecar.access.hosts import as_host, host_of
from agent_sidecar.access.limits import Limits
from agent_sidecar.server.caller import UNKNOWN, Caller
from agent_sidecar.server.patience import Phase
from agent_sidecar.server.service import Service

MAX_REQUEST_ID_CHARS = 128
_MEANT = frozenset({
    b"x-request-id", b"authorization", b"expect", b"transfer-encoding", b"content-length", b"origin",
})  # fmt: skip
_HEADERS = Phase.HEADERS  # looked up for each header


class Flaw(NamedTuple):
    """Why a request is refused: status, code and message."""

    status: int
    code: str
    message: str


class Head:
    """The head of the request that has just arrived; httptools calls its ``on_`` methods."""

    __slots__ = (
        "_address", "_asker", "_authorization", "_body_bytes", "_entrance", "_expects_continue", "_head_bytes",
        "_headers", "_host", "_is_ambiguous", "_is_encoded", "_is_foreign", "_keeps", "_kept", "_known", "_limits",
        "_parser", "_phase", "_request_id", "_service", "_url",
    )  # fmt: skip

    def __init__(self, service: Service) -> None:
        self._service = service
        self._entrance = service.entrance
        self._limits: Limits = service.limits
        self._keeps = service.kept_headers
        self._parser = httptools.HttpRequestParser(self)
        self._phase = Phase.OPENING if service.entrance.must_hurry else Phase.IDLE
        self._known: Caller | None = None
        self._host: bytes | None
        self._authorization: bytes | None
        self._is_encoded: bool
        self._address = b""
        self._reset_head()

    @property
    def caller(self) -> Caller:
        """Return who asks, as far as the connection or a token proves it."""
        return self._asker or UNKNOWN

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

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        if self._phase is _HEADERS:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that mean something here."""
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        name = name.lower()
        if self._phase is not _HEADERS:
            return
        if name == b"host":
            self._is_ambiguous = self._host is not None
            self._host = value
        elif name in _MEANT:
            self._note(name, value)
        if name in self._keeps:
            self._kept += ((name, value),)

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if value.isdigit() and int(value[:20]) > self._limits.body_bytes:
                self._body_bytes = self._limits.body_bytes + 1
        elif name == b"x-request-id":
            if len(value) <= MAX_REQUEST_ID_CHARS and value.isascii() and value.decode("ascii").isprintable():
                self._request_id = value
        elif name == b"authorization":
            self._authorization = value if self._authorization is None else b""  # of two, neither counts
        elif name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            self._is_encoded = self._is_encoded or value.lower() != b"chunked"
        elif value not in self._entrance.origins:
            self._is_foreign = True

    def _reset_head(self) -> None:
        self._url = b""
        self._headers = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._request_id = b""
        self._kept: tuple[tuple[bytes, bytes], ...] = ()
        self._asker = self._known
        self._authorization = None
        self._host = None
        self._is_ambiguous = False
        self._is_foreign = False
        self._expects_continue = False
        self._is_encoded = False

    def _come_to(self, address: object) -> None:
        """Note the address of ours that a peer connected to: a request may be for that."""
        self._address = as_host(str(address[0])) if isinstance(address, tuple) and address else b""

    def _flaw(self) -> Flaw | None:
        """Return why the head that has just been read is refused, the first of several reasons; else None."""
        limits = self._limits
        if self._head_bytes + len(self._url) > limits.header_bytes or self._headers > limits.headers:
            return Flaw(
                431, "headers_too_large",
                f"more than {limits.headers} headers or {limits.header_bytes} bytes of them",
            )  # fmt: skip
        if self._is_ambiguous or (self._host is None and self._parser.get_http_version() != "1.0"):
            return Flaw(400, "bad_request", "Host is missing, or there twice")
        if self._url[:1] != b"/":
            return Flaw(400, "bad_request", "the target is no path: this is no proxy")
        if self._entrance.hosts is not None:
            found = self._flaw_of_origin(self._entrance.hosts) or self._flaw_of_asker()
            if found:
                return found
        if self._is_encoded:
            return Flaw(400, "bad_request", "a body may be chunked, and is not decoded otherwise")
        if self._body_bytes > limits.body_bytes:
            return Flaw(413, "body_too_large", f"the body is larger than {limits.body_bytes} bytes")
        return None

    def _flaw_of_origin(self, hosts: frozenset[bytes]) -> Flaw | None:
        """Tell a page that a browser shows under another name from a program that means this host."""
        if self._url.startswith(self._service.about_others):
            return None
        if self._host is not None:
            name = host_of(self._host)
            if name is None or (name not in hosts and name != self._address):
                return Flaw(421, "other_host", "the request is for another host: hosts lists the names of this one")
        if self._is_foreign:
            return Flaw(403, "other_origin", "a web page asks: origins lists those that may")
        return None

    def _flaw_of_asker(self) -> Flaw | None:
        tokens = self._entrance.tokens
        if tokens and self._authorization is not None:
            self._asker = tokens.caller(self._authorization)
        if self._asker is None:
            self._entrance.refused += 1
            how = (
                "send a token as Authorization: Bearer" if tokens else "the certificate of this connection names nobody"
            )
            return Flaw(401, "unauthorised", how)
        return None
