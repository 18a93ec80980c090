"""Private keys as they lie in files and variables: PEM (PKCS #8, encrypted or not) or OpenSSH's format.

A key that others can read is nobody's word, and one that lies in a repository is soon in every clone: both are refused.
Messages name files and variables, never what is in them.
"""

import getpass
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from policy_core.errors import UsageError

MAX_KEY_BYTES = 64 << 10
MAX_REASON_CHARS = 200
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"


class KeyMissingError(UsageError):
    """No key is at hand for a role that must be signed."""


class KeyUnusableError(UsageError):
    """The key at hand cannot be read, is readable by others, or is none of the role's keys."""


def read_private(path: Path, *, outside: Path | None = None, hint: str = "") -> bytes:
    """Return the content of a regular file that only its owner can read and that does not lie below `outside`.

    It is looked at and read through one descriptor. Raises KeyMissingError, KeyUnusableError.
    """
    try:
        if outside is not None and path.resolve().is_relative_to(outside.resolve()):
            raise KeyUnusableError(
                f"{path}: lies in the policy repository", hint="move it away; if it was ever committed, revoke it"
            )
        # Without waiting: a pipe that nobody writes to would hold the command for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise KeyUnusableError(f"{path}: is no regular file", hint="put the key file there")
            if mode & 0o077:
                raise KeyUnusableError(f"{path}: can be read by others", hint=f"chmod 600 {path}")
            return file.read(MAX_KEY_BYTES)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle; ValueError: a NUL
        raise KeyMissingError(f"no key at {path} ({one_line(error)})", hint=hint) from error


def load_private_key(content: bytes, what: str, passphrase: Callable[[], str]) -> Any:
    """Return the private key in PEM or OpenSSH's format; `passphrase` is asked only if it is encrypted.

    `what` names it in messages. Raises KeyUnusableError, and what `passphrase` raises.
    """
    load = load_ssh_private_key if content.lstrip().startswith(_OPENSSH) else load_pem_private_key
    try:
        try:
            return load(content, None)
        except TypeError:  # it is encrypted
            return load(content, passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = "take a PEM file (PKCS #8) or one that `ssh-keygen -t ed25519` makes"
        if "bcrypt" in str(error):
            hint = "encrypted OpenSSH keys need one more package: pip install bcrypt; or take an encrypted PEM file"
        raise KeyUnusableError(f"{what}: not a private key that can be read ({one_line(error)})", hint=hint) from error


def ask_passphrase(what: str) -> str:
    """Ask whoever sits at the terminal; raises KeyUnusableError if nobody does."""
    try:
        with Path("/dev/tty").open("rb"):
            pass
        return getpass.getpass(f"Passphrase of {what}: ")
    except (OSError, EOFError) as error:
        raise KeyUnusableError(
            f"{what}: is encrypted, and nobody is there to be asked for its passphrase",
            hint="where no person is, WRIT_PASSPHRASE_<ROLE> holds it, or WRIT_PASSFILE_<ROLE> names a file with it",
        ) from error


def one_line(error: Exception) -> str:
    """Return what an exception of a library says, as one short printable line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return words[:MAX_REASON_CHARS] or type(error).__name__
