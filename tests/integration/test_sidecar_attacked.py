"""Peers that want the sidecar to wait, to grow or to misread: a real process goes on answering others meanwhile."""

import contextlib
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority
from raw_peer import Address, RawPeer, statuses
from sidecar_bench import PATIENCE_S, REQUEST, Bench, Process, new_bench, until
from signed_store import bundle, rules

from agent_sidecar.server.arriving import MAX_BUFFERED_BYTES

EVALUATION = "/access/v1/evaluation"
BODY = json.dumps(REQUEST).encode()
TOKEN = "a-token-of-enough-length"
BEARER = f"Authorization: Bearer {TOKEN}"
SETTINGS = """
listen = "127.0.0.1:0"
token_file = "token"
[limits]
header_time = "1s"
body_time = "1s"
idle = "6s"
connections = 120
connections_per_caller = 80
"""
MAX_GROWTH_BYTES = 40 << 20
MAX_WAIT_S = 2.0
"""How long a well-behaved request may take during an attack, on a machine that runs other tests too."""


class Attacked:
    """A sidecar, and a client that must be served whatever others do."""

    def __init__(self, bench: Bench, settings: str, **options: int) -> None:
        (bench.folder / "token").touch(mode=0o600)
        (bench.folder / "token").write_text(TOKEN)
        (bench.folder / "sidecar.toml").write_text(settings)
        self.process: Process = bench.start("--config", str(bench.folder / "sidecar.toml"), **options).wait_for(1)
        (serving,) = [each for each in self.process.events() if each["event"] == "serving"]
        self.local: Path = self.process.socket
        self.tcp = "127.0.0.1", int(serving["sockets"][-1].rpartition(",")[2].strip(" )"))

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    @contextlib.contextmanager
    def bounded(self) -> Iterator[None]:
        """Check that what is done in the block leaves the sidecar answering, and not much larger."""
        before = self.memory()
        yield
        with RawPeer(self.local) as peer:
            assert peer.ask("POST", EVALUATION, BODY)[0] == 200
        assert self.memory() - before < MAX_GROWTH_BYTES
        assert not [each for each in self.process.events() if "traceback" in each]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        made.store.publish(bundle(rules("allow"), number=1))
        yield made


@pytest.fixture(scope="module")
def attacked(bench: Bench) -> Attacked:
    return Attacked(bench, SETTINGS)


def served(peer: RawPeer, *headers: str) -> float:
    """Return how long a well-behaved request took, in seconds."""
    begun = time.monotonic()
    assert peer.ask("POST", EVALUATION, BODY, *headers)[0] == 200
    return time.monotonic() - begun


SLOW = {
    "headers": b"POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\nX: ",
    "body": b"POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\n%b\r\nContent-Length: 99\r\n\r\n"
    % BEARER.encode(),
    "chunks": b"POST / HTTP/1.1\r\nHost: localhost\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n" % BEARER.encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("where", ["local", "tcp"])
def test_peers_that_trickle_are_ended_while_others_are_served(attacked: Attacked, kind: str, where: str) -> None:
    address: Address = attacked.local if where == "local" else attacked.tcp
    other: Address = attacked.tcp if where == "local" else attacked.local
    with attacked.bounded(), contextlib.ExitStack() as opened, RawPeer(other) as good:
        peers = [opened.enter_context(RawPeer(address)).send(SLOW[kind]) for _ in range(60)]
        until_s = time.monotonic() + 1.0
        while time.monotonic() < until_s:
            for peer in peers if kind != "nothing" else ():
                peer.send(b"1" if kind != "chunks" else b"1\r\nx\r\n")
            assert served(good, BEARER) < MAX_WAIT_S
            time.sleep(0.05)
        for peer in peers:
            assert set(statuses(peer.rest())) <= {408}


def test_a_peer_that_never_shakes_hands_is_ended_too() -> None:
    with new_bench() as own:
        own.store.publish(bundle(rules("allow"), number=1))
        authority = Authority(own.folder)
        authority.server()
        trusting = ssl.create_default_context(cafile=str(authority.file))
        tls = SETTINGS.replace("[limits]", '[tls]\ncertificate = "server.pem"\nkey = "server.key"\n[limits]')
        attacked = Attacked(own, tls)
        with attacked.bounded(), contextlib.ExitStack() as opened:
            with RawPeer(attacked.tcp, source="127.0.0.3", tls=trusting) as good:
                mute = [opened.enter_context(RawPeer(attacked.tcp)) for _ in range(90)]
                begun = [opened.enter_context(RawPeer(attacked.tcp, source="127.0.0.2")) for _ in range(20)]
                for peer in begun:
                    peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
                assert served(good, BEARER) < MAX_WAIT_S
                for peer in (*mute, *begun):
                    peer.rest()
                assert served(good, BEARER) < MAX_WAIT_S
            status = attacked.process.ask("GET", "/status")["access"]
            assert status["turned_away"] >= 10
            with RawPeer(attacked.tcp, tls=trusting) as again:
                assert served(again, BEARER) < MAX_WAIT_S
        with RawPeer(attacked.tcp, tls=trusting) as idle, RawPeer(attacked.tcp):
            assert served(idle, BEARER) < MAX_WAIT_S
            assert attacked.process.stop() == 0
            assert idle.rest() == b""


def test_ten_thousand_requests_at_once_are_answered_in_order_and_others_get_their_turn(attacked: Attacked) -> None:
    requests = b"".join(
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: %d\r\n\r\n" % number for number in range(10_000)
    )
    with attacked.bounded(), RawPeer(attacked.local) as peer, RawPeer(attacked.local) as good:
        child = os.fork()
        if child == 0:  # sends from a process of its own, as this one reads
            with contextlib.suppress(OSError):
                peer.sock.sendall(requests)
            os._exit(0)
        waits = []
        received = bytearray()
        while received.count(b"X-Request-ID: 9999\r\n") == 0:
            received += peer.sock.recv(1 << 16)
            waits.append(served(good))
        os.waitpid(child, 0)
        received += b"" if received.endswith(b"}") else peer.sock.recv(1 << 16)
        numbers = [int(part.split(b"\r\n", 1)[0]) for part in received.split(b"X-Request-ID: ")[1:]]
        assert numbers == list(range(10_000))
        assert max(waits) < MAX_WAIT_S


@pytest.mark.parametrize("where", ["local", "tcp"])
def test_a_peer_that_half_closes_gets_its_answers(attacked: Attacked, where: str) -> None:
    address: Address = attacked.local if where == "local" else attacked.tcp
    request = "\r\n".join((f"POST {EVALUATION} HTTP/1.1", "Host: localhost", BEARER, f"Content-Length: {len(BODY)}"))
    with attacked.bounded(), RawPeer(address) as peer:
        received = peer.send((request.encode() + b"\r\n\r\n" + BODY) * 3).end().rest()

        assert statuses(received) == [200, 200, 200]


def test_garbage_is_refused_and_harms_nobody(attacked: Attacked) -> None:
    chance = random.Random(11)  # noqa: S311 - a repeatable test
    words = [b"GET ", b"POST ", b"/access/v1/evaluation", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"Host: localhost\r\n",
             b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"\0", b"\xff\xfe", b":", b"1", b"{", b'"',
             b"[" * 500, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01", b"a" * 5000, b"%",
             b"\r\n\r\n", b" ", b"\t"]  # fmt: skip
    with attacked.bounded():
        for number in range(300):
            parts = [chance.choice(words) if number % 3 else chance.randbytes(40) for _ in range(chance.randint(1, 40))]
            with RawPeer(attacked.local if number % 2 else attacked.tcp) as peer:
                received = peer.send(b"".join(parts)).end().rest()
            assert set(statuses(received)) <= {400, 401, 404, 405, 413, 421, 431}


@pytest.mark.parametrize("expects", [False, True])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_hundred_megabytes_are_never_held(attacked: Attacked, expects: bool, is_chunked: bool) -> None:
    size, piece = 100 << 20, b"x" * (1 << 20)
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
    head = f"POST {EVALUATION} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n"
    head += "Expect: 100-continue\r\n\r\n" if expects else "\r\n"
    with attacked.bounded(), RawPeer(attacked.local) as peer:
        peer.send(head.encode())
        if expects and not is_chunked:
            assert peer.reply()[0] == 413
        with contextlib.suppress(OSError):
            for _ in range(100):
                peer.sock.sendall(b"100000\r\n" + piece + b"\r\n" if is_chunked else piece)
        if not (expects and not is_chunked):
            assert statuses(peer.rest())[-1] == 413


def test_many_large_bodies_that_never_end_are_bounded_together(attacked: Attacked) -> None:
    head = f"POST {EVALUATION} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 20}\r\n\r\n".encode()
    before = attacked.memory()
    with contextlib.ExitStack() as opened:
        peers = [opened.enter_context(RawPeer(attacked.local)) for _ in range(75)]
        for peer in peers:
            peer.send(head + b"x" * ((1 << 20) - 1))
        with RawPeer(attacked.local) as good:
            assert served(good) < MAX_WAIT_S
        assert attacked.memory() - before < MAX_GROWTH_BYTES + MAX_BUFFERED_BYTES
        told = [statuses(peer.rest()) for peer in peers]
    assert [503] in told
    assert told.count([408]) + told.count([503]) == len(told)


def test_twenty_thousand_headers_are_refused(attacked: Attacked) -> None:
    for line in (b"X-%05d: y\r\n", b"a:%05d\r\n"):
        headers = b"".join(line % number for number in range(20_000))
        with attacked.bounded(), RawPeer(attacked.local) as peer:
            assert statuses(peer.send(b"GET /status HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n").rest()) == [431]


HEAD = b"POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\n"
INNER = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLED = {
    "both lengths": b"Content-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "lengths the other way round": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, 44\r\n\r\n",
    "a signed length": b"Content-Length: +0\r\n\r\n",
    "a length in hex": b"Content-Length: 0x0\r\n\r\n",
    "a length with a blank": b"Content-Length: 0 0\r\n\r\n",
    "a blank before the colon": b"Content-Length : 44\r\n\r\n",
    "a folded length": b"Content-Length:\r\n 0\r\n\r\n",
    "a bare line feed": b"X: y\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": b"X: y\rContent-Length: 0\r\n\r\n",
    "a zero byte": b"X: \0\r\nContent-Length: 0\r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked and another": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a coding with a tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a chunk of negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk size that overflows": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    "a chunk size with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a chunk ended by a line feed": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
    "an old version with chunks": b"",
}  # fmt: skip


@pytest.mark.parametrize("kind", SMUGGLED)
def test_nothing_is_smuggled_behind_a_request_that_others_read_differently(attacked: Attacked, kind: str) -> None:
    head = HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" if not SMUGGLED[kind] else HEAD
    with attacked.bounded(), RawPeer(attacked.local) as peer:
        received = peer.send(head + SMUGGLED[kind] + INNER).end().rest()

    assert b'{"live":true}' not in received
    assert len(statuses(received)) == 1


def test_a_flood_of_connections_from_one_address_leaves_room_for_others(attacked: Attacked) -> None:
    with attacked.bounded(), contextlib.ExitStack() as opened:
        flood = [opened.enter_context(RawPeer(attacked.tcp)) for _ in range(300)]
        with RawPeer(attacked.tcp, source="127.0.0.2") as good:
            assert served(good, BEARER) < MAX_WAIT_S
            turned_away = [peer for peer in flood if peer.reply()[0] == 503]
            assert len(turned_away) >= 100  # not all, as the first of them are ended while the last ones come
            assert served(good, BEARER) < MAX_WAIT_S
    assert attacked.process.ask("GET", "/status")["access"]["turned_away"] >= 100


AS_OTHER = """
import os, socket, sys
os.setgroups([]); os.setgid(61234); os.setuid(61234)
socks = []
for _ in range(200):
    sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1]); socks.append(sock)
print("open", flush=True); sys.stdin.read()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be others")
def test_one_user_cannot_use_up_the_unix_socket(attacked: Attacked) -> None:
    attacked.local.parent.chmod(0o711)
    attacked.local.chmod(0o666)
    command = [sys.executable, "-c", AS_OTHER, str(attacked.local)]
    with (
        attacked.bounded(),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout
        assert other.stdout.readline() == "open\n"
        with RawPeer(attacked.local) as good:
            assert served(good) < MAX_WAIT_S
        other.communicate("", timeout=PATIENCE_S)
    attacked.local.parent.chmod(0o700)


def test_without_descriptors_left_who_is_in_stays_served_and_others_come_in_again() -> None:
    with new_bench() as bench:
        bench.store.publish(bundle(rules("allow"), number=1))
        attacked = Attacked(bench, SETTINGS.replace("= 120", "= 16384").replace("= 80", "= 16384"), most_files=80)
        with RawPeer(attacked.local) as good, contextlib.ExitStack() as opened:
            assert served(good) < MAX_WAIT_S
            flood = [opened.enter_context(RawPeer(attacked.tcp)) for _ in range(200)]
            for _ in range(20):
                assert served(good) < MAX_WAIT_S
            bench.store.publish(bundle(rules("deny"), number=2))
            until(lambda: b'"decision":false' in good.ask("POST", EVALUATION, BODY)[1], "a release during the flood")
            assert flood
        until(lambda: _is_served(attacked.tcp), "room again")


def _is_served(address: Address) -> bool:
    with contextlib.suppress(OSError), RawPeer(address) as peer:
        return peer.ask("GET", "/health/live", b"", BEARER)[0] == 200
    return False


def test_a_peer_that_resets_in_the_middle_leaves_nothing_behind(attacked: Attacked) -> None:
    moments: list[Callable[[RawPeer], object]] = [
        lambda peer: peer,
        lambda peer: peer.send(HEAD),
        lambda peer: peer.send(HEAD + b"Content-Length: 9\r\n\r\nabc"),
        lambda peer: peer.send((HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY) * 20),
    ]
    linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
    with attacked.bounded():
        for number in range(200):
            peer = RawPeer(attacked.tcp)
            moments[number % len(moments)](peer)
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            peer.sock.close()
    until(lambda: _open_sockets(attacked.process) < 20, "the end of all of them")


def _open_sockets(process: Process) -> int:
    links = Path(f"/proc/{process.process.pid}/fd").iterdir()
    found = 0
    for link in links:
        with contextlib.suppress(OSError):
            found += link.readlink().name.startswith("socket:")
    return found
