"""Clients that ask over real connections as fast as they can, and keep the id of each decision they have read."""

import json
import random
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "act.0"}, "resource": {"type": "t", "id": "i"}}
UNLOGGED = "log_unavailable"
_ANSWER = re.compile(rb'"reason_code":"([a-z_]+)"(?:(?!"reason_code").)*?"decision_id":"([^"]+)"')
_LENGTH = re.compile(rb"Content-Length: (\d+)\r\n", re.IGNORECASE)

_FORMS = (
    ("/access/v1/evaluation", REQUEST),
    ("/access/v1/evaluations", {**REQUEST, "evaluations": [{}, {"resource": {"type": "t", "id": "j"}}, {}]}),
    ("/api/v1/policy/evaluate", {"job": {"topic": "act.0"}}),
    ("/v1/data/writ/answer", {"input": REQUEST}),
)


def message(form: int, *, token: str) -> bytes:
    """Return a request in one of the forms."""
    path, request = _FORMS[form % len(_FORMS)]
    body = json.dumps(request).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Load:
    """Asks on several connections until the other side is gone; `answered` is what was heard: id to reason code."""

    def __init__(self, *, unix: Path, port: int, token: str, seed: int) -> None:
        self.answered: dict[str, str] = {}
        self.wrong: list[str] = []
        self._token = token
        self._seed = seed

        def local() -> socket.socket:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(unix))
            return sock

        def tcp() -> socket.socket:
            return socket.create_connection(("127.0.0.1", port))

        # one request at a time, and several at once: batches are answered later, so a peer waits for those
        kinds: list[tuple[Callable[[], socket.socket], int, int]] = [
            (local, 1, 0),
            (tcp, 1, 1),
            (local, 8, 0),
            (tcp, 5, 2),
        ]
        self._threads = [threading.Thread(target=self._ask, args=(number, *kind)) for number, kind in enumerate(kinds)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int, connect: Callable[[], socket.socket], at_once: int, form: int) -> None:
        chance = random.Random(f"{self._seed}-{number}")  # noqa: S311 - no secret
        try:
            with connect() as sock:
                sock.settimeout(20)
                reader = sock.makefile("rb")
                while True:
                    forms = [form] * at_once if at_once > 1 else [chance.randrange(len(_FORMS))]
                    sock.sendall(b"".join(message(each, token=self._token) for each in forms))
                    for _ in forms:
                        self._take(reader)
        except (OSError, EOFError):
            return

    def _take(self, reader: object) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()  # type: ignore[attr-defined]
            if not line:
                raise EOFError
            head += line
        length = _LENGTH.search(head)
        assert length
        body = reader.read(int(length[1]))  # type: ignore[attr-defined]
        if len(body) < int(length[1]):
            raise EOFError
        found = _ANSWER.findall(body)
        if not head.startswith(b"HTTP/1.1 200") or not found:
            self.wrong.append((head + body).decode())
        for reason_code, decision_id in found:
            self.answered[decision_id.decode()] = reason_code.decode()
