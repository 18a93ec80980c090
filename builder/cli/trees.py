"""From a command's arguments to a policy tree: the work tree an author edits, or a commit."""

import datetime
from pathlib import Path

import click

from builder.source import PolicyRepository, PolicyTree


def read_tree(directory: Path, revision: str | None) -> PolicyTree:
    """Return the work tree of the repository at `directory`, or a commit of it.

    Raises UsageError and InvalidPolicyError as `PolicyRepository` does.
    """
    repository = PolicyRepository.open(directory)
    return repository.worktree() if revision is None else repository.tree(revision)


def note_uncommitted(repository: PolicyRepository, revision: str) -> None:
    """Say on stderr that uncommitted changes are left out, where a reader could think otherwise."""
    if repository.is_dirty() and not repository.git.head_is_unborn and repository.resolve("HEAD") == revision:
        click.echo("note: uncommitted changes are not in the bundle", err=True)


def today_utc() -> datetime.date:
    """Return the day it is now, UTC."""
    return datetime.datetime.now(datetime.UTC).date()


def described_tree(tree: PolicyTree) -> str:
    """Return *work tree* or *commit 0123456789ab*."""
    return "work tree" if tree.dirty else f"commit {tree.revision[:12]}"
