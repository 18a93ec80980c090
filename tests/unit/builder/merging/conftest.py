"""A policy repository whose live release demands approvals, members with SSH keys, and what they do to it."""

import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.merging.judging import Approvals, MissingApprovalsError, require_approvals
from builder.merging.reviews import ReviewRecord
from builder.simulating.thresholds import project_of
from builder.source import PolicyRepository

PEOPLE = ("ana", "bo", "cy", "eve")
SETTINGS = """\
version: v1
name: demo-policies
store: file:///srv/store
channels: [prod]
governance:
  teams: {security: [ana, bo], sre: [cy, ana]}
  approvals:
    policies/**: [security]
    exceptions/**: [security, sre]
    writ.yaml: [security]
    trust/**: [security]
"""
POLICY = "version: v1\nrules: [{id: reads, match: {actions: [read]}, decision: allow, reason: %s}]\n"
MAIL = "%s@example.com"


@dataclass
class Desk:
    """The repository at work: who commits and merges what, and how it is judged against the release that is live."""

    folder: "GitFolder"  # noqa: F821  of tests/conftest.py
    keys: Path
    live: str = ""
    reviews: list[ReviewRecord] = field(default_factory=list)

    def git(self, *arguments: str, **options: object) -> str:
        return self.folder.git(*arguments, **options)

    def commit(
        self,
        files: Mapping[str, str | None] | None = None,
        message: str = "Change",
        *,
        by: str = "eve",
        signed: str = "",
    ) -> str:
        """Commit files (None: deleted) as an author, signed by somebody's key if one is named."""
        for name, content in (files or {}).items():
            path = self.folder.path / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
        self.git("add", "--all")
        self.git(
            *self.as_(by, signed), "commit", "--quiet", "--allow-empty", *self.signing(signed), "--message", message
        )
        return self.head

    def policy(self, reason: str, **options: str) -> str:
        return self.commit({f"policies/{reason}.yaml": POLICY % reason}, **options)

    def branch(self, name: str, start: str = "") -> None:
        self.git("checkout", "--quiet", "-b", name, start or self.live)

    def checkout(self, name: str) -> None:
        self.git("checkout", "--quiet", name)

    def merge(
        self, *others: str, message: str = "Merge", by: str = "eve", signed: str = "", options: Iterable[str] = ()
    ) -> str:
        sign = self.signing(signed)
        self.git(*self.as_(by, signed), "merge", "--quiet", "--no-ff", *options, *sign, "-m", message, *others)
        return self.head

    def tree_commit(self, tree_of: str, *parents: str, signed: str = "", message: str = "Merge") -> str:
        """Make a commit with the tree of another one and any parents, and go there."""
        given = [word for parent in parents for word in ("-p", parent)]
        tree = f"{tree_of}^{{tree}}"
        made = self.git(*self.as_("eve", signed), "commit-tree", *self.signing(signed), tree, *given, "-m", message)
        self.git("reset", "--quiet", "--hard", made)
        return made

    def replace_head(self, change: Callable[[bytes], bytes]) -> str:
        """Write the commit at HEAD with other bytes, and go there."""
        raw = subprocess.run(
            ["git", "cat-file", "commit", "HEAD"], cwd=self.folder.path, capture_output=True, check=True
        ).stdout
        command = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
        done = subprocess.run(command, cwd=self.folder.path, input=change(raw), capture_output=True, check=True)
        self.git("reset", "--quiet", "--hard", done.stdout.decode().strip())
        return self.head

    def review(self, commit: str, by: str, *covers: str, state: str = "approved") -> None:
        self.reviews.append(ReviewRecord(commit, by, state, frozenset(covers)))

    def judge(self, revision: str = "HEAD") -> Approvals:
        repository = PolicyRepository.open(self.folder.path)
        live = repository.tree(self.live)
        return require_approvals(
            "release 1",
            project_of("release 1", live).governance.path_approvals,
            live.files,
            repository.git,
            since=self.live,
            revision=repository.resolve(revision),
            reviews=self.reviews,
        )

    def missing(self, revision: str = "HEAD") -> list[str]:
        """Return what is missing, as *path message*; fails if nothing is."""
        return [f"{problem.file}: {problem.message}" for problem in self.refusal(revision).problems]

    def refusal(self, revision: str = "HEAD") -> MissingApprovalsError:
        with pytest.raises(MissingApprovalsError) as caught:
            self.judge(revision)
        assert caught.value.exit_code == 4
        return caught.value

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def as_(self, name: str, signed: str = "") -> list[str]:
        key = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys / signed}"] if signed else []
        return ["-c", f"user.name={name.title()} Example", "-c", f"user.email={MAIL % name}", *key]

    def signing(self, signed: str) -> list[str]:
        return ["-S"] if signed else ["--no-gpg-sign"]

    def signer(self, name: str) -> str:
        """Return the line that lists a person's key."""
        return f"{name} {' '.join((self.keys / f'{name}.pub').read_text().split()[:2])}\n"


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ssh")
    for name in PEOPLE:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name} of example", "-f", folder / name]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture
def desk(policy_repository: Callable[..., "GitFolder"], ssh_keys: Path) -> Desk:  # noqa: F821
    found = Desk(policy_repository("file:///srv/store"), ssh_keys)
    signers = "".join(map(found.signer, ("ana", "bo", "cy")))
    found.live = found.commit({"writ.yaml": SETTINGS, "trust/signers": f"# who signs\n\n{signers}"}, "Demand approvals")
    return found
