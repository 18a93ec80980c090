"""Asking over a socket: whatever is wrong with what answers, there is an end within the limit, and no permission."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_sidecar.client.asking import SidecarSocket, Unanswered
from agent_sidecar.client.owners import owners_of
from policy_core.decision import Answer
from policy_core.request import RequestError

TIMEOUT_S = 0.3
ALLOW = {"decision": "allow", "allowed": True, "reason_code": "matched_rule"}

Peer = Callable[[socket.socket], None]


def reply(status: int, body: object, *fields: str) -> bytes:
    content = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", *fields, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


GOOD = reply(200, {"decision": True, "context": ALLOW})


def says(*parts: bytes, every_s: float = 0.0) -> Peer:
    """Return a peer that reads a request and then says these things."""

    def speak(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        for part in parts:
            connection.sendall(part)
            time.sleep(every_s)

    return speak


class Server:
    """Speaks as its peer does, once for each request of each connection."""

    def __init__(self, path: Path, peer: Peer, *, requests: int) -> None:
        self.connections = 0
        self._peer, self._requests = peer, requests
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._sock.accept()
                self.connections += 1
                with connection, contextlib.suppress(OSError):
                    for _ in range(self._requests):
                        self._peer(connection)

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(peer: Peer, *, requests: int = 1) -> Server:
        made.append(Server(tmp_path / "s", peer, requests=requests))
        return made[-1]

    yield start
    for server in made:
        server.close()


def ask(path: Path, *, is_async: bool) -> Answer:
    client = SidecarSocket(path, owners_of(None), timeout_s=TIMEOUT_S)
    try:
        return asyncio.run(client.ask_async(b"{}")) if is_async else client.ask(b"{}")
    finally:
        client.forget()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_an_answer_is_taken_however_it_is_cut(serve: Callable[..., Server], tmp_path: Path, *, is_async: bool) -> None:
    serve(says(*(GOOD[at : at + 40] for at in range(0, len(GOOD), 40))))

    assert ask(tmp_path / "s", is_async=is_async).allowed


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (says(b""), "broke off"),
        (says(GOOD[:60]), "broke off"),
        (says(b"SSH-2.0-x\r\n\r\n"), "not a sidecar"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "not a sidecar"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "not a sidecar"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), "not a sidecar"),
        (says(b"x" * 40_000), "no end of headers|broke off"),
        (says(reply(200, {"decision": True})), "no answer"),
        (says(reply(200, {"decision": True, "context": ALLOW | {"decision": "shrug"}})), "no answer"),
        (says(reply(200, {"decision": False, "context": ALLOW})), "contradicts itself"),
        (says(reply(200, {"decision": True, "context": ALLOW | {"decision": "deny"}})), "contradicts itself"),
        (says(reply(200, {"decision": True, "context": ALLOW | {"allowed": False}})), "contradicts itself"),
        (says(reply(503, {"error": {"code": "x", "message": "busy"}})), "busy .status 503"),
        (says(reply(403, "not as this subject")), "not as this subject"),
        (says(reply(500, [])), "does not say why"),
    ],
)
def test_what_is_no_answer_is_none(
    serve: Callable[..., Server], tmp_path: Path, peer: Peer, why: str, *, is_async: bool
) -> None:
    serve(peer)

    with pytest.raises(Unanswered, match=why):
        ask(tmp_path / "s", is_async=is_async)


@pytest.mark.parametrize(
    "peer",
    [says(b"", every_s=5), says(*(bytes([each]) for each in GOOD), every_s=0.05)],
    ids=["silent", "trickling"],
)
def test_all_of_it_has_one_limit(serve: Callable[..., Server], tmp_path: Path, peer: Peer, *, is_async: bool) -> None:
    serve(peer)
    started = time.monotonic()

    with pytest.raises(Unanswered, match=r"no answer within 0\.3 s"):
        ask(tmp_path / "s", is_async=is_async)

    assert time.monotonic() - started < TIMEOUT_S + 1


def test_nobody_there_is_said_at_once(tmp_path: Path, *, is_async: bool) -> None:
    with pytest.raises(Unanswered, match="no sidecar answers there"):
        ask(tmp_path / "s", is_async=is_async)


def test_a_request_of_a_wrong_shape_is_told_apart(
    serve: Callable[..., Server], tmp_path: Path, *, is_async: bool
) -> None:
    serve(says(reply(400, "request: subject is missing")))

    with pytest.raises(RequestError, match="subject is missing"):
        ask(tmp_path / "s", is_async=is_async)


def test_a_process_of_somebody_else_is_not_believed(
    serve: Callable[..., Server], tmp_path: Path, *, is_async: bool
) -> None:
    serve(says(GOOD))
    client = SidecarSocket(tmp_path / "s", frozenset({12345}), timeout_s=TIMEOUT_S)

    with pytest.raises(Unanswered, match="is served by user id"):
        asyncio.run(client.ask_async(b"{}")) if is_async else client.ask(b"{}")


def test_who_finds_no_room_waits_for_it(tmp_path: Path, *, is_async: bool) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen(0)
    client = SidecarSocket(tmp_path / "s", owners_of(None), timeout_s=2.0)

    def serve_late() -> None:
        time.sleep(0.1)
        for _ in range(4):
            connection, _ = listening.accept()
            with connection:
                says(GOOD)(connection)

    async def ask_all() -> list[Answer]:
        return await asyncio.gather(*(client.ask_async(b"{}") for _ in range(4)))

    with listening, ThreadPoolExecutor(5) as threads:
        threads.submit(serve_late)
        answers = asyncio.run(ask_all()) if is_async else list(threads.map(client.ask, [b"{}"] * 4))

    assert [each.allowed for each in answers] == [True] * 4
    client.forget()


def test_a_connection_is_used_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says(GOOD), requests=3)
    client = SidecarSocket(tmp_path / "s", owners_of(None), timeout_s=TIMEOUT_S)

    assert [client.ask(b"{}").allowed for _ in range(3)] == [True] * 3

    assert server.connections == 1
    client.forget()


def test_a_connection_that_was_ended_meanwhile_is_not(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says(GOOD), requests=1)
    client = SidecarSocket(tmp_path / "s", owners_of(None), timeout_s=TIMEOUT_S)
    assert client.ask(b"{}").allowed
    time.sleep(0.05)

    assert client.ask(b"{}").allowed

    assert server.connections == 2
    client.forget()
