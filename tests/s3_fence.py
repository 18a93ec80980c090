"""An S3 server that lets through what policies allow: in front of moto, which does not judge conditions.

Who asks is told by the access key, which is the principal's name. Policies are judged as AWS documents it: an explicit
deny wins, then an allow of the identity policy, else it is denied; a missing object is 404 to those who may list with
its key as prefix, and 403 to all others.
"""

import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass(frozen=True)
class Asked:
    """A request in the words of policies."""

    action: str
    resource: str
    context: Mapping[str, str]


def permits(identity: Any, bucket: Any, asked: Asked) -> bool:
    """Tell whether an identity policy and a bucket policy together let a request through."""
    effects = [s["Effect"] for s in (*identity["Statement"], *bucket["Statement"]) if _applies(s, asked)]
    return "Deny" not in effects and "Allow" in effects


def _applies(statement: Any, asked: Asked) -> bool:
    if statement.get("Principal", "*") != "*":
        raise NotImplementedError(statement["Principal"])
    return (
        any(_like(pattern, asked.action) for pattern in _list(statement["Action"]))
        and any(_like(pattern, asked.resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, asked.context.get(key), _list(wanted))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, found: str | None, wanted: list[str]) -> bool:
    if operator == "Null":
        return wanted == [str(found is None).lower()]
    if operator in {"Bool", "StringEquals"}:
        return found in wanted
    if operator == "StringLike":
        return found is not None and any(_like(pattern, found) for pattern in wanted)
    raise NotImplementedError(operator)


def _like(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.DOTALL) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@dataclass
class Fence:
    """What may be asked of the server behind, by whom; `seen` is what was asked, with the answer."""

    behind: str
    bucket_policy: Any
    identity: Mapping[str, Any]
    url: str = ""
    seen: list[tuple[str, Asked, bool]] = field(default_factory=list)

    def allows(self, who: str, asked: Asked) -> bool:
        return permits(self.identity[who], self.bucket_policy, asked)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any, bytes]:
        who = re.search(r"Credential=([^/]+)/", headers["Authorization"])
        assert who
        asked = words_of(method, path, headers)
        allowed = self.allows(who[1], asked)
        self.seen.append((who[1], asked, allowed))
        if not allowed:
            return 403, [], DENIED
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=10)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status == 404 and asked.action == "s3:GetObject" and not self.allows(who[1], listing_of(asked)):
            return 403, [], DENIED
        return response.status, response.getheaders(), content


def words_of(method: str, path: str, headers: Mapping[str, str]) -> Asked:
    """Return what a request in path style asks for."""
    parts = urlsplit(path)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    given = {name.lower(): value for name, value in headers.items()}
    context = {"aws:SecureTransport": "true"}
    if not key:
        query = parse_qs(parts.query, keep_blank_values=True)
        prefix = {"s3:prefix": query["prefix"][0]} if "prefix" in query else {}
        return Asked("s3:ListBucket", arn, context | prefix)
    action = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[method]
    if method == "PUT":
        context |= {f"s3:{name}": given[name] for name in ("if-match", "if-none-match") if name in given}
    return Asked(f"s3:{action}", f"{arn}/{key}", context)


def listing_of(asked: Asked) -> Asked:
    """Return the right that decides whether a missing object is told to be missing."""
    arn, _, key = asked.resource.partition("/")
    return Asked("s3:ListBucket", arn, {**asked.context, "s3:prefix": key})


@contextmanager
def serving(fence: Fence) -> Iterator[Fence]:
    """Serve a fence on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, content = fence.answer(self.command, self.path, dict(self.headers.items()), body)
            self.close_connection = True
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_DELETE = handle_one  # noqa: N815  the names are the library's

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    fence.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fence
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
