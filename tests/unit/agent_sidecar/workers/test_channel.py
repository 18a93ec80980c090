"""Messages between processes: whole, in order, however they are cut on their way; the end of one side is noticed."""

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from agent_sidecar.workers.channel import MAX_MESSAGE_BYTES, Channel
from agent_sidecar.workers.messages import Adjust, Decided, Done, Load, ToWorker
from policy_core.decision import Answer, refusal
from policy_core.trust.release import Release

RELEASE = Release(
    channel="prod", release=7, revision="0" * 40, action="publish", reason="why", actor="ana", name="acme",
    sha256="1" * 64, length=1, content_sha256="2" * 64, policy_sha256="3" * 64, reviewed_by=("bo",),
)  # fmt: skip


class Ends:
    """Both ends of a pair; what the worker's end got, and whether it knows that the other is gone."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.lost = asyncio.Event()
        self.more = asyncio.Event()
        self.ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self.worker = Channel(ToWorker, receive=self._receive, lost=self.lost.set)

    async def open(self) -> "Ends":
        await self.worker.open(self._theirs)
        return self

    def _receive(self, message: Any) -> None:
        self.got.append(message)
        self.more.set()

    async def wait_for(self, count: int) -> list[Any]:
        while len(self.got) < count:
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), 5)
        return self.got


def framed(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("pieces", [1, 3, 1_000_000])
def test_messages_arrive_whole_and_in_order_however_they_are_cut(pieces: int) -> None:
    sent: list[Any] = [Load(1, RELEASE), Decided(2, refusal("x", "y")), Decided(3, None), Adjust("token", b"\0")]

    async def run() -> list[Any]:
        ends = await Ends().open()
        stream = b"".join(map(framed, sent))
        step = max(1, len(stream) // pieces)
        for start in range(0, len(stream), step):
            ends.ours.sendall(stream[start : start + step])
            await asyncio.sleep(0)
        got = await ends.wait_for(len(sent))
        ends.worker.close()
        ends.ours.close()
        return got

    assert asyncio.run(run()) == sent


@pytest.mark.parametrize("stream", [framed(Done(1)), b"\xff\xff\xff\xff", b"\0\0\0\1\xc1"])
def test_what_is_no_message_for_this_end_ends_the_channel(stream: bytes) -> None:
    assert int.from_bytes(b"\xff\xff\xff\xff", "big") > MAX_MESSAGE_BYTES

    async def run() -> list[Any]:
        ends = await Ends().open()
        ends.ours.sendall(stream)
        await asyncio.wait_for(ends.lost.wait(), 5)
        ends.ours.close()
        return ends.got

    assert asyncio.run(run()) == []


def test_the_end_of_the_other_side_is_noticed_and_later_messages_are_lost() -> None:
    async def run() -> None:
        ends = await Ends().open()
        ends.ours.close()
        await asyncio.wait_for(ends.lost.wait(), 5)
        ends.worker.send(Done(1))

    asyncio.run(run())


def test_what_is_sent_before_a_channel_opens_arrives_first() -> None:
    async def run() -> bytes:
        ends = Ends()
        ends.worker.send(Done(1))
        opening = asyncio.get_running_loop().create_task(ends.open())
        ends.worker.send(Done(2))
        await opening
        ends.worker.send(Done(3))
        await asyncio.sleep(0)
        ends.worker.close()
        with ends.ours:
            return ends.ours.recv(1_000)

    assert asyncio.run(run()) == b"".join(framed(Done(number)) for number in (1, 2, 3))


def test_answers_survive_the_way() -> None:
    answer = Answer(decision="throttle", allowed=False, reason_code="x", constraints={"max": 1}, retry_after_s=0.5)  # type: ignore[arg-type]

    back = msgspec.msgpack.decode(msgspec.msgpack.encode(Decided(1, answer)), type=ToWorker)

    assert back.answer == answer
