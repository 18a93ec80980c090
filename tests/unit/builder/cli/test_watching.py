"""Watching finds every save, deletion and new file of authors, and nothing that commands write themselves."""

import os
from pathlib import Path

import pytest

from builder.cli.watching import saves


class StillWaitingError(Exception):
    """Nothing changed."""


def stop(_pause_s: float) -> None:
    raise StillWaitingError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tests/deep").mkdir(parents=True)
    (tmp_path / "writ.yaml").write_text("name: a\n")
    (tmp_path / "tests/deep/a.yaml").write_text("cases: []\n")
    return tmp_path


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: touch(root / "writ.yaml"),
        lambda root: (root / "tests/deep/a.yaml").write_text("cases: [1]\n"),
        lambda root: (root / "tests/deep/b.yaml").write_text(""),
        lambda root: (root / "tests/deep/a.yaml").unlink(),
        lambda root: (root / "data").mkdir() or (root / "data/a.JSON").write_text("{}"),
    ],
    ids=["touched", "written", "added", "removed", "new folder"],
)
def test_a_change_is_found(root: Path, change: object) -> None:
    assert callable(change)
    found = saves(root, ("writ.yaml", "tests", "data"), sleep=stop)
    next(found)

    change(root)

    next(found)
    with pytest.raises(StillWaitingError):
        next(found)


@pytest.mark.parametrize("path", ["tests/results.xml", "other.yaml", "tests/.a.yaml.swp"])
def test_other_files_are_no_saves(root: Path, path: str) -> None:
    found = saves(root, ("writ.yaml", "tests"), sleep=stop)
    next(found)

    (root / path).write_text("x")

    with pytest.raises(StillWaitingError):
        next(found)
