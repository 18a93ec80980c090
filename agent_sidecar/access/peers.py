"""Which users may open a Unix socket, whatever its file mode: asked of the kernel once for each connection."""

import grp
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from agent_sidecar.server.caller import peer_credentials

MAX_ENTRIES = 256
_SO_PEERGROUPS = 59
"""Of Linux on all architectures but PA-RISC and SPARC, where asking for it is an error; not named by `socket`."""
_MAX_GROUPS_BYTES = 1024
"""What `getsockopt` of Python takes: of a peer in more than 256 groups only the first one, its own, is known."""


@dataclass(frozen=True, slots=True)
class Peers:
    """A list of those who may connect; nobody is on it by being root or the owner."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    def admits(self, sock: socket.socket) -> bool:
        """Tell whether the user at the other end, or one of its groups, is listed."""
        credentials = peer_credentials(sock)
        if credentials is None:
            return False
        uid, gid = credentials
        return uid in self.uids or gid in self.gids or bool(self.gids and not self.gids.isdisjoint(_groups(sock)))


def _groups(sock: socket.socket) -> tuple[int, ...]:
    """Return the supplementary groups of a peer; none where the kernel does not tell."""
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_BYTES)
    except OSError:
        return ()
    return struct.unpack(f"={len(found) // 4}I", found[: len(found) // 4 * 4])


def uids(value: object) -> frozenset[int]:
    """Return user ids of a list of ids and names. Raises ValueError."""
    return _ids(value, "user", lambda name: pwd.getpwnam(name).pw_uid)


def gids(value: object) -> frozenset[int]:
    """Return group ids of a list of ids and names. Raises ValueError."""
    return _ids(value, "group", lambda name: grp.getgrnam(name).gr_gid)


def _ids(value: object, kind: str, look_up: Callable[[str], int]) -> frozenset[int]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENTRIES:
        raise ValueError(f"is not a list of 1 to {MAX_ENTRIES} ids or names of {kind}s")
    if not hasattr(socket, "SO_PEERCRED"):
        raise ValueError("cannot be checked on this system, which does not say who connects")
    found = set()
    for each in value:
        if type(each) is int and 0 <= each < 2**32 - 1:
            found.add(each)
        elif isinstance(each, str) and each:
            try:
                found.add(look_up(each))
            except KeyError as error:
                raise ValueError(f"there is no {kind} {each!r} on this host") from error
        else:
            raise ValueError(f"is not a {kind} (expected an id or a name, found {each!r})")
    return frozenset(found)
