"""Who signs: key files of one's own, or whatever ``WRIT_SIGNER_<ROLE>`` names (see `builder.publishing.signers`).

Without that variable the key is the file ``<role>.pem`` in the repository's key directory,
``$XDG_CONFIG_HOME/writ/keys/<name>/``, with mode 0600. Keys never lie in a repository.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import CryptoSigner, Key, Signature, Signer, SSlibKey
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from builder.publishing.key_files import configuration_home, create_key
from builder.publishing.private_keys import (
    KeyMissingError,
    KeyUnusableError,
    ask_passphrase,
    load_private_key,
    one_line,
    read_private,
)
from builder.publishing.signers import SERVICES, read_key, service_public_key, service_signer, split_uri
from policy_core.errors import RemoteError, UsageError

AnyRole = TypeVar("AnyRole", Root, Snapshot, Targets, Timestamp)


class NotAmongKeysError(KeyUnusableError):
    """The key at hand is a good one, but none that may sign."""


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
    _services: dict[tuple[str, str], Signer] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        raise NotAmongKeysError(
            f"role {role}: {self.source(role)} gives no key that may sign for it"
            + (f" ({one_line(problem)})" if problem else ""),
            hint="the public keys of a role are in root (top-level roles) or targets metadata (channels)",
        ) from problem

    def with_signer(self, uri: str, roles: Iterable[str]) -> "KeyRing":
        """Return a key ring in which one signer signs for all these roles, whose passphrase is asked for once."""
        asked = functools.cache(lambda: self.ask(uri))
        environment = {**self.environment, **{signer_variable(role): uri for role in roles}}
        return replace(self, environment=environment, ask=lambda _: asked())

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
        """Create the key file of a role; raises as `create_key`, and KeyUnusableError inside the repository."""
        self.require_outside()
        create_key(self.path(role))

    def require_outside(self) -> None:
        """Raise KeyUnusableError if the key directory lies in the repository."""
        if self.repository and self.directory.resolve().is_relative_to(self.repository.resolve()):
            raise KeyUnusableError(
                f"{self.directory}: lies in the policy repository", hint="point XDG_CONFIG_HOME elsewhere"
            )

    def _signer(self, role: str, key: Key) -> Signer:
        if self.is_service(role):
            known = (self.uri(role), key.keyid)
            if known not in self._services:  # a client takes longer to make than a signature
                self._services[known] = service_signer(
                    self.uri(role), key, lambda name: self._passphrase(role, f"{role} ({name})")
                )
            return self._services[known]
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


def signer_variable(role: str) -> str:
    """Return the environment variable that names a role's signer: ``WRIT_SIGNER_PROD`` for ``prod``."""
    return _variable("SIGNER", role)


def _variable(kind: str, role: str) -> str:
    return f"WRIT_{kind}_" + re.sub(r"[^A-Z0-9]", "_", role.upper())
