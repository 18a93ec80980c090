"""Real policy repositories under git, for tests."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WRIT_YAML = """\
version: v1
name: demo-policies
store: {store}
channels: [{channels}]
"""
POLICY = """\
version: v1
rules:
  - id: reads
    match: {{actions: ["service.read"]}}
    decision: allow
    reason: {reason}
"""


@dataclass(frozen=True)
class GitFolder:
    """A git work tree; `git` runs a command in it and returns what it printed."""

    path: Path

    def git(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content, encoding="utf-8")

    def commit(self, files: Mapping[str, str], message: str = "Change policies") -> str:
        """Write the files, commit everything, and return the commit id."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def commit_policy(self, reason: str) -> str:
        """Commit a policy that differs from any other by the reason it gives."""
        return self.commit({"policies/a.yaml": POLICY.format(reason=reason)}, f"Policy: {reason}")

    def clone(self, path: Path, *options: str) -> "GitFolder":
        subprocess.run(["git", "clone", "--quiet", *options, self.path.as_uri(), path], check=True, capture_output=True)
        return GitFolder(path)._named()

    def _named(self) -> "GitFolder":
        self.git("config", "user.name", "Ada Example")
        self.git("config", "user.email", "ada@example.com")
        return self


def make_repository(path: Path, store: str, *, channels: str) -> GitFolder:
    """Make a policy repository: one commit with ``writ.yaml`` and one policy."""
    path.mkdir()
    folder = GitFolder(path)
    folder.git("init", "--quiet", "--initial-branch=main", "--template=")  # no sample hooks to copy
    folder._named()
    folder.write({"writ.yaml": WRIT_YAML.format(store=store, channels=channels)})
    folder.commit_policy("first")
    return folder
