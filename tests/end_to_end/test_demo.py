"""The demo as a user runs it: it ends with 0, and leaves neither a process nor a file, however it ends."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "builder", "demo"]


def left_running(folder: Path) -> list[int]:
    """Return the processes whose environment says that they belong to a demo in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"HOME={folder}/".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # ended meanwhile, or not ours
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder with a short path, as demos need it for their sockets."""
    path = Path(tempfile.mkdtemp(prefix="writ-test-", dir="/tmp"))
    yield path
    path.rmdir()  # fails if something is left in it


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


def test_every_act_is_as_expected(folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Summary" in done.stdout
    assert done.stderr == ""
    assert list(folder.iterdir()) == []
    assert left_running(folder) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found through /proc")
@pytest.mark.parametrize("last_words", ["$ writ init", "Ten requests"])
def test_an_interrupt_leaves_nothing_behind(folder: Path, environment: dict[str, str], last_words: str) -> None:
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if last_words in line:
                break
        assert left_running(folder)

        demo.send_signal(signal.SIGINT)

        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130, errors
    assert list(folder.iterdir()) == []
    assert left_running(folder) == []
