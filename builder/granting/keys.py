"""Keys of approvers: Ed25519 key files, as PEM (PKCS #8, encrypted or not) or in OpenSSH's format.

A key that others can read is nobody's word, so such a file is refused.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from builder.publishing.key_files import configuration_home, write_private
from builder.publishing.private_keys import KeyUnusableError, load_private_key, read_private
from policy_core.errors import ConflictError, UsageError

_HINT = "make one with `writ keys approver NAME`, or `ssh-keygen -t ed25519`"


def load_key(path: Path, *, passphrase: Callable[[], str]) -> Ed25519PrivateKey:
    """Return the private key in a file; `passphrase` is asked only if it is encrypted.

    Raises KeyMissingError, KeyUnusableError.
    """
    key = load_private_key(read_private(path, hint=_HINT), str(path), passphrase)
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
