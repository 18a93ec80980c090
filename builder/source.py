"""The policy repository as values: the files of one commit, or of the work tree, read through pygit2.

`PolicyRepository.tree` reads committed blobs only, so that what is built depends on nothing but the commit: no
check-out filter, ignore rule or local edit can change it. Under the policy paths only regular files count: a symbolic
link or a submodule would make a bundle depend on something outside the commit, and is refused.
"""

import os
import re
import stat
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pygit2

from builder.language.codes import Code
from policy_core.errors import InvalidPolicyError, Problem, UsageError

POLICY_PATHS = frozenset(
    {"writ.yaml", "policies", "classify", "data", "exceptions", "tests", "corpus", "schemas", "trust"}
)
"""The top-level names that matter; everything else in the repository is none of our business."""

MAX_FILES = 20_000
MAX_FILE_BYTES = 8 * 2**20
MAX_TREE_BYTES = 128 * 2**20
MAX_FOLDER_DEPTH = 16
MAX_PATH_CHARS = 150  # path and name fit the two fields of a USTAR header, whatever folder they are stored in
MAX_NAME_CHARS = 100

NO_COMMIT = "0" * 40
"""Revision of a work tree whose repository has no commit yet."""

# One spelling on every file system (no Unicode normal forms) and no escape sequences in messages or archives.
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_FILE_MODES = frozenset({pygit2.enums.FileMode.BLOB, pygit2.enums.FileMode.BLOB_EXECUTABLE})


@dataclass(frozen=True, slots=True)
class PolicyTree:
    """The files that matter of one commit (`dirty` false) or of the work tree on top of it (`dirty` true).

    `revision` is the full commit id. `files` maps relative POSIX paths, sorted, to contents.
    """

    revision: str
    dirty: bool
    files: Mapping[str, bytes]

    def below(self, folder: str) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of each file below a top-level folder, sorted by path."""
        prefix = f"{folder}/"
        return ((path, content) for path, content in self.files.items() if path.startswith(prefix))


@dataclass(frozen=True, slots=True)
class PolicyRepository:
    """A git repository that holds policies; `git` is the pygit2 handle for those who write to it."""

    git: pygit2.Repository

    @classmethod
    def open(cls, directory: Path) -> "PolicyRepository":
        """Open the repository that `directory` lies in (a bare one, too).

        Raises UsageError if there is none, or git refuses it.
        """
        try:
            found = pygit2.discover_repository(os.fspath(directory))
            if found is not None:
                return cls(pygit2.Repository(found))
        except (pygit2.GitError, KeyError) as error:
            raise UsageError(
                f"{directory}: git cannot open this repository ({_one_line(error)})",
                hint="check it with `git status`; git itself tells how to trust a folder of another user",
            ) from error
        raise UsageError(
            f"{directory}: no git repository here or above",
            hint="start one with `writ init DIR`, or point at one with `writ -C DIR`",
        )

    @property
    def is_shallow(self) -> bool:
        """Tell whether history was cut off when this repository was cloned."""
        return self.git.is_shallow

    def require_history(self) -> None:
        """Raise UsageError if the clone is shallow or has grafts: what follows would judge by another history."""
        grafts = self._common_folder / "info" / "grafts"
        if grafts.exists():
            raise UsageError(
                f"git repository: {grafts} makes up a history",
                hint="take that file away, or use a fresh clone",
            )
        if self.is_shallow:
            raise UsageError(
                "git repository: this is a shallow clone, its history is cut off",
                hint="run `git fetch --unshallow` (in CI: check out with full depth, such as fetch-depth: 0)",
            )

    def resolve(self, revision: str) -> str:
        """Return the full commit id of a branch, tag, abbreviated id or any other git revision.

        Raises UsageError if it is unknown, ambiguous or no commit, or the repository has no commit yet.
        """
        try:
            return str(self.git.revparse_single(revision).peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError) as error:
            self._explain_revision(revision, error)

    def tree(self, revision: str) -> PolicyTree:
        """Return the committed files of `revision`, whatever the work tree holds.

        Raises UsageError as `resolve` does, InvalidPolicyError for links, submodules, bad names and exceeded limits.
        """
        return self._tree(revision, POLICY_PATHS)

    def file(self, revision: str, name: str) -> bytes | None:
        """Return one file at the top of a committed tree, None if it is not there, whatever else is in that tree.

        Raises as `tree`, but only for this file.
        """
        return self._tree(revision, {name}).files.get(name)

    def _tree(self, revision: str, paths: Container[str]) -> PolicyTree:
        commit_id = self.resolve(revision)
        collector = _Collector()
        try:
            commit = self.git[commit_id].peel(pygit2.Commit)
            for entry in commit.tree:
                if entry.name in paths:
                    self._read_object(entry, str(entry.name), collector)
        except (KeyError, pygit2.GitError) as error:
            raise UsageError(
                f"git repository: an object of commit {commit_id[:12]} is missing or damaged ({_one_line(error)})",
                hint="fetch it in full (a partial clone lacks contents), or check with `git fsck`",
            ) from error
        return PolicyTree(revision=commit_id, dirty=False, files=collector.files())

    def worktree(self) -> PolicyTree:
        """Return the files as they lie in the work tree, without what git ignores; always `dirty`.

        Raises UsageError for a bare repository, InvalidPolicyError as `tree` does.
        """
        workdir = self.git.workdir
        if workdir is None:
            raise UsageError(
                "git repository: a bare repository has no work tree",
                hint="name a revision, such as HEAD, or use a clone with a work tree",
            )
        collector = _Collector()
        root = Path(workdir)
        for name in sorted(POLICY_PATHS):
            if os.path.lexists(root / name):
                self._read_path(root / name, name, collector)
        revision = NO_COMMIT if self.git.head_is_unborn else self.resolve("HEAD")
        return PolicyTree(revision=revision, dirty=True, files=collector.files())

    def is_dirty(self) -> bool:
        """Tell whether the work tree differs from HEAD in a path that matters (false for a bare repository)."""
        if self.git.workdir is None:
            return False
        return any(path.split("/", 1)[0] in POLICY_PATHS for path in self.git.status())

    def descends(self, newer: str, older: str) -> bool:
        """Tell whether commit `newer` strictly descends from commit `older`; false if either is not here."""
        try:
            return self.git.descendant_of(newer, older)
        except (KeyError, ValueError, pygit2.GitError):
            return False

    @property
    def _common_folder(self) -> Path:
        """Return the git folder that all work trees of the repository share."""
        folder = Path(self.git.path)
        try:
            return folder / (folder / "commondir").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return folder

    def _explain_revision(self, revision: str, error: Exception) -> NoReturn:
        if self.git.head_is_unborn and (revision == "HEAD" or not list(self.git.references)):
            raise UsageError(
                "git repository: it has no commit yet",
                hint="commit your policies first: `git add . && git commit`",
            ) from error
        if "ambiguous" in str(error):
            raise UsageError(
                f"{revision}: more than one commit id starts like this", hint="give more digits"
            ) from error
        shown = revision if revision and revision.isprintable() else ascii(revision)
        raise UsageError(
            f"{shown}: no such commit in this repository",
            hint="`git log --oneline` lists commits; in a shallow clone run `git fetch --unshallow` first"
            if self.is_shallow
            else "`git log --oneline` lists commits, `git branch -a` branches",
        ) from error

    def _read_object(self, entry: pygit2.Object, path: str, collector: "_Collector") -> None:
        if entry.filemode == pygit2.enums.FileMode.TREE:
            if collector.accepts_folder(path):
                for child in entry.peel(pygit2.Tree):
                    self._read_object(child, f"{path}/{child.name}", collector)
        elif entry.filemode in _FILE_MODES:
            blob = entry.peel(pygit2.Blob)
            if collector.accepts_file(path, blob.size):
                collector.add(path, blob.data)
        else:
            collector.refuse_kind(
                path, "a symbolic link" if entry.filemode == pygit2.enums.FileMode.LINK else "a submodule"
            )

    def _read_path(self, file: Path, path: str, collector: "_Collector") -> None:
        status = file.lstat()
        if stat.S_ISDIR(status.st_mode):
            if (file / ".git").exists():
                collector.refuse_kind(path, "a submodule")
            elif collector.accepts_folder(path):
                for child in sorted(file.iterdir()):
                    self._read_path(child, f"{path}/{child.name}", collector)
        elif _is_usable(path) and self._is_ignored(path):
            return
        elif not stat.S_ISREG(status.st_mode):
            collector.refuse_kind(path, "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no regular file")
        elif collector.accepts_file(path, status.st_size):
            try:
                collector.add(path, file.read_bytes())
            except OSError as error:
                raise UsageError(f"{path}: cannot be read ({error.strerror})") from error

    def _is_ignored(self, path: str) -> bool:
        return self.git.path_is_ignored(path) and path not in self.git.index


@dataclass(slots=True)
class _Collector:
    """Gathers files within the limits, and everything wrong with their paths."""

    contents: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    size: int = 0

    def accepts_folder(self, path: str) -> bool:
        if path.count("/") < MAX_FOLDER_DEPTH:
            return True
        return self._refuse(path, f"folders are nested too deeply (limit {MAX_FOLDER_DEPTH})", "flatten the folders")

    def accepts_file(self, path: str, size: int) -> bool:
        """Check name, length in bytes, and the totals; note a problem and return False if one is broken."""
        name = path.rsplit("/", 1)[-1]
        if not _is_usable(path):
            return self._refuse(
                path,
                f"unusable file name {name!r}",
                "use letters, digits, '.', '_' and '-' in names of files and folders",
            )
        if len(path) > MAX_PATH_CHARS or len(name) > MAX_NAME_CHARS:
            return self._refuse(
                path,
                f"path is too long (limits: path {MAX_PATH_CHARS}, name {MAX_NAME_CHARS} characters)",
                "shorten it",
            )
        if size > MAX_FILE_BYTES:
            return self._refuse(path, f"file is too large ({size} bytes, limit {MAX_FILE_BYTES})", "split the file")
        self.size += size
        if self.size > MAX_TREE_BYTES:
            raise InvalidPolicyError(
                [*self.problems, _unusable(path, f"the policy files together exceed {MAX_TREE_BYTES} bytes")]
            )
        if len(self.contents) >= MAX_FILES:
            raise InvalidPolicyError([*self.problems, _unusable(path, f"more than {MAX_FILES} policy files")])
        return True

    def add(self, path: str, content: bytes) -> None:
        self.contents[path] = content

    def refuse_kind(self, path: str, kind: str) -> None:
        self._refuse(path, f"is {kind}", "only regular files can be policy: put the content itself here")

    def files(self) -> dict[str, bytes]:
        """Return the files sorted by path; raises InvalidPolicyError if any path was refused."""
        if self.problems:
            raise InvalidPolicyError(self.problems)
        return dict(sorted(self.contents.items()))

    def _refuse(self, path: str, message: str, hint: str) -> bool:
        printable = path.encode("ascii", "backslashreplace").decode()
        printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in printable)
        self.problems.append(_unusable(printable, message, hint))
        return False


def _unusable(path: str, message: str, hint: str = "") -> Problem:
    return Problem(path, 0, 0, message, hint, Code.UNUSABLE_FILE)


def _is_usable(path: str) -> bool:
    return all(_SEGMENT.fullmatch(segment) for segment in path.split("/"))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
