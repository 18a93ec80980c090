"""``trust/root.json`` in the policy repository: committed once, read by everyone who verifies."""

import os
from pathlib import Path

import pygit2

from builder.source import PolicyRepository
from policy_core.errors import ConflictError, UsageError
from policy_core.trust.layout import ROOT_FILE

COMMIT_MESSAGE = "Trust root: the public keys that hosts start from\n"
_FOLDER, _FILE = ROOT_FILE.split("/")


def committed_root(repository: PolicyRepository) -> bytes | None:
    """Return ``trust/root.json`` as HEAD has it, None if it has none; raises UsageError without any commit."""
    commit = repository.git[repository.resolve("HEAD")]
    try:
        blob = commit.tree[ROOT_FILE]
    except KeyError:
        return None
    return blob.data if isinstance(blob, pygit2.Blob) else None


def trusted_root(repository: PolicyRepository) -> bytes:
    """Return the trust root of this policy repository; raises UsageError if none is committed."""
    root = committed_root(repository)
    if root is None:
        raise UsageError(
            f"{ROOT_FILE}: not in HEAD of this policy repository",
            hint="run `writ keys init --dev`, or pull the commit that adds it",
        )
    return root


def check_can_commit(repository: PolicyRepository) -> None:
    """Raise ConflictError if committing the trust root would overwrite an uncommitted file, or leave the work tree."""
    workdir = repository.git.workdir
    if workdir is None:
        return
    folder = Path(workdir) / _FOLDER
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConflictError(f"{_FOLDER}: is no folder", hint=f"move it away: {ROOT_FILE} will be written")
    if os.path.lexists(Path(workdir) / ROOT_FILE):
        raise ConflictError(f"{ROOT_FILE}: exists but is not committed", hint="commit it, or move it away")


def commit_root(repository: PolicyRepository, content: bytes) -> str:
    """Commit ``trust/root.json`` on top of HEAD, alone, and return the commit id.

    Staged and unstaged changes stay what they are; no git identity is needed. Call `check_can_commit` before.
    """
    git = repository.git
    blob = git.create_blob(content)
    commit = git.create_commit("HEAD", *_identities(git), COMMIT_MESSAGE, _tree_with_root(git, blob), [git.head.target])
    if git.workdir:
        path = Path(git.workdir) / ROOT_FILE
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        git.index.read()
        git.index.add(pygit2.IndexEntry(ROOT_FILE, blob, pygit2.enums.FileMode.BLOB))
        git.index.write()
    return str(commit)


def _tree_with_root(git: pygit2.Repository, blob: pygit2.Oid) -> pygit2.Oid:
    head = git.head.peel(pygit2.Tree)
    folder = git.TreeBuilder(head[_FOLDER].id) if _FOLDER in head else git.TreeBuilder()
    folder.insert(_FILE, blob, pygit2.enums.FileMode.BLOB)
    tree = git.TreeBuilder(head)
    tree.insert(_FOLDER, folder.write(), pygit2.enums.FileMode.TREE)
    return tree.write()


def _identities(git: pygit2.Repository) -> tuple[pygit2.Signature, pygit2.Signature]:
    try:
        signature = git.default_signature
    except (KeyError, ValueError, pygit2.GitError):
        signature = pygit2.Signature("writ keys", "writ@localhost")
    return signature, signature
