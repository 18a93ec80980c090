"""What still binds after keys were replaced: exactly what the newest keys would accept."""

from collections.abc import Callable
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from signed_store import SignedStore, bundle, rules
from tuf.api.metadata import Metadata

from policy_core.trust.chain import MetadataChain
from policy_core.trust.layout import metadata_name
from policy_core.trust.recovery import binding_roles, is_still_signed

BOTH = frozenset({"timestamp", "snapshot"})


@pytest.fixture
def store(tmp_path: Path) -> SignedStore:
    store = SignedStore(tmp_path)
    store.publish(bundle(rules("allow"), number=1))
    return store


def chain(store: SignedStore) -> MetadataChain:
    """Return the metadata in force."""

    def file(role: str, version: int) -> bytes:
        return (store.directory / metadata_name(role, version)).read_bytes()

    return MetadataChain(
        roots=tuple(file("root", version) for version in range(2, store.versions["root"] + 1)),
        timestamp=store.timestamp.read_bytes(),
        snapshot=file("snapshot", store.versions["snapshot"]),
        targets=file("targets", store.versions["targets"]),
        channel=file("prod", store.versions["prod"]),
    )


@pytest.mark.parametrize(
    ("replaced", "binding"),
    [
        (["root"], BOTH),
        (["targets", "prod"], BOTH),
        (["timestamp"], {"snapshot"}),
        (["snapshot"], {"timestamp"}),
        (["timestamp", "snapshot"], frozenset()),
    ],
)
def test_metadata_binds_until_its_own_key_is_gone(
    replaced: list[str], binding: frozenset[str], store: SignedStore
) -> None:
    before = chain(store)

    store.replace_keys(*replaced)

    assert binding_roles(before, chain(store), trusted_root=store.root) == binding


@pytest.mark.parametrize(("replaced", "expected"), [("prod", False), ("targets", True), ("root", True)])
def test_a_channel_role_is_vouched_for_until_the_keys_of_the_channel_are_gone(
    replaced: str, expected: bool, store: SignedStore
) -> None:
    before = chain(store)

    store.replace_keys(replaced)

    assert is_still_signed(before, chain(store), channel="prod") is expected


def with_signature_of_nobody(data: bytes) -> bytes:
    metadata = Metadata.from_bytes(data)
    metadata.sign(CryptoSigner.generate_ed25519(), append=True)
    return metadata.to_bytes()


@pytest.mark.parametrize("damage", [with_signature_of_nobody, lambda _: b"", lambda _: b"{}"])
def test_what_somebody_adds_to_old_metadata_makes_it_bind_no_longer_than_it_did(
    damage: Callable[[bytes], bytes], store: SignedStore
) -> None:
    before = chain(store)
    store.replace_keys("timestamp", "snapshot", "prod")
    altered = MetadataChain(
        before.roots, damage(before.timestamp), damage(before.snapshot), before.targets, damage(before.channel)
    )

    assert binding_roles(altered, chain(store), trusted_root=store.root) == frozenset()
    assert not is_still_signed(altered, chain(store), channel="prod")


def test_a_channel_that_is_no_longer_delegated_vouches_for_nothing(store: SignedStore) -> None:
    before = chain(store)

    assert not is_still_signed(before, before, channel="staging")
