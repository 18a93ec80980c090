"""Attacks on those who publish, approve and audit: what their commands say."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pygit2
from tamper.attacking import Attacker
from tamper.editing import now
from tamper.rows_oncall import KEYS as KEYS_ON_CALL
from tamper.rows_oncall import denied_in_an_emergency, selecting, serve
from tamper.rows_people import with_people
from tamper.scene import CHANNELS, Scene, owned
from tuf.api.metadata import Key, Metadata

from builder.auditing import look_up, verify_channel
from builder.ledger.branch import LedgerError
from builder.publishing.carrying_out import change_keys
from builder.publishing.holders import HoldersError
from builder.publishing.key_changes import change_holders
from builder.publishing.pending import PendingError, SignedAlreadyError, StaleError, UnderSignedError
from builder.publishing.provenance import ProvenanceError
from builder.publishing.publish import SupersededError
from builder.publishing.publisher import SignedInFutureError
from builder.publishing.rollback import roll_back
from builder.rebuilding import RebuildError
from builder.releasing import (
    complete_pending,
    promote_release,
    publish_commit,
    refresh_store,
    review_pending,
    sync_ledger,
)
from policy_core.errors import KnownError, TrustError
from policy_core.trust import layout
from policy_core.trust.errors import MetadataError
from policy_core.trust.layout import SIGNED_AT, format_time

Command = Callable[[Scene], object]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One row: an attack, the command that notices it, and with which error."""

    name: str
    holds: str
    does: str
    do: Callable[[Attacker], None]
    given: Callable[[Scene], None]
    keys: tuple[str, ...]
    command: str
    error: type[KnownError]
    text: str


ALARMS: list[Alarm] = []
COMMANDS: dict[str, Command] = {
    "writ publish": lambda scene: publish_commit(scene.workspace, "prod", "HEAD", actor="Ada"),
    "writ publish (an old commit)": lambda scene: publish_commit(
        scene.workspace, "prod", scene.honest.coming[0].bundle.revision, actor="Ada"
    ),
    "writ promote": lambda scene: promote_release(
        scene.workspace, "prod", "staging", number=None, reason="", actor="Ada"
    ),
    "writ refresh": lambda scene: refresh_store(scene.workspace),
    "writ verify": lambda scene: verify_channel(scene.workspace, "prod"),
    "writ verify --rebuild": lambda scene: verify_channel(scene.workspace, "prod", rebuild="live"),
    "writ live --verify": lambda scene: look_up(scene.workspace, "prod", when=None, verify=True),
    "writ approve": lambda scene: review_pending(scene.workspace, scene.approver("ben"), number=None),
    "writ keys add": lambda scene: change_keys(
        {channel: scene.publisher(channel) for channel in CHANNELS},
        lambda before: change_holders(before, "prod", added=[scene.asked_for]),
    ),
    "writ approve (again)": lambda scene: scene.sign_waiting("ana"),
    "writ approve --complete": lambda scene: complete_pending(scene.workspace, scene.publisher(), number=None),
}


def rolled_back(scene: Scene) -> None:
    """Publish, and roll back."""
    scene.publish()
    roll_back(scene.publisher(), to=2, reason="broken", actor="Ada")
    sync_ledger(scene.workspace, "prod")


def nothing(_: Scene) -> None:
    """Leave all as it is."""


def alarm(
    does: str,
    *,
    command: str,
    error: type[KnownError],
    text: str,
    holds: str = "the store",
    keys: tuple[str, ...] = (),
    given: Callable[[Scene], None] = nothing,
) -> Callable[[Callable[[Attacker], None]], None]:
    """Make a row of a function."""

    def collect(do: Callable[[Attacker], None]) -> None:
        row = Alarm(
            name=do.__name__, holds=holds, does=does, do=do, given=given, keys=keys, command=command,
            error=error, text=text,
        )  # fmt: skip
        ALARMS.append(row)

    return collect


def provenance_name(attacker: Attacker) -> str:
    release = attacker.release()
    return layout.provenance_object(release.channel, release.name, release.provenance_sha256)


# what lies beside a release


@alarm(
    "puts the provenance of another release in place of the live one's",
    command="writ verify",
    error=ProvenanceError,
    text="does not have the signed digest",
)
def swapped_provenance(attacker: Attacker) -> None:
    first = attacker.scene.past_release("release-1", "metadata/2.prod.json")
    other = layout.provenance_object(first.channel, first.name, first.provenance_sha256)
    attacker.write(provenance_name(attacker), attacker.read(other))


@alarm("takes the provenance away", command="writ verify", error=ProvenanceError, text="is not in the store")
def missing_provenance(attacker: Attacker) -> None:
    (attacker.folder / provenance_name(attacker)).unlink()


@alarm(
    "releases a bundle that its commit does not give, without provenance, and records it in the ledger",
    holds="the store; the publisher's keys",
    keys=("prod", "snapshot", "timestamp"),
    command="writ verify --rebuild",
    error=RebuildError,
    text="gives content sha256:",
)
def bundle_of_no_commit(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge())
    sync_ledger(attacker.scene.workspace, "prod")


# the past


@alarm(
    "rewrites the ledger branch, so that a release was another one",
    holds="push rights to the policy repository",
    command="writ live --verify",
    error=LedgerError,
    text="its commit for release 2 is not the one the signed history gives",
)
def rewritten_ledger(attacker: Attacker) -> None:
    git = attacker.scene.workspace.repository.git
    tip = git.references["refs/heads/live/prod"].peel(pygit2.Commit)
    message = tip.message.replace("Writ-Actor: Ada", "Writ-Actor: Bob")
    forged = git.create_commit(None, tip.author, tip.committer, message, tip.tree_id, tip.parent_ids)
    git.references["refs/heads/live/prod"].set_target(forged)


@alarm(
    "takes the last release off the ledger branch",
    holds="push rights to the policy repository",
    command="writ verify",
    error=LedgerError,
    text="ends with release 1",
)
def shortened_ledger(attacker: Attacker) -> None:
    git = attacker.scene.workspace.repository.git
    tip = git.references["refs/heads/live/prod"].peel(pygit2.Commit)
    git.references["refs/heads/live/prod"].set_target(tip.parent_ids[0])


@alarm(
    "alters metadata of the past",
    command="writ verify",
    error=MetadataError,
    text="is not the one its successor names",
)
def altered_past(attacker: Attacker) -> None:
    version = attacker.role("snapshot").version - 1
    past = Metadata.from_bytes(attacker.read(layout.metadata_name("snapshot", version))).signed
    past.expires += timedelta(days=1)
    attacker.put("snapshot", attacker.sign(past))


@alarm(
    "makes up a release of the past, with a channel role of their own",
    holds="the store; keys of snapshot and timestamp",
    keys=("snapshot", "timestamp"),
    command="writ verify",
    error=MetadataError,
    text="signed by 0/1 keys",
)
def invented_past(attacker: Attacker) -> None:
    genuine = attacker.read(layout.metadata_name("prod", attacker.role("prod").version))
    live = attacker.role("prod")
    live.version -= 1
    forged = attacker.put("prod", attacker.sign(live, "foreign"))
    attacker.set_live(prod=forged)
    attacker.set_live(prod=attacker.put("prod", genuine))


@alarm(
    "lifts an emergency entry without a release of its own",
    holds="the store; keys of on call, snapshot and timestamp",
    keys=KEYS_ON_CALL,
    given=denied_in_an_emergency,
    command="writ verify",
    error=MetadataError,
    text="the on-call role changed beside release 3, without one of its own",
)
def lifted_without_a_release(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, attacker.release().sha256, release=3, action="emergency"))


@alarm(
    "skips release numbers",
    holds="the store; the publisher's keys",
    keys=("prod", "snapshot", "timestamp"),
    command="writ verify",
    error=MetadataError,
    text="release 9 follows 2 (expected 3)",
)
def skipped_numbers(attacker: Attacker) -> None:
    attacker.release_forged(replace(attacker.release(), release=9))


# those who go on from what is there


@alarm(
    "puts the whole store back to an older state, for somebody to sign it again",
    command="writ refresh",
    error=LedgerError,
    text="has release 2, the store only 1",
)
def old_store_refreshed(attacker: Attacker) -> None:
    attacker.scene.put_back("release-1")


@alarm(
    "dates a timestamp years ahead, so that the ledger could never be dated rightly again",
    holds="the store; key of timestamp",
    keys=("timestamp",),
    command="writ publish",
    error=SignedInFutureError,
    text="the timestamp role was signed at",
)
def dated_ahead(attacker: Attacker) -> None:
    attacker.stamp(**{SIGNED_AT: format_time(now() + timedelta(days=3650))})


@alarm(
    "lays other bytes under the name the next bundle will have",
    command="writ publish",
    error=TrustError,
    text="does not hold what its name says",
)
def poisoned_bundle(attacker: Attacker) -> None:
    coming = attacker.scene.honest.coming[-1].bundle
    attacker.write(layout.target_object("prod", coming.name, coming.sha256), b"poison")


@alarm(
    "plants a root that hosts would refuse",
    command="writ publish",
    error=MetadataError,
    text="root was signed by 0/1 keys",
)
def planted_root(attacker: Attacker) -> None:
    root = attacker.role("root")
    root.version += 1
    attacker.put("root", attacker.sign(root, "foreign"))


@alarm(
    "releases a bundle that no commit gives in an early channel, for somebody to promote",
    holds="the store; the publisher's keys of another channel",
    keys=("staging", "snapshot", "timestamp"),
    command="writ promote",
    error=RebuildError,
    text="gives content sha256:",
)
def promoted_by_somebody_else(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(role="staging"), role="staging", by="staging")


@alarm(
    "runs the job of an older commit again, to undo a rollback",
    holds="the right to start jobs",
    given=rolled_back,
    command="writ publish (an old commit)",
    error=SupersededError,
    text="was rolled back by release 4",
)
def old_job(attacker: Attacker) -> None:
    """Do nothing but run the command."""


# what waits for signatures


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
