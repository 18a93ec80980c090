"""Keep ``live/<channel>`` equal to the signed history, and say so when it is not.

Only the object database and the one reference are touched, never index or work tree. A branch that disagrees is never
repaired by force: somebody has rewritten the audit trail, or the store, and a person must look.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pygit2

from builder.ledger.commits import branch_name, make_commit, number_of
from policy_core.errors import ConflictError, TrustError, UsageError
from policy_core.trust.history import HistoryEntry


class LedgerError(TrustError):
    """The ledger branch and the signed history do not say the same."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger branch that agrees with the signed history: the commit it ends in, and how many were added now."""

    channel: str
    tip: str
    releases: int
    added: int


def extend_ledger(git: pygit2.Repository, channel: str, history: Iterator[HistoryEntry]) -> Ledger:
    """Add what is missing at the end of the branch; `history` is newest first and read only as far as needed.

    Trusts a local branch below its tip, as this clone derived it. What just came from ``origin``, where others may
    push, is derived as a whole. Raises LedgerError, SourceMissingError, UsageError, ConflictError.
    """
    if branch_name(channel) not in git.references:
        return rebuild_ledger(git, channel, history)
    branch = git.references[branch_name(channel)].peel(pygit2.Commit)
    tip = _release_of(branch)
    entries: list[HistoryEntry] = []
    for entry in history:
        entries.append(entry)
        if number_of(entry) <= tip:
            break
    _check_not_ahead(channel, tip, number_of(entries[0]))
    parent = branch.parent_ids[0] if tip > 0 and branch.parent_ids else None
    if number_of(entries[-1]) != tip or make_commit(git, channel, entries.pop(), parent) != branch.id:
        raise _disagreement(channel, tip)
    return _write(git, channel, entries, parent=branch.id, known=tip + 1)


def rebuild_ledger(git: pygit2.Repository, channel: str, history: Iterator[HistoryEntry]) -> Ledger:
    """Derive the whole branch from the signed history and make it so, if what is there agrees as far as it goes.

    Raises as `extend_ledger`.
    """
    branch = find_branch(git, channel)  # before the history is read: another process may extend both meanwhile
    entries = list(history)
    agreed = _agreeing(git, channel, entries, branch)
    return _write(git, channel, entries[: len(entries) - agreed.count], parent=agreed.tip, known=agreed.count)


def verify_ledger(git: pygit2.Repository, channel: str, history: Iterator[HistoryEntry]) -> Ledger:
    """Return the ledger if it says exactly what the signed history says; writes no reference.

    Raises LedgerError, also if the branch is missing or behind, and SourceMissingError.
    """
    entries = list(history)
    agreed = _agreeing(git, channel, entries, find_branch(git, channel))
    if agreed.tip is None or agreed.count < len(entries):
        found = "missing" if agreed.tip is None else f"ends with release {agreed.count - 1}"
        raise LedgerError(
            f"live/{channel}: {found} (the signed history ends with release {number_of(entries[0])})",
            hint=f"`writ ledger sync --channel {channel}` adds what is missing",
        )
    return Ledger(channel, str(agreed.tip), releases=len(entries) - 1, added=0)


def check_store_is_current(git: pygit2.Repository, channel: str, live: int) -> None:
    """Raise LedgerError if a ledger here or at ``origin`` knows a release beyond `live`, the newest in the store.

    Publishing onto a store that was put back would begin a second history, which hosts refuse.
    """
    for name in _reference_names(channel):
        if name in git.references:
            _check_not_ahead(channel, _release_of(git.references[name].peel(pygit2.Commit)), live)


def find_branch(git: pygit2.Repository, channel: str) -> pygit2.Commit | None:
    """Return the end of the ledger branch, of ``origin`` if there is no local one, or None."""
    for name in _reference_names(channel):
        if name in git.references:
            return git.references[name].peel(pygit2.Commit)
    return None


def _reference_names(channel: str) -> tuple[str, str]:
    return branch_name(channel), f"refs/remotes/origin/live/{channel}"


@dataclass(frozen=True, slots=True)
class _Agreeing:
    """How far, counted from the beginning, the branch agrees with the signed history."""

    count: int
    tip: pygit2.Oid | None


def _agreeing(
    git: pygit2.Repository, channel: str, entries: list[HistoryEntry], branch: pygit2.Commit | None
) -> _Agreeing:
    """Compare the branch with `entries` (newest first) from the beginning; raises LedgerError at a difference."""
    if branch is None:
        return _Agreeing(0, None)
    found = _first_parents(branch)
    parent: pygit2.Oid | None = None
    for count, (commit, entry) in enumerate(zip(found, reversed(entries), strict=False)):
        parent = make_commit(git, channel, entry, parent)
        if commit != parent:
            raise _disagreement(channel, count)
    _check_not_ahead(channel, len(found) - 1, number_of(entries[0]))
    return _Agreeing(len(found), parent)


def _first_parents(branch: pygit2.Commit) -> list[pygit2.Oid]:
    """Return the ids of the ledger's commits, oldest first."""
    found = [branch.id]
    while branch.parents and _release_of(branch) != 0:
        branch = branch.parents[0]
        found.append(branch.id)
    return found[::-1]


def _write(
    git: pygit2.Repository, channel: str, missing: Sequence[HistoryEntry], *, parent: pygit2.Oid | None, known: int
) -> Ledger:
    """Append the commits of `missing` (newest first) to `parent`, which has `known` before it, and move the branch."""
    for entry in reversed(missing):
        parent = make_commit(git, channel, entry, parent)
    if parent is None:
        raise LedgerError(f"live/{channel}: the signed history is empty")
    _move_branch(git, channel, parent)
    return Ledger(channel, str(parent), releases=known + len(missing) - 1, added=len(missing))


def _move_branch(git: pygit2.Repository, channel: str, tip: pygit2.Oid) -> None:
    name = branch_name(channel)
    try:
        if name not in git.references:
            git.references.create(name, tip)
            return
        branch = git.references[name]  # moving it fails if it is no longer what it is here
        if branch.target == tip or git.descendant_of(branch.target, tip):  # another publisher has added more
            return
        if git.references["HEAD"].target == name:
            raise UsageError(
                f"live/{channel}: is checked out here, so it cannot be moved", hint="check out another branch"
            )
        branch.set_target(tip, f"writ: ledger of {channel}")
    except (pygit2.GitError, pygit2.AlreadyExistsError, OSError, ValueError) as error:
        raise ConflictError(
            f"live/{channel}: cannot be moved ({error})",
            hint=f"if another process just moved it: writ ledger sync --channel {channel}; otherwise see what git says",
        ) from error


def _release_of(commit: pygit2.Commit) -> int:
    """Return the release number a ledger commit claims, -1 if it is no ledger commit."""
    for line in commit.message.splitlines():
        name, _, value = line.partition(": ")
        if name == "Writ-Release" and value.isascii() and value.isdigit() and len(value) <= 15:
            return int(value)
    return -1


def _check_not_ahead(channel: str, found: int, signed: int) -> None:
    if found > signed:
        raise LedgerError(
            f"live/{channel}: has release {found}, the store only {signed}",
            hint="the store went back in time, or the branch was forged: compare with another clone and with a host",
        )


def _disagreement(channel: str, number: int) -> LedgerError:
    where = (
        f"its commit for release {number}" if number > 0 else "its first commit" if number == 0 else "its last commit"
    )
    return LedgerError(
        f"live/{channel}: {where} is not the one the signed history gives",
        hint=f"find out who moved it (`git reflog live/{channel}`); `git branch -m live/{channel} disputed-{channel}` "
        f"keeps it aside, then `writ ledger sync --channel {channel}` derives it anew",
    )
