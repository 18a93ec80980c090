"""Attacks by whoever can write to the store and holds no key; who sits on the way to it can do the same."""

import json
import os
import shutil

from tamper.attacking import (
    Attack,
    Attacker,
    Where,
    accepts,
    collector,
    refused,
    shown_the_past,
    unchanged,
    unusable,
)
from tamper.scene import Scene
from tuf.api.metadata import Metadata

from policy_core.trust import layout

ROWS: list[Attack] = []
attack = collector(ROWS)

PINNED = "every role is pinned by version, length and SHA-256"
SIGNED = "signatures, by keys that the role above names"
UNREADABLE = refused("timestamp.json: failed to deserialize JSON")
BOUNDED = "sizes are bounded before anything is read"
OLD_ON_FRESH = "versions seen never fall; a fresh host has seen none, so expiry and `min_release` bound it"


def third_release(scene: Scene) -> None:
    """Publish a release that no host has seen yet."""
    scene.publish()


def bundle_name(attacker: Attacker) -> str:
    release = attacker.release()
    return layout.target_object(release.channel, release.name, release.sha256)


def role_file(attacker: Attacker, role: str) -> str:
    return layout.metadata_name(role, attacker.role(role).version)


# old and mixed states


@attack(
    "puts an older `timestamp.json` back",
    seasoned=refused("new timestamp version 5 must be >= 6"),
    fresh=accepts(2, "the older timestamp leads to the same release"),
    stopped_by=OLD_ON_FRESH,
)
def older_timestamp(attacker: Attacker) -> None:
    attacker.write(layout.TIMESTAMP, attacker.past("release-2", layout.TIMESTAMP))


@attack(
    "puts the whole store back to an older state",
    seasoned=refused("must be >="),
    fresh=shown_the_past(1, "nothing tells it that there was a newer one"),
    stopped_by=OLD_ON_FRESH,
)
def whole_store_rolled_back(attacker: Attacker) -> None:
    attacker.scene.put_back("release-1")


@attack(
    "the same, and the host was given `min_release = 2`",
    seasoned=refused("must be >="),
    fresh=refused("release 1: below the least this host accepts (2)"),
    stopped_by="`min_release`",
    min_release=2,
)
def whole_store_rolled_back_below_min_release(attacker: Attacker) -> None:
    attacker.scene.put_back("release-1")


@attack(
    "the same, after the host lost its TUF cache in a crash",
    seasoned=refused("(expected at least"),
    fresh=shown_the_past(1, "it had no cache to lose"),
    stopped_by="the versions seen are in `state.json`, too",
    where=Where.STORE_AFTER_CRASH,
)
def whole_store_rolled_back_and_cache_lost(attacker: Attacker) -> None:
    attacker.scene.put_back("release-1")
    shutil.rmtree(attacker.host.path / "tuf", ignore_errors=True)


@attack(
    "serves the newest timestamp over an older snapshot role, under the newer number",
    unseen=third_release,
    seasoned=refused("metadata/6.snapshot.json: observed hash"),
    stopped_by=PINNED,
)
def older_snapshot_under_the_live_number(attacker: Attacker) -> None:
    live = attacker.role("timestamp").snapshot_meta.version
    attacker.write(layout.metadata_name("snapshot", live), attacker.read(layout.metadata_name("snapshot", live - 1)))


@attack(
    "serves an older channel role under the newer number",
    unseen=third_release,
    seasoned=refused("metadata/4.prod.json: observed"),
    stopped_by=PINNED,
)
def older_channel_role_under_the_live_number(attacker: Attacker) -> None:
    live = attacker.role("prod").version
    attacker.write(layout.metadata_name("prod", live), attacker.read(layout.metadata_name("prod", live - 1)))


@attack(
    "serves the role of another channel under this one's name",
    unseen=third_release,
    seasoned=refused("metadata/4.prod.json: observed"),
    stopped_by=PINNED,
)
def role_of_another_channel(attacker: Attacker) -> None:
    attacker.write(role_file(attacker, "prod"), attacker.read(role_file(attacker, "staging")))


@attack(
    "puts everything back to an older state but the newest timestamp",
    unseen=third_release,
    seasoned=unusable("is not there"),
    stopped_by="a part of a state is no state: the timestamp names files that are gone",
)
def half_of_two_states(attacker: Attacker) -> None:
    newest = attacker.read(layout.TIMESTAMP)
    attacker.scene.put_back("live")
    attacker.write(layout.TIMESTAMP, newest)


# bundles


def damage(attacker: Attacker, data: bytes) -> None:
    attacker.write(bundle_name(attacker), data)


@attack(
    "cuts the new bundle short",
    unseen=third_release,
    seasoned=refused("bytes (expected"),
    stopped_by="length and SHA-256 of a bundle are signed",
)
def truncated_bundle(attacker: Attacker) -> None:
    damage(attacker, attacker.read(bundle_name(attacker))[:-1])


@attack(
    "makes the new bundle longer",
    unseen=third_release,
    seasoned=refused("longer than"),
    stopped_by="no more is read than the signed length",
)
def longer_bundle(attacker: Attacker) -> None:
    damage(attacker, attacker.read(bundle_name(attacker)) + b"\0")


@attack(
    "changes one bit of the new bundle",
    unseen=third_release,
    seasoned=refused("does not have the signed digest"),
    stopped_by="length and SHA-256 of a bundle are signed",
)
def altered_bundle(attacker: Attacker) -> None:
    data = attacker.read(bundle_name(attacker))
    damage(attacker, data[:-1] + bytes([data[-1] ^ 1]))


@attack(
    "takes the new bundle away",
    unseen=third_release,
    seasoned=unusable("is not there"),
    stopped_by="the policy in force stays; it is tried again",
)
def missing_bundle(attacker: Attacker) -> None:
    (attacker.folder / bundle_name(attacker)).unlink()


@attack(
    "puts an older, genuine bundle in place of the new one",
    unseen=third_release,
    seasoned=refused("targets/prod/"),
    stopped_by="length and SHA-256 of a bundle are signed",
)
def older_bundle(attacker: Attacker) -> None:
    first = Metadata.from_bytes(attacker.past("release-1", "metadata/2.prod.json")).signed
    (target,) = first.targets.values()
    name = layout.target_object("prod", "acme", target.hashes["sha256"])
    damage(attacker, attacker.read(name))


@attack(
    "puts other provenance in place of the new release's",
    unseen=third_release,
    seasoned=accepts(3, "hosts do not read provenance"),
    stopped_by="`writ verify` and `writ approve` refuse it: the release names its digest",
)
def other_provenance(attacker: Attacker) -> None:
    release = attacker.release()
    attacker.write(layout.provenance_object("prod", release.name, release.provenance_sha256), b"{}")


# metadata of one's own


@attack("serves a `timestamp.json` without signatures", seasoned=refused("signed by 0/1 keys"), stopped_by=SIGNED)
def unsigned_timestamp(attacker: Attacker) -> None:
    attacker.write(layout.TIMESTAMP, attacker.sign(newer_timestamp(attacker)))


@attack("signs a newer timestamp with a key of their own", seasoned=refused("signed by 0/1 keys"), stopped_by=SIGNED)
def foreign_timestamp(attacker: Attacker) -> None:
    attacker.write(layout.TIMESTAMP, attacker.sign(newer_timestamp(attacker), "foreign"))


def newer_timestamp(attacker: Attacker) -> object:
    stamp = attacker.role("timestamp")
    stamp.version += 1
    return stamp


@attack("moves the expiry in `timestamp.json`", seasoned=refused("signed by 0/1 keys"), stopped_by=SIGNED)
def altered_timestamp(attacker: Attacker) -> None:
    document = json.loads(attacker.read(layout.TIMESTAMP))
    document["signed"]["expires"] = "2999-01-01T00:00:00Z"
    attacker.write(layout.TIMESTAMP, json.dumps(document).encode())


@attack(
    "replaces the newer channel role by one of their own",
    unseen=third_release,
    seasoned=refused("metadata/4.prod.json: observed"),
    stopped_by=PINNED,
)
def forged_channel_role(attacker: Attacker) -> None:
    forged = attacker.listing(attacker.forge(), ahead=0)
    attacker.put("prod", attacker.sign(forged, "foreign"))


@attack("plants a new root of their own", seasoned=refused("signed by 0/1 keys"), stopped_by=SIGNED)
def foreign_root(attacker: Attacker) -> None:
    root = attacker.role("root")
    root.version += 1
    for role in root.roles.values():
        role.keyids = []
    for role in root.roles:
        root.add_key(attacker.foreign.public_key, role)
    attacker.put("root", attacker.sign(root, "foreign"))


@attack(
    "plants metadata under the numbers that come next, so that publishers stumble",
    seasoned=unchanged("nothing that is live points there; publishers take the next free number"),
    fresh=accepts(2, "nothing that is live points at what was planted"),
    stopped_by="numbers may have gaps; what is committed is told by digests",
    published_over=True,
)
def orphans(attacker: Attacker) -> None:
    for role in ("prod", "snapshot"):
        attacker.put(role, attacker.sign(attacker.role(role), "foreign"), number=attacker.role(role).version + 1)


# documents that are hard to read


def serve(attacker: Attacker, content: bytes) -> None:
    attacker.write(layout.TIMESTAMP, content)


@attack(
    "serves something that is no JSON",
    seasoned=UNREADABLE,
    stopped_by="what cannot be read is refused",
)
def no_metadata(attacker: Attacker) -> None:
    serve(attacker, b"\xff\xfe{}")


@attack(
    "serves an empty `timestamp.json`",
    seasoned=UNREADABLE,
    stopped_by="what cannot be read is refused",
)
def empty_timestamp(attacker: Attacker) -> None:
    serve(attacker, b"")


@attack("serves a timestamp of 10 MB", seasoned=refused("is longer than 16384 bytes"), stopped_by=BOUNDED)
def huge_timestamp(attacker: Attacker) -> None:
    serve(attacker, attacker.read(layout.TIMESTAMP) + b" " * 10_000_000)


@attack(
    "nests JSON as deep as fits",
    seasoned=UNREADABLE,
    stopped_by="a parser's limit is a refusal, too",
)
def deep_nesting(attacker: Attacker) -> None:
    serve(attacker, b"[" * (layout.MAX_TIMESTAMP_BYTES - 1))


@attack(
    "nests a field of the timestamp just as deep as a parser goes",
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="what cannot be verified is refused",
)
def nesting_within_the_limit(attacker: Attacker) -> None:
    document = json.loads(attacker.read(layout.TIMESTAMP))
    text = json.dumps(document).replace('"signed": {', '"signed": {"x": ' + "[" * 700 + "]" * 700 + ", ")
    serve(attacker, text.encode())


@attack(
    "writes every key of the timestamp twice, the first time with values of their own",
    seasoned=unchanged("the second one counts, for the signature, too: it is the honest timestamp"),
    fresh=accepts(2, "it is the honest timestamp"),
    stopped_by="what is verified is what is used",
)
def duplicate_keys(attacker: Attacker) -> None:
    text = attacker.read(layout.TIMESTAMP).decode()
    serve(attacker, text.replace('"signed": {', '"signed": {"version": 99}, "signed": {"version": 99, ').encode())


@attack(
    "puts a named pipe in the place of `timestamp.json`, which would never answer",
    seasoned=unusable("is no regular file"),
    stopped_by="a `file://` store reads regular files only, and waits for none",
)
def named_pipe(attacker: Attacker) -> None:
    (attacker.folder / layout.TIMESTAMP).unlink()
    os.mkfifo(attacker.folder / layout.TIMESTAMP)


@attack(
    "deletes everything",
    seasoned=unusable("is not there"),
    stopped_by="the policy in force stays; `unreachable`, then `stale`",
)
def emptied_store(attacker: Attacker) -> None:
    shutil.rmtree(attacker.folder)
    attacker.folder.mkdir()
