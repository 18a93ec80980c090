"""Requests for other hosts, from web pages, and with heads that two readers could read differently."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from agent_sidecar.access.binding import Binds, binds
from agent_sidecar.access.entrance import Entrance, TcpEntrance, UnixEntrance
from agent_sidecar.access.tokens import TokenFile, Tokens, digest_of
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.listening import listen_tcp, listen_unix
from agent_sidecar.server.replies import Reply
from agent_sidecar.server.service import ANY, Service

TOKEN, OTHER = "the-first-token-of-16", "the-other-token-of-16"
BEARER = f"Authorization: Bearer {TOKEN}"


def whoami(_body: bytes | bytearray, peer: Connection) -> Reply:
    return 200, b'"%b"' % peer.caller.name.encode()


ROUTES = {b"/me": (ANY, whoami), b"/envoy/": (ANY, whoami)}


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    for name, token in (("ci", TOKEN), ("web", OTHER)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(token)
    return Tokens([TokenFile(name, tmp_path / name) for name in ("ci", "web")])


def asked(entrance: Entrance, *requests: str, tmp_path: Path | None = None) -> str:
    """Return all that comes back for requests, each given as its lines, on one connection."""
    sent = "".join("\r\n".join(request.split("|")) + "\r\n\r\n" for request in requests).encode("latin-1")

    async def exchange() -> bytes:
        service = Service(ROUTES, entrance, about_others=(b"/envoy/",))
        loop = asyncio.get_running_loop()
        if tmp_path:
            server = await loop.create_unix_server(
                lambda: Connection(service), sock=listen_unix(tmp_path / "s", mode=0o600)
            )
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        else:
            sock = listen_tcp("127.0.0.1", 0)
            server = await loop.create_server(lambda: Connection(service), sock=sock)
            reader, writer = await asyncio.open_connection(*sock.getsockname())
        async with asyncio.timeout(20):
            writer.write(sent)
            writer.write_eof()
            received = await reader.read()
        writer.close()
        server.close()
        service.abort()
        await asyncio.sleep(0)
        return received

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(exchange()).decode()


def statuses(reply: str) -> list[int]:
    return [int(part[:3]) for part in reply.split("HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("Host: 127.0.0.1:99", 200),
        ("Host: localhost", 200),
        ("Host: LocalHost.:1", 200),
        ("Host: [::1]:8181", 200),
        ("Host: pdp.example.com", 200),
        ("Host: pdp.example.com.evil.example", 421),
        ("Host: evil.example", 421),
        ("Host: 127.0.0.1.evil.example", 421),
        ("Host: 10.0.0.1", 421),
        ("Host: localhost@evil.example", 421),
        ("Host: localhost evil.example", 421),
        ("Host: ", 421),
        ("Host: localhost|Host: localhost", 400),
        ("Host: localhost|hOST: evil.example", 400),
        ("X: localhost", 400),
        ("Host : localhost", 400),
        (" Host: localhost", 400),
        ("Host: localhost|Origin: https://evil.example", 403),
        ("Host: localhost|Origin: null", 403),
        ("Host: localhost|Origin: ", 403),
        ("Host: localhost|Origin: https://console.example.com", 200),
        ("Host: localhost|Origin: https://console.example.com|Origin: https://evil.example", 403),
        ("Host: localhost|Origin: https://console.example.com.evil.example", 403),
    ],
)
def test_on_tcp_a_request_is_for_this_host_and_from_no_unknown_page(tokens: Tokens, lines: str, status: int) -> None:
    entrance = TcpEntrance(
        tokens, hosts=frozenset({b"pdp.example.com"}), origins=frozenset({b"https://console.example.com"})
    )

    assert statuses(asked(entrance, f"GET /me HTTP/1.1|{lines}|{BEARER}|Connection: close")) == [status]


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://localhost/me", 400), ("http://evil.example/me", 400), ("*", 400), ("me", 400), ("//localhost/me", 404)],
)
def test_a_target_is_a_path(tokens: Tokens, target: str, status: int) -> None:
    request = f"GET {target} HTTP/1.1|Host: localhost|{BEARER}|Connection: close"

    assert statuses(asked(TcpEntrance(tokens), request)) == [status]


def test_an_old_client_may_leave_out_the_host_but_not_say_another(tokens: Tokens) -> None:
    assert statuses(asked(TcpEntrance(tokens), f"GET /me HTTP/1.0|{BEARER}")) == [200]
    assert statuses(asked(TcpEntrance(tokens), f"GET /me HTTP/1.0|Host: evil.example|{BEARER}")) == [421]


def test_a_check_of_envoy_is_about_any_host_and_still_takes_a_token(tokens: Tokens) -> None:
    about = "GET /envoy/x HTTP/1.1|Host: shop.example|Origin: https://shop.example|Connection: close"

    assert statuses(asked(TcpEntrance(tokens), about)) == [401]
    assert statuses(asked(TcpEntrance(tokens), f"{about}|{BEARER}")) == [200]
    assert statuses(asked(TcpEntrance(tokens), f"{about}|{BEARER}".replace("/envoy/x", "/me/../envoy/x"))) == [421]


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        ("", 401), ("|Authorization: Bearer wrong-token-of-16ch", 401), (f"|{BEARER}x", 401), (f"|{BEARER}", 200),
        (f"|{BEARER}|{BEARER}", 401), (f"|{BEARER}|Authorization: Bearer wrong-token-of-16ch", 401),
        (f"|Authorization: Bearer wrong-token-of-16ch|{BEARER}", 401), (f"|X-{BEARER}", 401),
        (f"|Proxy-{BEARER}", 401), (f"|authorization:\t Bearer {TOKEN}", 200),
    ],
)  # fmt: skip
def test_one_right_token_is_shown_and_no_second_one(tokens: Tokens, shown: str, status: int) -> None:
    request = f"GET /me HTTP/1.1|Host: localhost{shown}|Connection: close"

    assert statuses(asked(TcpEntrance(tokens), request)) == [status]


def test_each_request_of_a_connection_is_asked_by_whose_token_it_shows(tokens: Tokens) -> None:
    reply = asked(
        TcpEntrance(tokens),
        f"GET /me HTTP/1.1|Host: localhost|{BEARER}",
        f"GET /me HTTP/1.1|Host: localhost|Authorization: Bearer {OTHER}",
        "GET /me HTTP/1.1|Host: localhost",
        f"GET /me HTTP/1.1|Host: localhost|{BEARER}",
    )

    assert statuses(reply) == [200, 200, 401]
    assert reply.index('"token ci"') < reply.index('"token web"')


def test_a_trailer_proves_nothing(tokens: Tokens) -> None:
    request = f"POST /me HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||0|{BEARER}|Host: localhost"

    assert statuses(asked(TcpEntrance(tokens), request)) == [401]


def test_without_tokens_and_certificates_nobody_comes_in_unless_it_is_open() -> None:
    request = "GET /me HTTP/1.1|Host: localhost|Connection: close"
    closed, opened = TcpEntrance(Tokens([])), TcpEntrance(Tokens([]), is_open=True)

    assert statuses(asked(closed, request)) == [401]
    assert statuses(asked(closed, f"{request}|Authorization: Bearer ")) == [401]
    assert asked(opened, request).endswith('"unknown"')
    assert statuses(asked(opened, request.replace("localhost", "evil.example"))) == [421]
    assert statuses(asked(opened, f"{request}|Origin: https://evil.example")) == [403]


def test_on_a_unix_socket_the_host_says_nothing_but_is_there_once(tmp_path: Path) -> None:
    entrance = UnixEntrance()

    assert statuses(asked(entrance, "GET /me HTTP/1.1|Host: any|Connection: close", tmp_path=tmp_path)) == [200]
    assert statuses(asked(entrance, "GET /me HTTP/1.1|Host: a|Host: a", tmp_path=tmp_path)) == [400]
    assert statuses(asked(entrance, "GET /me HTTP/1.1|X: y", tmp_path=tmp_path)) == [400]


def test_what_a_token_may_say_comes_with_it(tokens: Tokens, tmp_path: Path) -> None:
    bound = Tokens(
        [TokenFile("ci", tmp_path / "ci"), TokenFile("web", tmp_path / "web")],
        Binds(binds([{"token": "ci", "subjects": ["agent/*"]}])),
    )

    for token in (TOKEN, OTHER):
        found = bound.caller(digest_of(b"Bearer " + token.encode()))
        assert found
        assert found.bounds is not None
