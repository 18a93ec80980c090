"""The copy that a drill plays on: a store in a temporary folder, with the real releases and throw-away keys.

Every role of it, root included, has keys that are made in memory for this one drill and are never written anywhere. All
that is signed here chains to a root that no host was ever given, and no real key signs anything. So nothing that a
drill leaves behind, or that somebody takes from it, could ever be valid in earnest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from builder.publishing import metadata
from builder.publishing.before import read_before
from builder.publishing.carrying_out import carry_out, sign
from builder.publishing.ceremony import propose
from builder.publishing.commit import Proposal, commit
from builder.publishing.holders import Holders, holding
from builder.publishing.initialise import TOP_LEVEL, initialise_store
from builder.publishing.key_changes import KeyChange
from builder.publishing.keys import KeyRing, signer_variable
from builder.publishing.oncall import roll_back_on_call
from builder.publishing.publisher import Publisher, system_clock
from builder.publishing.state import LiveState
from bundle_store.opening import open_store
from bundle_store.port import StoredObject, WritableStore
from policy_core.trust import layout
from policy_core.trust.release import PUBLISH, Release

REASON, ACTOR = "drill", "drill"


@dataclass(slots=True)
class CountingStore:
    """Passes everything on and counts requests, and bytes of bundles that were read."""

    store: WritableStore
    url: str
    requests: int = 0
    bundle_bytes: int = 0

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return what the store returns."""
        self.requests += 1
        found = self.store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)
        if found and name.startswith("targets/"):
            self.bundle_bytes += len(found.body)
        return found

    def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
        """Write to the store."""
        self.requests += 1
        return self.store.put(name, body, if_etag=if_etag)


@dataclass(frozen=True, slots=True)
class Copy:
    """A publisher to the copy, who has all its keys; `numbers` are its releases by the digest of their bundle."""

    publisher: Publisher
    store: CountingStore
    numbers: Mapping[str, int]


def make_copy(folder: Path, channel: str, state: LiveState, bundles: Sequence[tuple[Release, bytes]]) -> Copy:
    """Return a copy below `folder` of one channel, with as many keys for each role and the same thresholds.

    `bundles` are the releases on offer, newest first, the live one among them; in the copy they are counted from 1. A
    channel without an on-call role gets one. Raises UsageError for a folder that cannot be written to.
    """
    held = holding(state.root, state.targets)
    sizes = {role: (len(held[role].keys), held[role].threshold) for role in (*TOP_LEVEL, channel)}
    oncall = layout.oncall_role(channel)
    sizes[oncall] = (len(held[oncall].keys), 1) if oncall in held else (1, 1)
    signers = {role: [CryptoSigner.generate_ed25519() for _ in range(count)] for role, (count, _) in sizes.items()}
    first = _ring(folder, signers, 0)
    now, url = system_clock(), (folder / "store").as_uri()
    root = metadata.first_root({role: signers[role][0].public_key for role in TOP_LEVEL}, now)
    trusted_root = first.sign("root", root, [signers["root"][0].public_key])
    store = CountingStore(open_store(url), url)
    initialise_store(store, trusted_root, first, (channel,), now)
    publisher = Publisher(store, channel, trusted_root, first)
    # 1. The releases, while one key is enough.
    numbers = {}
    for number, (release, blob) in enumerate(reversed(bundles), start=1):
        # whatever is on offer keeps to `min_release`, which counts releases of the real channel
        _publish(publisher, replace(release, release=number, action=PUBLISH, min_release=0), blob)
        numbers[release.sha256] = number
    # 2. Keys and thresholds as they are in earnest.
    holders = {
        role: Holders(tuple(signer.public_key for signer in signers[role]), threshold)
        for role, (_, threshold) in sizes.items()
    }
    rings = [_ring(folder, signers, number) for number in range(max(map(len, signers.values())))]
    _change_keys(publisher, KeyChange(holders), rings)
    # 3. What people on call have selected before.
    live = state.verified.release
    if live is not None and numbers[live.sha256] != len(bundles):
        roll_back_on_call(publisher, to=numbers[live.sha256], reason=REASON, actor=ACTOR)
    return Copy(publisher, store, numbers)


def _ring(folder: Path, signers: Mapping[str, Sequence[CryptoSigner]], number: int) -> KeyRing:
    """Return the key of that number of each role that has so many; the folder of its key files does not exist."""
    environment: dict[str, str] = {}
    for place, (role, those) in enumerate(signers.items()):
        if number < len(those):
            environment[signer_variable(role)] = f"env:KEY_{place}"
            environment[f"KEY_{place}"] = those[number].private_bytes.decode()
    return KeyRing(folder / "none", environment)


def _publish(publisher: Publisher, release: Release, blob: bytes) -> None:
    commit(publisher, lambda _state, _history: Proposal(release, blob))


def _change_keys(publisher: Publisher, change: KeyChange, rings: Sequence[KeyRing]) -> None:
    publishers = {publisher.channel: publisher}
    ceremony = propose(publishers, read_before(publishers), lambda _: change)
    if ceremony is not None:
        for ring in rings:
            ceremony = sign(ceremony, ring).ceremony
        carry_out(publishers, ceremony)
