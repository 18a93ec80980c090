"""Keys that anybody can sign for are known as such, and no grant under one counts, even if a policy lists it."""

from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from policy_core.decision import Ask
from policy_core.grants import WEAK_POINTS, Grant, check_grants, encode_grant, is_weak_key
from policy_core.model import Approver
from policy_core.request import normalise

NEUTRAL = (1).to_bytes(32, "little")
FORGED = NEUTRAL + bytes(32)  # a signature that takes no private key


def weak_keys() -> Iterator[bytes]:
    for y in sorted(WEAK_POINTS):
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
    assert is_weak_key(bytes.fromhex(key))


def test_real_keys_are_not() -> None:
    keys = [Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for _ in range(50)]

    assert not any(is_weak_key(key) for key in keys)
    assert not any(map(accepts_a_forgery, keys[:2]))


def test_a_forged_grant_counts_nowhere_even_where_a_policy_lists_the_weak_key() -> None:
    ask = Ask(("p/ask",), "sha256:rules", "sha256:request", {"security": 1}, 3600, "host-1")
    approvers = {"ana": Approver("ana", NEUTRAL.hex(), ("security",), ("ana",))}
    forged = encode_grant(
        Grant(NEUTRAL.hex(), ask.rules_digest, ask.request_digest, "host-1", 0, 1000, "0" * 32), lambda _: FORGED
    )
    raw = {"job": {"topic": "db.drop", "grants": [forged]}}

    verdict = check_grants(normalise(raw, now=10.0, host={}), ask, approvers, is_spent=lambda _: False)

    assert verdict.approvers == ()
    assert verdict.refused[0].message == "anybody could sign for its key"
