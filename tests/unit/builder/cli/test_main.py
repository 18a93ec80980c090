"""The entry point: what every command has in common at its rim, seen from a shell."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Writ = Callable[..., Any]


def with_nobody_reading(arguments: list[str], at: Path) -> subprocess.CompletedProcess[str]:
    """Run `writ` as a process of its own whose stdout nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-m", "builder", "-C", str(at), *arguments],
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": ""},  # stdout is buffered, as for any user
        )  # fmt: skip
    finally:
        os.close(writer)


def on_a_terminal(arguments: list[str], at: Path, **environment: str) -> bytes:
    """Return what `writ` prints when stdout is a terminal."""
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "builder", "-C", str(at), *arguments],
        stdout=end, stderr=subprocess.DEVNULL, env={**os.environ, **environment},
    ) as process:  # fmt: skip
        os.close(end)
        printed = b""
        try:
            while part := os.read(terminal, 65536):
                printed += part
        except OSError:  # Linux: the other end is closed
            pass
        process.wait()
    os.close(terminal)
    return printed


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["nope"], "no such command 'nope'", "see `writ --help`"),
        (["lnt"], "no such command 'lnt'", "did you mean `writ lint`?"),
        (["lint", "--nope"], "no such option '--nope'", "see `writ lint --help`"),
        (["lint", "--format", "xml"], "invalid value for '--format': 'xml' is not one of", "see `writ lint --help`"),
        (["explain"], "missing argument 'REQUEST|-'", "see `writ explain --help`"),
    ],
)
def test_a_wrong_command_line_is_an_error_with_a_hint(writ: Writ, arguments: list[str], error: str, hint: str) -> None:
    run = writ(*arguments)

    assert (run.code, run.out) == (2, "")
    assert run.err.startswith(f"error: {error}")
    assert run.err.endswith(f"\nhint: {hint}\n")


def test_a_directory_that_is_not_there_is_a_usage_error(writ: Writ, tmp_path: Path) -> None:
    run = writ("lint", at=tmp_path / "nope")

    assert run.code == 2
    assert "error: invalid value for '-C'" in run.err


@pytest.mark.parametrize(
    "arguments", [["lint"], ["test"], ["test", "--format", "json"], ["build", "--format", "json"], ["lint", "--help"]]
)
def test_a_reader_that_has_gone_ends_a_command_quietly(policies: Any, arguments: list[str]) -> None:
    run = with_nobody_reading(arguments, policies.path)

    assert (run.returncode, run.stderr) == (141, "")


def test_colours_are_for_terminals_and_only_if_wanted(policies: Any, writ: Writ) -> None:
    assert b"\x1b[32m" in on_a_terminal(["test"], policies.path, NO_COLOR="")
    assert b"\x1b" not in on_a_terminal(["test"], policies.path, NO_COLOR="1")
    assert "\x1b" not in writ("test").out


def test_shells_are_told_how_to_complete(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "builder"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "_WRIT_COMPLETE": "bash_complete", "COMP_WORDS": "writ l", "COMP_CWORD": "1"},
    )  # fmt: skip

    assert run.returncode == 0
    assert [line.partition(",")[2] for line in run.stdout.splitlines()] == ["library", "lint", "live", "ledger", "logs"]
