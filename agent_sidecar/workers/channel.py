"""One end of the socket pair between primary and worker: messages in MessagePack, each with its length before it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

import msgspec

from agent_sidecar import logs

MAX_MESSAGE_BYTES = 64 << 20
_LENGTH_BYTES = 4
_encode = msgspec.msgpack.Encoder().encode


class Channel(asyncio.Protocol):
    """Sends messages in order, and hands over those that arrive; `lost` is called once, when the other end is gone.

    What is sent before it is open is not lost: it goes first.
    """

    def __init__(self, kind: Any, *, receive: Callable[[Any], None], lost: Callable[[], None]) -> None:
        """`kind` is the union of what may arrive."""
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._receive = receive
        self._lost = lost
        self._buffer = bytearray()
        self._early = bytearray()
        self._transport: asyncio.Transport | None = None
        self._is_lost = False

    async def open(self, sock: socket.socket) -> None:
        """Begin to send and receive; the channel owns the socket from now on."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=sock)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message; one to an end that is gone is lost."""
        if self._is_lost:
            return
        body = _encode(message)
        framed = len(body).to_bytes(_LENGTH_BYTES, "big") + body
        if self._transport is None:
            self._early += framed
        elif not self._transport.is_closing():
            self._transport.write(framed)

    def close(self) -> None:
        """Close this end at once."""
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)
        if self._early:
            self._transport.write(bytes(self._early))
            self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Hand over each message that is complete. An error in one is a bug: the other end is of the same version."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            begin = start + _LENGTH_BYTES
            end = begin + int.from_bytes(buffer[start:begin], "big")
            if end - begin > MAX_MESSAGE_BYTES:
                self.close()
                return
            if len(buffer) < end:
                break
            try:
                self._receive(self._decode(memoryview(bytes(buffer[begin:end]))))
            except Exception as error:  # noqa: BLE001 - process boundary
                logs.bug("message_failed", error)
                self.close()
                return
            start = end
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Tell that the other end is gone."""
        self._is_lost = True
        self._lost()
