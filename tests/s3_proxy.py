"""A proxy in front of an S3 server, whose every answer and header a test may change."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


NO_ANSWER = Answer(0, [], b"")
"""Closes the connection without a word."""


@dataclass
class Proxy:
    """Forwards requests; `request` may change headers or give an answer itself, `answer` may replace an answer."""

    behind: str
    url: str = ""
    request: Callable[[str, dict[str, str]], Answer | None] = lambda _method, _headers: None
    answer: Callable[[str, Answer], Answer] = lambda _method, answer: answer
    seen: list[str] = field(default_factory=list)

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        self.seen.append(method)
        given = self.request(method, headers)
        if given is not None:
            return given
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return self.answer(method, Answer(response.status, response.getheaders(), response.read()))
        finally:
            connection.close()


@contextmanager
def proxying(behind: str) -> Iterator[Proxy]:
    """Yield a proxy that is listening, in front of an endpoint."""
    proxy = Proxy(behind=behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = proxy.forward(self.command, self.path, dict(self.headers.items()), body)
            self.close_connection = True
            if answer is NO_ANSWER:
                return
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                if name.lower() not in {"connection", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PUT = do_HEAD = handle_one  # noqa: N815  the names are the library's

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def s3_error(status: int, code: str) -> Answer:
    """Return the answer by which S3 reports an error."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return Answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body)
