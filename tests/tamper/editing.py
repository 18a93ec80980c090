"""Whoever can write to a store and sign with some keys: its owners in a ceremony, or an attacker with stolen ones."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Signed, Snapshot, Targets, Timestamp

from builder.publishing import metadata
from policy_core.trust import layout
from policy_core.trust.release import Release


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Editor:
    """Writes objects of the store in `folder`; `signers` are the keys at hand, by name."""

    folder: Path
    signers: Mapping[str, CryptoSigner]
    foreign: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    """A key of one's own, which no role knows."""

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def role(self, name: str) -> Any:
        """Return the live content of a role, to be changed and signed."""
        timestamp = Metadata.from_bytes(self.read(layout.TIMESTAMP)).signed
        if name == "timestamp":
            return timestamp
        if name == "root":
            return Metadata.from_bytes(self.read(layout.metadata_name("root", self.newest_root))).signed
        snapshot = Metadata.from_bytes(self.read(layout.metadata_name("snapshot", timestamp.snapshot_meta.version)))
        if name == "snapshot":
            return snapshot.signed
        pin = snapshot.signed.meta[f"{name}.json"]
        return Metadata.from_bytes(self.read(layout.metadata_name(name, pin.version))).signed

    @property
    def newest_root(self) -> int:
        """Return the version of the newest root in the store."""
        return max(int(path.name.split(".")[0]) for path in self.folder.glob("metadata/*.root.json"))

    def sign(self, signed: Signed, *names: str) -> bytes:
        """Return metadata signed by the named keys, which must be at hand; ``foreign`` always is."""
        data = Metadata(copy.deepcopy(signed))
        for name in names:
            data.sign(self.foreign if name == "foreign" else self.signers[name], append=True)
        return data.to_bytes()

    def release(self, role: str = "prod") -> Release:
        """Return the release a channel lists now."""
        (target,) = self.role(role).targets.values()
        return Release.from_target(role, target)

    def listing(self, release: Release, *, role: str = "prod", ahead: int = 1, **custom: Any) -> Targets:
        """Return the successor of a channel's role that lists one release; `custom` overrides what is signed of it."""
        target = release.target()
        target.unrecognized_fields["custom"] |= custom
        version = self.role(role).version + ahead
        return Targets(version, expires=now() + timedelta(days=180), targets={target.path: target})

    def put(self, role: str, data: bytes, *, number: int = 0) -> MetaFile:
        """Write a role under its version, or under another number, and return what pins it."""
        version = number or Metadata.from_bytes(data).signed.version
        self.write(layout.metadata_name(role, version), data)
        return metadata.pin_of(version, data)

    def set_live(self, **pins: MetaFile) -> None:
        """Make roles live: with the keys of snapshot and timestamp, pin what is given in place of what was."""
        self.sign_snapshot(self.next_snapshot(**pins))

    def next_snapshot(self, **pins: MetaFile) -> Snapshot:
        """Return the successor of the live snapshot role, with other pins; ``prod_oncall`` stands for prod.oncall."""
        live = self.role("snapshot")
        data = self.read(layout.metadata_name("snapshot", live.version))
        named = {role.replace("_oncall", ".oncall"): pin for role, pin in pins.items()}
        return metadata.next_snapshot(live.version + 1, live, data, named, now())

    def sign_snapshot(self, snapshot: Snapshot) -> None:
        """Sign a snapshot role, and the timestamp that makes it live."""
        self.stamp(self.put("snapshot", self.sign(snapshot, "snapshot")))

    def stamp(
        self, pin: MetaFile | None = None, *, version: int = 0, life_s: float = 30 * 86_400, **fields: Any
    ) -> None:
        """Sign the next timestamp, over the live snapshot role unless another one is pinned."""
        live = self.role("timestamp")
        stamp: Timestamp = metadata.timestamp(version or live.version + 1, pin or live.snapshot_meta, now())
        stamp.unrecognized_fields |= fields
        stamp.expires = now() + timedelta(seconds=life_s)
        self.write(layout.TIMESTAMP, self.sign(stamp, "timestamp"))
