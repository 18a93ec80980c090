"""What a head is taken for is the same whether the parser has read it or it was remembered, whoever tries what."""

import asyncio
import gc
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sidecar.access.entrance import Entrance, TcpEntrance, UnixEntrance
from agent_sidecar.access.tokens import TokenFile, Tokens
from agent_sidecar.configuration import Configuration
from agent_sidecar.server.caller import Caller, CallerKind
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.gatekeeper import Gatekeeper
from agent_sidecar.server.heads import MAX_BYTES, MAX_HEAD_BYTES, KnownHeads, ReadHead
from agent_sidecar.server.replies import Reply
from agent_sidecar.server.service import ANY, Service

TOKEN = "a-token-of-16-or-more"
Seen = tuple[bytes, bytes, bytes, bytes, tuple[tuple[bytes, bytes], ...], str]


class Wire(asyncio.Transport):
    """The server's end of a connection, from this machine's loopback to it."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.events: list[bytes | str] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.events.append("lost" if self.is_closed else bytes(data))

    def __getattribute__(self, name: str) -> Any:
        if name in ("write_eof", "pause_reading", "resume_reading", "abort"):
            return lambda: self.events.append(name)
        return super().__getattribute__(name)

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.events.append("close")
        self.is_closed = True

    @property
    def sent(self) -> bytes:
        return b"".join(event for event in self.events if isinstance(event, bytes))


class Server:
    """A service that notes what its handlers are given; without a memory where `most` is 0."""

    def __init__(self, entrance: Entrance | None = None, *, most: int = MAX_BYTES) -> None:
        self.handled: deque[Seen] = deque()
        routes = {
            b"/at-once": (b"POST", self._at_once), b"/later": (b"POST", self._later),
            b"/any": (ANY, self._at_once), b"/any-later": (ANY, self._later),
        }  # fmt: skip
        self.service = Service(
            routes, entrance or UnixEntrance(), kept_headers=frozenset({b"x-kept"}), heads=KnownHeads(most)
        )

    def _at_once(self, body: bytes | bytearray, peer: Connection) -> Reply:
        seen = peer.method, peer.target, bytes(body), peer.request_id, peer.kept_headers, peer.caller.name
        self.handled.append(seen)
        return 200, b"%d" % len(body)

    async def _later(self, body: bytes | bytearray, peer: Connection) -> Reply:
        reply = self._at_once(body, peer)
        await asyncio.sleep(0)
        return reply

    def connect(self) -> tuple[Connection, Wire]:
        connection, wire = Connection(self.service), Wire()
        connection.connection_made(wire)
        return connection, wire

    async def talk(self, *pieces: bytes) -> Wire:
        """Send pieces on one connection, each once the event loop has come to rest."""
        connection, wire = self.connect()
        for piece in pieces:
            if not wire.is_closed:
                connection.data_received(piece)
            for _ in range(4):
                await asyncio.sleep(0)
        connection.connection_lost(None)
        return wire


def talk(server: Server, *pieces: bytes) -> Wire:
    return asyncio.run(server.talk(*pieces))


def post(body: bytes = b"hello", *headers: str, path: str = "/at-once", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: localhost", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def in_two(message: bytes) -> tuple[bytes, bytes]:
    """Return head and body, as clients send them that write each by itself."""
    end = message.find(b"\r\n\r\n") + 4
    return message[:end], message[end:]


GET = b"GET /any HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLED = b"POST /any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n!"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(TOKEN)
    return Tokens([TokenFile("ci", tmp_path / "token")])


SHOWN = post(b"hello", f"Authorization: Bearer {TOKEN}")


def status(wire: Wire) -> int:
    return int(wire.sent.split(b" ", 2)[1])


class Unasked:
    """In place of a parser that must not be needed."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the parser is asked: {name}")


def test_a_head_that_has_come_twice_is_not_parsed_again() -> None:
    server = Server()
    talk(server, post(b"first"), post(b"other"))
    connection, wire = server.connect()
    connection._parser = Unasked()

    for body in (b"third", b"\r\n\r\n!"):
        connection.data_received(post(body))

    assert [seen[2] for seen in server.handled] == [b"first", b"other", b"third", b"\r\n\r\n!"]
    assert wire.sent.count(b"HTTP/1.1 200 OK") == 2
    assert server.service.requests == 4


def test_a_head_by_itself_that_has_come_twice_is_not_parsed_again() -> None:
    server = Server()
    for _ in range(2):
        talk(server, *in_two(post()))
    connection, wire = server.connect()
    connection._parser = Unasked()

    for piece in (*in_two(post(b"third")), post(b"whole"), *in_two(post(b"\r\n\r\n!"))):
        connection.data_received(piece)

    assert [seen[2] for seen in server.handled] == [b"hello"] * 2 + [b"third", b"whole", b"\r\n\r\n!"]
    assert wire.sent.count(b"HTTP/1.1 200 OK") == 3


def test_a_known_head_by_itself_is_refused_before_its_body(tokens: Tokens, tmp_path: Path) -> None:
    server = Server(TcpEntrance(tokens))
    for _ in range(2):
        talk(server, *in_two(SHOWN))
    (tmp_path / "token").write_text("another-token-of-16")
    tokens.reload()

    wire = talk(server, in_two(SHOWN)[0])

    assert len(server.service.heads) == 1
    assert status(wire) == 401


def test_who_sent_a_known_head_waits_for_its_body_no_longer_than_others() -> None:
    server = Server()
    for _ in range(2):
        talk(server, *in_two(post()))
    server.service.tick = 1000
    connection, wire = server.connect()
    server.service.tick = 2000
    connection.data_received(in_two(post())[0])

    connection.check_patience()
    assert wire.sent == b""
    server.service.tick += 11
    connection.check_patience()

    assert status(wire) == 408
    connection.data_received(b"hello")
    assert len(server.handled) == 2


ATTACKS = {
    "two lengths": [post(b"hello", "Content-Length: 5")],
    "two lengths that differ": [post(b"hello", "Content-Length: 2")],
    "a list of lengths": [post().replace(b": 5", b": 5, 5")],
    "a signed length": [post().replace(b": 5", b": +5")],
    "a length with a tab, by itself": [post().replace(b": 5", b": 5\t")[:-5], b"hello", post()],
    "a long length, by itself": [post().replace(b": 5", b": 000000000000000000000000005")[:-5], b"hello", post()],
    "a length with a space": [post().replace(b": 5", b": 5 ")],
    "a long length": [post().replace(b": 5", b": 000000000000000000000000005")],
    "chunked": [post(b"0\r\n\r\n", "Transfer-Encoding: chunked").replace(b"Content-Length: 5\r\n", b"")],
    "chunked with a length": [post(b"0\r\n\r\n", "Transfer-Encoding: chunked")],
    "otherwise encoded": [post(b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked")],
    "a folded line": [post(b"hello", "X-Kept: a\r\n b")],
    "a folded length": [post().replace(b": 5", b":\r\n 5")],
    "a bare line feed": [post().replace(b"localhost\r\n", b"localhost\n")],
    "a bare line feed at the end": [post().replace(b"\r\n\r\n", b"\n\n")],
    "ends of heads in the body": [post().replace(b"\r\n\r\nhello", b"\n\n\r\n\r\n\r")],
    "a bare carriage return": [post(b"hello", "X-Kept: a\rb")],
    "a zero byte": [post(b"hello", "X-Kept: a\0b")],
    "a request in the body": [post(SMUGGLED)],
    "a body that begins with the end of a head": [post(b"\r\n\r\n" + SMUGGLED)],
    "a body that is too short": [post()[:-1]],
    "a body that is too short, and the rest": [post()[:-1], b"o"],
    "a body that is too short, and another request": [post()[:-1], post()],
    "a byte after the body": [post() + b"!"],
    "line ends after the body": [post() + b"\r\n"],
    "line ends, and a request after them": [b"\r\n", post(), b"\r", b"\n" + post()],
    "line ends between requests": [GET, b"\r\n\r\n", GET, b"\r\n\r\n", b"\r\n", GET],
    "line ends before it": [b"\r\n\r\n" + post()],
    "a request after the body": [post() + SMUGGLED],
    "a part of a request after the body": [post() + SMUGGLED[:9], SMUGGLED[9:]],
    "a body of its own piece": [post()[:-5], b"hello"],
    "a head of its own piece, and another request": [post()[:-5], post()],
    "a body in two pieces": [post()[:-5], b"he", b"llo", post()],
    "a body in two pieces, and more": [post()[:-5], b"he", b"llo" + SMUGGLED],
    "a body of its own piece, and more": [post()[:-5], b"hello" + post(), post()],
    "a body of its own piece, and a part of more": [post()[:-5], b"hello" + post()[:20], post()[20:]],
    "a body of its own piece, and line ends": [post()[:-5], b"hello\r\n", post()],
    "a body of its own piece that is a request": [post(SMUGGLED)[: -len(SMUGGLED)], SMUGGLED, post()],
    "heads of their own pieces, and bodies": [post()[:-5], b"hello"] * 3,
    "heads of their own pieces, and later answers": [post(path="/later")[:-5], b"hello"] * 3,
    "a head after a head": [post()[:-5], GET, GET],
    "line ends, and a head of its own piece": [b"\r\n", post()[:-5], b"hello", GET],
    "a closing head of its own piece": [post(b"hello", "Connection: close")[:-5], b"hello", GET],
    "an expecting head of its own piece": [post(b"hello", "Expect: 100-continue")[:-5], b"hello", GET],
    "an upgrading head of its own piece": [
        post(b"hello", "Connection: Upgrade", "Upgrade: h2c")[:-5], b"hello", GET,
    ],
    "a head of its own piece, and chunks": [
        post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b""), b"0\r\n\r\n", GET,
    ],
    "a head in two pieces": [post()[:20], post()[20:]],
    "a head that continues another": [post()[:-7], post()],
    "no length": [GET, GET + GET, GET + b"hello"],
    "a length for a method without a body": [b"GET /any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"],
    "HEAD": [b"HEAD /at-once HTTP/1.1\r\nHost: localhost\r\n\r\n", post()],
    "CONNECT": [b"CONNECT /any HTTP/1.1\r\nHost: localhost\r\n\r\n", post()],
    "CONNECT, and a later answer": [b"CONNECT /any-later HTTP/1.1\r\nHost: localhost\r\n\r\n", post()],
    "old": [post(version="1.0"), post(version="1.0")],
    "old without a host": [post(version="1.0").replace(b"Host: localhost\r\n", b"Connection: keep-alive\r\n")] * 2,
    "old and kept alive": [post(b"hello", "Connection: keep-alive", version="1.0"), post()],
    "old, and a later answer": [post(path="/later", version="1.0"), post()],
    "kept alive": [post(b"hello", "Connection: Keep-Alive"), post()],
    "closing": [post(b"hello", "Connection: close"), post()],
    "closing in a list": [post(b"hello", "Connection: keep-alive, close"), post()],
    "closing and not": [post(b"hello", "Connection: close", "Connection: keep-alive"), post()],
    "upgrade": [post(b"hello", "Connection: Upgrade", "Upgrade: h2c"), post()],
    "upgrade without the connection": [post(b"hello", "Upgrade: h2c"), post()],
    "expecting": [post(b"hello", "Expect: 100-continue"), post()],
    "no host": [post().replace(b"Host: localhost\r\n", b""), post()],
    "two hosts": [post(b"hello", "Host: localhost"), post()],
    "another path": [post(path="/nothing"), post(path="//at-once"), post(path="at-once"), post()],
    "another method": [post().replace(b"POST", b"PUT"), post()],
    "a later answer, and more": [post(path="/later"), post(path="/later") + post(), post()],
    "a later answer": [post(path="/later")] * 3,
    "a request id": [post(b"hello", "X-Request-ID: a"), post(), post(b"hello", "X-Request-ID: b")],
    "a large head": [post(b"hello", f"X: {'x' * MAX_HEAD_BYTES}")] * 3,
    "a head that is too large": [post(b"hello", f"X: {'x' * 20_000}")],
    "too many headers": [post(b"hello", *["X: y"] * 70)],
    "a body that is too large": [post().replace(b": 5", b": 9000000")],
}  # fmt: skip


@pytest.mark.parametrize("pieces", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_memory_changes_nothing_of_what_is_answered(pieces: list[bytes]) -> None:
    server, forgetful = Server(), Server(most=0)
    for _ in range(3):
        talk(server, post(), post(path="/later"), GET, SMUGGLED)
        talk(server, post(SMUGGLED))
    server.handled.clear()

    expected = talk(forgetful, *pieces)

    for _ in range(4):
        server.handled.clear()
        assert talk(server, *pieces).events == expected.events
        assert server.handled == forgetful.handled


@pytest.mark.parametrize(
    "name",
    [
        "two lengths", "two lengths that differ", "chunked", "chunked with a length", "a folded line",
        "a folded length",
        "a bare line feed at the end", "ends of heads in the body", "a byte after the body", "line ends after the body",
        "line ends before it", "a request after the body", "a head in two pieces", "old",
        "old, and a later answer",
        "no host", "two hosts", "a large head", "too many headers", "CONNECT, and a later answer",
    ],
)  # fmt: skip
def test_what_is_not_plainly_one_whole_request_is_not_remembered(name: str) -> None:
    server = Server()

    for _ in range(4):
        talk(server, *ATTACKS[name])

    assert len(server.service.heads) == 0


@pytest.mark.parametrize(
    "header",
    [
        "Connection: close", "Connection: x", "Expect: 100-continue", "Transfer-Encoding: chunked", "Upgrade: h2c",
        "X-Request-ID: one", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)  # fmt: skip
def test_heads_that_are_new_each_time_or_change_how_to_go_on_are_not_remembered(header: str) -> None:
    server = Server()

    for _ in range(4):
        talk(server, post(b"hello", header))

    assert len(server.service.heads) == 0


HEADERS = ("X-Kept: a", "X-Kept: b", "Connection: keep-alive", "Content-Type: text/plain")
ODD = (
    "Connection: close", "Content-Length: 5", "Transfer-Encoding: chunked", "Expect: 100-continue", "X-Request-ID: 7",
    "Upgrade: h2c", "Host: other", "X: \r\n y", "Origin: https://evil.example",
)  # fmt: skip
BODIES = st.sampled_from((b"", b"hello", b"world", b"\r\n\r\n.", b"0\r\n\r\n", GET, SMUGGLED))
PLAIN = st.builds(
    lambda body, path, header: post(body, header, path=path),
    BODIES,
    st.sampled_from(("/at-once", "/any", "/later")),
    st.sampled_from(HEADERS),
)
UNUSUAL = st.builds(
    lambda body, header, version: post(body, header, version=version),
    BODIES,
    st.sampled_from(ODD),
    st.sampled_from(("1.1", "1.1", "1.0")),
)
NOISE = st.sampled_from((b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"0", b"5", b"x", b"\0", b",", b"\t"))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a request in which some bytes have become others, or gone."""
    message = draw(PLAIN | UNUSUAL)
    at = draw(st.integers(0, len(message)))
    return message[:at] + draw(NOISE) + message[at + draw(st.integers(0, 4)) :]


@st.composite
def conversations(draw: st.DrawFn) -> list[list[bytes]]:
    """Return what is sent on some connections, in pieces that are whole requests or not; much of it several times."""
    pool = draw(st.lists(PLAIN | PLAIN | UNUSUAL | mutated(), min_size=1, max_size=5))
    made = []
    for _ in range(draw(st.integers(2, 5))):
        pieces = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=6))
        if draw(st.booleans()):
            pieces = [piece for each in pieces for piece in in_two(each)]
        elif draw(st.booleans()):
            sent = b"".join(pieces)
            cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
            pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        made.append([piece for piece in pieces if piece])
    return [[message] for message in pool] * 2 + made


@given(conversations(), st.booleans())
def test_whatever_comes_is_answered_as_without_a_memory(talks: list[list[bytes]], on_tcp: bool) -> None:
    def entrance() -> Entrance:
        return TcpEntrance(Tokens([]), is_open=True) if on_tcp else UnixEntrance()

    async def all_of(server: Server) -> list[list[bytes | str]]:
        return [(await server.talk(*pieces)).events for pieces in talks]

    server, forgetful = Server(entrance()), Server(entrance(), most=0)

    assert asyncio.run(all_of(server)) == asyncio.run(all_of(forgetful))
    assert server.handled == forgetful.handled
    assert server.service.requests == forgetful.service.requests


def test_a_token_that_is_taken_back_opens_nothing_more(tokens: Tokens, tmp_path: Path) -> None:
    server = Server(TcpEntrance(tokens))
    connection, wire = server.connect()
    for _ in range(3):
        connection.data_received(SHOWN)

    (tmp_path / "token").write_text("another-token-of-16")
    tokens.reload()
    connection.data_received(SHOWN)

    assert len(server.service.heads) == 1
    assert wire.sent.count(b"HTTP/1.1 200") == 3
    assert wire.sent.count(b"HTTP/1.1 401") == 1
    assert server.service.entrance.refused == 1
    assert status(talk(server, SHOWN)) == 401


def test_a_head_that_was_refused_is_read_anew_once_its_token_is_known(tokens: Tokens, tmp_path: Path) -> None:
    server = Server(TcpEntrance(tokens))
    (tmp_path / "token").write_text("another-token-of-16")
    tokens.reload()

    assert [status(talk(server, SHOWN)) for _ in range(4)] == [401] * 4
    assert len(server.service.heads) == 0
    (tmp_path / "token").write_text(TOKEN)
    tokens.reload()
    assert [status(talk(server, SHOWN)) for _ in range(4)] == [200] * 4


def test_hosts_and_origins_are_asked_anew(tokens: Tokens) -> None:
    entrance = TcpEntrance(
        tokens, hosts=frozenset({b"pdp.example.com"}), origins=frozenset({b"https://console.example.com"})
    )
    server = Server(entrance)
    to_other = SHOWN.replace(b"localhost", b"pdp.example.com")
    from_page = SHOWN.replace(b"Content", b"Origin: https://console.example.com\r\nContent", 1)

    assert [status(talk(server, sent)) for sent in (to_other, from_page) * 3] == [200] * 6
    entrance.hosts, entrance.origins = entrance.hosts - {b"pdp.example.com"}, frozenset()
    assert [status(talk(server, sent)) for sent in (to_other, from_page)] == [421, 403]
    assert [status(talk(server, SHOWN.replace(b"localhost", b"evil.example"))) for _ in range(3)] == [421] * 3


def test_who_asks_is_who_has_connected() -> None:
    class Turns(UnixEntrance):
        names: Iterator[str] = iter(["a", "b", "a"])

        def admit(self, transport: asyncio.BaseTransport) -> Caller:
            return Caller(CallerKind.UNIX, next(self.names))

    server = Server(Turns())

    talk(server, post(), post(), post())
    talk(server, post())
    talk(server, post())

    assert [seen[5] for seen in server.handled] == ["a", "a", "a", "b", "a"]


def test_a_connection_that_is_doubted_proves_nothing_by_what_it_has_sent() -> None:
    server = Server(TcpEntrance(Tokens([]), is_open=True))
    connection, wire = server.connect()
    for _ in range(3):
        connection.data_received(post())

    connection.doubt()
    connection.data_received(post())

    assert wire.sent.count(b"HTTP/1.1 200") == 3
    assert wire.sent.count(b"HTTP/1.1 401") == 1


@pytest.mark.parametrize(("limit", "refused"), [("headers", 431), ("header_bytes", 431), ("body_bytes", 413)])
def test_limits_hold_for_heads_that_were_read_under_others(limit: str, refused: int) -> None:
    server = Server()
    talk(server, post(), post(), post())

    server.service.limits = replace(server.service.limits, **{limit: 1})

    assert len(server.service.heads) == 1
    assert status(talk(server, post())) == refused


def test_the_last_answer_of_a_service_that_closes_says_so() -> None:
    server = Server()
    connection, wire = server.connect()
    connection.data_received(post())
    connection.data_received(post())

    server.service.closing = True
    connection.data_received(post())
    connection.data_received(post())

    assert wire.sent.count(b"HTTP/1.1 200") == 3
    assert wire.sent.count(b"Connection: close") == 1
    assert wire.events[-1] == "write_eof"


def test_a_connection_is_not_idle_while_its_answer_is_made() -> None:
    def stop(_body: bytes | bytearray, _peer: Connection) -> Reply:
        if server.service.requests == 3:
            server.service.close()
        return 200, b"stopping"

    server = Server()
    server.service.routes = {b"/at-once": (b"POST", stop)}

    wire = talk(server, post(), post(), post())

    assert wire.sent.count(b"stopping") == 3
    assert wire.events[-1] == "write_eof"


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("answer", [(299, b"a status that nobody knows"), "neither a reply nor one that follows"])
def test_a_request_that_the_server_fails_on_is_its_last(
    is_known: bool, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    if is_known:
        talk(server, post(), post())
    server.service.routes = {b"/at-once": (b"POST", lambda *_: answer)}  # type: ignore[dict-item, return-value]

    wire = talk(server, post(), post())

    assert wire.sent.startswith(b"HTTP/1.1 500")
    assert wire.sent.count(b"HTTP/1.1") == 1
    assert wire.events[-1] == "write_eof"
    assert "request_failed" in caplog.text


def raw(number: int, size: int = 200) -> bytes:
    return b"GET /%0*d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (size, number)


def read(url: bytes) -> ReadHead:
    head = ReadHead()
    head.url, head.headers, head.keep_alive = url, 1, True
    return head


def learned(
    heads: KnownHeads, numbers: Sequence[int], make: Callable[[int], bytes] = raw, times: int = 2
) -> KnownHeads:
    for number in numbers:
        for _ in range(times):
            heads.learn(make(number), read(make(number)[5:-40]))
    return heads


@pytest.mark.parametrize(
    "spelled",
    [
        b"GET /1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", b"GET /1 HTTP/1.1\r\nHost: a\r\n y\r\n\r\n",
        b"GET /1 HTTP/1.1\nHost: a\r\n\r\n", b"GET /1 HTTP/1.1\r\nHost: a\n\n\r\n\r\n",
        b"\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /1 HTTP/1.1\r\nHost: \ra\r\n\r\n",
        b"GET /1 HTTP/1.1\r\nHost: \na\r\n\r\n", b"GET /1 HTTP/1.1\r\n\r\n", b"GET", b"",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nX: y\r\n", b"\r\n\r\n",
    ],
)  # fmt: skip
def test_a_head_whose_lines_are_not_as_many_as_its_headers_is_not_held(spelled: bytes) -> None:
    assert len(learned(KnownHeads(), [1], lambda _: b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")) == 1
    assert len(learned(KnownHeads(), [1], lambda _: spelled)) == 0


def test_heads_that_come_once_are_not_held() -> None:
    assert len(learned(KnownHeads(), range(5000), times=1)) == 0


def test_a_large_head_is_not_held() -> None:
    assert len(learned(KnownHeads(), range(3), lambda number: raw(number, MAX_HEAD_BYTES))) == 0


@pytest.mark.parametrize("headers", [[], ["X-Kept: a"] * 60, ["Origin: a"] * 60, ["X-Other: a"] * 60])
def test_heads_take_no_more_memory_than_they_may(headers: list[str]) -> None:
    most = 400_000
    server = Server(most=most)
    server.handled = deque(maxlen=1)
    connection, wire = server.connect()
    tracemalloc.start()
    try:
        for number in range(800):
            for _ in range(2):
                connection.data_received(post(b"hello", *headers, path=f"/any?{number:0100}"))
            wire.events.clear()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 20 < len(server.service.heads) < 400
    assert held <= most


def test_heads_are_forgotten_with_the_tokens_in_them(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(TOKEN)
    configuration = Configuration(
        store="file:///x",
        channel="prod",
        trusted_root=b"",
        state=tmp_path,
        socket=tmp_path / "s",
        listen=("127.0.0.1", 1),
        tokens=(TokenFile("ci", file),),
    )
    gatekeeper = Gatekeeper(configuration, now=lambda: 0.0)
    server = Server(gatekeeper.tcp)
    gatekeeper.services.append(server.service)
    forgets: list[Callable[[], object]] = [
        gatekeeper.reload,
        lambda: gatekeeper.appliers["tokens"](configuration.tokens),
        lambda: (file.write_text("another-token-of-16"), gatekeeper.refresh()),
    ]

    for forget in forgets:
        talk(server, SHOWN, SHOWN)
        gatekeeper.refresh()  # nothing has changed
        assert len(server.service.heads) == 1
        forget()
        assert len(server.service.heads) == 0
    assert status(talk(server, SHOWN)) == 401
