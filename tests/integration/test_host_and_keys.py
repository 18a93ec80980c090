"""The commands that change keys and limits, and a host that follows them, however many changes it missed."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from git_folder import GitFolder
from polled_host import Host
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp

from agent_sidecar.updating import Outcome
from builder.cli.main import main
from policy_core.errors import ConflictError

HUGE = 2**31


@dataclass
class Publisher:
    """A policy repository with all its keys, and where it publishes."""

    folder: GitFolder
    url: str
    keys: Path
    patch: pytest.MonkeyPatch
    output: pytest.CaptureFixture[str]

    def writ(self, *arguments: str) -> str:
        assert main(["-C", str(self.folder.path), *arguments]) == 0
        return self.output.readouterr().out

    @property
    def root(self) -> bytes:
        return (self.folder.path / "trust/root.json").read_bytes()

    @property
    def timestamp(self) -> Path:
        return Path(self.url.removeprefix("file://")) / "metadata/timestamp.json"

    def publish(self, reason: str) -> None:
        self.folder.commit_policy(reason)
        self.writ("publish")

    def replace_key(self, role: str) -> None:
        """Give a role a new key and take its old one away."""
        shown = json.loads(self.writ("keys", "show", "--format", "json"))
        (old,) = (key["id"] for found in shown["roles"] if found["role"] == role for key in found["keys"])
        private, public = _make_key(self.keys / f"{old}.pem")
        self.patch.setenv(f"WRIT_SIGNER_{role.upper()}", f"file:{private}")
        self.writ("keys", "add", role, "--key", str(public), "--remove", old, "--yes")


def _make_key(path: Path) -> tuple[Path, Path]:
    """Write a private and a public key file."""
    key = Ed25519PrivateKey.generate()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    path.chmod(0o600)
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return path, public


@pytest.fixture
def publisher(
    policy_repository: Callable[..., GitFolder],
    file_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Publisher:
    keys = tmp_path / "keys"
    keys.mkdir()
    publisher = Publisher(policy_repository(file_url), file_url, keys, monkeypatch, capsys)
    publisher.writ("keys", "init", "--dev")
    publisher.writ("publish")
    publisher.publish("second")
    return publisher


@pytest.fixture
def host(publisher: Publisher, tmp_path: Path) -> Iterator[Host]:
    """Return a host that enforces release 2 and could go back to release 1."""
    host = Host(tmp_path / "host", publisher).start()
    assert host.poll() is Outcome.ACTIVATED
    yield host
    host.stop()


def test_a_host_that_was_away_while_every_key_but_that_of_root_changed_follows(
    publisher: Publisher, host: Host
) -> None:
    for role in ("timestamp", "snapshot", "timestamp", "snapshot", "targets", "prod"):
        publisher.replace_key(role)
    publisher.publish("third")

    assert host.poll() is Outcome.ACTIVATED
    assert host.enforcement.state.versions["root"] == 6
    assert host.enforcement.state.previous is not None  # signed by a key that is gone, but offered by the new one, too
    host.store.is_down = True
    host.start()
    assert (host.release, host.enforcement.unusable) == (3, {})


def test_hosts_follow_again_after_a_thief_drove_up_the_version_of_the_timestamp(
    publisher: Publisher, host: Host
) -> None:
    live: Metadata[Timestamp] = Metadata.from_bytes(publisher.timestamp.read_bytes())
    live.signed.version = HUGE
    live.sign(stolen("timestamp"))
    honest = publisher.timestamp.read_bytes()
    publisher.timestamp.write_bytes(live.to_bytes())
    assert host.poll() is Outcome.UNCHANGED
    assert host.enforcement.state.versions["timestamp"] == HUGE

    publisher.timestamp.write_bytes(honest)
    assert host.poll() is Outcome.REJECTED
    publisher.replace_key("timestamp")
    publisher.publish("third")

    assert host.poll() is Outcome.ACTIVATED
    assert host.enforcement.state.versions["timestamp"] < HUGE


def leap(publisher: Publisher, number: int) -> None:
    """Release what is live again under a far higher number, as whoever stole all the publisher's keys can."""
    store = publisher.timestamp.parent.parent
    timestamp: Metadata[Timestamp] = Metadata.from_bytes(publisher.timestamp.read_bytes())
    version = timestamp.signed.snapshot_meta.version
    before = (store / f"metadata/{version}.snapshot.json").read_bytes()
    snapshot: Metadata[Snapshot] = Metadata.from_bytes(before)
    pin = snapshot.signed.meta["prod.json"].version
    channel: Metadata[Targets] = Metadata.from_bytes((store / f"metadata/{pin}.prod.json").read_bytes())
    (target,) = channel.signed.targets.values()
    target.unrecognized_fields["custom"] |= {"release": number, "action": "rollback", "reason": "none"}
    channel.signed.version += 1
    snapshot.signed.version += 1
    snapshot.signed.meta["prod.json"] = put(store, "prod", channel)
    snapshot.signed.unrecognized_fields["x-previous"] = {
        "version": version,
        "sha256": hashlib.sha256(before).hexdigest(),
    }
    timestamp.signed.snapshot_meta = put(store, "snapshot", snapshot)
    timestamp.signed.version += 1
    timestamp.sign(stolen("timestamp"))
    publisher.timestamp.write_bytes(timestamp.to_bytes())


def put(store: Path, role: str, metadata: Metadata[Any]) -> MetaFile:
    """Sign a role with a stolen key, write it, and return its pin."""
    metadata.sign(stolen(role))
    data = metadata.to_bytes()
    (store / f"metadata/{metadata.signed.version}.{role}.json").write_bytes(data)
    return MetaFile(metadata.signed.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def stolen(role: str) -> CryptoSigner:
    """Return the first key of a role."""
    (path,) = Path(os.environ["XDG_CONFIG_HOME"]).rglob(f"{role}.pem")
    return CryptoSigner(serialization.load_pem_private_key(path.read_bytes(), None))


def test_after_a_leap_of_release_numbers_publisher_and_hosts_go_on_and_the_audit_names_it(
    publisher: Publisher, host: Host
) -> None:
    leap(publisher, 1_000_000)
    assert host.poll() is Outcome.ACTIVATED
    for role in ("timestamp", "snapshot", "prod"):
        publisher.replace_key(role)
    publisher.publish("third")

    assert host.poll() is Outcome.ACTIVATED
    assert host.release == 1_000_001
    assert main(["-C", str(publisher.folder.path), "verify"]) == 5
    assert "release 1000000 follows 2 (expected 3)" in publisher.output.readouterr().err


def test_limits_in_writ_yaml_reach_the_host(publisher: Publisher, host: Host) -> None:
    settings = (publisher.folder.path / "writ.yaml").read_text()
    publisher.folder.write({"writ.yaml": f"{settings}hosts: {{max_pin: 10m, min_release: {{prod: 3}}}}\n"})
    publisher.publish("third")

    assert host.poll() is Outcome.ACTIVATED

    assert (host.enforcement.limits.max_pin_s, host.enforcement.limits.min_release) == (600.0, 3)
    with pytest.raises(ConflictError, match=r"is release 2, below the least this host accepts \(3\)"):
        host.enforcement.rollback(reason="test", by="test")
    publisher.publish("fourth")
    host.poll()
    host.enforcement.rollback(reason="test", by="test")
    assert host.release == 3
