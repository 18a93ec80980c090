"""The template's script: what a forge says about pull requests becomes a file of reviews that the gate takes.

The forge is a folder of answers, served by a program called ``gh`` that knows the two options the script uses.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builder.merging.reviews import ReviewRecord, load_reviews
from builder.templating import find_template

Desk = Any  # of conftest.py

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="the script needs jq")

SCRIPT = find_template() / ".github/export-reviews.sh"
GH = """\
#!/bin/sh -e
for word; do
  if [ "$before" = --jq ]; then filter=$word; fi
  case $word in repos/*) path=${word%%\\?*};; esac
  before=$word
done
exec jq --raw-output --compact-output "$filter" "$FORGE/$path/answer.json"
"""


class Forge:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/gh").write_text(GH)
        (folder / "bin/gh").chmod(0o755)

    def answer(self, path: str, value: object) -> None:
        place = self.folder / "repos/acme/policies" / path
        place.mkdir(parents=True, exist_ok=True)
        (place / "answer.json").write_text(json.dumps(value))

    def pull_request(self, number: int, commits: list[str], *reviews: dict[str, Any]) -> None:
        self.answer(f"pulls/{number}/commits", [{"sha": commit} for commit in commits])
        self.answer(f"pulls/{number}/reviews", reviews)


def review(commit: str | None, login: str | None, state: str, at: int) -> dict[str, Any]:
    user = {"login": login} if login else None
    return {"commit_id": commit, "user": user, "state": state, "submitted_at": f"2026-11-21T00:00:{at:02}Z"}


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path / "forge")


def export(desk: Desk, forge: Forge) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{forge.folder / 'bin'}:{os.environ['PATH']}",
        "FORGE": str(forge.folder),
        "GITHUB_REPOSITORY": "acme/policies",
    }
    command = ["bash", str(SCRIPT), "prod", str(forge.folder / "reviews.json")]
    return subprocess.run(command, cwd=desk.folder.path, env=environment, capture_output=True, text=True, check=False)


def release(desk: Desk) -> None:
    """Make a ledger whose newest commit says that what is live is."""
    tree = f"{desk.live}^{{tree}}"
    start = desk.git("commit-tree", tree, "-m", "Start")
    tip = desk.git("commit-tree", tree, "-p", start, "-p", desk.live, "-m", "Release")
    desk.git("update-ref", "refs/remotes/origin/live/prod", tip)


def test_what_a_forge_knows_satisfies_the_gate(desk: Desk, forge: Forge) -> None:
    release(desk)
    desk.branch("feature")
    first, second = desk.policy("one"), desk.policy("two")
    desk.checkout("main")
    merge = desk.merge("feature")
    for commit in (first, second, merge):
        forge.answer(f"commits/{commit}/pulls", [{"number": 7}])
    forge.pull_request(
        7,
        [first, second],
        review(first, "bo", "APPROVED", 1),
        review(second, "ana", "APPROVED", 4),
        review(second, "ana", "CHANGES_REQUESTED", 3),
        review(second, "bo", "COMMENTED", 5),
        review(second, None, "APPROVED", 6),
        review(None, "bo", "APPROVED", 7),
        review(second, "cy", "DISMISSED", 2),
    )

    done = export(desk, forge)
    desk.reviews = list(load_reviews(forge.folder / "reviews.json", name="reviews.json"))

    covers = frozenset({first, second})
    assert done.stderr == f"4 reviews written to {forge.folder / 'reviews.json'}\n"
    assert desk.reviews == [
        ReviewRecord(first, "bo", "approved", covers),
        ReviewRecord(second, "cy", "dismissed", covers),
        ReviewRecord(second, "ana", "changes_requested", covers),
        ReviewRecord(second, "ana", "approved", covers),
    ]
    assert desk.judge().names == ("ana", "bo")


def test_before_the_first_release_nobody_is_asked(desk: Desk, forge: Forge) -> None:
    desk.policy("one")

    done = export(desk, forge)

    assert done.returncode == 0
    assert load_reviews(forge.folder / "reviews.json", name="reviews.json") == ()


def test_a_forge_that_does_not_answer_leaves_no_file(desk: Desk, forge: Forge) -> None:
    release(desk)
    desk.policy("one")

    done = export(desk, forge)

    assert done.returncode != 0
    assert not (forge.folder / "reviews.json").exists()
