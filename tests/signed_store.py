"""A signed store in a directory, made with TUF's metadata API alone: what tests of a host publish to, and forge.

Independent of the builder on purpose: a host is tested against the format, not against our own writer of it.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from policy_core.bundle import build_bundle, read_bundle
from policy_core.matcher import encode_rules
from policy_core.model import Clauses, Decision, Rule
from policy_core.selftest import SelfTestCase, encode_cases
from policy_core.trust.layout import format_time, metadata_name, target_object
from policy_core.trust.release import Release

NAME = "acme"
ROLES = ("root", "timestamp", "snapshot", "targets", "prod")


def rules(*words: str) -> list[Rule]:
    """Return rules that answer ``act.N`` with the N-th of these decision words."""
    return [
        Rule(policy="p", id=f"r{number}", decision=Decision(word), match=Clauses(actions=(f"act.{number}",)))
        for number, word in enumerate(words)
    ]


def revision(number: int) -> str:
    """Return a commit id a test can recognise."""
    return f"{number:040x}"


def bundle(policy: Sequence[Rule], *, number: int, selftest: Sequence[SelfTestCase] = (), **more: bytes) -> bytes:
    """Return the bundle of some rules, made of revision `number`."""
    files = {
        "matcher.jsonl": encode_rules(policy),
        "data.json": b"{}",
        "selftest.jsonl": encode_cases(selftest),
        **more,
    }
    return build_bundle(name=NAME, revision=revision(number), dirty=False, files=files)[0]


class SignedStore:
    """One repository with the channel ``prod``, one key per role, all roles valid for `lifetime`."""

    def __init__(self, directory: Path, *, lifetime: timedelta = timedelta(days=1)) -> None:
        self.directory = directory
        self.url = directory.as_uri()
        self.lifetime = lifetime
        self.signed_at: datetime | None = None  # now
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
        self._channel_key: Key = self.signers["prod"].public_key
        self.versions = dict.fromkeys(ROLES, 1)
        self.release: Release | None = None
        self.root = self._make_root()
        self.write(metadata_name("root", 1), self.root)
        self.commit()

    @property
    def timestamp(self) -> Path:
        """Return the one mutable file."""
        return self.directory / "metadata/timestamp.json"

    def publish(
        self, blob: bytes, *, number: int | None = None, action: str = "publish", served: bytes | None = None
    ) -> Release:
        """Release a bundle as the next release (or `number`), and return what is signed; `served` bytes are a lie."""
        read = read_bundle(blob)
        release = Release(
            channel="prod",
            release=number or (self.release.release + 1 if self.release else 1),
            revision=read.revision,
            action=action,
            reason="",
            actor="tests",
            name=NAME,
            sha256=read.sha256,
            length=len(blob),
            content_sha256=read.content_sha256,
            policy_sha256=read.policy_sha256,
        )
        return self.release_as(release, blob if served is None else served)

    def release_as(self, release: Release, blob: bytes) -> Release:
        """Sign a release as it is, whatever the bytes are."""
        self.write(target_object("prod", NAME, release.sha256), blob)
        self.release = release
        self.versions["prod"] += 1
        self.versions["snapshot"] += 1
        self.versions["timestamp"] += 1
        self.commit()
        return release

    def refresh(self) -> None:
        """Sign a new timestamp over the same state."""
        self.versions["timestamp"] += 1
        self._sign_timestamp()

    def bundle_path(self, release: Release) -> Path:
        """Return where the bytes of a release lie."""
        return self.directory / target_object("prod", NAME, release.sha256)

    def commit(self) -> None:
        """Write all roles at their versions (which the caller has raised)."""
        expires = datetime.now(UTC).replace(microsecond=0) + self.lifetime
        pins = {}
        for role, signed in (("targets", self._delegating(expires)), ("prod", self._listing(expires))):
            data = self.sign(role, signed)
            self.write(metadata_name(role, self.versions[role]), data)
            pins[f"{role}.json"] = self._pin(role, data)
        self._snapshot = self.sign("snapshot", Snapshot(self.versions["snapshot"], expires=expires, meta=pins))
        self.write(metadata_name("snapshot", self.versions["snapshot"]), self._snapshot)
        self._sign_timestamp()

    def _sign_timestamp(self) -> None:
        expires = datetime.now(UTC).replace(microsecond=0) + self.lifetime
        pin = self._pin("snapshot", self._snapshot)
        timestamp = Timestamp(self.versions["timestamp"], expires=expires, snapshot_meta=pin)
        timestamp.unrecognized_fields["x-signed-at"] = format_time(self.signed_at or datetime.now(UTC))
        self.write("metadata/timestamp.json", self.sign("timestamp", timestamp))

    def rotate_root(self) -> None:
        """Replace the timestamp key by a new root, as after a theft, and start its versions again."""
        self.signers["timestamp"] = CryptoSigner.generate_ed25519()
        self.versions |= {"root": self.versions["root"] + 1, "timestamp": 1}
        self.write(metadata_name("root", self.versions["root"]), self._make_root())
        self._sign_timestamp()

    def replace_keys(self, *roles: str, **versions: int) -> None:
        """Give roles new keys, as after a theft, and sign everything again; `versions` start some anew."""
        old = self.signers["root"]
        self.signers |= {role: CryptoSigner.generate_ed25519() for role in roles}
        if not {"root", "timestamp", "snapshot", "targets"}.isdisjoint(roles):
            self.versions["root"] += 1
            root = Metadata.from_bytes(self._make_root())
            root.sign(old, append=True)
            self.write(metadata_name("root", self.versions["root"]), root.to_bytes())
        self._channel_key = self.signers["prod"].public_key
        renewed = {role: self.versions[role] + 1 for role in ROLES if role != "root"}
        self.versions |= renewed | versions
        self.commit()

    def sign(self, role: str, signed: Any) -> bytes:
        """Return signed metadata as bytes."""
        metadata = Metadata(signed)
        metadata.sign(self.signers[role])
        return metadata.to_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Put a file, atomically."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(data)
        temporary.replace(path)

    def _make_root(self) -> bytes:
        keys = {signer.public_key.keyid: signer.public_key for role, signer in self.signers.items() if role != "prod"}
        roles = {role: Role([self.signers[role].public_key.keyid], 1) for role in ROLES if role != "prod"}
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
        return self.sign("root", Root(self.versions["root"], expires=expires, keys=keys, roles=roles))

    def _delegating(self, expires: datetime) -> Targets:
        key = self._channel_key
        role = DelegatedRole("prod", [key.keyid], 1, terminating=True, paths=["prod/*"])
        delegations = Delegations({key.keyid: key}, {"prod": role})
        return Targets(self.versions["targets"], expires=expires, delegations=delegations)

    def _listing(self, expires: datetime) -> Targets:
        listed: dict[str, TargetFile] = {self.release.path: self.release.target()} if self.release else {}
        return Targets(self.versions["prod"], expires=expires, targets=listed)

    def _pin(self, role: str, data: bytes) -> MetaFile:
        return MetaFile(self.versions[role], len(data), {"sha256": hashlib.sha256(data).hexdigest()})
