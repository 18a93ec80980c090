"""However requests are cut into pieces and whatever waits for what: each is answered once, in order, none too early."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.server.connection import SLICE_BYTES, Connection
from agent_sidecar.server.replies import Reply
from agent_sidecar.server.service import Service
from policy_core.errors import ConflictError

REPLY = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)
KINDS = ("plain", "held", "full", "later", "held-later", "refused", "missing")
FEW = st.integers(1, 3)


@dataclass
class Disk:
    """Stands in for a log that makes records durable when a test says so, or fails to."""

    durable: int = 0
    position: int = 0
    waiting: list[tuple[int, Batch]] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)

    def write(self) -> Batch:
        self.position += 1
        self.waiting.append((self.position, Batch()))
        return self.waiting[-1][1]

    def sync(self, *, ok: bool, most: int | None = None) -> None:
        """Call those back who have waited longest, `most` of them or all."""
        waiting, self.waiting = self.waiting[:most], [] if most is None else self.waiting[most:]
        if ok:
            self.durable = max([self.durable, *(position for position, _ in waiting)])
        else:
            self.failed.update(position for position, _ in waiting)
        for _, batch in waiting:
            batch.settle(is_durable=ok)


class Wire(asyncio.Transport):
    """The server's end of a connection; what is written after it was closed is lost."""

    def __init__(self, seen: Callable[[bytes], None]) -> None:
        super().__init__()
        self._seen = seen
        self.is_paused = self.is_closed = self.has_ended = False

    def write(self, data: Any) -> None:
        assert not self.has_ended, "written after the end"
        if not self.is_closed:
            self._seen(bytes(data))

    def write_eof(self) -> None:
        self.has_ended = True

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Talk:
    """One connection, the requests that were handled, and what was replied to each."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.handled: list[int] = []
        self.positions: dict[int, int] = {}
        self.replies: list[tuple[int, bytes, bool]] = []
        sync, later = self._at_once, self._later
        handlers = {
            "plain": sync,
            "held": sync,
            "full": sync,
            "later": later,
            "held-later": later,
            "refused": self._refused,
        }
        service = Service({f"/{kind}".encode(): (b"POST", handler) for kind, handler in handlers.items()})  # type: ignore[misc]
        self.connection = Connection(service)
        self.wire = Wire(self._written)
        self.connection.connection_made(self.wire)

    def _at_once(self, body: bytes | bytearray, peer: Connection) -> Reply:
        self.handled.append(int(bytes(body)[:6]))
        if peer.target != b"/plain":
            self._hold(peer, is_full=peer.target == b"/full")
        return 200, bytes(body)[:6]

    async def _later(self, body: bytes | bytearray, peer: Connection) -> Reply:
        is_held = bytes(body)[6:7] == b"h"
        self.handled.append(int(bytes(body)[:6]))
        await asyncio.sleep(0)
        if is_held:
            self._hold(peer)
        return 200, bytes(body)[:6]

    def _refused(self, body: bytes | bytearray, _peer: Connection) -> Reply:
        self.handled.append(int(bytes(body)[:6]))
        raise ConflictError("taken", hint="wait")

    def _hold(self, peer: Connection, *, is_full: bool = False) -> None:
        batch = self.disk.write()
        self.positions[self.handled[-1]] = self.disk.position
        if is_full:  # so much is written in the middle of a turn
            self.disk.sync(ok=self.disk.position % 3 != 0)
        peer.hold(batch, lambda: (200, b'"deny"'))

    def _written(self, data: bytes) -> None:
        while data:
            head = REPLY.match(data)
            assert head, data
            length = int(head[2].partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            body, data = data[head.end() : head.end() + length], data[head.end() + length :]
            number = len(self.replies)
            if body.isdigit():
                assert self.positions.get(number, 0) <= self.disk.durable, "left before it was durable"
            self.replies.append((int(head[1]), body, b"Connection: close" in head[2]))

    async def turn(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


def spelled(number: int, kind: str, padding: int, *, is_last: bool) -> bytes:
    body = f"{number:06}{'h' if kind.startswith('held') else '-'}{'x' * padding}"
    more = "Connection: close\r\n" if is_last else ""
    path = kind.removeprefix("held-") if kind == "held-later" else kind
    return f"POST /{path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def talk(kinds: list[tuple[str, int]], *, closes: bool, half_closes: bool, data: st.DataObject) -> Talk:
    """Send requests in pieces while the disk, the peer and the event loop go on as `data` has it."""
    made = Talk()
    last = len(kinds) - 1
    sent = b"".join(
        spelled(number, kind, padding, is_last=closes and number == last)
        for number, (kind, padding) in enumerate(kinds)
    )
    step = st.sampled_from(("piece", "piece", "turn", "turn", "synced", "failed", "unread", "read"))
    while sent and not made.wire.is_closed:
        match data.draw(step):
            case "piece" if not made.wire.is_paused:
                cut = data.draw(st.integers(1, len(sent)) | st.just(len(sent)))
                piece, sent = sent[:cut], sent[cut:]
                made.connection.data_received(piece)
            case "synced":
                made.disk.sync(ok=True, most=data.draw(FEW))
            case "failed":
                made.disk.sync(ok=False, most=data.draw(FEW))
            case "unread":
                made.connection.pause_writing()
            case "read":
                made.connection.resume_writing()
            case _:
                await made.turn()
                if made.wire.is_paused:
                    made.connection.resume_writing()
                    made.disk.sync(ok=True)
    await finish(made, half_closes=half_closes, first_ok=data.draw(st.booleans()))
    return made


async def finish(made: Talk, *, half_closes: bool, first_ok: bool) -> None:
    """Let everything go on until nothing waits any more."""
    is_open = True
    for number in range(50):
        made.connection.resume_writing()
        await made.turn()
        if half_closes and is_open and not (made.wire.is_paused or made.wire.is_closed):
            is_open = False
            if not made.connection.eof_received():
                made.wire.close()
        made.disk.sync(ok=first_ok or number > 1)


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from((0, 0, 0, 40, SLICE_BYTES))), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_each_request_is_answered_once_in_order_and_none_too_early(
    kinds: list[tuple[str, int]], closes: bool, half_closes: bool, data: st.DataObject
) -> None:
    made = asyncio.run(talk(kinds, closes=closes, half_closes=half_closes, data=data))

    for number, (status, body, is_last) in enumerate(made.replies):
        kind = kinds[number][0]
        if kind == "missing":
            assert status == 404
        elif kind == "refused":
            assert status == 409
        else:
            is_denied = made.positions.get(number) in made.disk.failed
            assert (status, body) == (200, b'"deny"' if is_denied else f"{number:06}".encode())
        assert not is_last or number == len(made.replies) - 1
    answered = [number for number in range(len(made.replies)) if kinds[number][0] != "missing"]
    assert made.handled == answered
    is_told = made.replies[-1][2]
    assert is_told or len(made.replies) == len(kinds)
    assert not closes or is_told
    if half_closes:
        assert made.wire.is_closed
