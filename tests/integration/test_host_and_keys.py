"""The commands that change keys and limits, and a host that follows them, however many changes it missed."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from git_folder import GitFolder
from polled_host import Host
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Timestamp

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
    assert host.enforcement.state.previous is None  # signed by a key that the channel has no more
    host.store.is_down = True
    host.start()
    assert (host.release, host.enforcement.unusable) == (3, {})


def test_hosts_follow_again_after_a_thief_drove_up_the_version_of_the_timestamp(
    publisher: Publisher, host: Host
) -> None:
    (stolen,) = Path(os.environ["XDG_CONFIG_HOME"]).rglob("timestamp.pem")
    live: Metadata[Timestamp] = Metadata.from_bytes(publisher.timestamp.read_bytes())
    live.signed.version = HUGE
    live.sign(CryptoSigner(serialization.load_pem_private_key(stolen.read_bytes(), None)))
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
