"""``writ verify``: provenance as people and machines read it, and releases built again from git."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.cli.main import main
from builder.publishing.commit import Proposal, commit
from builder.publishing.workspace import Workspace
from policy_core import __version__
from policy_core.bundle import build_bundle

GitFolder = Any  # of tests/conftest.py
Writ = Callable[..., str]

SUITE = """\
cases:
  - {name: reading, request: {job: {topic: service.read}}, expect: {decision: allow}}
"""


@pytest.fixture
def folder(policy_repository: Callable[..., GitFolder], file_url: str) -> GitFolder:
    folder = policy_repository(file_url)
    folder.commit({"tests/a.yaml": SUITE})
    return folder


@pytest.fixture
def writ(folder: GitFolder, writ_at: Writ) -> Writ:
    return partial(writ_at, folder)


@pytest.fixture
def writ_at(capsys: pytest.CaptureFixture[str]) -> Writ:
    """Run a command in a folder and return what it printed: results, or with an exit code errors."""

    def run(folder: GitFolder, *arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        got = main(["-C", str(folder.path), *arguments])
        out, err = capsys.readouterr()
        assert got == code, err
        return out if code == 0 else err

    return run


@pytest.fixture
def published(folder: GitFolder, writ: Writ) -> GitFolder:
    """Releases 1 and 2; the second is live."""
    writ("keys", "init", "--dev")
    writ("publish")
    folder.commit_policy("second")
    writ("publish")
    return folder


def provenance_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "store/targets/prod").glob("*.provenance.json"))


def test_provenance_is_shown_to_people(published: GitFolder, writ: Writ) -> None:
    revision = published.git("rev-parse", "HEAD")

    lines = writ("verify").splitlines()

    start = next(number for number, line in enumerate(lines) if line.startswith("provenance  sha256:"))
    assert ", signed by key " in lines[start]
    assert lines[start + 1 : start + 5] == [
        f"  source    a repository without an address at {revision}",
        f"  builder   urn:writ:builder, version {__version__}",
        "  tests     1 passed, 0 skipped",
        "  gates     governance (of release 1)",
    ]


def test_provenance_is_shown_to_machines(published: GitFolder, writ: Writ) -> None:
    found = json.loads(writ("verify", "--format", "json"))

    provenance = found["provenance"]
    assert provenance["digest"] == found["releases"][-1]["provenance"]
    assert provenance["revision"] == published.git("rev-parse", "HEAD")
    assert provenance["tests"] == {"passed": 1, "skipped": 0}
    assert provenance["gates"] == {"of_release": 1, "passed": ["governance"]}
    assert "rebuilt" not in found


@pytest.mark.parametrize("what", ["missing", "swapped", "oversized"])
def test_an_attack_on_provenance_ends_with_code_5_and_a_hint(
    published: GitFolder, writ: Writ, tmp_path: Path, what: str
) -> None:
    live = json.loads(writ("verify", "--format", "json"))["provenance"]["digest"].removeprefix("sha256:")
    (victim,) = [path for path in provenance_files(tmp_path) if path.name.startswith(live)]
    (other,) = [path for path in provenance_files(tmp_path) if path != victim]
    victim.unlink()
    if what == "swapped":
        shutil.copy(other, victim)
    if what == "oversized":
        victim.write_bytes(b"{" * 100_000)

    error, hint = writ("verify", code=5).splitlines()

    assert error.startswith("error: ")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    ("arguments", "number"), [(("--rebuild",), 2), (("--rebuild", "live"), 2), (("--rebuild", "1"), 1)]
)
def test_a_release_that_rebuilds_is_said_so(
    published: GitFolder, writ: Writ, arguments: tuple[str, ...], number: int
) -> None:
    revision = published.git("rev-parse", f"HEAD~{2 - number}")

    text = writ("verify", *arguments)
    found = json.loads(writ("verify", *arguments, "--format", "json"))["rebuilt"]

    assert f"rebuilt     release {number}: commit {revision[:12]} gives its content, {found['content']}" in text
    assert (found["release"], found["revision"]) == (number, revision)


@pytest.fixture
def forged(published: GitFolder, writ: Writ) -> None:
    """Release 3, made with the publisher's keys, has a bundle that its commit does not give, and no provenance."""
    publisher = Workspace.open(published.path).publisher("prod")
    live = publisher.reader.read().verified.release
    assert live is not None
    blob, bundle = build_bundle(name=live.name, revision=live.revision, dirty=False, files={"matcher.jsonl": b""})
    release = replace(
        live,
        release=3,
        sha256=bundle.sha256,
        length=len(blob),
        content_sha256=bundle.content_sha256,
        policy_sha256=bundle.policy_sha256,
        provenance_sha256="",
    )
    commit(publisher, lambda *_: Proposal(release, blob))
    writ("ledger", "sync")


@pytest.mark.usefixtures("forged")
def test_a_release_that_its_commit_does_not_give_ends_with_code_5(writ: Writ) -> None:
    error, hint = writ("verify", "--rebuild", "--format", "json", code=5).splitlines()

    assert error.startswith("error: release 3 of prod: its commit ")
    assert error.endswith("; different: data.json, matcher.jsonl, policies/a.yaml, selftest.jsonl, writ.yaml")
    assert hint.startswith("hint: ")


@pytest.mark.usefixtures("forged")
def test_a_release_that_was_made_without_provenance_is_no_error(writ: Writ) -> None:
    assert "\nprovenance  none: release 3 was published by a version that made none\n" in writ("verify")
    assert json.loads(writ("verify", "--format", "json"))["provenance"] is None


def test_a_shallow_clone_rebuilds_nothing(published: GitFolder, writ_at: Writ, tmp_path: Path) -> None:
    clone = published.clone(tmp_path / "clone", "--depth=1")

    printed = writ_at(clone, "verify", "--rebuild", code=2)

    assert "this is a shallow clone" in printed
    assert "git fetch --unshallow" in printed


def test_what_is_no_release_is_refused(published: GitFolder, writ: Writ) -> None:
    assert "--rebuild 'newest': is no release" in writ("verify", "--rebuild", "newest", code=2)
    assert "no release 9 (the live one is 2)" in writ("verify", "--rebuild", "9", code=2)
