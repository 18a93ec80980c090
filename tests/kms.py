"""AWS KMS as moto has it, made to sign digests as AWS does."""

from typing import Any

import pytest


def sign_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moto sign digests as they are, as AWS does for MessageType=DIGEST; it would digest them again."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from moto.kms import utils

    def sign(self: Any, message: bytes, signing_algorithm: str) -> bytes:
        algorithm = self._ECDSAPrivateKey__hash_algorithm(signing_algorithm)
        signature: bytes = self.private_key.sign(message, ec.ECDSA(Prehashed(algorithm)))
        return signature

    monkeypatch.setattr(utils.ECDSAPrivateKey, "sign", sign)


def make_key(alias: str) -> None:
    """Make a key with an alias, which moves to it if another key had it."""
    import boto3

    client = boto3.session.Session().client("kms")
    key = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    name = f"alias/{alias}"
    if name in {each["AliasName"] for each in client.list_aliases()["Aliases"]}:
        client.update_alias(AliasName=name, TargetKeyId=key)
    else:
        client.create_alias(AliasName=name, TargetKeyId=key)
