"""What lint, test, build and explain have in common, as its users call it: output, streams and exit codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Writ = Callable[..., Any]


@pytest.mark.parametrize("command", [["lint"], ["test"], ["build"], ["explain", "x.json"]])
def test_without_a_repository_every_command_says_so(writ: Writ, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "x.json").write_text('{"job": {"topic": "a"}}')

    run = writ(*command, at=tmp_path)

    assert run.code == 2
    assert "error: " in run.err
    assert "no git repository here or above" in run.err
    assert "hint: " in run.err


@pytest.mark.parametrize("command", [["lint", "nope"], ["test", "nope"], ["build", "nope"]])
def test_an_unknown_revision_is_a_usage_error(writ: Writ, command: list[str]) -> None:
    run = writ(*command)

    assert run.code == 2
    assert "error: nope: no such commit" in run.err


@pytest.mark.parametrize("command", ["lint", "test", "build", "explain"])
def test_help_has_an_example(writ: Writ, command: str) -> None:
    run = writ(command, "--help")

    assert run.code == 0
    assert f"Example:\n    writ {command}" in run.out
