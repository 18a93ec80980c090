"""From a signed release to its ledger commit, the same bytes in every clone.

Tree: what the bundle was made from, taken from the source revision. First parent: the previous ledger commit; second:
the source revision. Author and committer are fixed, the date is the signed time in UTC; local settings do not matter.
"""

import pygit2

from policy_core.errors import UsageError
from policy_core.trust.history import HistoryEntry
from policy_core.trust.layout import format_time
from policy_core.trust.oncall import Emergency
from policy_core.trust.release import Release

LEDGER_PATHS = ("writ.yaml", "policies", "classify", "data", "exceptions")
BEGIN = "begin"
_NAME, _EMAIL = "writ", "ledger@writ.invalid"


class LedgerCommitError(UsageError):
    """A commit of a ledger was given where a commit of the policies themselves is needed."""

    default_hint = "name a commit of the branch people work on; to go back to an earlier release use `writ rollback`"


class LedgerWriteError(UsageError):
    """Git cannot store a ledger commit: no space, or no permission."""

    default_hint = "check space and permissions of the .git folder; `writ ledger sync` adds the commit afterwards"


class SourceMissingError(UsageError):
    """A source revision of the signed history is not in this clone."""

    default_hint = "fetch everything first: `git fetch --unshallow origin` in a shallow clone, else `git fetch origin`"


def branch_name(channel: str) -> str:
    """Return the full reference name of a channel's ledger."""
    return f"refs/heads/live/{channel}"


def number_of(entry: HistoryEntry) -> int:
    """Return the release number of a history entry, 0 for the beginning of the channel."""
    return entry.release.release if entry.release else 0


def check_source(git: pygit2.Repository, revision: str) -> None:
    """Raise LedgerCommitError if the commit `revision` (full id) is one of a ledger, or was made on top of one.

    Each ledger commit descends from all that was published before it, so the rule of descent would let the ledger of a
    release that was rolled back be published again, and its tree holds no tests.
    """
    walker = git.walk(revision)
    walker.simplify_first_parent()
    if any(commit.author.email == _EMAIL for commit in walker):
        raise LedgerCommitError(f"{revision[:12]}: belongs to the ledger of a channel, it is no source of a release")


def make_commit(git: pygit2.Repository, channel: str, entry: HistoryEntry, parent: pygit2.Oid | None) -> pygit2.Oid:
    """Write the ledger commit of one entry into the object database, moving no reference, and return its id.

    Raises SourceMissingError, LedgerWriteError.
    """
    release = entry.release
    source = [] if release is None else [_source(git, release)]
    parents = [*([parent] if parent else []), *(commit.id for commit in source)]
    signature = pygit2.Signature(_NAME, _EMAIL, int(entry.signed_at.timestamp()), 0)
    message = _begin_message(channel) if release is None else _message(release, entry)
    try:
        tree = _ledger_tree(git, source[0].tree) if source else git.TreeBuilder().write()
        return git.create_commit(None, signature, signature, message, tree, parents)
    except (OSError, pygit2.GitError) as error:
        raise LedgerWriteError(f"ledger of {channel}: git cannot write ({error})") from error


def _message(release: Release, entry: HistoryEntry) -> str:
    trailers = [
        ("Action", release.action),
        ("Release", str(release.release)),
        ("Revision", release.revision),
        ("Bundle", f"sha256:{release.sha256}"),
        ("Content", f"sha256:{release.content_sha256}"),
        ("From", release.origin),
        ("Actor", release.actor),
        ("Reason", release.reason),
        *(("Reviewed-By", name) for name in release.reviewed_by),
        *(("Approved-By", name) for name in entry.approved_by),
        *(("Emergency", _spelt(emergency)) for emergency in entry.emergency),
    ]
    lines = [f"Writ-{name}: {value}" for name, value in trailers if value.strip()]
    return f"{release.action}: release {release.release} of {release.channel}\n\n" + "\n".join(lines) + "\n"


def _spelt(emergency: Emergency) -> str:
    what = f"{emergency.kind.value} {emergency.target}".strip()
    return f"{emergency.id} ({what}) until {format_time(emergency.expires)}: {emergency.reason}"


def _begin_message(channel: str) -> str:
    return f"{BEGIN}: ledger of {channel}\n\nWrit-Action: {BEGIN}\nWrit-Release: 0\n"


def _source(git: pygit2.Repository, release: Release) -> pygit2.Commit:
    try:
        return git[release.revision].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise SourceMissingError(
            f"release {release.release} of {release.channel}: its source {release.revision[:12]} is not in this clone"
        ) from error


def _ledger_tree(git: pygit2.Repository, source: pygit2.Tree) -> pygit2.Oid:
    tree = git.TreeBuilder()
    for name in LEDGER_PATHS:
        if name in source:
            tree.insert(name, source[name].id, source[name].filemode)
    return tree.write()
