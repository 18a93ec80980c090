"""The hooks for pre-commit: they exist, and do in a policy repository what pre-commit would have them do."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.source import POLICY_PATHS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
NOT_LINTED = {"corpus", "trust"}

pytestmark = pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])


def run_hook(hook: dict[str, Any], repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the entry in the root of the repository, without file names, as pre-commit does."""
    assert hook["pass_filenames"] is False
    return subprocess.run(
        shlex.split(hook["entry"]), cwd=repository, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip


def test_the_entry_is_a_command_of_the_project_with_all_it_needs(hook: dict[str, Any]) -> None:
    assert shlex.split(hook["entry"])[0] in PROJECT["scripts"]
    extras = [re.fullmatch(r"\.\[(\w+)\]", dependency) for dependency in hook["additional_dependencies"]]
    assert extras
    assert all(extra and extra[1] in PROJECT["optional-dependencies"] for extra in extras)


def test_it_passes_sound_policies(hook: dict[str, Any], policy_repository: Callable[..., Any]) -> None:
    repository = policy_repository("file:///srv/store")
    cases = "cases: [{name: n, request: {job: {topic: service.read}}, expect: {decision: allow}}]\n"
    repository.commit({"tests/a.yaml": cases})

    done = run_hook(hook, repository.path)

    assert (done.returncode, done.stderr) == (0, "")


def test_it_stops_a_commit_of_broken_ones(hook: dict[str, Any], policy_repository: Callable[..., Any]) -> None:
    repository = policy_repository("file:///srv/store")
    repository.write({"policies/b.yaml": "version: v1\nrules: [{id: r, decision: maybe}]\n"})

    done = run_hook(hook, repository.path)

    assert done.returncode == 3
    assert "policies/b.yaml:2:27" in done.stdout + done.stderr


def test_it_runs_for_the_files_that_matter_and_no_others(hook: dict[str, Any]) -> None:
    wanted = re.compile(hook["files"])

    for name in POLICY_PATHS - NOT_LINTED:
        assert wanted.search(name if name.endswith(".yaml") else f"{name}/a/b.yaml"), name
    for path in ("README.md", "docs/policies/a.yaml", "writ.yaml.orig", "policies.yaml", "corpus/a.jsonl"):
        assert not wanted.search(path), path
