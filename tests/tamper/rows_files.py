"""Attacks on single files of the store by whoever can write to it: damaged bundles, documents that are hard to read."""

import json
import os
import shutil

from tamper.attacking import (
    Attack,
    Attacker,
    accepts,
    collector,
    refused,
    unchanged,
    unusable,
)
from tamper.rows_store import third_release
from tuf.api.metadata import Metadata

from policy_core.trust import layout

ROWS: list[Attack] = []
attack = collector(ROWS)

UNREADABLE = refused("timestamp.json: failed to deserialize JSON")
BOUNDED = "sizes are bounded before anything is read"


def bundle_name(attacker: Attacker) -> str:
    release = attacker.release()
    return layout.target_object(release.channel, release.name, release.sha256)


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
