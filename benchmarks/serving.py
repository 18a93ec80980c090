"""Decisions over HTTP: a sidecar on one core, a client of 32 connections on another, 10,000 rules, by kind of log.

Bodies come again and again, as those of schedulers and agents in a loop do, or each is new by a number in its context.
Beside it, in the same run, a server on the same event loop that looks at nothing and always says the same: what the
kernel and the loop take.

The client is a small one on uvloop, in a process of its own; it sends a request on each connection once the reply
before is there. The time of the core that a decision takes is that of the sidecar's process, all threads and the kernel
included. OPA's row is not measured here: it is what was published for it.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any, cast

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.records import DECISION, Decided, Spoken, spell
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.history import moment
from agent_sidecar.host_key import open_host_key
from agent_sidecar.server.caller import UNKNOWN, Caller
from benchmarks.measuring import each_us, percentile, table
from benchmarks.sidecar import World, s3_or_file
from benchmarks.workload import documents, requests
from policy_core.decision import PolicyRef, refusal

RULES, CONNECTIONS, SECONDS, REQUESTS = 10_000, 32, 4.0, 2_000
WARM_UP_S = 1.0
PORT = 18_181
TOKEN = "a-token-of-enough-length"  # noqa: S105 - of a sidecar that lives for seconds
SERVER_CORE, CLIENT_CORE = 0, 1
POLICY = PolicyRef(bundle="sha256:" + "0" * 64, revision="0" * 40, channel="prod", release=1)
REPEATED, NEW, ECHO = "repeated", "new", "echo"
_ECHOED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n" + b" " * 300
OPA = ("OPA 1.9 (published, trivial policy)", "TCP", "", "", 16_500, 1.6, 3.8)
NUMBER = b"0000000000"
"""Stands in a new body where its number goes."""
START_TIMEOUT_S = 30


def run() -> None:
    """Print decisions a second and latencies, without a log and with each durability."""
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory(prefix="writ-") as folder, s3_or_file("file", Path(folder)) as world:
        world.commit(documents(RULES))
        world.writ("keys", "init", "--dev")
        world.writ("publish")
        (world.folder / "token").write_text(TOKEN)
        (world.folder / "token").chmod(0o600)
        (world.folder / "requests.json").write_text(json.dumps(requests(RULES, REQUESTS)))
        sockets = ("TCP", f"127.0.0.1:{PORT}"), ("Unix", str(world.folder / "d.sock"))
        with _started(world, ["-m", "benchmarks.serving", ECHO, str(PORT), sockets[1][1]], "listening") as used_s:
            rows += [(ECHO, kind, "", *_asked(world, address, REPEATED, used_s)) for kind, address in sockets]
        for durability in ("off", "process", "host"):
            with _serving(world, durability) as used_s:
                for kind, address in sockets:
                    rows += [
                        (f"log {durability}", kind, bodies, *_asked(world, address, bodies, used_s))
                        for bodies in (REPEATED, NEW)
                    ]
    table(
        f"Over HTTP, one core, {CONNECTIONS} connections, {RULES:,} rules (ms)",
        ("sidecar", "socket", "bodies", "core µs a decision", "decisions/s", "p50", "p99"),
        [*rows, OPA],
    )
    table("A record of the decision log, in process (µs)", ("step", "p50", "p99"), list(_steps()))


def _steps() -> Iterator[tuple[str, float, float]]:
    """Yield what a record costs."""
    decisions = [_decided(request, number) for number, request in enumerate(requests(RULES, REQUESTS))]
    asker = _Asker()
    yield _step("spelled", lambda decided: spell(decided, asker, {}), decisions)
    entries = [(DECISION, moment(each.now), spell(each, asker, {}) or b"") for each in decisions]
    with _spool(is_alone=True) as spool:
        yield _step("appended, by a process that is alone", spool.append, entries)
    with _spool(is_alone=False) as spool:
        yield _step("appended, by one of several", spool.append, entries)
    turns = [entries[start : start + CONNECTIONS] for start in range(0, REQUESTS, CONNECTIONS)]
    with _spool(is_alone=True) as spool:
        _, *times = _step("", lambda turn: spool.append(*turn), turns)
        yield f"each of {CONNECTIONS} that are appended together", times[0] / CONNECTIONS, times[1] / CONNECTIONS
    with _spool(is_alone=True) as spool:
        append, sync = spool.append, spool.sync
        yield _step("appended and synced, each by itself", lambda entry: (append(entry), sync()), entries)


@contextmanager
def _spool(*, is_alone: bool) -> Iterator[Spool]:
    with tempfile.TemporaryDirectory(prefix="writ-") as folder:
        now = time.time()
        signer = open_host_key(Path(folder), host="bench", now=now)
        spool = Spool(
            Path(folder) / "spool", host="bench", signer=signer, clock=lambda: now, max_bytes=1 << 30, is_alone=is_alone
        )
        spool.open()
        yield spool
        spool.close()


def _step(name: str, call: Callable[[Any], object], arguments: list[Any]) -> tuple[str, float, float]:
    times = each_us(call, arguments)
    return name, percentile(times, 0.5), percentile(times, 0.99)


def _decided(request: object, number: int) -> Decided:
    answer = refusal("no_matching_rule", "no rule grants this", decision_id=f"0123456789ab-{number:x}", policy=POLICY)
    return Decided(Asked(request), answer, time.time(), 5, Spoken.AUTHZEN, is_trial=False)


@dataclass(frozen=True)
class _Asker:
    """Whoever asks in process."""

    caller: Caller = UNKNOWN
    request_id: bytes = b""
    kept_headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/json"),)


@contextmanager
def _serving(world: World, durability: str) -> Iterator[Callable[[], float]]:
    """Run a sidecar, and yield what tells the seconds of the core it has used."""
    settings = world.folder / "sidecar.toml"
    settings.write_text(f'[log]\ndurability = "{durability}"\nwhen_full = "drop-oldest"\n')
    arguments = [
        "-m", "agent_sidecar", "run", "--store", world.url, "--channel", "prod",
        "--root", str(world.repository / "trust" / "root.json"), "--state",
        str(world.folder / f"state-{durability}"), "--socket", str(world.folder / "d.sock"), "--listen",
        f"127.0.0.1:{PORT}", "--token-file", str(world.folder / "token"), "--config", str(settings),
    ]  # fmt: skip
    with _started(world, arguments, '"activated"') as used_s:
        yield used_s


@contextmanager
def _started(world: World, arguments: list[str], sign: str) -> Iterator[Callable[[], float]]:
    """Run a program on a core of its own from when it says a `sign`, and yield what tells the seconds it has used."""
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, *arguments]
    with subprocess.Popen(command, env=world.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if sign in line:
                break
        try:
            yield lambda: _used_s(process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=START_TIMEOUT_S)


def _used_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _asked(world: World, address: str, bodies: str, used_s: Callable[[], float]) -> tuple[object, ...]:
    command = ["taskset", "-c", str(CLIENT_CORE), sys.executable, "-m", "benchmarks.serving", address]
    command += [str(world.folder / "requests.json"), bodies]
    before = used_s()
    done = subprocess.run(command, env=world.environment, check=True, stdout=subprocess.PIPE)
    replies, rate, p50, p99 = json.loads(done.stdout)
    return (used_s() - before) / replies * 1e6, round(rate), p50, p99


class _Client(asyncio.Protocol):
    """One connection: a request, its reply, the next request."""

    def __init__(self, messages: Iterator[bytes], times: list[float]) -> None:
        self._messages = messages
        self._times = times
        self._started = 0.0
        self._left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take the reply, or a part of it."""
        if not self._left:
            if not data.startswith(b"HTTP/1.1 200"):
                raise SystemExit(data.decode())
            length = data.index(b"Content-Length: ") + 16
            end = data.index(b"\r\n\r\n", length)
            self._left = end + 4 + int(data[length : data.index(b"\r\n", length)])
        self._left -= len(data)
        if not self._left:
            self._times.append(time.perf_counter() - self._started)
            self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        assert self._transport
        self._transport.write(next(self._messages))


async def _ask(address: str, messages: list[bytes], bodies: str) -> tuple[int, float, float, float]:
    """Return how many replies came in all, and rate, p50 and p99 (ms) after warming up."""
    numbers = count()
    loop, times = asyncio.get_running_loop(), list[float]()
    host, _, port = address.rpartition(":")
    for number in range(CONNECTIONS):
        again = cycle(messages[number:] + messages[:number])
        mine = _numbered(again, numbers) if bodies == NEW else again

        def client(mine: Iterator[bytes] = mine) -> _Client:
            return _Client(mine, times)

        if host:
            await loop.create_connection(client, host, int(port))
        else:
            await loop.create_unix_connection(client, address)
    await asyncio.sleep(WARM_UP_S)
    warm = len(times)
    times.clear()
    started = time.perf_counter()
    await asyncio.sleep(SECONDS)
    took = time.perf_counter() - started
    ordered = sorted(times)
    return warm + len(ordered), len(ordered) / took, percentile(ordered, 0.5) * 1e3, percentile(ordered, 0.99) * 1e3


def _numbered(messages: Iterator[bytes], numbers: Iterator[int]) -> Iterator[bytes]:
    halves = (message.split(NUMBER) for message in messages)
    return (b"%b%010d%b" % (before, next(numbers), after) for before, after in halves)


def _message(request: dict[str, Any]) -> bytes:
    request["context"] = {**request.get("context", {}), "number": NUMBER.decode()}
    body = json.dumps(request, separators=(",", ":")).encode()
    head = (
        f"POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Echo(asyncio.Protocol):
    """Says the same to whatever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - the protocol's signature
        """Reply at once."""
        self._transport.write(_ECHOED)


async def _echo(port: int, path: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(_Echo, "127.0.0.1", port)
    await loop.create_unix_server(_Echo, path)
    print("listening", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


def _client(address: str, requests_file: str, bodies: str) -> None:
    import uvloop

    messages = list(map(_message, json.loads(Path(requests_file).read_bytes())))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_ask(address, messages, bodies))))
        sys.stdout.flush()
        os._exit(0)  # its connections need no farewell


if __name__ == "__main__":
    if sys.argv[1] == ECHO:
        import uvloop

        uvloop.run(_echo(int(sys.argv[2]), sys.argv[3]))
    else:
        _client(*sys.argv[1:])
