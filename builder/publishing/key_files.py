"""New key files, and where an account keeps them: never overwritten, never half there, for nobody else to read."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key

from bundle_store.file import sync_folder
from policy_core.errors import ConflictError, UsageError


def configuration_home(environment: Mapping[str, str]) -> Path:
    """Return the directory below which this account's keys lie. Raises UsageError without a home."""
    configured = environment.get("XDG_CONFIG_HOME", "")
    try:  # the XDG rule: absolute or void
        base = Path(configured) if configured.startswith("/") else Path.home() / ".config"
    except RuntimeError as error:  # an account without an entry, as containers have them
        raise UsageError("keys: this account has no home directory", hint="set XDG_CONFIG_HOME, or HOME") from error
    return base / "writ"


def create_keys(directory: Path, roles: Sequence[str]) -> dict[str, Key]:
    """Create one ed25519 key file for each role in a new directory and return the public keys.

    The directory appears complete or not at all. Raises ConflictError if it exists: keys are never overwritten.
    """
    if directory.exists():
        raise ConflictError(
            f"{directory}: keys exist already",
            hint="they may be the only ones for some store; if not, as after a first run that was cut short before it "
            "committed trust/root.json, move the directory away",
        )
    signers = {role: CryptoSigner.generate_ed25519() for role in roles}
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".new-") as temporary:  # mode 0700
            complete = Path(temporary) / "keys"
            complete.mkdir(mode=0o700)
            for role, signer in signers.items():
                write_private(complete / f"{role}.pem", signer.private_bytes)
            sync_folder(complete)
            complete.rename(directory)
        sync_folder(directory.parent)
    except OSError as error:
        raise UsageError(f"{directory}: keys cannot be written ({error.strerror})") from error
    return {role: signer.public_key for role, signer in signers.items()}


def create_key(path: Path) -> None:
    """Create one ed25519 key file, which appears complete or not at all.

    Raises ConflictError if it exists, UsageError if it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as temporary:  # mode 0700
            complete = Path(temporary) / "key"
            write_private(complete, CryptoSigner.generate_ed25519().private_bytes)
            path.hardlink_to(complete)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise ConflictError(f"{path}: exists already", hint="keys are never overwritten") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error


def write_private(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, for nobody else to read. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
