"""Signers by URI: ``WRIT_SIGNER_<ROLE>`` names a key file, a variable that holds a key, or a service that signs.

Files and variables are read here, so that the same rules hold for all keys that can be stolen by copying; services are
securesystemslib's. A value that is no such URI may be a key put there by mistake: it is never repeated.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import AWSSigner, Key, Signer

from builder.publishing.private_keys import KeyMissingError, KeyUnusableError, one_line, read_private

FILES = ("file", "file2")
VARIABLE = "env"
SERVICES = {"awskms": "awskms", "gcpkms": "gcpkms", "azurekms": "azurekms", "hsm": "hsm", "hv": "vault"}
"""Scheme of a service, and securesystemslib's extra that speaks to it."""

_URI = re.compile(r"([a-z][a-z0-9]{0,19}):(.+)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def split_uri(uri: str, variable: str) -> tuple[str, str]:
    """Return scheme and remainder of a signer URI; raises KeyUnusableError for an unknown scheme."""
    found = _URI.fullmatch(uri)
    if found is None or found[1] not in (*FILES, VARIABLE, *SERVICES):
        known = ", ".join(f"{scheme}:…" for scheme in ("file", VARIABLE, *SERVICES))
        raise KeyUnusableError(f"{variable}: is no signer URI", hint=f"a signer is one of {known}")
    return found[1], found[2]


def read_key(scheme: str, rest: str, environment: Mapping[str, str], *, outside: Path | None) -> bytes:
    """Return the key that a ``file:`` or ``env:`` URI names; raises KeyMissingError, KeyUnusableError."""
    if scheme == VARIABLE:
        if not _NAME.fullmatch(rest):
            raise KeyUnusableError("env: names no variable", hint="put the key into another variable: env:ITS_NAME")
        content = environment.get(rest, "")
        if not content:
            raise KeyMissingError(f"no key in the variable {rest}", hint="let it hold a private key in PEM form")
        return content.encode()
    path = Path(rest.removeprefix("//"))
    if not path.is_absolute():
        raise KeyUnusableError(f"{path}: is no absolute path", hint="write file:/run/secrets/prod.pem")
    return read_private(path, outside=outside, hint="put the key file there")


def service_signer(uri: str, key: Key, secret: Callable[[str], str]) -> Signer:
    """Return a service's signer for a public key; `secret` is asked for what it needs, such as a PIN.

    Raises KeyUnusableError without the library it takes, and whatever the service raises.
    """
    try:
        return Signer.from_priv_key_uri(uri, key, secret)
    except (UnsupportedLibraryError, ImportError) as error:
        raise _library_missing(uri, error) from error


def service_public_key(uri: str) -> Key:
    """Ask a service for the public key of a URI: AWS only; raises KeyUnusableError."""
    scheme, _, name = uri.partition(":")
    if scheme != "awskms":
        raise KeyUnusableError(
            f"{scheme}: its public keys cannot be asked for", hint="make the role's key with file, env or awskms"
        )
    try:
        return AWSSigner.import_(name)[1]
    except (UnsupportedLibraryError, ImportError) as error:
        raise _library_missing(uri, error) from error
    except Exception as error:  # boto3 raises what the service makes of it
        raise KeyUnusableError(f"{scheme}: {one_line(error)}", hint="check key id, region and credentials") from error


def _library_missing(uri: str, error: Exception) -> KeyUnusableError:
    scheme = uri.partition(":")[0]
    return KeyUnusableError(
        f"{scheme}: the library for it is not installed ({one_line(error)})",
        hint=f"pip install 'securesystemslib[{SERVICES[scheme]}]'",
    )
