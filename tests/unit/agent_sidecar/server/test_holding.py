"""Replies that wait for the disk: in order, each connection for itself, and denied if the disk will not have them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.server.connection import SLICE_BYTES, Connection
from agent_sidecar.server.holding import MAX_HELD
from agent_sidecar.server.listening import listen_unix
from agent_sidecar.server.replies import Reply
from agent_sidecar.server.service import Routes, Service

NO_MORE: Routes = {}


class Disk:
    """Stands in for a log: whoever waits is called when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Batch] = []
        self.position = 0
        self.is_full = False

    def write(self) -> Batch:
        self.position += 1
        batch = Batch()
        self.waiting.append(batch)
        if self.is_full:  # so much is written before the turn ends
            self.sync()
        return batch

    def sync(self, *, ok: bool = True) -> None:
        waiting, self.waiting = self.waiting, []
        for batch in waiting:
            batch.settle(is_durable=ok)


class Server:
    """A server whose decisions wait for a disk."""

    def __init__(self, path: Path, more: Routes) -> None:
        self.path = path
        self.disk = Disk()
        self.clients: list[Client] = []
        self.service = Service(
            {
                b"/decide": (b"POST", self._decide),
                b"/later": (b"POST", self._later),
                b"/status": (b"GET", lambda _body, _peer: (200, b'"status"')),
                **more,
            }
        )

    def _decide(self, body: bytes | bytearray, peer: Connection) -> Reply:
        peer.hold(self.disk.write(), lambda: (200, b'"denied"'))
        return 200, bytes(body)

    async def _later(self, body: bytes | bytearray, peer: Connection) -> Reply:
        await asyncio.sleep(0)
        peer.hold(self.disk.write(), lambda: (200, b'"denied"'))
        return 200, bytes(body)

    async def client(self) -> "Client":
        self.clients.append(Client(*await asyncio.open_unix_connection(self.path, limit=1 << 20)))
        return self.clients[-1]


class Client:
    """One connection; bodies of replies as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, *requests: tuple[str, str], more: str = "") -> None:
        self._writer.write(
            b"".join(
                f"{'GET' if path == '/status' else 'POST'} {path} HTTP/1.1\r\nHost: x\r\n{more}"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
                for path, body in requests
            )
        )

    async def receive(self) -> str:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        return f"{head[9:12].decode()} {(await self._reader.readexactly(length)).decode()}"

    def close(self) -> None:
        self._writer.close()

    def half_close(self) -> None:
        self._writer.write_eof()

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(0.05):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False

    async def ended(self) -> bool:
        return await self._reader.read() == b""


def serve(tmp_path: Path, play: Callable[[Server], Awaitable[None]], more: Routes = NO_MORE) -> None:
    async def both() -> None:
        server = Server(tmp_path / "s", more)
        sock = listen_unix(server.path, mode=0o600)
        loop = asyncio.get_running_loop()
        listening = await loop.create_unix_server(lambda: Connection(server.service), sock=sock)
        try:
            async with asyncio.timeout(20):
                await play(server)
        finally:
            for client in server.clients:
                client.close()
            listening.close()
            server.service.abort()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(both())


def test_no_reply_leaves_before_its_decision_is_on_the_disk(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        one, other = await server.client(), await server.client()
        one.send(("/decide", "1"))

        assert await one.hears_nothing()
        other.send(("/status", ""))
        assert await other.receive() == '200 "status"'
        server.disk.sync()
        assert await one.receive() == "200 1"

    serve(tmp_path, play)


def test_pipelined_replies_leave_in_order_and_nothing_overtakes(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/status", ""), ("/decide", "1"), ("/status", ""), ("/decide", "2"))
        assert await client.hears_nothing()
        client.send(("/status", ""))

        assert await client.hears_nothing()
        server.disk.sync()

        assert [await client.receive() for _ in range(5)] == [
            '200 "status"', "200 1", '200 "status"', "200 2", '200 "status"',
        ]  # fmt: skip

    serve(tmp_path, play)


@pytest.mark.parametrize("ok", [True, False])
def test_what_could_not_be_made_durable_is_denied_and_the_rest_is_said(tmp_path: Path, ok: bool) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/status", ""), ("/decide", "1"), ("/status", ""))
        assert await client.hears_nothing()

        server.disk.sync(ok=ok)

        assert [await client.receive() for _ in range(3)] == [
            '200 "status"', "200 1" if ok else '200 "denied"', '200 "status"',
        ]  # fmt: skip
        client.send(("/status", ""))
        assert await client.receive() == '200 "status"'

    serve(tmp_path, play)


def test_of_one_write_only_what_failed_is_denied(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/decide", "1"), ("/decide", "2"), ("/decide", "3"))
        assert await client.hears_nothing()

        for number, batch in enumerate(server.disk.waiting):
            batch.settle(is_durable=number != 1)

        assert [await client.receive() for _ in range(3)] == ["200 1", '200 "denied"', "200 3"]

    serve(tmp_path, play)


@pytest.mark.parametrize("denial", [lambda: 1 // 0, lambda: None, lambda: (299, b"a status that nobody knows")])
def test_what_may_not_leave_does_not_even_if_its_denial_fails(tmp_path: Path, denial: Callable[[], Reply]) -> None:
    def decide(body: bytes | bytearray, peer: Connection) -> Reply:
        peer.hold(disk.write(), denial)
        return 200, bytes(body)

    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/broken", "1"), ("/decide", "2"))
        assert await client.hears_nothing()

        disk.sync(ok=False)
        server.disk.sync()

        assert (await client.receive()).startswith("500 ")
        assert await client.receive() == "200 2"

    disk = Disk()
    serve(tmp_path, play, {b"/broken": (b"POST", decide)})


def test_a_reply_that_is_in_the_log_at_once_leaves_once_whatever_has_come_behind_it(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        server.disk.is_full = True
        client = await server.client()

        client.send(*(("/decide", str(number) * 3 * SLICE_BYTES) for number in range(4)))

        assert [(await client.receive())[:5] for _ in range(4)] == ["200 0", "200 1", "200 2", "200 3"]
        assert await client.hears_nothing()

    serve(tmp_path, play)


@pytest.mark.parametrize("ok", [True, False])
def test_a_reply_that_others_had_to_wait_for_waits_too(tmp_path: Path, ok: bool) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/later", "1"))
        assert await client.hears_nothing()

        server.disk.sync(ok=ok)

        assert await client.receive() == ("200 1" if ok else '200 "denied"')
        client.send(("/decide", "2"))
        assert await client.hears_nothing()
        server.disk.sync()
        assert await client.receive() == "200 2"

    serve(tmp_path, play)


def test_a_last_reply_is_sent_before_the_connection_ends(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        one, other = await server.client(), await server.client()
        one.send(("/decide", "1"), more="Connection: close\r\n")
        other.send(("/decide", "2"))
        assert await one.hears_nothing()
        server.service.close()

        server.disk.sync()

        assert (await one.receive(), await other.receive()) == ("200 1", "200 2")
        assert await one.ended()
        assert await other.ended()

    serve(tmp_path, play)


def test_a_last_reply_waits_for_a_slow_disk_as_long_as_others_do(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/decide", "1"), more="Connection: close\r\n")
        assert await client.hears_nothing()

        for _ in range(int(server.service.limits.idle_s)):
            server.service.sweep()
            await asyncio.sleep(0)
        server.disk.sync()

        assert await client.receive() == "200 1"
        assert await client.ended()

    serve(tmp_path, play)


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
def test_a_peer_that_half_closes_gets_what_is_held_back(tmp_path: Path, more: str) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/decide", "1"), more=more)
        client.half_close()
        assert await client.hears_nothing()

        server.disk.sync()

        assert await client.receive() == "200 1"
        assert await client.ended()
        await asyncio.sleep(0.01)
        assert not server.service.connections

    serve(tmp_path, play)


def test_a_peer_that_sends_on_and_on_is_no_longer_read_from(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        for number in range(MAX_HELD + 20):
            client.send(("/decide", str(number)))
            await asyncio.sleep(0.002)
        decided = server.disk.position

        assert decided <= MAX_HELD + 1
        while server.disk.position < MAX_HELD + 20:
            server.disk.sync()
            await asyncio.sleep(0.002)
        server.disk.sync()
        assert [await client.receive() for _ in range(MAX_HELD + 20)] == [f"200 {n}" for n in range(MAX_HELD + 20)]

    serve(tmp_path, play)


def test_a_peer_that_is_gone_is_forgotten_once_the_disk_answers(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/decide", "1"))
        assert await client.hears_nothing()
        client.close()
        await asyncio.sleep(0.01)

        server.disk.sync()

        while server.service.connections:
            await asyncio.sleep(0.001)

    serve(tmp_path, play)


def test_replies_to_a_connection_that_was_cut_are_dropped(tmp_path: Path) -> None:
    async def play(server: Server) -> None:
        client = await server.client()
        client.send(("/decide", "1"))
        assert await client.hears_nothing()
        server.service.abort()
        while server.service.connections:
            await asyncio.sleep(0.001)

        server.disk.sync()

        assert await client.ended()

    serve(tmp_path, play)
