"""Who asks: what a connection proves of its peer, never what the peer says of itself."""

import math
import socket
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_sidecar.access.binding import Bounds


class CallerKind(StrEnum):
    """How a caller is known: by the kernel, by a token or a certificate it showed, or not at all."""

    UNIX = "unix"
    TOKEN = "token"  # noqa: S105 - a kind
    CERTIFICATE = "certificate"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller; `name` is what records and logs say, such as ``uid 1000``.

    `bounds` is what it may say in a request: None, which is anything, only where no caller is bound. `expires` is when
    what proves it does (seconds since 1970).
    """

    kind: CallerKind
    name: str
    uid: int | None = None
    bounds: "Bounds | None" = field(default=None, repr=False, compare=False)
    expires: float = field(default=math.inf, repr=False, compare=False)


UNKNOWN = Caller(CallerKind.UNKNOWN, "unknown")
_CREDENTIALS = struct.Struct("3i")


def peer_credentials(sock: socket.socket | None) -> tuple[int, int] | None:
    """Return user and group id at the other end of a Unix socket, as the kernel noted them when it connected.

    None at any other socket, and on systems that do not tell.
    """
    if sock is None or sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    _pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return uid & 0xFFFFFFFF, gid & 0xFFFFFFFF
