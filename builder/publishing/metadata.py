"""New metadata from old: pure functions over python-tuf's objects; nothing is signed or stored here."""

import copy
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    MetaFile,
    Role,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from policy_core.trust.chain import ChannelState
from policy_core.trust.layout import ONCALL, PREVIOUS, SIGNED_AT, format_time
from policy_core.trust.oncall import OncallDocument, offer
from policy_core.trust.release import Release

ROOT_LIFETIME = timedelta(days=365)
TARGETS_LIFETIME = timedelta(days=365)
CHANNEL_LIFETIME = timedelta(days=180)
ONCALL_LIFETIME = timedelta(days=365)  # only people on call can sign it anew
SNAPSHOT_LIFETIME = timedelta(days=180)
TIMESTAMP_LIFETIME = timedelta(days=30)  # the longest: nobody runs a refresher every hour for file keys
MIN_TIMESTAMP_LIFETIME = timedelta(hours=1)


BASE = "x-base"
"""Signed field of a role file that people sign: the version and digest of the one it follows."""


def first_root(keys: Mapping[str, Key], now: datetime) -> Root:
    """Return root version 1 with one key for each top-level role."""
    roles = {role: Role([key.keyid], 1) for role, key in keys.items()}
    return Root(
        expires=now + ROOT_LIFETIME,
        keys={key.keyid: key for key in keys.values()},
        roles=roles,
        consistent_snapshot=True,
    )


def first_targets(version: int, channel_keys: Mapping[str, Key], now: datetime) -> Targets:
    """Return a targets role without targets that delegates ``<channel>/*``, and nothing else, to each channel."""
    roles = {
        channel: DelegatedRole(channel, [key.keyid], 1, terminating=True, paths=[f"{channel}/*"])
        for channel, key in channel_keys.items()
    }
    delegations = Delegations({key.keyid: key for key in channel_keys.values()}, roles)
    return Targets(version, expires=now + TARGETS_LIFETIME, delegations=delegations)


def next_targets(version: int, live: Targets, now: datetime) -> Targets:
    """Return the successor of the live targets role, with the same delegations."""
    targets = copy.deepcopy(live)
    targets.version, targets.expires = version, now + TARGETS_LIFETIME
    targets.unrecognized_fields.pop(BASE, None)
    return targets


def next_root(live: Root, now: datetime) -> Root:
    """Return the successor of the newest root, with the same keys."""
    root = copy.deepcopy(live)
    root.version, root.expires = live.version + 1, now + ROOT_LIFETIME
    root.unrecognized_fields.pop(BASE, None)
    return root


def channel_role(version: int, release: Release | None, live: ChannelState | None, now: datetime) -> Targets:
    """Return the role of a channel: its one target, or none before the first release.

    People on call may select that release, and what they could select in the `live` state (None: a new channel).
    """
    offered = offer(release, live.selectable if live else ()) if release else []
    targets = {release.path: release.target(**({"selectable": offered} if offered else {}))} if release else {}
    return Targets(version, expires=now + CHANNEL_LIFETIME, targets=targets)


def oncall_role(version: int, document: OncallDocument | None, now: datetime) -> Targets:
    """Return the on-call role of a channel: its document, or none before it is first used."""
    said = {ONCALL: document.signed_field()} if document else {}
    return Targets(version, expires=now + ONCALL_LIFETIME, unrecognized_fields=said)


def base_of(version: int, data: bytes) -> dict[str, object]:
    """Return what `BASE` says about a role file."""
    return {"version": version, "sha256": hashlib.sha256(data).hexdigest()}


def first_snapshot(version: int, pins: Mapping[str, MetaFile], signed_at: datetime) -> Snapshot:
    """Return the snapshot role history begins with; `pins` is by role name."""
    return Snapshot(
        version,
        expires=signed_at + SNAPSHOT_LIFETIME,
        meta={f"{role}.json": pin for role, pin in pins.items()},
        unrecognized_fields={SIGNED_AT: format_time(signed_at)},
    )


def next_snapshot(
    version: int, live: Snapshot, live_bytes: bytes, pins: Mapping[str, MetaFile], signed_at: datetime
) -> Snapshot:
    """Return the successor of the live snapshot role: `pins` replaced, all others kept, its predecessor named."""
    snapshot = copy.deepcopy(live)
    snapshot.version = version
    snapshot.expires = signed_at + SNAPSHOT_LIFETIME
    snapshot.meta.update({f"{role}.json": pin for role, pin in pins.items()})
    snapshot.unrecognized_fields[SIGNED_AT] = format_time(signed_at)
    snapshot.unrecognized_fields[PREVIOUS] = {
        "version": live.version,
        "sha256": hashlib.sha256(live_bytes).hexdigest(),
    }
    return snapshot


def timestamp(version: int, pin: MetaFile, signed_at: datetime, lifetime: timedelta = TIMESTAMP_LIFETIME) -> Timestamp:
    """Return a timestamp that makes the pinned snapshot role the live one."""
    return Timestamp(
        version,
        expires=signed_at + lifetime,
        snapshot_meta=pin,
        unrecognized_fields={SIGNED_AT: format_time(signed_at)},
    )


def pin_of(version: int, data: bytes) -> MetaFile:
    """Return what pins a metadata file: version, length and SHA-256 of its bytes."""
    return MetaFile.from_data(version, data, ["sha256"])
