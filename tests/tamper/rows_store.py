"""Attacks by whoever can write to the store and holds no key; who sits on the way to it can do the same."""

import json
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

from policy_core.trust import layout

ROWS: list[Attack] = []
attack = collector(ROWS)

PINNED = "every role is pinned by version, length and SHA-256"
SIGNED = "signatures, by keys that the role above names"
OLD_ON_FRESH = "versions seen never fall; a fresh host has seen none, so expiry and `min_release` bound it"


def third_release(scene: Scene) -> None:
    """Publish a release that no host has seen yet."""
    scene.publish()


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
