"""Real processes that are killed at the beginning, interrupted, or run into each other.

What becomes of every other command that dies anywhere is in `test_stress`.
"""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GitFolder = Any  # of tests/conftest.py
SCRIPT = Path(__file__).parents[1] / "publishing/dying_writ.py"

# what appears in the store, in this order
BEGINNING = {1: "probe", 2: "root", 3: "channel role", 4: "targets", 5: "snapshot role", 6: "timestamp"}


def writ(folder: GitFolder, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "builder", "-C", str(folder.path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def dying_writ(folder: GitFolder, name: str, moment: str, number: int, store: Path, *arguments: str) -> tuple[int, str]:
    """Return exit code (negative: signal) and errors of a process that gets a signal."""
    command = [sys.executable, str(SCRIPT), name, moment, str(number), str(store), "-C", str(folder.path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def folder(policy_repository: Callable[..., GitFolder], store: Path) -> GitFolder:
    return policy_repository(store.as_uri())


@pytest.fixture
def published(folder: GitFolder) -> GitFolder:
    writ(folder, "keys", "init", "--dev")
    writ(folder, "publish")
    return folder


@pytest.mark.parametrize("number", BEGINNING)
def test_a_killed_beginning_is_completed(folder: GitFolder, store: Path, number: int) -> None:
    code, _ = dying_writ(folder, "SIGKILL", "before", number, store, "keys", "init", "--dev")

    assert code == -signal.SIGKILL
    writ(folder, "keys", "init", "--dev")
    writ(folder, "publish")
    assert "verified, 1 release," in writ(folder, "verify")


@pytest.mark.parametrize(("moment", "number"), [("before", 1), ("before", 5), ("after", 5)])
def test_an_interrupted_publish_says_so_and_is_completed(
    published: GitFolder, store: Path, moment: str, number: int
) -> None:
    published.commit_policy("second")

    code, errors = dying_writ(published, "SIGINT", moment, number, store, "publish")

    assert code == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert list(store.rglob(".new-*")) == []
    writ(published, "publish")
    assert "verified, 2 releases" in writ(published, "verify")


def test_publishers_that_meet_leave_one_history(published: GitFolder, tmp_path: Path) -> None:
    """Each of four processes publishes a descendant of the one before: some may be superseded, never the last."""
    revisions = [published.commit_policy(f"number {number}") for number in range(4)]
    clones = [published.clone(tmp_path / f"clone-{number}") for number in range(4)]
    for clone in clones:
        clone.git("remote", "remove", "origin")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "builder", "-C", str(clone.path), "publish", revision],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for clone, revision in zip(clones, revisions, strict=True)
    ]  # fmt: skip
    errors = [process.communicate()[1] for process in processes]

    codes = [process.returncode for process in processes]
    assert set(codes) <= {0, 7}, errors
    assert codes[-1] == 0, errors
    for clone in [*clones, published]:
        writ(clone, "ledger", "sync")
    assert len({clone.git("rev-parse", "live/prod") for clone in [*clones, published]}) == 1
    assert f"verified, {1 + codes.count(0)} releases" in writ(published, "verify")


def test_a_full_disk_changes_nothing(published: GitFolder, store: Path) -> None:
    """No file may grow: as on a full disk, each write to the store fails in the middle."""
    before = (store / "metadata/timestamp.json").read_bytes()
    published.commit_policy("second")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400)); "
    run = "from builder.cli.main import main; sys.exit(main(sys.argv[1:]))"

    done = subprocess.run(
        [sys.executable, "-B", "-c", limited + run, "-C", str(published.path), "publish"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 6, done.stderr
    assert "File too large" in done.stderr
    assert "hint: make space" in done.stderr
    assert (store / "metadata/timestamp.json").read_bytes() == before
    assert list(store.rglob(".new-*")) == []
    writ(published, "publish")
    assert "verified, 2 releases" in writ(published, "verify")
