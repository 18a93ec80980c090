"""Who signs: key files of one's own, or whatever ``WRIT_SIGNER_<ROLE>`` names (see `builder.publishing.signers`).

Without that variable the key is the file ``<role>.pem`` in the repository's key directory,
``$XDG_CONFIG_HOME/writ/keys/<name>/``, with mode 0600. Keys never lie in a repository.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import CryptoSigner, Key, Signature, Signer, SSlibKey
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from builder.publishing.private_keys import (
    KeyMissingError,
    KeyUnusableError,
    ask_passphrase,
    load_private_key,
    one_line,
    read_private,
)
from builder.publishing.signers import SERVICES, read_key, service_public_key, service_signer, split_uri
from bundle_store.file import sync_folder
from policy_core.errors import ConflictError, RemoteError, UsageError

AnyRole = TypeVar("AnyRole", Root, Snapshot, Targets, Timestamp)


class SigningError(RemoteError):
    """The signer, such as a key management service, did not sign."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one policy repository: a directory of files, and the environment with its signer URIs.

    Keys in `repository` are refused. `ask` gets the passphrase of what it is told, once for each role.
    """

    directory: Path
    environment: Mapping[str, str] = field(repr=False)  # which may hold keys and passphrases
    repository: Path | None = None
    ask: Callable[[str], str] = ask_passphrase
    _asked: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def sign(self, role: str, signed: AnyRole, keys: Sequence[Key]) -> bytes:
        """Return the metadata file of `role`, signed by one of its public `keys`; raises as `signature`."""
        metadata = Metadata(signed)
        signature = self.signature(role, metadata.signed_bytes, keys)
        metadata.signatures[signature.keyid] = signature
        return metadata.to_bytes()

    def seal(self, role: str, payload: bytes, payload_type: str, keys: Sequence[Key]) -> bytes:
        """Return a DSSE envelope signed by one of the role's `keys`; raises as `signature`."""
        envelope = Envelope(payload, payload_type, {})
        signature = self.signature(role, envelope.pae(), keys)
        envelope.signatures[signature.keyid] = signature
        return json.dumps(envelope.to_dict(), sort_keys=True, separators=(",", ":")).encode()

    def signature(self, role: str, content: bytes, keys: Sequence[Key]) -> Signature:
        """Return a signature over `content` by one of a role's public `keys`, verified.

        Raises KeyMissingError, KeyUnusableError, SigningError.
        """
        problem: Exception | None = None
        for key in keys:
            try:
                signer = self._signer(role, key)
            except (KeyMissingError, KeyUnusableError) as error:
                raise _of_role(role, error) from error
            except Exception as error:  # noqa: BLE001  signers raise what their services raise (securesystemslib says so)
                problem = error
                continue
            try:
                signature = signer.sign(content)
            except Exception as error:  # as above
                raise SigningError(f"role {role}: the signer failed ({one_line(error)})") from error
            if _verifies(key, signature, content):  # a service signs with whatever key it has under that name
                return signature
        raise KeyUnusableError(
            f"role {role}: {self.source(role)} gives no key that may sign for it"
            + (f" ({one_line(problem)})" if problem else ""),
            hint="the public keys of a role are in root (top-level roles) or targets metadata (channels)",
        ) from problem

    def path(self, role: str) -> Path:
        """Return the key file of a role."""
        return self.directory / f"{role}.pem"

    def uri(self, role: str) -> str:
        """Return the signer URI of a role, empty if its key is a file of this directory."""
        return self.environment.get(signer_variable(role), "")

    def source(self, role: str) -> str:
        """Return where the key of a role comes from: the variable that names its signer, or the key file."""
        return signer_variable(role) if self.uri(role) else str(self.path(role))

    def has(self, role: str) -> bool:
        """Tell whether a signer is named, or a key file there, for a role; whether it is good shows when it signs."""
        return bool(self.uri(role)) or os.path.lexists(self.path(role))

    def is_service(self, role: str) -> bool:
        """Tell whether a service signs for a role; raises KeyUnusableError for what is no signer URI."""
        uri = self.uri(role)
        return bool(uri) and split_uri(uri, signer_variable(role))[0] in SERVICES

    def public_key(self, role: str) -> Key:
        """Return the public half of a role's key; raises KeyMissingError, KeyUnusableError."""
        try:
            if self.is_service(role):
                return service_public_key(self.uri(role))
            return SSlibKey.from_crypto(self._private_key(role).public_key())
        except (KeyMissingError, KeyUnusableError) as error:
            raise _of_role(role, error) from error
        except ValueError as error:
            raise KeyUnusableError(f"role {role}: {self.source(role)}: {one_line(error)}") from error

    def create(self, role: str) -> None:
        """Create the key file of a role, which appears complete or not at all.

        Raises ConflictError if it exists, KeyUnusableError if it would lie in the repository.
        """
        self.require_outside()
        path = self.path(role)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.directory, prefix=".new-") as temporary:  # mode 0700
                complete = Path(temporary) / "key"
                write_private(complete, CryptoSigner.generate_ed25519().private_bytes)
                path.hardlink_to(complete)
            sync_folder(self.directory)
        except FileExistsError as error:
            raise ConflictError(f"{path}: exists already", hint="keys are never overwritten") from error
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror})") from error

    def require_outside(self) -> None:
        """Raise KeyUnusableError if the key directory lies in the repository."""
        if self.repository and self.directory.resolve().is_relative_to(self.repository.resolve()):
            raise KeyUnusableError(
                f"{self.directory}: lies in the policy repository", hint="point XDG_CONFIG_HOME elsewhere"
            )

    def _signer(self, role: str, key: Key) -> Signer:
        if self.is_service(role):
            return service_signer(self.uri(role), key, lambda name: self._passphrase(role, f"{role} ({name})"))
        if not isinstance(key, SSlibKey):
            raise KeyUnusableError(f"its key {key.keyid[:12]} is none that a private key could belong to")
        return CryptoSigner(self._private_key(role), key)

    def _private_key(self, role: str) -> Any:
        what = self.source(role)
        return load_private_key(self._content(role), what, lambda: self._passphrase(role, what))

    def _content(self, role: str) -> bytes:
        variable = signer_variable(role)
        if uri := self.uri(role):
            return read_key(*split_uri(uri, variable), self.environment, outside=self.repository)
        hint = f"put the key file there, or set {variable} to a signer URI (awskms:…, file:/…)"
        return read_private(self.path(role), outside=self.repository, hint=hint)

    def _passphrase(self, role: str, what: str) -> str:
        """Return the passphrase of a role's key: from its variable, from the file another names, or from a person."""
        given = self.environment.get(_variable("PASSPHRASE", role), "")
        if given:
            return given
        file = self.environment.get(_variable("PASSFILE", role), "")
        if file:
            content = read_private(Path(file), outside=self.repository, hint="it is to hold the passphrase")
            return content.decode(errors="replace").removesuffix("\n").removesuffix("\r")
        if role not in self._asked:
            self._asked[role] = self.ask(what)
        return self._asked[role]


def _of_role(role: str, error: KeyMissingError | KeyUnusableError) -> UsageError:
    return type(error)(f"role {role}: {error.message}", hint=error.hint)


def _verifies(key: Key, signature: Signature, content: bytes) -> bool:
    try:
        key.verify_signature(signature, content)
    except (UnverifiedSignatureError, VerificationError):
        return False
    return True


def key_ring(name: str, environment: Mapping[str, str], repository: Path | None = None) -> KeyRing:
    """Return the keys of the policy repository called `name`; nothing is read yet. Raises UsageError without a home."""
    return KeyRing(configuration_home(environment) / "keys" / name, environment, repository)


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
    return _variable("SIGNER", role)


def _variable(kind: str, role: str) -> str:
    return f"WRIT_{kind}_" + re.sub(r"[^A-Z0-9]", "_", role.upper())


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
