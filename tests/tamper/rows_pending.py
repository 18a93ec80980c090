"""Attacks on those who approve: on what waits for signatures, and by one of those who sign."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tamper.alarms import Alarm, collector
from tamper.attacking import Attacker
from tamper.editing import now
from tamper.rows_people import with_people
from tamper.scene import Scene, owned
from tuf.api.metadata import Key

from builder.publishing.holders import HoldersError
from builder.publishing.pending import PendingError, SignedAlreadyError, StaleError, UnderSignedError
from builder.rebuilding import RebuildError

ROWS: list[Alarm] = []
alarm = collector(ROWS)


def proposed(scene: Scene) -> None:
    """Let a release wait for two of three people."""
    scene.hand_to_people()
    scene.propose(scene.honest.coming[-1])


def signed_once(scene: Scene) -> None:
    """Let it wait for one more."""
    proposed(scene)
    scene.sign_waiting("ana")


def pending_name(attacker: Attacker) -> str:
    (path,) = (attacker.folder / "pending/prod").glob("*.json")
    return f"pending/prod/{path.name}"


def change_pending(attacker: Attacker, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the document that waits; `change` gets the role file in it."""
    document = json.loads(attacker.read(pending_name(attacker)))
    change(document["roles"]["prod"])
    attacker.write(pending_name(attacker), json.dumps(document).encode())


@alarm(
    "writes another bundle into the document that waits for signatures",
    given=proposed,
    command="writ approve",
    error=RebuildError,
    text="gives content sha256:",
)
def pending_with_another_bundle(attacker: Attacker) -> None:
    pending_release(attacker, "publish")


def pending_release(attacker: Attacker, action: str) -> None:
    """Let the document list a forged bundle."""

    def change(file: dict[str, Any]) -> None:
        (path,) = file["signed"]["targets"]
        listed = file["signed"]["targets"][path]
        forged = attacker.forge(revision=listed["custom"]["revision"], action=action)
        listed["length"], listed["hashes"]["sha256"] = forged.length, forged.sha256
        listed["custom"] |= forged.custom() | {"release": listed["custom"]["release"]}
        listed["custom"].pop("provenance_sha256", None)

    change_pending(attacker, change)


@alarm(
    "passes it off as a rollback, so that nobody builds it again",
    given=proposed,
    command="writ approve",
    error=PendingError,
    text="lists a bundle that was not released where it says",
)
def pending_with_a_false_rollback(attacker: Attacker) -> None:
    pending_release(attacker, "rollback")


@alarm(
    "makes the document valid for ten years",
    given=proposed,
    command="writ approve",
    error=PendingError,
    text="which is too long",
)
def pending_for_years(attacker: Attacker) -> None:
    change_pending(attacker, lambda file: file["signed"].update(expires="2036-01-01T00:00:00Z"))


@alarm(
    "adds a signature by a key of their own",
    given=proposed,
    command="writ approve",
    error=PendingError,
    text="which may not sign it",
)
def pending_signed_by_a_stranger(attacker: Attacker) -> None:
    change_pending(attacker, lambda file: file["signatures"].append({"keyid": "0" * 64, "sig": "00"}))


@alarm(
    "changes what one person has signed already",
    given=signed_once,
    command="writ approve",
    error=PendingError,
    text="does not hold",
)
def pending_changed_after_a_signature(attacker: Attacker) -> None:
    expires = (now() + timedelta(days=179)).strftime("%Y-%m-%dT%H:%M:%SZ")
    change_pending(attacker, lambda file: file["signed"].update(expires=expires))


@alarm(
    "writes a key of the document twice, once for people and once for programs",
    given=proposed,
    command="writ approve",
    error=PendingError,
    text="is no pending document",
)
def pending_with_duplicate_keys(attacker: Attacker) -> None:
    name = pending_name(attacker)
    attacker.write(name, attacker.read(name).replace(b"{", b'{"schema": 1, ', 1))


@alarm(
    "writes a text into the document that nobody can encode, for commands to crash on it",
    given=proposed,
    command="writ approve",
    error=PendingError,
    text="is no pending document",
)
def pending_that_cannot_be_encoded(attacker: Attacker) -> None:
    change_pending(attacker, lambda file: file["signed"].update({"x-more": "\ud800"}))


@alarm(
    "moves the document of one channel to another",
    given=proposed,
    command="writ approve",
    error=PendingError,
    text="is not about the role of prod",
)
def pending_of_another_channel(attacker: Attacker) -> None:
    document = json.loads(attacker.read(pending_name(attacker)))
    document["roles"]["staging"] = document["roles"].pop("prod")
    attacker.write(pending_name(attacker), json.dumps(document).encode())


@alarm(
    "signs a second time, alone",
    holds="one of the people",
    given=signed_once,
    command="writ approve (again)",
    error=SignedAlreadyError,
    text="has signed it already",
)
def second_signature_of_one(attacker: Attacker) -> None:
    """Do nothing but run the command."""


@alarm(
    "gets a second key of theirs into the channel, to be two people",
    holds="one of the people",
    given=with_people,
    command="writ keys add",
    error=HoldersError,
    text="has a key of ana already",
)
def two_keys_of_one_person(attacker: Attacker) -> None:
    attacker.scene.asked_for = owned(attacker.foreign.public_key, "ana")


@alarm(
    "gets their key into the channel once more, under another id and another name",
    holds="one of the people",
    given=with_people,
    command="writ keys add",
    error=HoldersError,
    text="does not have the id that belongs to it",
)
def one_key_under_two_ids(attacker: Attacker) -> None:
    ana = attacker.scene.signers["ana"].public_key
    attacker.scene.asked_for = Key.from_dict("0" * 64, {**ana.to_dict(), "x-owner": "zoe"})


@alarm(
    "makes a document live that one person has signed",
    holds="the publisher's machine, and one of the people",
    given=signed_once,
    command="writ approve --complete",
    error=UnderSignedError,
    text="has 1 of 2 signatures",
)
def completed_too_early(attacker: Attacker) -> None:
    """Do nothing but run the command."""


@alarm(
    "keeps a document that people signed for a later day, when something else is live",
    given=with_people,
    command="writ approve --complete",
    error=StaleError,
    text="is stale",
)
def kept_document(attacker: Attacker) -> None:
    scene = attacker.scene
    scene.propose(scene.honest.coming[0])
    scene.sign_waiting("ana", "ben")
    kept = attacker.folder / "pending/prod"
    shutil.copytree(kept, attacker.folder / "kept")
    (name,) = (path.name for path in kept.iterdir())
    scene.publish_waiting()
    document = (attacker.folder / "kept" / name).read_bytes()
    next_number = int(name.removesuffix(".json")) + 1
    attacker.write(f"pending/prod/{next_number}.json", document)
