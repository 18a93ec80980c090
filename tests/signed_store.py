"""A signed store in a directory, made with TUF's metadata API alone: what tests of a host publish to, and forge.

Independent of the builder on purpose: a host is tested against the format, not against our own writer of it.
"""

import hashlib
import json
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
from policy_core.trust.oncall import offer
from policy_core.trust.release import Release

NAME = "acme"
ROLES = ("root", "timestamp", "snapshot", "targets", "prod")
ONCALL = "prod.oncall"


def rules(*words: str) -> list[Rule]:
    """Return rules that answer ``act.N`` with the N-th of these decision words."""
    return [
        Rule(policy="p", id=f"r{number}", decision=Decision(word), match=Clauses(actions=(f"act.{number}",)))
        for number, word in enumerate(words)
    ]


def revision(number: int) -> str:
    """Return a commit id a test can recognise."""
    return f"{number:040x}"


def entry(kind: str, target: str = "", *, lasts: timedelta = timedelta(hours=1), **more: Any) -> dict[str, Any]:
    """Return an emergency entry as it is signed, in force for as long as it `lasts`; `more` replaces parts of it."""
    created = datetime.now(UTC).replace(microsecond=0)
    times = {"created": format_time(created), "expires": format_time(created + lasts)}
    about = {"target": target} if target else {}
    return {"id": "e-1", "kind": kind, "reason": "leaked key", "actor": "ana", **times, **about} | more


def denial(action: str, **more: Any) -> dict[str, Any]:
    """Return an emergency entry that denies an action."""
    rule = {
        "decision": "deny", "id": more.get("id", "e-1"), "match": {"actions": [action]}, "policy": "emergency",
        "reason": "leaked key", "reason_code": "emergency_deny",
    }  # fmt: skip
    return entry("deny", **({"rule": json.dumps(rule, separators=(",", ":"))} | more))


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
    """One repository with the channel ``prod``, one key per role, all roles valid for `lifetime`.

    With `oncall` the channel has an on-call role, too, which says what was said last (`call`).
    """

    def __init__(self, directory: Path, *, lifetime: timedelta = timedelta(days=1), oncall: bool = False) -> None:
        self.directory = directory
        self.url = directory.as_uri()
        self.lifetime = lifetime
        self.signed_at: datetime | None = None  # now
        roles = (*ROLES, ONCALL) if oncall else ROLES
        self.signers = {role: CryptoSigner.generate_ed25519() for role in roles}
        self._delegate()
        self.versions = dict.fromkeys(roles, 1)
        self.release: Release | None = None
        self.earlier: list[Release] = []
        self.said: dict[str, Any] = {}
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
            release=number or self.next_number,
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
        self.earlier = [self.release, *self.earlier] if self.release else []
        self.release = release
        self.versions["prod"] += 1
        self.versions["snapshot"] += 1
        self.versions["timestamp"] += 1
        self.commit()
        return release

    @property
    def next_number(self) -> int:
        """Return the number that the next release takes, that of the channel or of whoever is on call."""
        return max(self.release.release if self.release else 0, self.said.get("release", 0)) + 1

    def call(self, *entries: dict[str, Any], selected: Release | None = None, **field: Any) -> int:
        """Sign an on-call document with these entries as the next release and return its number.

        It selects what the channel lists, or `selected`; `field` replaces parts of what is said, be it true or not.
        """
        chosen = selected or self.release
        self.said = {
            "schema": 1,
            "release": self.next_number,
            "selected": chosen.sha256 if chosen else "",
            "action": "emergency" if entries else "rollback",
            "reason": "tests",
            "actor": "ana",
            "emergency": list(entries),
        } | field
        for role in (ONCALL, "snapshot", "timestamp"):
            self.versions[role] += 1
        self.commit()
        return int(self.said["release"])

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
        signed = {"targets": self._delegating(expires), "prod": self._listing(expires)}
        if ONCALL in self.signers:
            signed[ONCALL] = self._saying(expires)
        for role, metadata in signed.items():
            data = self.sign(role, metadata)
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
        self._delegate()
        renewed = {role: version + 1 for role, version in self.versions.items() if role != "root"}
        self.versions |= renewed | versions
        self.commit()

    def offer_nothing(self) -> None:
        """Offer nothing that was released before to people on call, from the next time the channel's role is signed."""
        self.earlier = []

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
        top = {role: signer.public_key for role, signer in self.signers.items() if role not in self._delegated}
        keys = {key.keyid: key for key in top.values()}
        roles = {role: Role([key.keyid], 1) for role, key in top.items()}
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
        return self.sign("root", Root(self.versions["root"], expires=expires, keys=keys, roles=roles))

    def _delegate(self) -> None:
        """Give the delegated roles the keys that their signers have now."""
        self._delegated: dict[str, Key] = {
            role: self.signers[role].public_key for role in ("prod", ONCALL) if role in self.signers
        }

    def _delegating(self, expires: datetime) -> Targets:
        roles = {
            role: DelegatedRole(role, [key.keyid], 1, terminating=True, paths=[f"{role}/*"])
            for role, key in self._delegated.items()
        }
        delegations = Delegations({key.keyid: key for key in self._delegated.values()}, roles)
        return Targets(self.versions["targets"], expires=expires, delegations=delegations)

    def _listing(self, expires: datetime) -> Targets:
        listed: dict[str, TargetFile] = {}
        if self.release:
            earlier = [each for each in self.earlier if each.release < self.release.release]
            listed[self.release.path] = self.release.target(selectable=offer(self.release, earlier))
        return Targets(self.versions["prod"], expires=expires, targets=listed)

    def _saying(self, expires: datetime) -> Targets:
        fields = {"x-oncall": self.said} if self.said else {}
        return Targets(self.versions[ONCALL], expires=expires, unrecognized_fields=fields)

    def _pin(self, role: str, data: bytes) -> MetaFile:
        return MetaFile(self.versions[role], len(data), {"sha256": hashlib.sha256(data).hexdigest()})
