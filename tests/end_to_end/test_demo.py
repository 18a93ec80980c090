"""The demo as a user runs it: it ends with 0, and leaves neither a process nor a file, however it ends."""

import os
import signal
import subprocess
import sys
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
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


def test_every_act_is_as_expected(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Summary" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert left_running(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found through /proc")
@pytest.mark.parametrize("last_words", ["$ writ init", "Ten requests"])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, environment: dict[str, str], last_words: str) -> None:
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if last_words in line:
                break
        assert left_running(tmp_path)

        demo.send_signal(signal.SIGINT)

        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130, errors
    assert list(tmp_path.iterdir()) == []
    assert left_running(tmp_path) == []
