"""Attacks on those who publish and audit: what their commands say."""

from dataclasses import replace
from datetime import timedelta

import pygit2
from tamper.alarms import Alarm, collector
from tamper.attacking import Attacker
from tamper.editing import now
from tamper.rows_oncall import KEYS as KEYS_ON_CALL
from tamper.rows_oncall import denied_in_an_emergency, selecting, serve
from tamper.scene import Scene
from tuf.api.metadata import Metadata

from builder.ledger.branch import LedgerError
from builder.publishing.provenance import ProvenanceError
from builder.publishing.publish import SupersededError
from builder.publishing.publisher import SignedInFutureError
from builder.publishing.rollback import roll_back
from builder.rebuilding import RebuildError
from builder.releasing import (
    sync_ledger,
)
from policy_core.errors import TrustError
from policy_core.trust import layout
from policy_core.trust.errors import MetadataError
from policy_core.trust.layout import SIGNED_AT, format_time

ROWS: list[Alarm] = []
alarm = collector(ROWS)


def rolled_back(scene: Scene) -> None:
    """Publish, and roll back."""
    scene.publish()
    roll_back(scene.publisher(), to=2, reason="broken", actor="Ada")
    sync_ledger(scene.workspace, "prod")


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
