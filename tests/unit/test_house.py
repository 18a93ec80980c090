"""What newcomers and CI rely on: the locks, the make targets, the workflow."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCKS = ("demo", "dev", "bench")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text()


def pins(name: str) -> dict[str, str]:
    """Return distribution name to version of a lock, and insist on the form of every line."""
    found = {}
    for block in re.split(r"\n(?=\S)", lock_text(name)):
        if block.startswith("#"):
            continue
        first, *hashes = block.replace("\\\n", "\n").split("\n")
        match = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9A-Za-z.!+]*)( ; [^#]+)?", first.strip())
        assert match, f"{name}.lock: {first!r} is not an exact pin"
        lines = [line.strip() for line in hashes if line.strip()]
        assert lines, f"{name}.lock: {first!r} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in lines), first
        found[match[1]] = match[2]
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_exact_pins_with_hashes_and_no_address(name: str) -> None:
    assert len(pins(name)) > 20
    assert not re.search(r"://|@|--(extra-)?index-url|--find-links", lock_text(name))


def test_each_lock_agrees_with_the_smaller_one() -> None:
    demo, dev, bench = map(pins, LOCKS)

    assert demo.items() <= dev.items() <= bench.items()


def test_what_the_project_asks_for_is_locked() -> None:
    project = PROJECT["project"]
    optional = dict(project["optional-dependencies"])
    fleet = optional.pop("fleet")  # a demo needs no Redis
    extras = [requirement for extra in optional.values() for requirement in extra]
    groups = PROJECT["dependency-groups"]
    asked = {
        "demo": [*project["dependencies"], *extras, *groups["build"]],
        "dev": [*fleet, *groups["tests"], *groups["lint"]],
        "bench": groups["bench"],
    }

    for lock, requirements in asked.items():
        names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in requirements}
        assert names - {"writ-policy"} <= set(pins(lock)), lock


def test_the_build_needs_nothing_beyond_the_lock() -> None:
    backend = PROJECT["build-system"]["requires"]

    assert backend == [f"hatchling=={pins('demo')['hatchling']}"]


def test_packages_of_the_other_client_are_locked_with_digests_and_no_address() -> None:
    folder = ROOT / "tests/independent"
    asked = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert locked.pop("")["dependencies"] == asked

    assert set(asked) <= {path.removeprefix("node_modules/") for path in locked}
    for path, package in locked.items():
        assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", package["version"]), path
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), path
        assert "resolved" not in package, path


def test_make_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    done = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True)

    assert phony
    assert phony[1].split() == re.findall(r"^  make (\w+)", done.stdout, re.MULTILINE)


def test_an_old_python_is_refused_with_a_hint(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements/demo.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    ours = ("PYTHON", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")  # what `make PYTHON=… test` hands down
    environment = {name: value for name, value in os.environ.items() if name not in ours}

    done = subprocess.run(
        ["make", "-C", str(tmp_path), "demo"], capture_output=True, text=True, check=False,
        env={**environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip

    assert done.returncode != 0
    assert "Python 3.11 or newer is needed (found: Python 3.9.2)" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_workflow_grants_nothing_by_default_and_gathers_every_job() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    jobs = workflow["jobs"]
    gathering = jobs.pop("all-checks")

    assert workflow["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in jobs.values())
    assert set(gathering["needs"]) == set(jobs)
    assert gathering["steps"][0]["run"].count("success") == len(jobs)


def test_ci_runs_what_people_run() -> None:
    text = (ROOT / ".ci/run").read_text()

    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert [line for line in text.splitlines() if line.startswith("make ")] == ["make test", "make lint", "make types"]
