"""Asks a sidecar over its decision socket, within a time limit for all of it; whatever goes wrong is `Unanswered`.

A request is sent once: whether it was counted, or its grants were spent, cannot be known of one that got no answer.
"""

import asyncio
import contextlib
import socket
import time
from pathlib import Path

import msgspec

from agent_sidecar.client.owners import OwnerError, Owners, check_peer
from policy_core.decision import Answer
from policy_core.model import GRANTING
from policy_core.request import RequestError

MAX_HEAD_BYTES = 16 << 10
MAX_REPLY_BYTES = 16 << 20
MAX_IDLE = 8
_CHUNK = 1 << 16
_RETRY_S = 0.005
_HEAD = (
    b"POST /access/v1/evaluation HTTP/1.1\r\nHost: writ\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


class Unanswered(Exception):  # noqa: N818 - an outcome: the caller turns it into a deny
    """There is no answer that could be believed; the text says why."""


class _Evaluation(msgspec.Struct):
    decision: bool
    context: Answer


class SidecarSocket:
    """The decision socket of one sidecar; safe to use from any thread and any event loop."""

    def __init__(self, path: Path, owners: Owners, *, timeout_s: float) -> None:
        """`owners` are whose process may answer."""
        self.path = path
        self._owners = owners
        self._timeout_s = timeout_s
        self._idle: list[socket.socket] = []

    def ask(self, body: bytes) -> Answer:
        """Return the answer to an encoded request. Raises Unanswered, and RequestError for a wrong shape."""
        deadline = time.monotonic() + self._timeout_s
        try:
            sock = self._reused() or self._connected(deadline)
        except OSError as error:
            raise self._unanswered(error) from error
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(sock.close)
            try:
                status, reply, is_kept = self._exchanged(sock, _HEAD % len(body) + body, deadline)
            except OSError as error:
                raise self._unanswered(error) from error
            if is_kept and len(self._idle) < MAX_IDLE:
                cleanup.pop_all()
                self._idle.append(sock)
        return _answer_of(status, reply)

    async def ask_async(self, body: bytes) -> Answer:
        """Return what `ask` does, holding up no event loop (asyncio's, or uvloop)."""
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._opened()
                try:
                    writer.write(_HEAD % len(body) + body)
                    status, length, _ = _parsed(await reader.readuntil(b"\r\n\r\n"))
                    reply = await reader.readexactly(length)
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except (OSError, OwnerError, EOFError, asyncio.LimitOverrunError) as error:  # TimeoutError is an OSError
            raise self._unanswered(error) from error
        return _answer_of(status, reply)

    def forget(self) -> None:
        """Let go of idle connections: those of a parent process are not ours to use."""
        idle, self._idle = self._idle, []
        for sock in idle:
            sock.close()

    def _reused(self) -> socket.socket | None:
        """Return an idle connection that the sidecar has not ended."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread was quicker
                sock = self._idle.pop()
                if _is_open(sock):
                    return sock
                sock.close()
        return None

    def _connected(self, deadline: float) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(sock.close)
            while True:
                sock.settimeout(_left(deadline))
                try:
                    sock.connect(str(self.path))
                    break
                except BlockingIOError:  # more callers wait than the kernel has room for
                    time.sleep(_RETRY_S)
            try:
                check_peer(sock, self._owners, str(self.path))
            except OwnerError as error:
                raise Unanswered(error.message) from error
            cleanup.pop_all()
        return sock

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection. It is there at once or refused; asyncio would take a full queue for a connection."""
        with contextlib.ExitStack() as cleanup:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            cleanup.callback(sock.close)
            sock.setblocking(False)
            while True:
                try:
                    sock.connect(str(self.path))
                    break
                except BlockingIOError:  # more callers wait than the kernel has room for
                    await asyncio.sleep(_RETRY_S)
            check_peer(sock, self._owners, str(self.path))
            opened = await asyncio.open_unix_connection(sock=sock, limit=MAX_HEAD_BYTES)
            cleanup.pop_all()
        return opened

    def _exchanged(self, sock: socket.socket, message: bytes, deadline: float) -> tuple[int, bytes, bool]:
        """Send a request and return status, body, and whether the connection may be used again."""
        sock.settimeout(_left(deadline))
        sock.sendall(message)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > MAX_HEAD_BYTES:
                raise Unanswered(f"{self.path}: not a sidecar: its reply has no end of headers")
            _receive(sock, received, deadline)
        status, length, is_kept = _parsed(bytes(received[: end + 4]))
        while len(received) < end + 4 + length:
            _receive(sock, received, deadline)
        return status, bytes(received[end + 4 : end + 4 + length]), is_kept

    def _unanswered(self, error: Exception) -> Unanswered:
        if isinstance(error, TimeoutError):
            return Unanswered(f"{self.path}: no answer within {self._timeout_s:g} s")
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return Unanswered(f"{self.path}: no sidecar answers there")
        if isinstance(error, OwnerError):
            return Unanswered(error.message)
        return Unanswered(f"{self.path}: the sidecar broke off: {error}")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _is_open(sock: socket.socket) -> bool:
    """Tell whether nothing came over an idle connection, not even its end."""
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _receive(sock: socket.socket, received: bytearray, deadline: float) -> None:
    sock.settimeout(_left(deadline))
    chunk = sock.recv(_CHUNK)
    if not chunk:
        raise ConnectionResetError("it closed the connection")
    received += chunk


def _parsed(head: bytes) -> tuple[int, int, bool]:
    """Return status, length of the body and whether the connection stays open, of a reply as a sidecar writes it."""
    first, *lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    try:
        protocol, status = first.split(b" ")[:2]
        numbers = int(status), int(fields[b"content-length"])
    except (ValueError, KeyError) as error:
        raise Unanswered(_FOREIGN) from error
    if protocol != b"http/1.1" or not 0 <= numbers[1] <= MAX_REPLY_BYTES:
        raise Unanswered(_FOREIGN)
    return *numbers, fields.get(b"connection", b"").strip() != b"close"


def _answer_of(status: int, reply: bytes) -> Answer:
    if status in (400, 413):
        raise RequestError(_message(reply))
    if status != 200:
        raise Unanswered(f"the sidecar refused: {_message(reply)} (status {status})")
    try:
        evaluation = msgspec.json.decode(reply, type=_Evaluation)
    except (ValueError, RecursionError) as error:
        raise Unanswered(f"not a sidecar: its reply is no answer: {error}") from error
    answer = evaluation.context
    if not evaluation.decision is answer.allowed is (answer.decision in GRANTING):
        raise Unanswered("not a sidecar: its reply contradicts itself")
    return answer


def _message(reply: bytes) -> str:
    try:
        found = msgspec.json.decode(reply)
    except (ValueError, RecursionError):
        return "it does not say why"
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        found = found["error"].get("message")
    return found if isinstance(found, str) else "it does not say why"


_FOREIGN = "not a sidecar: its reply is not in the form of one"
