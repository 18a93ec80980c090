"""Listening sockets that the service manager has opened: the protocol of ``sd_listen_fds(3)``.

Each must be the one the configuration names, and of its kind. They are used as they are: neither their mode nor their
owner is touched, and their files stay when the sidecar ends, for the next one.
"""

import os
import socket
import stat
from collections.abc import MutableMapping
from pathlib import Path

from policy_core.errors import UsageError

FIRST_DESCRIPTOR = 3
NAMES = ("admin", "decision", "tcp")
_HINT = "FileDescriptorName= of a socket unit is the name of its sockets"


class HandedOver:
    """Sockets by their names; each is asked for at most once."""

    def __init__(self, sockets: dict[str, socket.socket]) -> None:
        self._sockets = sockets

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> "HandedOver":
        """Return the sockets an environment tells this process of, and take them out of it.

        Raises UsageError for names that are unknown or there twice, and for what is no listening stream socket.
        """
        pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
        names = environment.pop("LISTEN_FDNAMES", "").split(":")
        if pid != str(os.getpid()):  # meant for another process, or for none
            return cls({})
        if not count.isdecimal() or len(names) != int(count) or len(set(names)) < len(names) or set(names) - set(NAMES):
            raise UsageError(
                f"LISTEN_FDNAMES: expected each of {', '.join(NAMES)} at most once, "
                f"found {':'.join(names)[:80]} for {count[:10]} sockets",
                hint=_HINT,
            )
        return cls({name: _taken(name, FIRST_DESCRIPTOR + number) for number, name in enumerate(names)})

    def unix(self, name: str, path: Path, *, is_private: bool = False) -> socket.socket | None:
        """Return the socket of a name, which must lie at `path`; None if none was handed over.

        Raises UsageError, also if it must be private and others may open it.
        """
        if (sock := self._sockets.get(name)) is None:
            return None
        found = sock.getsockname()
        if sock.family != socket.AF_UNIX or not isinstance(found, str) or Path(found).resolve() != path.resolve():
            raise _unlike(name, path, found)
        if is_private and _is_open(name, path):
            raise UsageError(f"socket {name}: {path} is open to others (expected mode 0600)", hint="SocketMode=0600")
        return self._sockets.pop(name)

    def tcp(self, name: str, address: tuple[str, int]) -> socket.socket | None:
        """Return the socket of a name, which must listen on an address and port; None if none was handed over.

        Raises UsageError.
        """
        sock = self._sockets.get(name)
        if sock is not None and (sock.family == socket.AF_UNIX or sock.getsockname()[:2] != address):
            raise _unlike(name, f"{address[0]}:{address[1]}", sock.getsockname())
        return self._sockets.pop(name, None)

    def check_all_used(self) -> None:
        """Raise UsageError if a socket was handed over that nothing asked for."""
        for name, sock in self._sockets.items():
            raise UsageError(f"socket {name}: nothing listens there (found {sock.getsockname()})", hint="set listen")

    def close(self) -> None:
        """Close the sockets that nothing asked for."""
        for sock in self._sockets.values():
            sock.close()


def _taken(name: str, descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise UsageError(
            f"socket {name}: descriptor {descriptor} is no socket: {error.strerror}", hint=_HINT
        ) from error
    families = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
    is_stream = sock.family in families and sock.type == socket.SOCK_STREAM
    if not is_stream or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise UsageError(f"socket {name}: is no listening stream", hint="use ListenStream= and Accept=no")
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _is_open(name: str, path: Path) -> bool:
    """Tell whether others may open a socket. Raises UsageError if its file is gone: nobody could connect."""
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError as error:
        raise UsageError(f"socket {name}: {path}: {error.strerror}", hint="start its socket unit again") from error


def _unlike(name: str, expected: object, found: object) -> UsageError:
    return UsageError(
        f"socket {name}: is not the one that is configured (expected {expected}, found {found!r})",
        hint="give ListenStream= and the configuration the same",
    )
