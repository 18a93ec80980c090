"""Public keys in every form that people hand over, and what they hand over instead."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from securesystemslib.signer import SSlibKey

from builder.publishing.holders import owner_of
from builder.publishing.private_keys import KeyMissingError, KeyUnusableError
from builder.publishing.public_keys import read_public_key

KEYS: dict[str, Any] = {
    "ed25519": Ed25519PrivateKey.generate(),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
}
PEM = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OPENSSH = (Encoding.OpenSSH, PublicFormat.OpenSSH)


@pytest.mark.parametrize("form", [PEM, OPENSSH], ids=["PEM", "OpenSSH"])
@pytest.mark.parametrize("kind", KEYS)
def test_is_the_same_key_in_every_form(kind: str, form: Any, tmp_path: Path) -> None:
    public = KEYS[kind].public_key()
    (tmp_path / "key.pub").write_bytes(public.public_bytes(*form))

    assert read_public_key("key.pub", tmp_path) == SSlibKey.from_crypto(public)


def test_has_the_owner_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(KEYS["ed25519"].public_key().public_bytes(*OPENSSH) + b" ana@example.com\n")

    assert owner_of(read_public_key("key.pub", tmp_path, "ana")) == "ana"
    assert owner_of(read_public_key(str(tmp_path / "key.pub"), Path("/"))) == ""


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.OpenSSH])
def test_a_private_key_is_refused_and_not_repeated(form: PrivateFormat, tmp_path: Path) -> None:
    private = KEYS["ed25519"].private_bytes(Encoding.PEM, form, NoEncryption())
    (tmp_path / "key").write_bytes(private)

    with pytest.raises(KeyUnusableError, match="is a private key") as refused:
        read_public_key("key", tmp_path)

    assert private.split(b"\n")[1].decode() not in refused.value.message + refused.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ssh-ed25519 AAAA",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        x25519.X25519PrivateKey.generate().public_key().public_bytes(*PEM),
        dsa.generate_private_key(2048).public_key().public_bytes(*PEM),
        ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(*PEM),
        b"\0" * 100_000,
    ],
    ids=["empty", "OpenSSH", "PEM", "X25519", "DSA", "secp256k1", "zeros"],
)
def test_what_is_no_key_to_verify_with_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(content)

    with pytest.raises(KeyUnusableError, match="is no public key of a known kind"):
        read_public_key("key.pub", tmp_path)


@pytest.mark.parametrize("content", ["%s comment", "ssh-%s AAAA", "-----BEGIN %s-----", "%s"])
def test_nothing_of_a_file_that_is_no_key_is_repeated(content: str, tmp_path: Path) -> None:
    """It may be a secret of a form that nobody here knows."""
    (tmp_path / "key").write_text(content % "SECRET")

    with pytest.raises(KeyUnusableError) as refused:
        read_public_key("key", tmp_path)

    assert "SECRET" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("place", ["none", ".", "a\0b", "http://example.com/key"])
def test_what_is_no_file_is_missing(place: str, tmp_path: Path) -> None:
    with pytest.raises(KeyMissingError, match="no key at"):
        read_public_key(place, tmp_path)
