"""Who signs: key files of one's own, or any signer URI that securesystemslib knows (KMS, HSM, a file elsewhere).

``WRIT_SIGNER_<ROLE>`` names the signer of a role; without it the key is the file ``<role>.pem`` in the repository's key
directory, ``$XDG_CONFIG_HOME/writ/keys/<name>/``, unencrypted PKCS#8 with mode 0600. Keys never lie in a repository.
"""

import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from bundle_store.file import sync_folder
from policy_core.errors import ConflictError, RemoteError, UsageError

AnyRole = TypeVar("AnyRole", Root, Snapshot, Targets, Timestamp)


class KeyMissingError(UsageError):
    """No key is at hand for a role that must be signed."""


class KeyUnusableError(UsageError):
    """The key at hand cannot be read, is readable by others, or is none of the role's keys."""


class SigningError(RemoteError):
    """The signer, such as a key management service, did not sign."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one policy repository: a directory of files, and the environment with its signer URIs."""

    directory: Path
    environment: Mapping[str, str]

    def sign(self, role: str, signed: AnyRole, keys: Sequence[Key]) -> bytes:
        """Return the metadata file of `role`, signed by one of its public `keys`.

        Raises KeyMissingError, KeyUnusableError, SigningError.
        """
        metadata = Metadata(signed)
        try:
            metadata.sign(self._signer(role, keys))
        except UnsignedMetadataError as error:
            raise SigningError(f"role {role}: the signer failed ({_one_line(error)})") from error
        return metadata.to_bytes()

    def path(self, role: str) -> Path:
        """Return the key file of a role."""
        return self.directory / f"{role}.pem"

    def public_key(self, role: str) -> Key:
        """Return the public half of a role's key file; raises KeyMissingError, KeyUnusableError."""
        return SSlibKey.from_crypto(self._private_key(role).public_key())

    def _signer(self, role: str, keys: Sequence[Key]) -> Signer:
        """Return a signer for one of `keys`: the URI in the environment, otherwise the key file."""
        variable = signer_variable(role)
        uri = self.environment.get(variable, "")
        private: Any = None if uri else self._private_key(role)
        problem: Exception | None = None
        for key in keys:
            try:
                if uri:
                    return Signer.from_priv_key_uri(uri, key)
                if isinstance(key, SSlibKey):
                    return CryptoSigner(private, key)
            except Exception as error:  # noqa: BLE001  signers raise what their services raise (securesystemslib says so)
                problem = error
        raise KeyUnusableError(
            f"role {role}: {variable if uri else self.path(role)} gives no key that may sign for it"
            + (f" ({_one_line(problem)})" if problem else ""),
            hint="the public keys of a role are in root (top-level roles) or targets metadata (channels)",
        ) from problem

    def _private_key(self, role: str) -> Any:
        path = self.path(role)
        _check_key_file(role, path)
        try:
            return load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnusableError(
                f"role {role}: {path} is no unencrypted PEM key ({_one_line(error)})",
                hint="decrypt it (`openssl pkey -in OLD -out NEW`), or let a signer hold it: "
                f"{signer_variable(role)}=awskms:…",
            ) from error


def key_ring(name: str, environment: Mapping[str, str]) -> KeyRing:
    """Return the keys of the policy repository called `name`; nothing is read yet. Raises UsageError without a home."""
    return KeyRing(configuration_home(environment) / "keys" / name, environment)


def configuration_home(environment: Mapping[str, str]) -> Path:
    """Return the directory below which this account's keys lie. Raises UsageError without a home."""
    configured = environment.get("XDG_CONFIG_HOME", "")
    try:  # the XDG rule: absolute or void
        base = Path(configured) if configured.startswith("/") else Path.home() / ".config"
    except RuntimeError as error:  # an account without an entry, as containers have them
        raise UsageError("keys: this account has no home directory", hint="set XDG_CONFIG_HOME, or HOME") from error
    return base / "writ"


def signer_variable(role: str) -> str:
    """Return the environment variable that names a role's signer: ``WRIT_SIGNER_PROD`` for ``prod``."""
    return "WRIT_SIGNER_" + re.sub(r"[^A-Z0-9]", "_", role.upper())


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


def write_private(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, for nobody else to read. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check_key_file(role: str, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise KeyMissingError(
            f"role {role}: no key at {path} ({error.strerror})",
            hint=f"put the key file there, or set {signer_variable(role)} to a signer URI (awskms:…, file2:/…)",
        ) from error
    if not stat.S_ISREG(mode):
        raise KeyUnusableError(f"role {role}: {path} is no regular file", hint="put the key file there")
    if mode & 0o077:
        raise KeyUnusableError(f"role {role}: {path} can be read by others", hint=f"chmod 600 {path}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
