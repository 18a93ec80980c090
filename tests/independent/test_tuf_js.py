"""Another TUF client reads our stores: tuf-js, which shares no code with python-tuf, over plain HTTP.

Needs node and ``npm ci --prefix tests/independent``; without them these tests are skipped, and fail instead with
``WRIT_TEST_NODE=required``.
"""

import contextlib
import datetime
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Metadata, MetaFile, Snapshot, Targets, Timestamp

from builder.cli.main import main
from bundle_store.client import TrustedClient
from bundle_store.file import FileStore
from policy_core.trust.errors import MetadataError

HERE = Path(__file__).parent
NODE = shutil.which("node")
MISSING = "" if NODE and (HERE / "node_modules/tuf-js").is_dir() else "run: npm ci --prefix tests/independent"
REQUIRED = os.environ.get("WRIT_TEST_NODE") == "required"  # read before tests get an environment of their own
CLIENT_TIMEOUT_S = 60
BEGUN = datetime.timedelta(days=310)  # so long ago that root and targets are due

WRIT_YAML = "version: v1\nname: acme\nstore: {store}\nchannels: [{channels}]\n"
POLICY = 'version: v1\nrules:\n  - {{id: r, match: {{actions: ["service.read"]}}, decision: allow, reason: {reason}}}\n'


@dataclass
class Builder:
    """A policy repository with its keys and its store, worked on by ``writ`` alone."""

    folder: Path
    store: Path
    config: Path
    releases: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, *channels: str) -> None:
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.write(channels, "first")
        self("keys", "init", "--dev")

    def write(self, channels: tuple[str, ...], reason: str) -> None:
        (self.folder / "policies").mkdir(exist_ok=True)
        names = ", ".join(channels)
        (self.folder / "writ.yaml").write_text(WRIT_YAML.format(store=self.store.as_uri(), channels=names))
        (self.folder / "policies/a.yaml").write_text(POLICY.format(reason=reason))
        self.git("add", "--all")
        self.git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message", reason)

    def git(self, *arguments: str) -> None:
        ours = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *arguments], cwd=self.folder, check=True, env={**os.environ, **ours})

    def __call__(self, *arguments: str) -> Any:
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setenv("XDG_CONFIG_HOME", str(self.config))
            patch.setenv("WRIT_ACTOR", "Ada <ada@example.com>")
            assert main(["-C", str(self.folder), *arguments, "--format", "json"]) == 0
        return json.loads(printed.getvalue())

    def release(self, *arguments: str) -> None:
        self.releases.append(self(*arguments)["release"])

    @property
    def live(self) -> dict[str, str]:
        """Return what the builder says is live: channel to digest."""
        return {release["channel"]: release["bundle"].removeprefix("sha256:") for release in self.releases}

    @property
    def root(self) -> Path:
        return self.folder / "trust/root.json"

    def sign(self, role: str, signed: Any) -> bytes:
        """Sign as whoever holds the key of a role."""
        key = load_pem_private_key((self.config / f"writ/keys/acme/{role}.pem").read_bytes(), None)
        metadata = Metadata(signed)
        metadata.sign(CryptoSigner(key))  # type: ignore[arg-type]
        return metadata.to_bytes()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Two channels that were begun long ago, have a new root since, and releases in both."""
    if MISSING:
        (pytest.fail if REQUIRED else pytest.skip)(f"tuf-js or node is not installed; {MISSING}")
    folder = tmp_path_factory.mktemp("builder")
    made = Builder(folder / "policies", folder / "store", folder / "config")
    with long_ago():
        made.begin("staging", "prod")
    made("maintain")
    made.release("publish", "--channel", "staging")
    made.release("publish", "--channel", "prod")
    made.write(("staging", "prod"), "second")
    made.release("publish", "--channel", "prod")
    return made


@contextlib.contextmanager
def long_ago() -> Iterator[None]:
    then = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - BEGUN
    clock = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda _: then), timezone=datetime.timezone)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builder.publishing.initialise.system_clock", lambda: then)
        patch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)
        yield


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@dataclass
class View:
    """A store as a plain HTTP server shows it, and the hosts that read it."""

    folder: Path
    url: str
    root: Path
    state: Path

    def fetch(self, channel: str, *, host: str = "seasoned") -> str:
        """Let a host update and download its channel's bundle, and return the digest of what it has got."""
        done = self.run(channel, host)
        assert done.returncode == 0, done.stderr
        return hashlib.sha256(Path(done.stdout.strip()).read_bytes()).hexdigest()

    def refusal(self, channel: str, *, host: str = "seasoned") -> str:
        """Let a host try the same, and return why it refuses."""
        done = self.run(channel, host)
        assert done.returncode == 1
        assert done.stdout == ""
        return done.stderr

    def run(self, channel: str, host: str) -> subprocess.CompletedProcess[str]:
        assert NODE
        command = [NODE, HERE / "client.js", self.root, self.state / host, self.url, f"{channel}/acme.tar.gz"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=CLIENT_TIMEOUT_S)

    def version(self, role: str) -> int:
        """Return the highest version of a numbered role."""
        return max(int(path.name.split(".")[0]) for path in self.folder.glob(f"metadata/*.{role}.json"))

    def read(self, role: str) -> Any:
        name = "timestamp" if role == "timestamp" else f"{self.version(role)}.{role}"
        return Metadata.from_file(str(self.folder / f"metadata/{name}.json")).signed

    def write(self, name: str, data: bytes) -> MetaFile:
        (self.folder / "metadata" / f"{name}.json").write_bytes(data)
        return MetaFile(1, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def view(builder: Builder, tmp_path: Path) -> Iterator[View]:
    """Show a copy of the store, which a test may spoil."""
    folder = shutil.copytree(builder.store, tmp_path / "store")
    with served(folder) as url:
        yield View(folder, url, builder.root, tmp_path)


def test_the_bundle_of_each_channel_is_what_the_builder_said(builder: Builder, view: View) -> None:
    assert {channel: view.fetch(channel, host=channel) for channel in builder.live} == builder.live


def test_a_host_follows_releases_rollbacks_renewals_and_channels_added_later(builder: Builder, tmp_path: Path) -> None:
    with served(builder.store) as url:
        view = View(builder.store, url, builder.root, tmp_path)
        assert (view.version("root"), view.fetch("prod")) == (2, builder.live["prod"])  # it was given root 1
        builder.write(("staging", "prod"), "third")
        before = builder.live["prod"]

        builder.release("publish", "--channel", "staging")
        builder.release("publish", "--channel", "prod")
        assert view.fetch("prod") == builder.live["prod"] != before

        builder.release("rollback", "--channel", "prod", "--reason", "too strict")
        assert view.fetch("prod") == builder.live["prod"] == before

        builder("refresh")
        assert view.fetch("prod") == before

        builder.write(("staging", "prod", "canary"), "fourth")
        builder("keys", "add-channel", "canary")
        builder.release("publish", "--channel", "canary")
        channels = ("staging", "prod", "canary")
        for host in ("seasoned", "fresh"):
            assert {channel: view.fetch(channel, host=host) for channel in channels} == builder.live


def on_call(builder: Builder, view: View, *, selected: str, ahead: int = 1) -> None:
    """Give prod an on-call role that says which bundle is to be live, `ahead` of the channel's own release."""
    (listed,) = view.read("prod").targets.values()
    said = {"schema": 1, "release": listed.custom["release"] + ahead, "selected": selected, "action": "rollback"}
    said |= {"reason": "too strict", "actor": "Bo", "emergency": []}
    oncall = CryptoSigner.generate_ed25519()
    targets: Targets = view.read("targets")
    targets.version += 1
    assert targets.delegations
    assert targets.delegations.roles is not None
    targets.delegations.roles["prod.oncall"] = DelegatedRole("prod.oncall", [], 1, True, ["prod.oncall/*"])
    targets.add_key(oncall.public_key, "prod.oncall")
    role = Metadata(Targets(1, expires=targets.expires, unrecognized_fields={"x-oncall": said}))
    role.sign(oncall)
    pin(builder, view, "targets", targets.version, builder.sign("targets", targets))
    pin(builder, view, "prod.oncall", 1, role.to_bytes())


def our_host(builder: Builder, view: View) -> TrustedClient:
    store = FileStore(view.folder, url=view.folder.as_uri())
    return TrustedClient(store, trusted_root=builder.root.read_bytes(), channel="prod", cache=view.state / "ours")


@pytest.mark.parametrize(("ahead", "is_live"), [(1, True), (0, False)])
def test_what_people_on_call_went_back_to_is_live_until_the_channel_says_more(
    builder: Builder, view: View, ahead: int, is_live: bool
) -> None:
    (listed,) = view.read("prod").targets.values()
    earlier = listed.custom["selectable"][0]["sha256"]
    on_call(builder, view, selected=earlier, ahead=ahead)

    ours = our_host(builder, view).refresh()[1].release
    assert ours
    assert view.fetch("prod") == ours.sha256 == (earlier if is_live else builder.live["prod"])


def test_people_on_call_cannot_select_what_the_channel_does_not_offer(builder: Builder, view: View) -> None:
    on_call(builder, view, selected=builder.live["staging"][::-1])

    assert "prod.oncall: selects what the channel does not offer" in view.refusal("prod")
    with pytest.raises(MetadataError, match="does not offer"):
        our_host(builder, view).refresh()


def altered_bundle(builder: Builder, view: View) -> None:
    """Same length, one bit differs."""
    bundle = view.folder / f"targets/prod/{builder.live['prod']}.acme.tar.gz"
    data = bundle.read_bytes()
    bundle.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def foreign_channel_role(builder: Builder, view: View) -> None:
    """The keys of snapshot role and timestamp are stolen, that of the channel is not."""
    role: Targets = view.read("prod")
    role.version += 1
    forged = Metadata(role)
    forged.sign(CryptoSigner.generate_ed25519())
    pin(builder, view, "prod", role.version, forged.to_bytes())


def channel_role_of_another_channel(builder: Builder, view: View) -> None:
    """The keys of staging, snapshot role and timestamp are stolen: staging speaks for prod."""
    role: Targets = view.read("prod")
    role.version += 1
    pin(builder, view, "prod", role.version, builder.sign("staging", role))


def replaced_channel_role(builder: Builder, view: View) -> None:
    """Only the store is in foreign hands: an older file takes the place of the one that is pinned."""
    old = (view.folder / f"metadata/{view.version('prod') - 1}.prod.json").read_bytes()
    view.write(f"{view.version('prod')}.prod", old)


def older_channel_role(builder: Builder, view: View) -> None:
    """The keys of snapshot role and timestamp are stolen: they pin what the channel signed before."""
    version = view.version("prod") - 1
    pin(builder, view, "prod", version, (view.folder / f"metadata/{version}.prod.json").read_bytes())


def expired_timestamp(builder: Builder, view: View) -> None:
    """Nobody has refreshed for a while."""
    timestamp: Timestamp = view.read("timestamp")
    timestamp.version += 1
    timestamp.expires = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(minutes=1)
    view.write("timestamp", builder.sign("timestamp", timestamp))


def pin(builder: Builder, view: View, name: str, version: int, data: bytes) -> None:
    """Serve a role's file as the newest one, with the keys of the snapshot role and the timestamp."""
    snapshot: Snapshot = view.read("snapshot")
    snapshot.version += 1
    snapshot.meta[f"{name}.json"] = view.write(f"{version}.{name}", data)
    snapshot.meta[f"{name}.json"].version = version
    timestamp: Timestamp = view.read("timestamp")
    timestamp.version += 1
    timestamp.snapshot_meta = view.write(f"{snapshot.version}.snapshot", builder.sign("snapshot", snapshot))
    timestamp.snapshot_meta.version = snapshot.version
    view.write("timestamp", builder.sign("timestamp", timestamp))


@pytest.mark.parametrize(
    ("attack", "host", "reason"),
    [
        (altered_bundle, "fresh", "Expected hash"),
        (altered_bundle, "seasoned", "Expected hash"),
        (replaced_channel_role, "fresh", "Expected length"),
        (older_channel_role, "seasoned", "version"),
        (foreign_channel_role, "fresh", "prod was signed by 0/1 keys"),
        (foreign_channel_role, "seasoned", "prod was signed by 0/1 keys"),
        (channel_role_of_another_channel, "fresh", "prod was signed by 0/1 keys"),
        (channel_role_of_another_channel, "seasoned", "prod was signed by 0/1 keys"),
        (expired_timestamp, "fresh", "timestamp.json is expired"),
        (expired_timestamp, "seasoned", "timestamp.json is expired"),
    ],
)
def test_what_our_hosts_refuse_is_refused(
    builder: Builder, view: View, attack: Callable[[Builder, View], None], host: str, reason: str
) -> None:
    if host == "seasoned":
        assert view.fetch("prod") == builder.live["prod"]
    attack(builder, view)

    assert reason in view.refusal("prod", host=host)


def test_a_host_that_has_seen_a_newer_timestamp_refuses_the_old_one(builder: Builder, view: View) -> None:
    old = (view.folder / "metadata/timestamp.json").read_bytes()
    timestamp: Timestamp = view.read("timestamp")
    timestamp.version += 1
    view.write("timestamp", builder.sign("timestamp", timestamp))
    view.fetch("prod")

    view.write("timestamp", old)

    assert "New timestamp version" in view.refusal("prod")
