"""Keys and thresholds that no role may have, whoever asks for them."""

import copy
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from builder.publishing.holders import Holders, HoldersError, check_holding, find_key


def key(owner: str = "") -> Key:
    made = CryptoSigner.generate_ed25519().public_key
    if owner:
        made.unrecognized_fields["x-owner"] = owner
    return made


OLD, ANA, BO, CY, MACHINE = key("old"), key("ana"), key("bo"), key("cy"), key()
BEFORE = {
    "root": Holders((OLD,), 1),
    "targets": Holders((OLD,), 1),
    "snapshot": Holders((MACHINE,), 1),
    "timestamp": Holders((MACHINE,), 1),
    "prod": Holders((ANA, BO, CY), 2),
}


def under(keyid: str, original: Key, **fields: Any) -> Key:
    """Return a key under another id."""
    other = copy.deepcopy(original)
    other.keyid = keyid
    other.unrecognized_fields = fields
    return other


def weak() -> Key:
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes([1]) + bytes(31)))


def small() -> Key:
    return SSlibKey.from_crypto(rsa.generate_private_key(65537, 1024).public_key())  # noqa: S505


def spelled_otherwise() -> Key:
    """Return Ana's key in capitals, under the id that belongs to that."""
    about = {"keytype": ANA.keytype, "scheme": ANA.scheme, "keyval": {"public": ANA.keyval["public"].upper()}}
    keyid = hashlib.sha256((encode_canonical(about) or "").encode()).hexdigest()
    return SSlibKey(keyid, **about)


@pytest.mark.parametrize(
    ("role", "holders", "message"),
    [
        ("prod", Holders((ANA, BO), 3), "role prod: threshold 3 with 2 keys"),
        ("prod", Holders((ANA, BO), 0), "role prod: threshold 0 with 2 keys"),
        ("root", Holders((), 1), "role root: threshold 1 with 0 keys"),
        ("prod.oncall", Holders((), 1), "role prod.oncall: threshold 1 with 0 keys"),
        ("snapshot", Holders((MACHINE, key()), 2), r"role snapshot: threshold 2 \(expected 1\)"),
        ("timestamp", Holders((MACHINE, key()), 2), r"role timestamp: threshold 2 \(expected 1\)"),
        ("prod.oncall", Holders((key("di"), key("ed")), 2), r"role prod.oncall: threshold 2 \(expected 1\)"),
        ("prod", Holders((ANA, BO, ANA), 2), "role prod: has that key already, ana"),
        ("prod", Holders((ANA, BO, key("ana")), 2), "role prod: has a key of ana already"),
        ("prod", Holders((ANA, BO, key("Ana")), 2), "role prod: has a key of ana already"),
        ("prod", Holders((ANA, under("f" * 64, ANA)), 2), "does not have the id that belongs to it"),
        ("prod", Holders((ANA, spelled_otherwise()), 2), "role prod: has that key already, ana"),
        ("prod", Holders((ANA, under(BO.keyid[:12] + "0" * 52, key(), **{"x-owner": "bo"})), 2), "the id that belongs"),
        ("prod", Holders((ANA, under(BO.keyid, BO, **{"x-owner": "eve"})), 2), "is known already, as bo"),
        ("targets", Holders((under(BO.keyid, BO),), 1), "is known already, as bo"),
        ("prod", Holders((ANA, key("not a name")), 2), "has no owner of the known form"),
        ("prod", Holders((ANA, weak()), 2), "is weak: anybody could sign for it"),
        ("prod", Holders((ANA, small()), 2), "has 1024 bits"),
        ("prod.oncall", Holders((ANA,), 1), "role prod.oncall: shares a key with prod"),
    ],
)
def test_is_refused_by_name(role: str, holders: Holders, message: str) -> None:
    with pytest.raises(HoldersError, match=message):
        check_holding(BEFORE, {**BEFORE, role: holders})


@pytest.mark.parametrize(
    ("role", "holders"),
    [
        ("root", Holders((OLD, ANA, BO), 2)),
        ("prod", Holders((ANA,), 1)),
        ("prod.oncall", Holders((key("ana"), key("di")), 1)),
        ("snapshot", Holders((MACHINE, key()), 1)),
        ("staging", Holders((key(),), 1)),
    ],
)
def test_is_allowed(role: str, holders: Holders) -> None:
    check_holding(BEFORE, {**BEFORE, role: holders})


def test_a_field_that_nobody_knows_on_a_key_is_refused() -> None:
    strange = key("eve")
    strange.unrecognized_fields["x-note"] = "trust me"

    with pytest.raises(HoldersError, match="has no owner of the known form"):
        check_holding(BEFORE, {**BEFORE, "prod": Holders((ANA, strange), 2)})


def test_what_was_allowed_once_does_not_hold_up_other_roles() -> None:
    """A role from before these rules stays as it is until it is changed itself."""
    before = {**BEFORE, "prod": Holders((ANA, key("ana")), 2)}

    check_holding(before, {**before, "targets": Holders((BO,), 1)})


@pytest.mark.parametrize("name", ["bo", BO.keyid, BO.keyid[:12]], ids=["owner", "id", "short id"])
def test_a_key_is_found_by_owner_and_by_id(name: str) -> None:
    assert find_key("prod", BEFORE["prod"], name) is BO


@pytest.mark.parametrize("name", ["eve", BO.keyid[:3], "", "f" * 64], ids=["owner", "too short", "empty", "id"])
def test_a_key_that_is_not_there_is_not_found(name: str) -> None:
    with pytest.raises(HoldersError, match=r"role prod: .* is none of its keys") as refused:
        find_key("prod", BEFORE["prod"], name)

    assert refused.value.hint.startswith("its keys: ana (")


def test_no_name_is_no_machine() -> None:
    """A variable of a shell that nobody has set takes nobody's key away."""
    with pytest.raises(HoldersError, match=r"role snapshot: '' is none of its keys"):
        find_key("snapshot", BEFORE["snapshot"], "")
