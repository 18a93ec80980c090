"""Who asks: what a connection proves of its peer, never what the peer says of itself."""

import socket
import struct
from dataclasses import dataclass
from enum import StrEnum


class CallerKind(StrEnum):
    """How a caller is known: by the kernel, by a token it showed, or not at all."""

    UNIX = "unix"
    TOKEN = "token"  # noqa: S105 - a kind
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller; `name` is what records and logs say, such as ``uid 1000``."""

    kind: CallerKind
    name: str
    uid: int | None = None


UNKNOWN = Caller(CallerKind.UNKNOWN, "unknown")
TOKEN_HOLDER = Caller(CallerKind.TOKEN, "token")


def unix_caller(sock: socket.socket | None) -> Caller:
    """Return who is at the other end of a Unix socket, as the kernel says; unknown at any other socket."""
    if sock is None or sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return UNKNOWN
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3i", credentials)[1]
    return Caller(CallerKind.UNIX, f"uid {uid}", uid)
