"""Whose word is believed: a directory, or the process behind a socket, that belongs to one of a few accounts.

A directory counts only if nobody else could have put it where it is found. So every folder and every link on the way to
it is looked at: it belongs to one of the accounts, and others cannot write to it (or, as with ``/tmp``, cannot replace
what is not theirs).
"""

import os
import pwd
import socket
import stat
import struct
from pathlib import Path

from policy_core.errors import TrustError, UsageError

Owners = frozenset[int]
ROOT_UID = 0
MAX_LINKS = 40

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)


class OwnerError(TrustError):
    """What was found belongs to, or could have been put there by, somebody whose word does not count."""

    default_hint = "name the account the sidecar runs under as `owner`, and close its directory to others"


def owners_of(owner: int | str | None) -> Owners:
    """Return the user ids whose word counts: root, the user this process runs as, and `owner`.

    Raises UsageError for an account that does not exist.
    """
    if isinstance(owner, str):
        try:
            owner = pwd.getpwnam(owner).pw_uid
        except KeyError as error:
            raise UsageError(f"owner: there is no account {owner!a}") from error
    return frozenset({ROOT_UID, os.geteuid()} | ({owner} if owner is not None else set()))


def check_directory(path: Path, owners: Owners) -> Path:
    """Return where a directory really is. Raises OwnerError, or OSError if it is not there."""
    at, links = Path("/"), 0
    left = list(reversed(path.absolute().parts[1:]))
    while left:
        each = at / left.pop()
        found = each.lstat()
        _check_owner(each, found, owners)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > MAX_LINKS:
                raise OwnerError(f"{path}: more than {MAX_LINKS} links on the way")
            target = each.readlink()
            at = Path("/") if target.is_absolute() else at
            left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        at = at.parent if each.name == ".." else each
        _check_closed(each, found, is_last=not left)
    return at


def check_peer(sock: socket.socket, owners: Owners, where: str) -> None:
    """Raise OwnerError unless the process that listens at a connected Unix socket runs under one of the accounts."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise OwnerError(f"{where}: this system does not say who answers", hint="the client needs Linux")
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid not in owners:
        raise OwnerError(f"{where}: is served by user id {uid} (expected {_shown(owners)})")


def _check_owner(path: Path, found: os.stat_result, owners: Owners) -> None:
    if found.st_uid not in owners:
        raise OwnerError(f"{path}: belongs to user id {found.st_uid} (expected {_shown(owners)})")


def _check_closed(path: Path, found: os.stat_result, *, is_last: bool) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise OwnerError(f"{path}: is no directory")
    is_shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_shared and (is_last or not found.st_mode & stat.S_ISVTX):
        raise OwnerError(f"{path}: other users can write to it")


def _shown(owners: Owners) -> str:
    return " or ".join(map(str, sorted(owners)))
