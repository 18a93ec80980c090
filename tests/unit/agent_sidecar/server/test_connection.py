"""The protocol on real Unix sockets: good requests, bad ones, and peers that do not behave."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from agent_sidecar.access.entrance import TcpEntrance
from agent_sidecar.access.limits import Limits
from agent_sidecar.access.tokens import TokenFile, Tokens
from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.listening import listen_unix
from agent_sidecar.server.replies import Reply, headed
from agent_sidecar.server.service import ANY, Service
from policy_core.errors import ConflictError

LIMITS = Limits()


def echo(body: bytes | bytearray, _peer: Connection) -> Reply:
    return 200, b'{"length":%d}' % len(body)


def whoami(_body: bytes | bytearray, peer: Connection) -> Reply:
    return 200, b'"%b"' % peer.caller.name.encode()


def broken(_body: bytes | bytearray, _peer: Connection) -> Reply:
    raise ZeroDivisionError


def conflicting(_body: bytes | bytearray, _peer: Connection) -> Reply:
    raise ConflictError("taken", hint="wait")


def told(_body: bytes | bytearray, peer: Connection) -> Reply:
    seen = [peer.method, peer.target, *(b"%b=%b" % header for header in peer.kept_headers)]
    return 200, headed(b" ".join(seen), b"X-Told: yes\r\n")


async def told_later(_body: bytes | bytearray, peer: Connection) -> Reply:
    return 200, b" ".join([peer.target, peer.request_id, *(b"%b=%b" % header for header in peer.kept_headers)])


async def slow(body: bytes | bytearray, peer: Connection) -> Reply:
    await asyncio.sleep(0.01)
    return echo(body, peer)


async def slower(body: bytes | bytearray, peer: Connection) -> Reply:
    await asyncio.sleep(0.5)
    return echo(body, peer)


ROUTES = {
    b"/echo": (b"POST", echo),
    b"/me": (b"GET", whoami),
    b"/broken": (b"POST", broken),
    b"/conflict": (b"POST", conflicting),
    b"/told-later": (b"POST", told_later),
    b"/slow": (b"POST", slow),
    b"/slower": (b"POST", slower),
    b"/told/": (ANY, told),
}


def serve(tmp_path: Path, client: Callable[[Path, Service], Awaitable[None]], **options: object) -> None:
    """Run a client against a server of `ROUTES`."""

    async def both() -> None:
        service = Service(ROUTES, **options)  # type: ignore[arg-type]
        sock = listen_unix(tmp_path / "s", mode=0o600)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: Connection(service), sock=sock)
        try:
            async with asyncio.timeout(20):
                await client(tmp_path / "s", service)
        finally:
            server.close()
            service.abort()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(both())


async def exchange(path: Path, *sent: bytes, eof: bool = False) -> bytes:
    """Send pieces, each in a read of its own, and return all that comes back until the server closes."""
    reader, writer = await asyncio.open_unix_connection(path)
    for piece in sent:
        writer.write(piece)
        await asyncio.sleep(0.005)
    if eof:
        writer.write_eof()
    received = await reader.read()
    writer.close()
    return received


def post(path: str, body: bytes, *headers: str, close: bool = True) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def test_a_request_is_answered(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, post("/echo", b"12345"))

        assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
        assert reply.endswith(b'\r\n\r\n{"length":5}')
        assert b"\r\nContent-Length: 12\r\n" in reply

    serve(tmp_path, client)


def test_a_connection_serves_many_requests(tmp_path: Path) -> None:
    async def client(path: Path, service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        for number in range(5):
            writer.write(post("/echo", b"x" * number, close=False))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Connection: close" not in head
            assert await reader.readexactly(12) == b'{"length":%d}' % number
        assert service.requests == 5
        writer.close()

    serve(tmp_path, client)


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        sent = b"".join(post("/echo", b"x" * number, close=number == 9) for number in range(10))

        reply = await exchange(path, sent)

        assert [int(part[0:1]) for part in reply.split(b'{"length":')[1:]] == list(range(10))

    serve(tmp_path, client)


def test_a_request_may_arrive_byte_by_byte(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        for byte in post("/echo", b"abc"):
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b'{"length":3}')
        writer.close()

    serve(tmp_path, client)


def test_a_chunked_body_is_put_together(tmp_path: Path) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")

        assert reply.endswith(b'{"length":5}')

    serve(tmp_path, client)


def test_a_request_id_is_echoed(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, post("/echo", b"", "X-Request-ID: job-7/a"))

        assert b"\r\nX-Request-ID: job-7/a\r\n" in reply

    serve(tmp_path, client)


@pytest.mark.parametrize("value", [b"x" * 129, b"caf\xc3\xa9", b"tab\there"])
def test_a_request_id_that_is_no_plain_token_is_dropped(tmp_path: Path, value: bytes) -> None:
    async def client(path: Path, _service: Service) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\nX-Request-ID: %b\r\n\r\n"
        reply = await exchange(path, head % value)

        assert status_of(reply) == 200
        assert b"X-Request-ID" not in reply

    serve(tmp_path, client)


def test_expect_continue_is_answered_before_the_body(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        request = post("/echo", b"abc", "Expect: 100-continue")
        writer.write(request[:-3])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(request[-3:])
        assert (await reader.read()).endswith(b'{"length":3}')
        writer.close()

    serve(tmp_path, client)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("/nowhere", b""), 404),
        (post("/me", b""), 405),
        (b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\nHost: x\n\nbare line feeds", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 3\r\n\r\nabc", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\0\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
        (post("/broken", b""), 500),
        (post("/conflict", b""), 409),
        (post("/echo", b"", "X: " + "y" * LIMITS.header_bytes), 431),
        (post("/echo", b"", *[f"X{number}: y" for number in range(LIMITS.headers)]), 431),
        (post("/" + "y" * LIMITS.header_bytes, b""), 431),
    ],
)
def test_a_bad_request_gets_its_status_and_a_json_error(tmp_path: Path, request_bytes: bytes, status: int) -> None:
    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, request_bytes, eof=True)

        assert status_of(reply) == status
        assert b'{"error":{"code":"' in reply

    serve(tmp_path, client)


def test_a_handler_that_fails_is_logged_without_the_query(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def client(path: Path, _service: Service) -> None:
        await exchange(path, post("/broken?token=secret", b""), eof=True)

    serve(tmp_path, client)

    (record,) = [each for each in caplog.records if each.getMessage() == "request_failed"]
    assert record.fields == {"path": "/broken"}  # type: ignore[attr-defined]


def test_a_method_that_is_not_allowed_is_told_which_is(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        assert b"\r\nAllow: GET\r\n" in await exchange(path, post("/me", b""))

    serve(tmp_path, client)


@pytest.mark.parametrize(
    ("head", "status"), [(b"GET /me HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
                         (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400)]
)  # fmt: skip
def test_no_other_protocol_is_spoken(tmp_path: Path, head: bytes, status: int) -> None:
    async def client(path: Path, service: Service) -> None:
        reply = await exchange(path, head + post("/echo", b""), eof=True)

        assert status_of(reply) == status
        assert service.requests == (status == 200)

    serve(tmp_path, client)


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, b"GET /me HTTP/1.1\r\nX: ", *[b"y" * 1024] * 20)

        assert status_of(reply) == 431

    serve(tmp_path, client)


def test_a_body_announced_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (LIMITS.body_bytes + 1)

        assert status_of(await exchange(path, head, eof=True)) == 413

    serve(tmp_path, client)


def test_the_answer_to_an_oversize_body_arrives_though_the_peer_keeps_sending(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        body = b"x" * (2 * LIMITS.body_bytes)

        assert status_of(await exchange(path, post("/echo", body), eof=True)) == 413

    serve(tmp_path, client)


def test_a_chunked_body_is_bounded_too(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%b\r\n" % (65536, b"x" * 65536)

        assert status_of(await exchange(path, head, chunk * 17, eof=True)) == 413

    serve(tmp_path, client)


def test_large_bodies_of_all_connections_together_are_bounded_and_their_room_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_sidecar.server.arriving.MAX_BUFFERED_BYTES", 200_000)
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n"

    async def client(path: Path, service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(head + b"x" * 140_000)
        await asyncio.sleep(0.05)

        assert status_of(await exchange(path, head, b"x" * 140_000, eof=True)) == 503
        assert status_of(await exchange(path, post("/echo", b"small"))) == 200

        writer.write(b"x" * 10_000)
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 200
        assert service.buffered_bytes == 0
        for end in (b"x" * 50_000, b""):  # one in the middle, one that is answered
            writer.write(head + b"x" * 150_000 if not end else head + end)
            await asyncio.sleep(0.02)
            writer.close()
            reader, writer = await asyncio.open_unix_connection(path)
        await asyncio.sleep(0.05)
        assert service.buffered_bytes == 0
        writer.close()

    serve(tmp_path, client)


def test_endless_chunk_extensions_are_bounded(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"1;%b\r\nx\r\n" % (b"e" * 60000)

        assert status_of(await exchange(path, head, *[chunk * 16] * 6, eof=True)) in {400, 413}

    serve(tmp_path, client)


def test_nothing_after_a_bad_request_is_answered(tmp_path: Path) -> None:
    async def client(path: Path, service: Service) -> None:
        reply = await exchange(path, b"nonsense\r\n\r\n", post("/echo", b"x"), eof=True)

        assert reply.count(b"HTTP/1.1") == 1
        assert service.requests == 0

    serve(tmp_path, client)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"POST /echo HTT", b"408"),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", b"408"),
    ],
)
def test_a_peer_that_stalls_is_cut_off(tmp_path: Path, sent: bytes, answer: bytes) -> None:
    async def client(path: Path, service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(sent)
        await asyncio.sleep(0.02)
        for _ in range(100):
            service.sweep()
        received = await reader.read()
        assert received.split(b" ")[1:2] == ([answer] if answer else [])
        writer.close()
        await asyncio.sleep(0.01)
        assert not service.connections

    serve(tmp_path, client)


def test_headers_that_trickle_do_not_extend_the_patience(tmp_path: Path) -> None:
    async def client(path: Path, service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        for byte in b"GET /me HTTP":
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.002)
            service.sweep()
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        writer.close()

    serve(tmp_path, client)


def test_connections_beyond_the_limit_are_turned_away(tmp_path: Path) -> None:
    async def client(path: Path, service: Service) -> None:
        open_ones = [await asyncio.open_unix_connection(path) for _ in range(2)]
        await asyncio.sleep(0.01)

        reply = await exchange(path, b"")

        assert status_of(reply) == 503
        open_ones[0][1].close()
        await asyncio.sleep(0.02)
        assert status_of(await exchange(path, post("/echo", b""))) == 200
        open_ones[1][1].close()

    serve(tmp_path, client, limits=Limits(connections=2))


def test_a_peer_that_does_not_read_is_not_read_from(tmp_path: Path) -> None:
    async def client(path: Path, service: Service) -> None:
        _reader, writer = await asyncio.open_unix_connection(path, limit=1024)
        request = post("/echo", b"", close=False)
        for _ in range(300):
            writer.write(request * 200)
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert service.requests < 60_000
        for _ in range(100):  # and is not waited for either
            service.sweep()
        await asyncio.sleep(0.01)
        assert not service.connections
        writer.transport.abort()

    serve(tmp_path, client)


def test_an_order_that_takes_time_is_the_last_of_its_connection(tmp_path: Path) -> None:
    async def client(path: Path, service: Service) -> None:
        sent = post("/slow", b"abc", "X-Request-ID: one", close=False) + post("/echo", b"", "X-Request-ID: two")
        reply = await exchange(path, sent)

        assert reply.count(b"HTTP/1.1") == 1
        assert b"X-Request-ID: one" in reply
        assert b"Connection: close" in reply
        assert service.requests == 1

    serve(tmp_path, client)


def test_closing_lets_a_request_under_way_finish(tmp_path: Path) -> None:
    async def client(path: Path, service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        idle_reader, idle_writer = await asyncio.open_unix_connection(path)
        writer.write(post("/slow", b"abc", close=False))
        await asyncio.sleep(0.003)

        service.close()

        assert await idle_reader.read() == b""
        assert (await reader.read()).endswith(b'{"length":3}')
        for each in (writer, idle_writer):
            each.close()

    serve(tmp_path, client)


def test_the_peer_of_a_unix_socket_is_known_by_its_user(tmp_path: Path) -> None:
    import os

    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, b"GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        assert reply.endswith(b'"uid %d"' % os.getuid())

    serve(tmp_path, client)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        (["Authorization: Bearer wrong-token-of-16"], 401),
        (["Authorization: Basic secret-token-16ch"], 401),
        (["Authorization: Bearer secret-token-16ch"], 200),
    ],
)
def test_with_a_token_only_its_bearer_is_answered(tmp_path: Path, headers: list[str], status: int) -> None:
    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, post("/echo", b"", *headers), eof=True)

        assert status_of(reply) == status
        assert (b"WWW-Authenticate: Bearer" in reply) == (status == 401)

    (tmp_path / "token").write_text("secret-token-16ch")
    (tmp_path / "token").chmod(0o600)
    tokens = Tokens([TokenFile("default", tmp_path / "token")])
    serve(tmp_path, client, entrance=TcpEntrance(tokens, hosts=frozenset({b"x"})))


def test_an_answer_that_had_to_wait_leaves_the_connection_open(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        for number in range(3):
            writer.write(post("/slow", b"x" * number, close=False))
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(12) == b'{"length":%d}' % number
        writer.close()

    serve(tmp_path, client)


@pytest.mark.parametrize("more", [post("/echo", b"next"), b"GET", b"\0 no request \0"])
def test_what_comes_before_an_answer_that_has_to_wait_ends_the_connection_after_it(tmp_path: Path, more: bytes) -> None:
    async def client(path: Path, _service: Service) -> None:
        reply = await exchange(path, post("/slow", b"first", close=False) + more)
        assert (reply.count(b"HTTP/1.1"), status_of(reply)) == (1, 200)
        assert reply.endswith(b'{"length":5}')
        assert b"Connection: close" in reply

    serve(tmp_path, client)


def test_a_request_that_comes_meanwhile_changes_nothing_of_the_one_that_waits(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        more = post("/echo", b"", "X-Request-ID: other", "X-Kept: other")
        reply = await exchange(
            path, post("/told-later?a", b"", "X-Request-ID: first", "X-Kept: first", close=False) + more
        )
        assert reply.endswith(b"/told-later?a first x-kept=first")

    serve(tmp_path, client, kept_headers=frozenset({b"x-kept"}))


def test_an_answer_under_way_does_not_hold_up_other_connections(tmp_path: Path) -> None:
    async def client(path: Path, _service: Service) -> None:
        slow = asyncio.ensure_future(exchange(path, post("/slower", b"1")))
        await asyncio.sleep(0.001)
        assert status_of(await exchange(path, post("/echo", b"2"))) == 200
        assert not slow.done()
        await slow

    serve(tmp_path, client)


@pytest.mark.parametrize("path", ["/told/", "/told/a/b?c=/d", "/told/../echo", "/told//"])
def test_a_path_that_ends_in_a_slash_has_all_below_it_in_any_method(tmp_path: Path, path: str) -> None:
    async def client(socket: Path, _service: Service) -> None:
        reply = await exchange(socket, f"PATCH {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b"\r\nX-Told: yes\r\n" in reply
        assert reply.endswith(b"\r\n\r\nPATCH " + path.encode())

    serve(tmp_path, client)


@pytest.mark.parametrize("path", ["/told", "/tol/d", "//told/", "/echo/", "/a/told/", "/?/told/"])
def test_a_path_beside_it_is_another(tmp_path: Path, path: str) -> None:
    async def client(socket: Path, _service: Service) -> None:
        assert status_of(await exchange(socket, post(path, b""))) == 404

    serve(tmp_path, client)


def test_headers_are_kept_for_their_request_alone_and_never_from_trailers(tmp_path: Path) -> None:
    first = post("/told/1", b"", "X-User: ada", "x-other: 1", "x-user: bo", close=False)
    second = post("/told/2", b"", close=False)
    third = b"POST /told/3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    third += b"0\r\nX-User: eve\r\n\r\n"

    async def client(socket: Path, _service: Service) -> None:
        reply = await exchange(socket, first + second + third)
        assert [line for line in reply.split(b"\r\n") if b"POST" in line] == [
            b"POST /told/1 x-user=ada x-user=boHTTP/1.1 200 OK", b"POST /told/2HTTP/1.1 200 OK", b"POST /told/3",
        ]  # fmt: skip

    serve(tmp_path, client, kept_headers=frozenset({b"x-user"}))


@pytest.mark.parametrize("path", ["/nowhere", "/echo"])
def test_a_head_request_that_nobody_takes_gets_no_body(tmp_path: Path, path: str) -> None:
    async def client(socket: Path, _service: Service) -> None:
        reply = await exchange(socket, f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + post("/echo", b"1"))
        head, after = reply.split(b"\r\n\r\n", 1)
        assert status_of(head) in (404, 405)
        assert after.startswith(b"HTTP/1.1 200 OK\r\n")

    serve(tmp_path, client)


@pytest.mark.parametrize("sent", [None, b"", post("/held", b""), post("/held", b"", close=False) + b"POST", b"\0"])
def test_a_connection_is_freed_without_the_collector(sent: bytes | None) -> None:
    """What is in a cycle when a new policy comes is never freed: all who fail at a handshake would leave one each."""

    class Held:
        def __call__(self, _body: bytes | bytearray, peer: Connection) -> Reply:
            peer.hold(Batch(), lambda: (200, b""))
            return 200, b""

    async def open_and_lose(service: Service) -> None:
        connection = Connection(service)
        if sent is None:
            return  # as when a handshake fails
        ours, peers = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
        with peers:
            peers.sendall(sent)
            await asyncio.sleep(0.005)
            assert connection in service.connections
            transport.abort()
            await asyncio.sleep(0.005)

    held = Held()
    alive = weakref.ref(held)
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(open_and_lose(Service({b"/held": (b"POST", held)})))
        del held

        assert alive() is None
    finally:
        gc.enable()
