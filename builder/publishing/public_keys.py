"""Public keys as people hand them over: a PEM file, an OpenSSH ``.pub`` file, or a service that is asked for it."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key
from securesystemslib.signer import Key, SSlibKey

from builder.publishing.private_keys import MAX_KEY_BYTES, KeyMissingError, KeyUnusableError, one_line
from builder.publishing.signers import SERVICES, service_public_key
from policy_core.trust.layout import OWNER

_PEM = b"-----BEGIN"
_HINT = "take a PEM file (`openssl pkey -in KEY -pubout`), or the .pub file of `ssh-keygen -t ed25519`"


def read_public_key(place: str, directory: Path, owner: str = "") -> Key:
    """Return the public key in a file, relative to `directory`, or of a signer URI such as ``awskms:alias/writ``.

    `owner` is whose it is, empty for a machine's. Raises KeyMissingError, KeyUnusableError.
    """
    scheme = place.partition(":")[0]
    key = service_public_key(place) if scheme in SERVICES else _from_file(directory / place)
    if owner:
        key.unrecognized_fields[OWNER] = owner
    return key


def _from_file(path: Path) -> Key:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise KeyMissingError(f"no key at {path} ({one_line(error)})", hint=_HINT) from error
    if b"PRIVATE KEY" in content:
        raise KeyUnusableError(f"{path}: is a private key", hint=f"nobody but its owner should have it; {_HINT}")
    load = load_pem_public_key if content.lstrip().startswith(_PEM) else load_ssh_public_key
    try:
        return SSlibKey.from_crypto(load(content))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # what the library says repeats words of the file, which may be another kind of secret
        raise KeyUnusableError(f"{path}: is no public key of a known kind", hint=_HINT) from error
