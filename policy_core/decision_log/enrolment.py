"""Public keys of hosts, as they are enrolled: each signs for itself that it is this host's. Pure.

The signature proves who holds the key, not who the host is: that, whoever may write the fleet's records decides, or a
person who keeps the files elsewhere.
"""

import hashlib
from dataclasses import dataclass

import msgspec

from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import is_host, is_moment
from policy_core.grants import is_weak_key

SCHEMA = "writ.host-key/1"
MAX_ENROLMENT_BYTES = 2_048
_DOMAIN = b"writ.host-key/1 enrolment\n"


class _Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    schema: str = SCHEMA
    host: str
    keyid: str
    key: str
    created: str
    sig: str = ""


@dataclass(frozen=True, slots=True)
class HostKey:
    """The public half of a host's key (32 bytes, Ed25519), and since when (host time) it is whose."""

    host: str
    public: bytes
    created: str

    @property
    def keyid(self) -> str:
        """Return the name of the key: the SHA-256 of its 32 bytes, in hex."""
        return key_id(self.public)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether the key's other half made a signature."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def key_id(public: bytes) -> str:
    """Return the name of a public key (32 bytes)."""
    return hashlib.sha256(public).hexdigest()


def enrolment_message(key: HostKey) -> bytes:
    """Return what the signature of an enrolment is over."""
    return _DOMAIN + msgspec.json.encode(_enrolment(key, ""))


def encode_enrolment(key: HostKey, signature: bytes) -> bytes:
    """Return the content of the object that enrols a key; `signature` is over `enrolment_message`."""
    return msgspec.json.encode(_enrolment(key, signature.hex())) + b"\n"


def decode_enrolment(content: bytes, *, name: str) -> HostKey:
    """Return the key an object enrols; its own signature holds. Raises LogError."""
    hint = "nothing this key signed is believed; the host enrols it again at its next start if the object is removed"
    try:
        found = msgspec.json.decode(content[:MAX_ENROLMENT_BYTES], type=_Enrolment)
        key = HostKey(found.host, bytes.fromhex(found.key), found.created)
        signature = bytes.fromhex(found.sig)
    except ValueError as error:
        raise LogError(name, f"enrols no key: {error}", hint=hint) from error
    if (
        encode_enrolment(key, signature) != content
        or found.schema != SCHEMA
        or found.keyid != key.keyid
        or not is_host(found.host)
        or not is_moment(found.created)
        or is_weak_key(key.public)
        or not key.verifies(signature, enrolment_message(key))
    ):
        raise LogError(name, "enrols no key: it is not spelled as one is, or its signature does not hold", hint=hint)
    return key


def _enrolment(key: HostKey, sig: str) -> _Enrolment:
    return _Enrolment(host=key.host, keyid=key.keyid, key=key.public.hex(), created=key.created, sig=sig)
