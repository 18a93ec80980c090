"""Listening sockets: a Unix socket with its mode set before the first connect, TCP.

A socket file left by a crash is replaced; one that a live server answers on is a conflict. Of two sidecars started at
the same instant on one path just one gets it, by a lock on a file beside it.
"""

import contextlib
import fcntl
import os
import resource
import secrets
import socket
import stat
from pathlib import Path

from policy_core.errors import ConflictError, UsageError

MAX_SOCKET_PATH_BYTES = 107
"""What the kernel takes as the path of a Unix socket, without its final zero."""
BACKLOG = 512
RESERVED_DESCRIPTORS = BACKLOG + 128
"""File descriptors kept for state, store and orders, and for peers about to be turned away; half, if there are few."""


def claim_socket(path: Path) -> int:
    """Lock the file ``<path>.lock`` and return its descriptor; what holds it may replace and remove the socket.

    The file stays: removing a lock that another process is about to take would give it to two. Raises ConflictError if
    another process holds it, UsageError if it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
    except OSError as error:
        raise _cannot_be_made(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise _in_use(path) from error
        raise _cannot_be_made(path, error) from error
    return lock


def connection_limit(most: int, *, services: int) -> int:
    """Return how many connections each of some services may have, at most `most`.

    The limit of open files is raised as far as this process may, because a peer that uses them up would keep the
    sidecar from polling and from writing its state.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most * services + RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, min(most, (soft - min(RESERVED_DESCRIPTORS, soft // 2)) // services))
    return most


def listen_unix(path: Path, *, mode: int) -> socket.socket:
    """Return a listening socket at `path` with the given file mode.

    It is bound in a private directory beside, and moved into place with its mode set. Raises UsageError for a path that
    is too long, or not ours to use, ConflictError if a server answers there already.
    """
    check_socket_path(path)
    _check_free(path)
    private = path.parent / f".{secrets.token_hex(3)}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        private.mkdir(mode=0o700)
        try:
            bound = private / "s"
            sock.bind(str(bound))
            bound.chmod(mode)
            sock.listen(BACKLOG)
            bound.replace(path)
        finally:
            with contextlib.suppress(OSError):
                (private / "s").unlink(missing_ok=True)
            private.rmdir()
    except OSError as error:
        sock.close()
        raise _cannot_be_made(path, error) from error
    sock.setblocking(False)
    return sock


def check_socket_path(path: Path) -> None:
    """Raise UsageError unless the kernel takes `path`, and the private one beside it, as an address."""
    longest = max(len(os.fsencode(path)), len(os.fsencode(path.parent)) + len("/.123456/s"))
    if longest > MAX_SOCKET_PATH_BYTES:
        raise UsageError(
            f"socket {path}: path too long (expected at most {MAX_SOCKET_PATH_BYTES} bytes, found {longest})",
            hint="choose a shorter directory, such as /run/writ or /var/lib/writ",
        )


def listen_tcp(address: str, port: int) -> socket.socket:
    """Return a listening socket on an address (port 0: any). Raises ConflictError if the port is in use."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ConflictError(f"listen {address}:{port}: {error.strerror}", hint="choose another port") from error
    sock.setblocking(False)
    return sock


def _check_free(path: Path) -> None:
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"socket {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(found):
        raise UsageError(f"socket {path}: is a file of another kind", hint="choose another path, or move the file away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return  # left by a server that is gone
        except OSError as error:
            raise UsageError(f"socket {path}: cannot be replaced: {error.strerror or error}") from error
    raise _in_use(path)


def _in_use(path: Path) -> ConflictError:
    return ConflictError(f"socket {path}: another server answers there", hint="stop it, or choose another --socket")


def _cannot_be_made(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"socket {path}: cannot be made: {error.strerror}", hint="its directory must exist and be writable"
    )
