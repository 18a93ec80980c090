"""Verify a saved metadata chain without network or disk: what authorised a bundle, from the trust root down.

The rules are those of the TUF client workflow (specification 5.3 to 5.6) without its two stateful parts: expiry is
reported for the caller to judge, and versions seen earlier are the business of `bundle_store.client`. Everything below
the timestamp is pinned by length and digest, so parts of two states cannot be mixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Key,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
)

from policy_core.trust import layout
from policy_core.trust.errors import MetadataError
from policy_core.trust.oncall import Emergency, OncallDocument, select, selectable_of
from policy_core.trust.release import Release, is_person

MAX_CLOCK_DIFFERENCE = timedelta(hours=1)
"""How far apart the clocks of those who sign may be."""

Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)


@dataclass(frozen=True, slots=True)
class MetadataChain:
    """The metadata files of one state, byte for byte; `roots` are the successors of the trust root, oldest first.

    `oncall` is empty where the channel has no on-call role.
    """

    roots: tuple[bytes, ...]
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    channel: bytes
    oncall: bytes = b""


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What a channel's roles say: `release` is live, None while nothing was released.

    `listed` is the release the channel role itself lists, and `selectable` what it offers to people on call, `listed`
    first; they differ from what is live after an on-call rollback. `emergency` holds entries that have expired, too.
    """

    release: Release | None
    listed: Release | None
    selectable: tuple[Release, ...]
    oncall: OncallDocument | None

    @property
    def emergency(self) -> tuple[Emergency, ...]:
        """Return the emergency entries."""
        return self.oncall.emergency if self.oncall else ()


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """What a verified chain says about a channel.

    `signed_at` is when the timestamp was signed; `expires` and `versions` are by role name, those of the channel and of
    its on-call role, if it has one, included. `signers` are the people who have signed the channel.
    """

    channel: ChannelState
    signed_at: datetime
    expires: Mapping[str, datetime]
    versions: Mapping[str, int]
    signers: tuple[str, ...]

    @property
    def release(self) -> Release | None:
        """Return what is live, None while nothing was released."""
        return self.channel.release

    @property
    def emergency(self) -> tuple[Emergency, ...]:
        """Return the emergency entries, those that have expired, too."""
        return self.channel.emergency


def verify_chain(chain: MetadataChain, *, trusted_root: bytes, channel: str) -> VerifiedRelease:
    """Verify every file of the chain and return what it says about `channel`; expiry is not enforced.

    Raises MetadataError.
    """
    # 1. Roots: each signed by its predecessor and by itself (5.3).
    root = verify_roots(chain.roots, trusted_root=trusted_root)[-1]
    # 2. Timestamp, signed by the newest root (5.4).
    timestamp = verify_role(chain.timestamp, Timestamp, root, limit=layout.MAX_TIMESTAMP_BYTES)
    # 3. Snapshot role, pinned by the timestamp (5.5).
    pin = timestamp.snapshot_meta
    snapshot = verify_role(chain.snapshot, Snapshot, root, limit=layout.MAX_SNAPSHOT_BYTES, pin=pin)
    # 4. Targets, then the channel and its on-call role, all pinned by the snapshot role (5.6).
    pin = pinned(snapshot, "targets")
    targets = verify_role(chain.targets, Targets, root, limit=layout.MAX_TARGETS_BYTES, pin=pin)
    roles: dict[str, Signed] = {"root": root, "timestamp": timestamp, "snapshot": snapshot, "targets": targets}
    files = {channel: chain.channel}
    if has_oncall(targets, channel):
        files[layout.oncall_role(channel)] = chain.oncall
    for name, data in files.items():
        roles[name] = verify_delegated(data, targets, name, pin=pinned(snapshot, name))
    signed_at = layout.parse_time(timestamp.unrecognized_fields.get(layout.SIGNED_AT))
    state = channel_state(channel, roles)
    for entry in state.emergency:  # else its life would be as long as whoever signed it pleases
        if entry.created > signed_at + MAX_CLOCK_DIFFERENCE:
            raise MetadataError(f"emergency entry {entry.id}: created after it was signed")
    return VerifiedRelease(
        channel=state,
        signed_at=signed_at,
        expires={name: signed.expires for name, signed in roles.items()},
        versions={name: signed.version for name, signed in roles.items()},
        signers=signed_by(chain.channel, targets, channel),
    )


def verify_roots(roots: tuple[bytes, ...], *, trusted_root: bytes) -> list[Root]:
    """Return the trust root and its successors, oldest first; those not newer than the trust root are passed over.

    Raises MetadataError.
    """
    trusted = [_verify_first_root(trusted_root)]
    for data in roots:
        newer = decode(data, Root, limit=layout.MAX_ROOT_BYTES)
        current = trusted[-1]
        if newer.signed.version <= current.version:  # saved before a newer trust root was configured
            continue
        if newer.signed.version != current.version + 1:
            raise MetadataError(f"root: version {newer.signed.version} (expected {current.version + 1})")
        _check_signatures(current, "root", newer)
        _check_signatures(newer.signed, "root", newer)
        trusted.append(newer.signed)
    return trusted


def verify_role(data: bytes, kind: type[Role], root: Root, *, limit: int, pin: MetaFile | None = None) -> Role:
    """Return a top-level role verified against `root` and, where given, its pin; raises MetadataError."""
    metadata = decode(data, kind, limit=limit)
    if pin is not None:
        check_pin(kind.type, data, metadata.signed.version, pin)
    _check_signatures(root, kind.type, metadata)
    return metadata.signed


def verify_delegated(data: bytes, targets: Targets, name: str, *, pin: MetaFile) -> Targets:
    """Return a channel's role, or its on-call role, verified against delegation and pin, listing only paths of its own.

    Raises MetadataError.
    """
    role = _delegation(targets, name)
    if role is None:
        raise MetadataError(f"channel {name}: not delegated", hint="the targets role lists the channels there are")
    metadata = decode(data, Targets, limit=layout.MAX_TARGETS_BYTES, name=name)
    check_pin(name, data, metadata.signed.version, pin)
    _check_signatures(targets, name, metadata)
    for path in metadata.signed.targets:
        if not role.is_delegated_path(path):
            raise MetadataError(f"channel {name}: lists {path!r}, which is not its own")
    return metadata.signed


def has_oncall(targets: Targets, channel: str) -> bool:
    """Tell whether a channel has an on-call role; from then on it is pinned, too, even while it says nothing."""
    return _delegation(targets, layout.oncall_role(channel)) is not None


def channel_state(channel: str, roles: Mapping[str, Signed]) -> ChannelState:
    """Return what the verified roles of a channel, by name, say together; raises MetadataError."""
    role, oncall = roles[channel], roles.get(layout.oncall_role(channel))
    targets = list(role.targets.values()) if isinstance(role, Targets) else []
    if len(targets) > 1:
        raise MetadataError(f"channel {channel}: lists {len(targets)} targets (expected one)")
    selectable = selectable_of(channel, targets[0]) if targets else ()
    listed = selectable[0] if selectable else None
    document = OncallDocument.from_role(oncall) if isinstance(oncall, Targets) else None
    live = select(document, listed, selectable) if document else listed
    return ChannelState(live, listed, selectable, document)


def signing_keys(data: bytes, targets: Targets, name: str) -> tuple[Key, ...]:
    """Return the keys whose signatures of a verified delegated role hold."""
    metadata = decode(data, Targets, limit=layout.MAX_TARGETS_BYTES, name=name)
    return tuple(targets.get_verification_result(name, metadata.signed_bytes, metadata.signatures).signed.values())


def signed_by(data: bytes, targets: Targets, name: str) -> tuple[str, ...]:
    """Return the people, sorted, whose signatures of a verified delegated role hold: owners of its keys."""
    return owners_of(signing_keys(data, targets, name))


def owners_of(keys: Sequence[Key]) -> tuple[str, ...]:
    """Return whose keys these are, sorted; keys without an owner belong to a machine."""
    return tuple(sorted({str(owner) for key in keys if is_person(owner := key.unrecognized_fields.get(layout.OWNER))}))


def pinned(snapshot: Snapshot, role: str) -> MetaFile:
    """Return what the snapshot role pins for `role`; raises MetadataError if it does not know it."""
    pin = snapshot.meta.get(f"{role}.json")
    if pin is None:
        raise MetadataError(f"snapshot: does not list {role}")
    return pin


def check_pin(name: str, data: bytes, version: int, pin: MetaFile) -> None:
    """Raise MetadataError unless length, digest and version are the pinned ones; a pin without digest is refused."""
    if pin.length is None or not pin.hashes or "sha256" not in pin.hashes:
        raise MetadataError(f"{name}: pinned without length or sha256")
    try:
        pin.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise MetadataError(f"{name}: {_lowered(error)}") from error
    if version != pin.version:
        raise MetadataError(f"{name}: version {version} (expected {pin.version})")


def decode(data: bytes, kind: type[Role], *, limit: int, name: str = "") -> Metadata[Role]:
    """Parse a metadata file of at most `limit` bytes, unverified; raises MetadataError."""
    where = name or kind.type
    if len(data) > limit:
        raise MetadataError(f"{where}: {len(data)} bytes (limit {limit})")
    try:
        metadata: Metadata[Role] = Metadata.from_bytes(data)
    except RepositoryError as error:
        raise MetadataError(f"{where}: not TUF metadata") from error
    if metadata.signed.type != kind.type:
        raise MetadataError(f"{where}: is metadata of type {metadata.signed.type} (expected {kind.type})")
    return metadata


def _delegation(targets: Targets, name: str) -> DelegatedRole | None:
    return targets.delegations.roles.get(name) if targets.delegations and targets.delegations.roles else None


def _verify_first_root(data: bytes) -> Root:
    metadata = decode(data, Root, limit=layout.MAX_ROOT_BYTES, name="trust root")
    _check_signatures(metadata.signed, "root", metadata)
    return metadata.signed


def _check_signatures(delegator: Root | Targets, role: str, metadata: Metadata[Role]) -> None:
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise MetadataError(f"{role}: {_lowered(error)}") from error


def _lowered(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
