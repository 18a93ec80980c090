"""What commits change, read from git objects alone: no rename is guessed, no filter or configuration has a say.

A rename is a path that goes and one that comes. A merge changes a path where its result is not what merging gives by
itself, so that nothing can be slipped into a merge, and no change undone by one: see `changed_paths`.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

from policy_core.errors import UsageError

GIT_TIMEOUT_S = 600


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what pygit2 raises for objects that are missing or damaged into UsageError."""
    try:
        yield
    except (KeyError, pygit2.GitError) as error:
        raise UsageError(
            f"git repository: an object of its history is missing or damaged ({' '.join(str(error).split())})",
            hint="fetch it in full (a partial clone lacks objects), or check with `git fsck`",
        ) from error


@dataclass(frozen=True, slots=True)
class History:
    """The commits of a repository; `git` is its pygit2 handle. What was compared once is remembered.

    Whatever reads an object raises UsageError if it is missing or damaged.
    """

    git: pygit2.Repository
    _compared: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    _bases: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @_reading()
    def commit(self, revision: str) -> pygit2.Commit:
        """Return a commit by its full id."""
        return self.git[revision].peel(pygit2.Commit)

    @_reading()
    def since(self, revision: str, *, not_in: str) -> list[str]:
        """Return the commits that `revision` descends from, itself included, and `not_in` does not; newest first."""
        walker = self.git.walk(revision, pygit2.enums.SortMode.TOPOLOGICAL)
        walker.hide(not_in)
        return [str(commit.id) for commit in walker]

    def changed_paths(self, revision: str) -> frozenset[str]:
        """Return the paths that a commit changes: adds, deletes, or gives another content, kind or mode.

        Those of a merge are the paths whose result no parent has, and those where it keeps what one parent has although
        another one changed it, too, since they parted: that takes somebody's decision.
        """
        commit = self.commit(revision)
        parents = [str(parent) for parent in commit.parent_ids]
        if not parents:
            return self._added(commit)
        if len(parents) == 1:
            return self._differing(parents[0], revision)
        differing = {parent: self._differing(parent, revision) for parent in parents}
        return frozenset(
            path
            for path in frozenset().union(*differing.values())
            if not any(path not in differing[kept] and self._kept(path, kept, differing) for kept in parents)
        )

    def _kept(self, path: str, kept: str, differing: dict[str, frozenset[str]]) -> bool:
        """Tell whether all parents with another content of `path` than `kept` have it unchanged since they parted."""
        return all(self._parted_at(parent, kept, path) for parent, paths in differing.items() if path in paths)

    def _parted_at(self, parent: str, kept: str, path: str) -> bool:
        """Tell whether a parent has at `path` what every place has where it and `kept` parted."""
        bases = self.merge_bases(parent, kept)
        if not bases:  # unrelated histories: then it must have nothing there
            return path not in self._added(self.commit(parent))
        return all(path not in self._differing(base, parent) for base in bases)

    def merge_bases(self, one: str, other: str) -> list[str]:
        """Return all best common ancestors of two commits: several where branches were merged crosswise."""
        if (one, other) not in self._bases:
            self._bases[one, other] = run_git(self.git, "merge-base", "--all", one, other, accepted=(0, 1)).split()
        return self._bases[one, other]

    @_reading()
    def _differing(self, before: str, after: str) -> frozenset[str]:
        if (before, after) not in self._compared:
            found = self.commit(before).tree.diff_to_tree(self.commit(after).tree)
            self._compared[before, after] = frozenset(_paths(found))
        return self._compared[before, after]

    @_reading()
    def _added(self, commit: pygit2.Commit) -> frozenset[str]:
        return frozenset(_paths(commit.tree.diff_to_tree(swap=True)))


def run_git(git: pygit2.Repository, *arguments: str, lines: Iterable[str] = (), accepted: Iterable[int] = (0,)) -> str:
    """Run git on a repository and return what it prints.

    Objects alone count: neither the settings of this account, nor replaced objects, grafts and cached commit graphs.
    `lines` go to its standard input. Raises UsageError if git is not there or fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_DIR": git.path,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "LC_ALL": "C",
    }
    what = f"git {next(word for word in arguments if word[0] != '-' and '=' not in word)}"
    try:
        done = subprocess.run(
            ["git", "-c", "core.commitGraph=false", *arguments],
            cwd=Path(git.path),
            env=environment,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{what}: no end after {GIT_TIMEOUT_S} s") from error
    except OSError as error:
        raise UsageError(
            f"{what}: git cannot be started ({error.strerror})", hint="install git 2.34 or newer"
        ) from error
    if done.returncode not in accepted:
        said = " ".join(done.stderr.split())[-200:]
        raise UsageError(f"{what}: ended with {done.returncode} ({said})", hint="check the repository with `git fsck`")
    return done.stdout


def _paths(diff: pygit2.Diff) -> Iterator[str]:
    """Yield the paths of a diff; bytes that are no UTF-8 are kept as surrogates."""
    for delta in diff.deltas:
        for file in (delta.old_file, delta.new_file):
            yield file.raw_path.decode(errors="surrogateescape")
