"""Signed metadata without a store: keys in memory, files in a dictionary."""

import copy
import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from builder.publishing import metadata
from policy_core.trust.chain import MetadataChain
from policy_core.trust.release import Release

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
TOP_LEVEL = ("root", "targets", "snapshot", "timestamp")


def make_release(number: int = 1, **changes: Any) -> Release:
    fields: dict[str, Any] = {
        "channel": "prod",
        "release": number,
        "revision": f"{number:040x}",
        "action": "publish",
        "reason": "",
        "actor": "Ada",
        "name": "demo",
        "sha256": f"{number:064x}",
        "length": 10,
        "content_sha256": "c" * 64,
        "policy_sha256": "d" * 64,
    }
    return Release(**(fields | changes))


@dataclass
class Signing:
    """Signs roles with keys made on first use; `files` holds everything that was signed, by object name."""

    signers: dict[str, CryptoSigner] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def key(self, role: str) -> CryptoSigner:
        return self.signers.setdefault(role, CryptoSigner.generate_ed25519())

    def sign(self, role: str, signed: Any, *, by: tuple[str, ...] = ()) -> bytes:
        made = Metadata(copy.deepcopy(signed))
        for signer in by or (role,):
            made.sign(self.key(signer), append=True)
        data = made.to_bytes()
        self.files[f"metadata/{signed.version}.{role}.json"] = data
        return data

    def root(self) -> bytes:
        keys = {role: self.key(role).public_key for role in TOP_LEVEL}
        return self.sign("root", metadata.first_root(keys, NOW))

    def chain(self, release: Release | None = None, **replaced: bytes) -> MetadataChain:
        """Sign a chain from the snapshot role down to the channel; `replaced` files are pinned as they are."""
        targets = metadata.first_targets(1, {"prod": self.key("prod").public_key}, NOW)
        files = {
            "targets": self.sign("targets", targets),
            "prod": self.sign("prod", metadata.channel_role(1, release, None, NOW)),
        } | replaced
        pins = {role: metadata.pin_of(Metadata.from_bytes(data).signed.version, data) for role, data in files.items()}
        snapshot = self.sign("snapshot", metadata.first_snapshot(1, pins, NOW))
        stamp = self.sign("timestamp", metadata.timestamp(1, metadata.pin_of(1, snapshot), NOW))
        return MetadataChain((), stamp, snapshot, files["targets"], files["prod"])

    def after(
        self, chain: MetadataChain, release: Release | None, *, minutes: int = 0, **changes: Any
    ) -> MetadataChain:
        """Sign the next state of the channel on top of a chain."""
        live = Metadata.from_bytes(chain.snapshot).signed
        version = live.version + 1
        role = self.sign("prod", metadata.channel_role(version, release, None, NOW))
        pins = {"prod": metadata.pin_of(version, role)}
        signed_at = NOW + datetime.timedelta(minutes=minutes)
        snapshot = metadata.next_snapshot(version, live, chain.snapshot, pins, signed_at)
        snapshot.unrecognized_fields.update(changes)
        data = self.sign("snapshot", snapshot)
        stamp = self.sign("timestamp", metadata.timestamp(version, metadata.pin_of(version, data), NOW))
        return MetadataChain(chain.roots, stamp, data, chain.targets, role)


@pytest.fixture
def signing() -> Signing:
    return Signing()


@pytest.fixture
def release_of() -> Any:
    return make_release
