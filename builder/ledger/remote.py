"""The shared repository (remote ``origin``) that the ledger is fetched from and pushed to, through the git command."""

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pygit2

from builder.ledger.commits import branch_name
from policy_core.errors import RemoteError

GIT_TIMEOUT_S = 120


class OriginError(RemoteError):
    """``git fetch`` or ``git push`` failed."""

    default_hint = "run it by hand to see why"


@dataclass(frozen=True, slots=True)
class Origin:
    """The remote ``origin`` of a repository."""

    git: pygit2.Repository

    @classmethod
    def of(cls, git: pygit2.Repository) -> "Origin | None":
        """Return the remote, None if the repository has none of that name."""
        return cls(git) if "origin" in git.remotes.names() else None

    def fetch(self) -> None:
        """Fetch all branches, ledgers and sources alike; raises OriginError."""
        self._run("fetch", "--quiet", "origin", "+refs/heads/*:refs/remotes/origin/*")

    def has(self, channel: str, tip: str) -> bool:
        """Tell whether ``origin``, as last fetched, has the ledger up to `tip` (or beyond)."""
        name = f"refs/remotes/origin/live/{channel}"
        if name not in self.git.references:
            return False
        there = self.git.references[name].target
        return str(there) == tip or self.git.descendant_of(there, tip)

    def push(self, channel: str, tip: str) -> None:
        """Push the ledger unless ``origin`` has it; another publisher who was faster is no failure.

        Raises OriginError.
        """
        if self.has(channel, tip):
            return
        name = branch_name(channel)
        try:
            self._run("push", "--quiet", "origin", f"{name}:{name}")
        except OriginError:
            with contextlib.suppress(OriginError):  # what push said is the better reason
                self.fetch()
            if not self.has(channel, tip):
                raise

    def _run(self, *arguments: str) -> None:
        folder = Path(self.git.workdir or self.git.path)
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        shown = f"git {arguments[0]} origin"
        try:
            subprocess.run(
                ["git", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=GIT_TIMEOUT_S,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise OriginError(f"{shown}: {_last_line(error.stderr)}") from error
        except subprocess.TimeoutExpired as error:
            raise OriginError(f"{shown}: no end after {GIT_TIMEOUT_S} s") from error
        except OSError as error:
            raise OriginError(f"{shown}: git cannot be started ({error.strerror})") from error


def _last_line(output: str) -> str:
    """Return what git says is wrong: its first fatal or error line, otherwise the last line."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote: error"))]
    return (telling or lines[-1:] or ["failed"])[0]
