"""Keys of approvers: Ed25519 key files, as PEM (PKCS #8, encrypted or not) or in OpenSSH's format.

A key that others can read is nobody's word, so such a file is refused.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from builder.publishing.keys import KeyMissingError, KeyUnusableError, configuration_home, write_private
from policy_core.errors import ConflictError, UsageError

MAX_KEY_BYTES = 64 << 10
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_HINT = "make one with `writ keys approver NAME`, or `ssh-keygen -t ed25519`"


def load_key(path: Path, *, passphrase: Callable[[], str]) -> Ed25519PrivateKey:
    """Return the private key in a file; `passphrase` is asked only if it is encrypted.

    Raises KeyMissingError, KeyUnusableError.
    """
    content = _read_private(path)
    load = load_ssh_private_key if content.lstrip().startswith(_OPENSSH) else load_pem_private_key
    try:
        try:
            key = load(content, None)
        except TypeError:  # it is encrypted
            key = load(content, passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = " ".join(str(error).split())[:200]
        raise KeyUnusableError(f"{path}: not a private key that can be read ({why})", hint=_HINT) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusableError(f"{path}: not an Ed25519 key", hint=_HINT)
    return key


def public_hex(key: Ed25519PrivateKey) -> str:
    """Return the public key as ``writ.yaml`` spells it: 64 hex digits."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def create_key(path: Path, *, passphrase: str) -> Ed25519PrivateKey:
    """Write a new key to a file that is not there yet, encrypted unless the passphrase is empty, and return it.

    Raises ConflictError, UsageError.
    """
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase.encode())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    except FileExistsError as error:
        raise ConflictError(f"{path}: exists already", hint="keys are never overwritten: name another file") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})", hint="choose another file") from error
    return key


def default_path(name: str, environment: Mapping[str, str]) -> Path:
    """Return where the key of an approver lies if nobody says otherwise. Raises UsageError without a home."""
    return configuration_home(environment) / "approvers" / f"{name}.pem"


def _read_private(path: Path) -> bytes:
    """Return the content of a regular file that only its owner can read: looked at and read through one descriptor."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyUnusableError(f"{path}: no regular file", hint=_HINT)
            if mode & 0o077:
                raise KeyUnusableError(f"{path}: can be read by others", hint=f"chmod 600 {path}")
            return file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise KeyMissingError(f"{path}: cannot be read ({error.strerror})", hint=_HINT) from error
