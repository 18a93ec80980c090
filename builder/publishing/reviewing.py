"""How a release that waits for signatures is shown to whoever is to sign it, and to machines."""

import hashlib
from collections.abc import Iterator
from typing import Any

from builder.compiling import compile_tree
from builder.policytest import Status
from builder.publishing.approve import Review
from builder.publishing.changes import MAX_COMMITS, Commit, Differences, commits_between, differences
from builder.publishing.describing import count, describe_release, provenance_record, release_record, waiting_record
from builder.source import PolicyRepository
from policy_core.errors import ConflictError, UsageError
from policy_core.trust import layout
from policy_core.trust.chain import owners_of

MIN_DIGEST_CHARS = 12


def document_digest(reviewed: Review) -> str:
    """Return the SHA-256, 64 hex digits, of what is to be signed; signatures do not change it."""
    (role,) = reviewed.waiting.pending.roles.values()
    return hashlib.sha256(role.signed_bytes).hexdigest()


def require_document(reviewed: Review, digest: str) -> None:
    """Raise UsageError for too short a `digest`, ConflictError unless it begins that of what is to be signed."""
    if len(digest) < MIN_DIGEST_CHARS:
        raise UsageError(f"--expect: {len(digest)} digits (expected at least {MIN_DIGEST_CHARS})")
    if not document_digest(reviewed).startswith(digest.lower()):
        raise ConflictError(
            f"pending document {reviewed.waiting.version}: is {document_digest(reviewed)[:MIN_DIGEST_CHARS]}…, "
            "not what was expected",
            hint="it was exchanged or superseded since you looked: look again with --show",
        )


def review_record(repository: PolicyRepository, reviewed: Review) -> dict[str, Any]:
    """Return what waits for signatures as JSON output spells it."""
    waiting = reviewed.waiting
    commits, found = _changes(repository, reviewed)
    return {
        "document": document_digest(reviewed),
        **waiting_record(waiting),
        "replaces": release_record(reviewed.live) if reviewed.live else None,
        "commits": commits,
        "differences": found,
        "tests": {status.value: reviewed.candidate.tests.count(status) for status in (Status.PASSED, Status.SKIPPED)}
        if reviewed.candidate
        else None,
        "provenance": provenance_record(reviewed.provenance) if reviewed.provenance else None,
    }


def describe_review(repository: PolicyRepository, reviewed: Review) -> Iterator[str]:
    """Yield the lines that tell an approver what waits for signatures, and what it would change."""
    waiting, release = reviewed.waiting, reviewed.waiting.release
    yield f"document  {document_digest(reviewed)}"
    where = layout.pending_object(release.channel, waiting.version)
    yield f"{release.channel}: release {release.release} ({release.action}) waits as {where}"
    yield from describe_release(release)
    yield f"replaces  release {reviewed.live.release}" if reviewed.live else "replaces  nothing: the first release"
    yield from _describe_changes(*_changes(repository, reviewed))
    if reviewed.candidate and reviewed.provenance:
        yield f"tests     {count(reviewed.candidate.tests.count(Status.PASSED), 'policy test')} passed here"
        yield f"built by  writ {reviewed.provenance.version}; building the commit again here gives the same content"
    names = ", ".join(name for key in waiting.signed for name in (owners_of([key]) or (key.keyid[:12],)))
    yield f"signed by {names or 'nobody yet'} ({len(waiting.signed)} of {waiting.threshold})"


def _changes(repository: PolicyRepository, reviewed: Review) -> tuple[list[Commit], Differences]:
    release, live, candidate = reviewed.waiting.release, reviewed.live, reviewed.candidate
    if candidate is None:
        return [], Differences((), (), ())
    before = compile_tree(repository.tree(live.revision), today=None) if live else None
    commits = commits_between(repository.git, live.revision if live else None, release.revision)
    return commits, differences(before, candidate.compiled)


def _describe_changes(commits: list[Commit], found: Differences) -> Iterator[str]:
    if commits:
        more = ", the newest ones: there are more" if len(commits) == MAX_COMMITS else ""
        yield f"commits   {len(commits)}{more}"
    yield from (f"  {commit.id[:12]}  {commit.author}  {commit.summary}" for commit in commits)
    marked = [("+", found.added), ("-", found.removed), ("~", found.changed)]
    if any(names for _, names in marked):
        yield "changes   " + ", ".join(f"{len(names)} {mark}" for mark, names in marked if names)
    yield from (f"  {mark} {name}" for mark, names in marked for name in names)
