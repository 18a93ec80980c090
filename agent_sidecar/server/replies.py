"""Replies as bytes: the few status lines and error bodies this server knows."""

from http import HTTPStatus

import msgspec

from policy_core.errors import ConflictError, KnownError, RemoteError, UsageError

Reply = tuple[int, bytes]
"""Status and body: JSON, unless it is `Text`."""


class Text(bytes):
    """A body that is the text form of metrics."""


class Headed(bytes):
    """A JSON body that comes with header lines of its own, each ended by CR LF."""

    lines: bytes = b""


encode = msgspec.json.Encoder().encode


def headed(body: bytes, lines: bytes) -> Headed:
    """Return a body with header lines, which are the caller's to keep free of line breaks from outside."""
    made = Headed(body)
    made.lines = lines
    return made


HEADS = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    "Content-Type: application/json\r\nContent-Length: ".encode()
    for status in (200, 400, 401, 403, 404, 405, 408, 409, 413, 421, 429, 431, 500, 503, 504)
}
TEXT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: "
_STATUS = ((ConflictError, 409), (UsageError, 400), (RemoteError, 503))


def message(reply: Reply, *, keep_alive: bool, request_id: bytes = b"", extra: bytes = b"") -> bytes:
    """Return a reply as it is sent; `extra` are more header lines, each ended by CR LF."""
    status, body = reply
    if keep_alive and type(body) is bytes and not request_id and not extra:  # the usual case at once
        return b"%b%d\r\n\r\n%b" % (HEADS[status], len(body), body)
    if type(body) is Headed:
        extra += body.lines
    head = b"%b%d\r\n%b" % (HEADS[status] if type(body) is not Text else TEXT_HEAD, len(body), extra)
    if request_id:
        head += b"X-Request-ID: %b\r\n" % request_id
    if not keep_alive:
        head += b"Connection: close\r\n"
    return b"%b\r\n%b" % (head, body)


def error_reply(status: int, code: str, message: str, hint: str = "") -> Reply:
    """Return an error as ``{"error": {"code", "message", "hint"}}``."""
    return status, encode({"error": {"code": code, "message": message} | ({"hint": hint} if hint else {})})


def known_error_reply(error: KnownError) -> Reply:
    """Return an expected error with the status that tells a caller what kind it is."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return error_reply(status, type(error).__name__.removesuffix("Error").lower(), error.message, error.hint)


INTERNAL_ERROR = (500, "internal_error", "the sidecar failed on this request; its log says how")
"""Status, code and message."""
