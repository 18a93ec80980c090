"""A small world to publish in: a policy repository with its keys, a store, and a clock that stands still."""

import copy
import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner, Key

from builder.publishing.approve import Review, approve, complete, review
from builder.publishing.before import read_before
from builder.publishing.candidate import prepare_candidate
from builder.publishing.carrying_out import carry_out, sign
from builder.publishing.ceremony import propose
from builder.publishing.channels import Histories
from builder.publishing.commit import Outcome
from builder.publishing.holders import Holders
from builder.publishing.initialise import create_trust, initialise_store
from builder.publishing.key_changes import KeyChange
from builder.publishing.keys import KeyRing, key_ring, signer_variable
from builder.publishing.publish import publish
from builder.publishing.publisher import Publisher
from builder.publishing.rollback import roll_back
from builder.source import PolicyRepository
from bundle_store.client import TrustedClient
from bundle_store.opening import open_store
from bundle_store.port import StoredObject, WritableStore
from policy_core.trust.chain import VerifiedRelease
from policy_core.trust.layout import OWNER
from policy_core.trust.release import Release

START = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@dataclass
class Person:
    """Somebody with a key of their own."""

    name: str
    folder: Path
    signer: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)

    @property
    def key(self) -> Key:
        """Return the public key, with its owner."""
        key = copy.deepcopy(self.signer.public_key)
        key.unrecognized_fields[OWNER] = self.name
        return key

    def ring(self, *roles: str) -> KeyRing:
        """Return a key ring that has this person's key for these roles, and nothing else."""
        path = self.folder / f"{self.name}.pem"
        if not path.exists():
            self.folder.mkdir(exist_ok=True)
            path.write_bytes(self.signer.private_bytes)
            path.chmod(0o600)
        return KeyRing(self.folder / "none", {signer_variable(role): f"file:{path}" for role in roles})


@dataclass
class World:
    folder: "GitFolder"  # noqa: F821  of tests/conftest.py
    store: WritableStore
    trusted_root: bytes
    keys: KeyRing
    now: datetime.datetime = START
    hosts: int = 0
    tmp_path: Path = field(default_factory=Path)
    people: dict[str, Person] = field(default_factory=dict)

    def publisher(self, channel: str = "prod", **changes: object) -> Publisher:
        made = Publisher(self.store, channel, self.trusted_root, self.keys, clock=lambda: self.now)
        return replace(made, **changes)

    def publish(self, revision: str = "HEAD", *, channel: str = "prod", store: WritableStore | None = None) -> Outcome:
        repository = PolicyRepository.open(self.folder.path)
        candidate = prepare_candidate(repository, revision, today=self.now.date())
        publisher = self.publisher(channel, store=store or self.store)
        return publish(publisher, repository, candidate, actor="Ada Example <ada@example.com>")

    def roll_back(
        self, to: int | None = None, *, reason: str = "broken", store: WritableStore | None = None
    ) -> Outcome:
        return roll_back(self.publisher(store=store or self.store), to=to, reason=reason, actor="Ada")

    def host(self, channel: str = "prod", *, store: WritableStore | None = None) -> TrustedClient:
        """Return a new host that has seen nothing yet."""
        self.hosts += 1
        cache = self.tmp_path / f"host-{self.hosts}"
        return TrustedClient(store or self.store, trusted_root=self.trusted_root, channel=channel, cache=cache)

    def seen(self, channel: str = "prod") -> VerifiedRelease:
        """Return what a new host reads now."""
        return self.host(channel).refresh()[1]

    def person(self, name: str) -> Person:
        """Return somebody, who gets a key when first seen."""
        return self.people.setdefault(name, Person(name, self.tmp_path / "people"))

    def change_keys(self, change: KeyChange, *signers: KeyRing, channels: tuple[str, ...] = ("prod",)) -> None:
        """Make a change of keys live, signed with the keys here and those of `signers`."""
        publishers = {channel: self.publisher(channel) for channel in channels}
        ceremony = propose(publishers, read_before(publishers), lambda _: change)
        for ring in (self.keys, *signers):
            ceremony = sign(ceremony, ring).ceremony
        carry_out(publishers, ceremony)

    def joined(self, ring: KeyRing) -> KeyRing:
        """Return the keys here, and those that somebody's ring names."""
        return replace(self.keys, environment={**self.keys.environment, **ring.environment})

    def approve(self, *names: str, channel: str = "prod") -> Outcome:
        """Sign what waits for signatures in the names of people, and make it live."""
        self.sign_pending(*names, channel=channel)
        return complete(self.publisher(channel))

    def sign_pending(self, *names: str, channel: str = "prod") -> None:
        """Sign what waits for signatures in the names of people."""
        for name in names:
            publisher = self.publisher(channel, key_ring=self.person(name).ring(channel))
            approve(publisher, self.review(publisher))

    def review(self, publisher: Publisher) -> Review:
        """Check what waits for signatures, as everybody does who is to sign it."""
        repository = PolicyRepository.open(self.folder.path)
        prepare = partial(prepare_candidate, repository, today=self.now.date())
        histories = Histories(lambda name: self.publisher(name).reader)
        return review(publisher, repository, prepare, histories)

    def renew(self, channel: str, *names: str) -> None:
        """Sign the role of a channel anew, as people do before it expires."""
        rings = [self.person(name).ring(channel) for name in names]
        self.change_keys(KeyChange(renewed=frozenset({channel})), *rings, channels=(channel,))

    def history(self, channel: str = "prod") -> list[Release]:
        """Return the releases of a channel, newest first."""
        reader = self.publisher(channel).reader
        return [entry.release for entry in reader.history(reader.read()) if entry.release]

    def policies(self) -> list[tuple[int, str]]:
        """Return number and action of all releases, newest first."""
        reader = self.publisher().reader
        entries = reader.history(reader.read())
        return [(entry.release.release, entry.release.action) for entry in entries if entry.release]


@dataclass
class RecordingStore:
    """Passes everything on and keeps a list of what was asked, as *verb name*."""

    store: WritableStore
    calls: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.store.url

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        self.before(f"get {name}")
        return self.store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)

    def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
        self.before(f"put {name}")
        etag = self.store.put(name, body, if_etag=if_etag)
        self.after(f"put {name}")
        return etag

    def before(self, call: str) -> None:
        self.calls.append(call)

    def after(self, call: str) -> None:
        pass


@pytest.fixture
def world_of(policy_repository: Callable[..., "GitFolder"], tmp_path: Path) -> Callable[..., World]:  # noqa: F821
    def make(url: str, *, channels: tuple[str, ...] = ("prod",), now: datetime.datetime = START) -> World:
        folder = policy_repository(url, channels=", ".join(channels))
        keys = key_ring("demo-policies", dict(os.environ))
        store = open_store(url)
        root = create_trust(keys, channels, now)
        initialise_store(store, root, keys, channels, now)
        return World(folder, store, root, keys, now, tmp_path=tmp_path)

    return make


@pytest.fixture
def world(world_of: Callable[..., World], file_url: str) -> World:
    return world_of(file_url)


@pytest.fixture
def peopled(world: World) -> World:
    """Give ``prod`` (release 1) to two of Ana, Bo and Cy, and its on-call role to Di; all else is as in `world`."""
    world.publish()
    ana, bo, cy, di = (world.person(name) for name in ("ana", "bo", "cy", "di"))
    change = KeyChange({"prod": Holders((ana.key, bo.key, cy.key), 2), "prod.oncall": Holders((di.key,), 1)})
    world.change_keys(change, ana.ring("prod"), bo.ring("prod"), di.ring("prod.oncall"))
    world.keys.path("prod").unlink()
    return world


@pytest.fixture
def recording() -> type[RecordingStore]:
    return RecordingStore
