"""The first metadata of a store, and the trust root that hosts are given: ``writ keys init --dev``.

Order: keys, then ``trust/root.json`` committed, then the store, whose timestamp comes last. From the
commit on, each step recognises its own earlier result, so a run that was cut short is completed by the next one. Keys
without a commit are not taken up again: they could be those of another repository with the same name.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import MetaFile, Root

from builder.ledger.branch import check_store_is_current
from builder.publishing import metadata
from builder.publishing.key_files import create_keys
from builder.publishing.keys import AnyRole, KeyRing
from builder.publishing.publisher import system_clock
from builder.publishing.staging import verify_staged
from builder.publishing.trust_root import check_can_commit, commit_root, committed_root
from builder.publishing.workspace import Workspace
from builder.publishing.writing import put_immutable, put_numbered, swap_timestamp
from bundle_store.opening import open_store
from bundle_store.port import ObjectNotFoundError, WritableStore
from bundle_store.probe import probe_conditional_writes
from policy_core.errors import ConflictError
from policy_core.trust import layout
from policy_core.trust.chain import decode

TOP_LEVEL = ("root", "targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class Initialised:
    """Where keys and metadata are now, the digest of the trust root, and whether anything was to be done."""

    keys: str
    store: str
    root_sha256: str
    changed: bool


def initialise(workspace: Workspace) -> Initialised:
    """Make keys, trust root and first metadata, as far as they are missing.

    An empty store whose ledger has releases was lost, not new: what began there anew would be refused by all hosts.
    Raises LedgerError then, ConflictError for keys or metadata that are not of this trust root, KeyMissingError,
    RemoteError, UsageError.
    """
    store, key_ring, now = open_store(workspace.project.store), workspace.key_ring, system_clock()
    probe_conditional_writes(store)
    is_begun = _has(store, layout.TIMESTAMP)
    if not is_begun:
        for channel in workspace.project.channels:
            check_store_is_current(workspace.repository.git, channel, 0)
    root = committed_root(workspace.repository)
    if root is None:
        if is_begun or _has(store, layout.metadata_name("root", 1)):
            raise _foreign(store)
        check_can_commit(workspace.repository)
        root = create_trust(key_ring, workspace.project.channels, now)
        commit_root(workspace.repository, root)
    changed = initialise_store(store, root, key_ring, workspace.project.channels, now)
    return Initialised(str(key_ring.directory), store.url, hashlib.sha256(root).hexdigest(), changed)


def create_trust(key_ring: KeyRing, channels: Sequence[str], now: datetime) -> bytes:
    """Create the keys of all roles and return the first root, signed; raises ConflictError if keys exist."""
    key_ring.require_outside()
    keys = create_keys(key_ring.directory, [*TOP_LEVEL, *channels])
    root = metadata.first_root({role: keys[role] for role in TOP_LEVEL}, now)
    return key_ring.sign("root", root, [keys["root"]])


def initialise_store(
    store: WritableStore, trusted_root: bytes, key_ring: KeyRing, channels: Sequence[str], now: datetime
) -> bool:
    """Write the first metadata and tell whether there was none; False: this very root is served there already.

    Raises ConflictError if the store belongs to another root, StagedStateError, RemoteError.
    """
    if not put_immutable(store, layout.metadata_name("root", 1), trusted_root):
        raise _foreign(store)
    if _has(store, layout.TIMESTAMP):
        return False
    root = decode(trusted_root, Root, limit=layout.MAX_ROOT_BYTES).signed
    keys = {role: [root.get_key(keyid) for keyid in root.roles[role].keyids] for role in TOP_LEVEL}

    def put(role: str, make: Callable[[int], AnyRole], keys: Sequence[Key]) -> MetaFile:
        version, data = put_numbered(store, role, 1, lambda version: key_ring.sign(role, make(version), keys))
        return metadata.pin_of(version, data)

    channel_keys = {channel: key_ring.public_key(channel) for channel in channels}
    pins = {
        channel: put(channel, lambda version: metadata.channel_role(version, None, None, now), [key])
        for channel, key in channel_keys.items()
    }
    pins["targets"] = put(
        "targets", lambda version: metadata.first_targets(version, channel_keys, now), keys["targets"]
    )
    pin = put("snapshot", lambda version: metadata.first_snapshot(version, pins, now), keys["snapshot"])
    timestamp = key_ring.sign("timestamp", metadata.timestamp(1, pin, now), keys["timestamp"])
    for channel in channels:
        verify_staged(store, timestamp, trusted_root=trusted_root, channel=channel, release=None, live=None)
    swap_timestamp(store, timestamp, etag=None)
    return True


def _has(store: WritableStore, name: str) -> bool:
    try:
        store.get(name, max_bytes=layout.MAX_ROOT_BYTES)
    except ObjectNotFoundError:
        return False
    return True


def _foreign(store: WritableStore) -> ConflictError:
    return ConflictError(
        f"{store.url}: holds the metadata of another trust root",
        hint="give this policy repository a store, or a prefix, of its own in writ.yaml",
    )
