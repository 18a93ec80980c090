"""The request that is arriving: its head, and its body piece by piece."""

from abc import abstractmethod

from agent_sidecar.server.head import Head
from agent_sidecar.server.patience import BODY
from agent_sidecar.server.service import Service

MAX_BUFFERED_BYTES = 64 << 20
"""Of bodies in several pieces, all connections of a service together: as many as are allowed would take gigabytes."""


class ArrivingRequest(Head):
    """A request up to its last byte; httptools calls its ``on_`` methods."""

    __slots__ = ("_body", "_body_bytes", "_buffered")

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._buffered = 0

    @abstractmethod
    def _refuse(self, status: int, code: str, text: str) -> None:
        """Answer with an error, and take nothing more of this connection."""

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._phase is not BODY:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._refuse(413, "body_too_large", f"the body is larger than {self._limits.body_bytes} bytes")
        elif not self._body:
            self._body = body  # the usual case: all of it at once
        else:
            self._buffer(body)

    def _buffer(self, body: bytes) -> None:
        """Keep another piece of a body, unless those that all connections keep are too much together."""
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)  # grows in place, however small the pieces are
        self._body += body
        self._buffered += len(body)
        self._service.buffered_bytes += len(body)
        if self._service.buffered_bytes > MAX_BUFFERED_BYTES:
            self._refuse(503, "too_many_bodies", "this sidecar reads no more large bodies at once")

    def _forget_body(self) -> None:
        self._body = b""
        if self._buffered:
            self._service.buffered_bytes -= self._buffered
            self._buffered = 0
