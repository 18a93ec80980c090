"""docs/how-to/require-approvals.md: what it shows is read as it says, and its commands do what it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from builder.language.nodes import Report
from builder.language.path_approvals import DEFAULT_SIGNERS
from builder.language.project import read_project
from builder.language.signers import read_signers
from builder.merging.reviews import read_reviews

PAGE = (Path(__file__).parents[2] / "docs/how-to/require-approvals.md").read_text(encoding="utf-8")
POLICY = "version: v1\nrules: [{id: %s, match: {actions: [x]}, decision: allow}]\n"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_settings_are_what_the_builder_reads() -> None:
    report = Report("writ.yaml")
    content = "name: a\nstore: s3://b/c\nchannels: [prod]\n" + blocks("yaml")[0]

    project = read_project(content.encode(), report)

    assert report.problems == []
    assert project is not None
    assert project.governance.path_approvals.signers == DEFAULT_SIGNERS


def test_the_signers_are_read() -> None:
    report = Report("trust/signers")

    signers = read_signers(blocks("text")[0].encode(), report, members={"ana", "bo"})

    assert report.problems == []
    assert [signer.name for signer in signers] == ["ana", "bo"]


def test_the_reviews_are_read() -> None:
    (review,) = read_reviews(blocks("json")[0].encode(), name="reviews.json")

    assert review.commit in review.covers
    assert set(json.loads(blocks("json")[0])["reviews"][0]) == set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))


def test_the_steps_of_the_workflow_are_yaml() -> None:
    steps = yaml.safe_load(blocks("yaml")[1])

    assert [step["run"].split()[0] for step in steps] == ["bash", "writ"]


@pytest.fixture
def shell(tmp_path: Path) -> "Shell":
    """A new policy repository with keys, whose member ana has an SSH key where git looks for it."""
    made = Shell(tmp_path)
    made.run(
        "git config --global user.name Ana && git config --global user.email ana@example.com",
        "mkdir -p ~/.ssh && ssh-keygen -q -t ed25519 -N '' -C ana -f ~/.ssh/id_ed25519",
        f"writ init --store {(tmp_path / 'store').as_uri()} work",
    )
    made.cwd = tmp_path / "work"
    made.run("writ keys init --dev", "writ publish")
    settings = yaml.safe_load(blocks("yaml")[0])["governance"]
    with (made.cwd / "writ.yaml").open("a") as file:
        file.write(yaml.safe_dump({"governance": settings}))
    made.run(
        'echo "ana $(cat ~/.ssh/id_ed25519.pub)" > trust/signers',
        "git add --all && git commit -qm 'Demand approvals'",
        "writ publish",
    )
    return made


class Shell:
    def __init__(self, folder: Path) -> None:
        self.cwd = folder
        (folder / "home").mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"},
            "HOME": str(folder / "home"),
            "GIT_CONFIG_GLOBAL": str(folder / "home/.gitconfig"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def run(self, *commands: str, code: int = 0) -> str:
        script = "set -eu\n" + "\n".join(commands)
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.cwd, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def commit(self, name: str) -> str:
        (self.cwd / f"policies/{name}.yaml").write_text(POLICY % name)
        return self.run("git add --all", f"git commit -qm 'Add {name}'", "git rev-parse HEAD").strip()


def test_the_commands_publish_what_is_approved_and_nothing_else(shell: Shell) -> None:
    configure, merge, afterwards = blocks("sh")
    shell.run(configure)
    shell.run("git checkout -qb restarts")
    shell.commit("merged")
    shell.run("git checkout -q main", merge)

    direct = shell.commit("pushed")
    refused = shell.run("writ publish", code=4)
    assert f"policies/pushed.yaml: commit {direct[:12]} lacks an approval of security (ana or bo)" in refused
    shell.run(afterwards)

    assert "approvals" in shell.run("writ verify --channel prod")
    assert "Writ-Reviewed-By: ana" in shell.run("git log -1 --format=%B live/prod")


def test_a_file_of_reviews_is_enough(shell: Shell) -> None:
    shell.run("git config --global user.name Eve && git config --global user.email eve@example.com")
    commit = shell.commit("reviewed")
    records = {"schema": 1, "reviews": [{"commit": commit, "reviewer": "bo", "state": "approved"}]}
    (shell.cwd.parent / "reviews.json").write_text(json.dumps(records))

    assert "reviewed  bo" in shell.run("writ publish --reviews ../reviews.json")
    verified = shell.run("writ verify --format json")
    assert '"teams": {\n          "security": [\n            "bo"' in verified
    assert "  approvals 1 commit; security: bo\n" in shell.run("writ verify")


def test_a_file_that_is_none_is_a_mistake_of_the_caller(shell: Shell) -> None:
    (shell.cwd / "reviews.json").write_text('{"schema": 1}')

    said = shell.run("writ publish --reviews reviews.json", code=2)

    assert said.startswith("reviews.json:1:1: there is no reviews [E100]\n")
    assert "error: reviews.json: is no file of reviews (1 problem)\n" in said
