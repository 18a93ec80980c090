"""Keys of approvers: those that anybody can sign for are refused."""

from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from builder.language.approvers import _WEAK, is_weak

NEUTRAL = (1).to_bytes(32, "little")
FORGED = NEUTRAL + bytes(32)  # a signature that takes no private key


def weak_keys() -> Iterator[bytes]:
    for y in sorted(_WEAK):
        for sign in (0, 1 << 255):
            yield (y | sign).to_bytes(32, "little")


def accepts_a_forgery(key: bytes) -> bool:
    for number in range(200):  # for a point of order 8 one message in eight will do
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(FORGED, str(number).encode())
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def test_what_is_called_weak_is() -> None:
    assert all(map(accepts_a_forgery, weak_keys()))


@pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 31 + "80"])
def test_placeholders_and_points_of_small_order_are_weak(key: str) -> None:
    assert is_weak(key)


def test_real_keys_are_not() -> None:
    keys = [Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for _ in range(50)]

    assert not any(is_weak(key.hex()) for key in keys)
    assert not any(map(accepts_a_forgery, keys[:2]))
