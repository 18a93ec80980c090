"""The store, the keys and the hosts that are attacked: made once by the real builder, copied for each attack.

Channel ``prod`` has had two releases and a refresh since. Release 1 let everybody restart services, release 2 denies
it, and so do those that honest people will publish.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pygit2
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from polled_host import Host
from securesystemslib.signer import CryptoSigner
from tamper.editing import Editor, now
from tuf.api.metadata import DelegatedRole, Key, Metadata, Role, Targets

from builder.ledger.branch import extend_ledger
from builder.publishing.approve import Review, approve, complete
from builder.publishing.candidate import Candidate, prepare_candidate
from builder.publishing.commit import Publisher
from builder.publishing.initialise import create_trust, initialise_store
from builder.publishing.keys import KeyRing
from builder.publishing.pending import Waiting, find_pending
from builder.publishing.promote import promote
from builder.publishing.publish import publish
from builder.publishing.refresh import refresh
from builder.publishing.workspace import Workspace
from builder.source import PolicyRepository
from bundle_store.opening import open_store
from policy_core.trust import layout
from policy_core.trust.layout import ROOT_FILE
from policy_core.trust.release import Release

CHANNELS = ("staging", "prod")
TOP_LEVEL = ("root", "targets", "snapshot", "timestamp")
WRIT_YAML = "version: v1\nname: acme\nstore: file:///srv/policies\nchannels: [staging, prod]\n"
POLICY = """\
version: v1
rules:
  - id: restarts
    match: {{actions: ["service.restart"]}}
    decision: {decision}
    reason: {reason}
"""
RESTART = {
    "subject": {"type": "user", "id": "ann"},
    "action": {"name": "service.restart"},
    "resource": {"type": "service", "id": "web"},
}
KEYS = Path("writ/keys/acme")  # below a home for configuration
PEOPLE = ("ana", "ben", "eve")


@dataclass(frozen=True)
class Honest:
    """What honest people did before anybody attacks. `past` are copies of the store, oldest first."""

    folder: Path
    root: bytes
    repository: PolicyRepository
    coming: tuple[Candidate, ...]

    def state(self, name: str) -> Path:
        """Return a folder: the store after ``release-1``, ``release-2`` or ``live``, or ``host``, which followed it."""
        return self.folder / name


def make_honest(folder: Path) -> Honest:
    """Publish two releases to each channel and refresh, with a host of ``prod`` that polled after every step."""
    repository = PolicyRepository(pygit2.init_repository(str(folder / "repository"), initial_head="main"))
    keys = KeyRing(folder / KEYS, {})
    now = datetime.now(UTC).replace(microsecond=0)
    root = create_trust(keys, CHANNELS, now)
    candidates = [
        _candidate(repository, root, decision, reason)
        for decision, reason in (("allow", "first"), ("deny", "second"), ("deny", "third"), ("deny", "fourth"))
    ]
    honest = Honest(folder, root, repository, tuple(candidates[2:]))
    scene = Scene(honest, folder / "live", folder / KEYS)
    initialise_store(open_store(scene.url), root, keys, CHANNELS, now)
    host = Host(folder / "host", scene).start()
    for number, candidate in enumerate(candidates[:2], start=1):
        for channel in CHANNELS:
            scene.publish(candidate, channel=channel)
        host.poll()
        _copy_store(scene.folder, folder / f"release-{number}")
    refresh([scene.publisher()])
    host.poll()
    host.stop()
    for channel in CHANNELS:
        reader = scene.publisher(channel).reader
        extend_ledger(repository.git, channel, reader.history(reader.read()))
    return honest


def _candidate(repository: PolicyRepository, root: bytes, decision: str, reason: str) -> Candidate:
    git = repository.git
    policy = POLICY.format(decision=decision, reason=reason).encode()
    files = {"writ.yaml": WRIT_YAML.encode(), "policies/restarts.yaml": policy, ROOT_FILE: root}
    index = pygit2.Index()
    for path, content in files.items():
        index.add(pygit2.IndexEntry(path, git.create_blob(content), pygit2.enums.FileMode.BLOB))
    ada = pygit2.Signature("Ada Example", "ada@example.com", 1_700_000_000, 0)
    parents = [] if git.head_is_unborn else [git.head.target]
    git.create_commit("HEAD", ada, ada, f"Policy: {reason}", index.write_tree(git), parents)
    return prepare_candidate(repository, "HEAD", today=datetime.now(UTC).date())


@dataclass
class Scene:
    """One store with the keys of its owners. Each test has its own copy, see `copied`."""

    honest: Honest
    folder: Path
    key_folder: Path
    revoked: dict[str, CryptoSigner] = field(default_factory=dict)
    people: bool = False
    asked_for: Key | None = None
    """A key that somebody asks to have in ``prod``."""

    @classmethod
    def copied(cls, honest: Honest, to: Path) -> "Scene":
        """Copy the live store and the keys into a folder of the test."""
        _copy_store(honest.state("live"), to / "store")
        shutil.copytree(honest.folder / KEYS, to / KEYS)
        return cls(honest, to / "store", to / KEYS)

    @property
    def url(self) -> str:
        """Return the address of the store."""
        return self.folder.as_uri()

    @property
    def root(self) -> bytes:
        """Return the trust root that hosts are given."""
        return self.honest.root

    @property
    def keys(self) -> KeyRing:
        """Return the owners' keys."""
        return KeyRing(self.key_folder, {})

    @cached_property
    def workspace(self) -> Workspace:
        """Return a clone of the policy repository, as a command finds it, with this store for its own."""
        home = self.folder.parent
        shutil.copytree(self.honest.folder / "repository", home / "repository")
        found = Workspace.open(home / "repository")
        project = replace(found.project, store=self.url)
        return replace(found, project=project, environment={"XDG_CONFIG_HOME": str(home)})

    def publisher(self, channel: str = "prod") -> Publisher:
        return Publisher(open_store(self.url), channel, self.root, self.keys)

    def publish(self, candidate: Candidate | None = None, *, channel: str = "prod") -> None:
        """Publish a candidate, the first that is to come if none is given."""
        candidate = candidate or self.honest.coming[0]
        if self.people and channel == "prod":
            self._publish_by_people(candidate)
        else:
            publish(self.publisher(channel), self.honest.repository, candidate, actor="Ada")

    def promote(self) -> None:
        """Promote what is live in ``staging`` to ``prod``."""
        source = self.publisher("staging").reader.read().verified.release
        assert source
        candidate = next(each for each in self.honest.coming if each.bundle.revision == source.revision)
        promote(self.publisher(), self.honest.repository, candidate, source, reason="", actor="Ada")

    def propose(self, candidate: Candidate | None = None) -> None:
        """Leave a release of ``prod`` for people to sign."""
        publish(self.publisher(), self.honest.repository, candidate or self.honest.coming[0], actor="Ada")

    def waiting(self) -> Waiting | None:
        """Return what waits for signatures, as everybody checks it first."""
        reader = self.publisher().reader
        return find_pending(reader, reader.read())

    def approver(self, name: str) -> Publisher:
        """Return a person at a machine of theirs, with a key of theirs."""
        variable = f"file:{self.key_folder / name}.pem"
        return replace(self.publisher(), key_ring=KeyRing(self.key_folder, {"WRIT_SIGNER_PROD": variable}))

    def sign_waiting(self, *names: str) -> None:
        """Let people sign what waits, who have looked at it before."""
        for name in names:
            if waiting := self.waiting():
                approve(self.approver(name), Review(waiting, None, None, None))

    def publish_waiting(self) -> None:
        """Make live what waits and has all its signatures."""
        complete(self.publisher())

    def _publish_by_people(self, candidate: Candidate) -> None:
        self.propose(candidate)
        if self.waiting():
            self.sign_waiting(*self._signing("prod"))
            self.publish_waiting()

    def _signing(self, role: str) -> tuple[str, ...]:
        """Return the names of keys that sign for a role now."""
        return PEOPLE[1:] if self.people and role in {"root", "targets", "prod"} else (role,)

    @property
    def owners(self) -> Editor:
        """Return the owners in a ceremony, with all keys."""
        return Editor(self.folder, self.signers)

    @property
    def signers(self) -> dict[str, CryptoSigner]:
        """Return all keys by name: roles, people, and as ``old timestamp`` what has been revoked."""
        return {path.stem: _signer(path) for path in self.key_folder.glob("*.pem")} | {
            f"old {name}": signer for name, signer in self.revoked.items()
        }

    def stolen(self, names: Iterable[str]) -> dict[str, CryptoSigner]:
        """Return keys as an attacker uses them: one that was replaced stands for its role."""
        return {name.removeprefix("old "): self.signers[name] for name in names}

    def past(self, state: str, name: str) -> bytes:
        """Return an object of the store as it once was."""
        return (self.honest.state(state) / name).read_bytes()

    def keep(self) -> None:
        """Note the store as it is, for `put_right`."""
        _copy_store(self.folder, self.folder.with_name("kept"))

    def put_right(self, stolen: Iterable[str]) -> None:
        """Do what owners do after an attack: restore the objects, replace stolen keys, publish what is to come."""
        shutil.rmtree(self.folder)
        _copy_store(self.folder.with_name("kept"), self.folder)
        self.rotate(*(name for name in stolen if name in {*TOP_LEVEL, *CHANNELS}))
        self.publish_all()

    def publish_all(self) -> None:
        """Publish everything that is to come."""
        for candidate in self.honest.coming:
            self.publish(candidate)

    def past_release(self, state: str, name: str, channel: str = "prod") -> Release:
        """Return the release that a channel role of an earlier state lists."""
        (target,) = Metadata.from_bytes(self.past(state, name)).signed.targets.values()
        return Release.from_target(channel, target)

    def put_back(self, state: str) -> None:
        """Replace the whole store by an earlier state."""
        shutil.rmtree(self.folder)
        _copy_store(self.honest.state(state), self.folder)

    def rotate(self, *names: str) -> None:
        """Replace the keys of some roles, as after a theft, and sign anew what hangs on them."""
        if not names:
            return
        for name in names:
            path = self.key_folder / f"{name}.pem"
            self.revoked[name] = _signer(path)
            path.unlink()
            self.keys.create(name)
        owners, top, channels = self.owners, set(names) & set(TOP_LEVEL), set(names) & set(CHANNELS)
        if top:
            root = owners.role("root")
            root.version += 1
            for name in top:
                root.revoke_key(self.revoked[name].public_key.keyid, name)
                root.add_key(owners.signers[name].public_key, name)
            before = {"old root"} if "root" in top else set()
            owners.put("root", owners.sign(root, *before, *self._signing("root")))
        targets = owners.role("targets")
        for name in channels:
            targets.revoke_key(self.revoked[name].public_key.keyid, name)
            targets.add_key(owners.signers[name].public_key, name)
        signed = {"targets": targets, **{name: owners.role(name) for name in channels}}
        self._set_live({role: (content, self._signing(role)) for role, content in signed.items()})

    def hand_to_people(self) -> None:
        """Let root, targets and ``prod`` take two of three people each, whose keys are theirs alone."""
        for name in PEOPLE:
            self.keys.create(name)
        for name in ("root", "targets", "prod"):
            self.revoked[name] = _signer(self.key_folder / f"{name}.pem")
        self.people, owners = True, self.owners
        keys = [owned(owners.signers[name].public_key, name) for name in PEOPLE]
        people = {key.keyid: key for key in keys}
        root, targets = owners.role("root"), owners.role("targets")
        root.version += 1
        root.keys |= people
        root.roles |= {role: Role(list(people), 2) for role in ("root", "targets")}
        owners.put("root", owners.sign(root, "old root", *self._signing("root")))
        targets.delegations.keys |= people
        targets.delegations.roles["prod"].keyids, targets.delegations.roles["prod"].threshold = list(people), 2
        signed = {"targets": targets, "prod": owners.role("prod")}
        self._set_live({role: (content, self._signing(role)) for role, content in signed.items()})

    def put_on_call(self, *channels: str) -> None:
        """Give channels a role on call each, with one key of its own."""
        targets, pins = self.owners.role("targets"), {}
        for role in map(layout.oncall_role, channels):
            self.keys.create(role)
            owners = self.owners
            targets.delegations.roles[role] = DelegatedRole(role, [], 1, terminating=True, paths=[f"{role}/*"])
            targets.add_key(owners.signers[role].public_key, role)
            empty = Targets(1, expires=now() + timedelta(days=180))
            pins[role.replace(".", "_")] = owners.put(role, owners.sign(empty, role))
        targets.version += 1
        pins["targets"] = owners.put("targets", owners.sign(targets, *self._signing("targets")))
        owners.set_live(**pins)

    def remove_from_channel(self, person: str) -> None:
        """Revoke a person's key for ``prod``, which still takes two; all that is live is signed anew."""
        owners = self.owners
        targets = owners.role("targets")
        targets.revoke_key(owners.signers[person].public_key.keyid, "prod")
        signed = {"targets": targets, "prod": owners.role("prod")}
        self._set_live({role: (content, self._signing(role)) for role, content in signed.items()})

    def _set_live(self, roles: Mapping[str, tuple[Targets, Iterable[str]]]) -> None:
        """Make the next version of some roles live, each signed by the named keys."""
        owners, pins = self.owners, {}
        for role, (content, signers) in roles.items():
            content.version += 1
            pins[role] = owners.put(role, owners.sign(content, *signers))
        owners.set_live(**pins)


def _copy_store(folder: Path, to: Path) -> None:
    """Copy a store by links: whoever writes an object puts another file in its place."""
    shutil.copytree(folder, to, copy_function=os.link)


def owned(key: Key, person: str) -> Key:
    """Return a public key with the name of whose it is."""
    return Key.from_dict(key.keyid, {**key.to_dict(), layout.OWNER: person})


def _signer(path: Path) -> CryptoSigner:
    return CryptoSigner(load_pem_private_key(path.read_bytes(), None))
