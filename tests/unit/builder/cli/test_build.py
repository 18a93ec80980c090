"""``writ build``, as its users call it: output, streams and exit codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from policy_core.bundle import read_bundle

Writ = Callable[..., Any]


def test_build_prints_digests_and_writes_the_bundle(writ: Writ, policies: Any, tmp_path: Path) -> None:
    run = writ("build", "-o", str(tmp_path / "out.tar.gz"))

    bundle = read_bundle((tmp_path / "out.tar.gz").read_bytes())
    assert run.code == 0
    assert f"sha256:{bundle.sha256}" in run.out
    assert f"sha256:{bundle.policy_sha256}" in run.out
    assert bundle.revision == policies.git("rev-parse", "HEAD")
    assert not bundle.dirty
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_the_same_commit_gives_the_same_bundle_in_another_clone(writ: Writ, policies: Any, tmp_path: Path) -> None:
    here = writ("build", "--format", "json").json
    policies.write({"policies/a.yaml": "broken"})
    clone = policies.clone(tmp_path / "elsewhere")

    there = writ("build", "--format", "json", at=clone.path).json

    assert there == here
    assert set(here) == {
        "name", "revision", "dirty", "policies", "rules", "length", "sha256", "content_sha256", "policy_sha256", "file",
    }  # fmt: skip


def test_build_says_that_uncommitted_changes_are_left_out(writ: Writ, policies: Any) -> None:
    before = writ("build")
    policies.write({"policies/b.yaml": "version: v1\nrules: [{id: r, decision: deny}]\n"})

    run = writ("build")

    assert run.err == "note: uncommitted changes are not in the bundle\n"
    assert run.out == before.out
    assert before.err == ""
    assert writ("build", "HEAD~1").err == ""


def test_build_of_the_work_tree_is_marked_dirty(writ: Writ, policies: Any, tmp_path: Path) -> None:
    policies.write({"policies/b.yaml": "version: v1\nrules: [{id: r, decision: deny}]\n"})

    run = writ("build", "--worktree", "-o", str(tmp_path / "b.tar.gz"))

    assert "(dirty: with uncommitted files, never published)" in run.out
    assert read_bundle((tmp_path / "b.tar.gz").read_bytes()).dirty
    assert writ("build", "--worktree", "HEAD").code == 2


def test_build_into_a_folder_that_is_not_there_is_a_usage_error(writ: Writ, tmp_path: Path) -> None:
    run = writ("build", "-o", str(tmp_path / "no/where.tar.gz"))

    assert run.code == 2
    assert "cannot be written" in run.err


def test_build_in_an_empty_repository_asks_for_a_commit(writ: Writ, tmp_path: Path, policies: Any) -> None:
    (tmp_path / "empty").mkdir()
    policies.git("init", "--quiet", str(tmp_path / "empty"))

    run = writ("build", at=tmp_path / "empty")

    assert run.code == 2
    assert "no commit yet" in run.err
