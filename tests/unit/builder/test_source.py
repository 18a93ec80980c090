"""The policy repository read through pygit2, on real repositories."""

import os
import subprocess
from pathlib import Path

import pygit2
import pytest

from builder import source
from builder.source import NO_COMMIT, PolicyRepository
from policy_core.errors import InvalidPolicyError, UsageError

FILES = {
    "writ.yaml": "name: demo\n",
    "policies/a.yaml": "version: v1\n",
    "policies/deep/b.yaml": "version: v1\n",
    "README.md": "not policy\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    pygit2.init_repository(str(root), initial_head="main")
    write(root, FILES)
    commit(root, "first")
    return root


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def commit(root: Path, message: str) -> str:
    git = pygit2.Repository(str(root))
    git.index.add_all()
    git.index.write()
    signature = pygit2.Signature("Test", "test@example.org", 1_700_000_000, 0)
    parents = [] if git.head_is_unborn else [git.head.target]
    return str(git.create_commit("HEAD", signature, signature, message, git.index.write_tree(), parents))


def commit_entry(root: Path, name: str | bytes, oid: pygit2.Oid, mode: int) -> str:
    """Commit a policies/ folder with one raw entry, as a hostile client could."""
    git = pygit2.Repository(str(root))
    folder = git.TreeBuilder()
    folder.insert(name, oid, mode)
    top = git.TreeBuilder()
    top.insert("policies", folder.write(), pygit2.enums.FileMode.TREE)
    signature = pygit2.Signature("Test", "test@example.org", 1_700_000_000, 0)
    return str(git.create_commit(None, signature, signature, "hostile", top.write(), []))


def messages(error: InvalidPolicyError) -> list[str]:
    return [f"{problem.where}: {problem.message}" for problem in error.problems]


def test_tree_reads_the_paths_that_matter_sorted(repo: Path) -> None:
    repository = PolicyRepository.open(repo)

    tree = repository.tree("HEAD")

    assert list(tree.files) == ["policies/a.yaml", "policies/deep/b.yaml", "writ.yaml"]
    assert tree.files["writ.yaml"] == b"name: demo\n"
    assert tree.revision == repository.resolve("main")
    assert len(tree.revision) == 40
    assert not tree.dirty


def test_tree_ignores_local_edits_and_worktree_sees_them(repo: Path) -> None:
    repository = PolicyRepository.open(repo)
    (repo / "policies/a.yaml").write_text("edited\n")

    assert repository.tree("HEAD").files["policies/a.yaml"] == b"version: v1\n"
    assert repository.worktree().files["policies/a.yaml"] == b"edited\n"
    assert repository.worktree().dirty


def test_below_yields_one_folder(repo: Path) -> None:
    tree = PolicyRepository.open(repo).tree("HEAD")

    assert [path for path, _ in tree.below("policies")] == ["policies/a.yaml", "policies/deep/b.yaml"]


def test_open_finds_the_repository_from_a_subfolder(repo: Path) -> None:
    assert PolicyRepository.open(repo / "policies" / "deep").resolve("HEAD")


def test_bare_repository_has_a_tree_but_no_worktree(repo: Path, tmp_path: Path) -> None:
    bare = pygit2.clone_repository(str(repo), str(tmp_path / "bare.git"), bare=True)
    repository = PolicyRepository.open(Path(bare.path))

    assert "writ.yaml" in repository.tree("HEAD").files
    assert not repository.is_dirty()
    with pytest.raises(UsageError, match="bare repository has no work tree"):
        repository.worktree()


def test_folder_without_git_is_a_usage_error_with_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no git repository here or above") as caught:
        PolicyRepository.open(tmp_path)

    assert "writ init" in caught.value.hint


def test_damaged_repository_is_a_usage_error(repo: Path) -> None:
    (repo / ".git/config").write_text("[core\n")

    with pytest.raises(UsageError, match="git cannot open"):
        PolicyRepository.open(repo)


@pytest.mark.parametrize("revision", ["HEAD", "main"])
def test_empty_repository_says_it_has_no_commit(tmp_path: Path, revision: str) -> None:
    pygit2.init_repository(str(tmp_path / "empty"), initial_head="main")
    repository = PolicyRepository.open(tmp_path / "empty")

    with pytest.raises(UsageError, match="no commit yet") as caught:
        repository.tree(revision)

    assert "git commit" in caught.value.hint


def test_worktree_of_an_empty_repository_can_be_linted(tmp_path: Path) -> None:
    pygit2.init_repository(str(tmp_path), initial_head="main")
    write(tmp_path, FILES)

    tree = PolicyRepository.open(tmp_path).worktree()

    assert tree.revision == NO_COMMIT
    assert "policies/a.yaml" in tree.files


@pytest.mark.parametrize("revision", ["nope", "0123456789", "HEAD~99", "", "..", "HEAD:writ.yaml", "@{", "a b", "-x"])
def test_unknown_revision_is_a_usage_error(repo: Path, revision: str) -> None:
    with pytest.raises(UsageError, match="no such commit"):
        PolicyRepository.open(repo).resolve(revision)


def test_ambiguous_revision_is_a_usage_error(repo: Path) -> None:
    git = pygit2.Repository(str(repo))
    seen: dict[str, str] = {}
    number = 0
    while True:  # about 400 blobs until two ids share four digits
        oid = str(git.create_blob(b"%d" % number))
        if oid[:4] in seen:
            break
        seen[oid[:4]] = oid
        number += 1

    with pytest.raises(UsageError, match="more than one"):
        PolicyRepository.open(repo).resolve(oid[:4])


def test_resolve_peels_annotated_tags(repo: Path) -> None:
    git = pygit2.Repository(str(repo))
    head = git.head.target
    git.create_tag("v1", head, pygit2.enums.ObjectType.COMMIT, pygit2.Signature("T", "t@example.org"), "v1")

    assert PolicyRepository.open(repo).resolve("v1") == str(head)


def test_shallow_clone_is_refused_where_history_is_needed(repo: Path, tmp_path: Path) -> None:
    write(repo, {"policies/c.yaml": "version: v1\n"})
    commit(repo, "second")
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", repo.as_uri(), str(tmp_path / "shallow")], check=True, capture_output=True
    )
    shallow = PolicyRepository.open(tmp_path / "shallow")

    assert shallow.is_shallow
    with pytest.raises(UsageError, match="shallow clone") as caught:
        shallow.require_history()

    assert "--unshallow" in caught.value.hint
    PolicyRepository.open(repo).require_history()


def test_grafts_are_refused_where_history_is_needed(repo: Path, tmp_path: Path) -> None:
    """A line in that file gives a commit other parents, so that nobody sees what lies between."""
    subprocess.run(["git", "worktree", "add", "--quiet", tmp_path / "beside"], cwd=repo, check=True)
    PolicyRepository.open(tmp_path / "beside").require_history()
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/grafts").write_text("")

    for folder in (repo, tmp_path / "beside"):
        with pytest.raises(UsageError, match=r"info/grafts makes up a history"):
            PolicyRepository.open(folder).require_history()


def test_symbolic_link_is_refused_in_commit_and_work_tree(repo: Path) -> None:
    (repo / "policies/link.yaml").symlink_to("/etc/hostname")
    commit(repo, "link")
    repository = PolicyRepository.open(repo)

    for read in (lambda: repository.tree("HEAD"), repository.worktree):
        with pytest.raises(InvalidPolicyError) as caught:
            read()
        assert messages(caught.value) == ["policies/link.yaml: is a symbolic link"]


def test_linked_policy_folder_is_refused(repo: Path, tmp_path: Path) -> None:
    (repo / "data").symlink_to(tmp_path)

    with pytest.raises(InvalidPolicyError) as caught:
        PolicyRepository.open(repo).worktree()

    assert messages(caught.value) == ["data: is a symbolic link"]


def test_submodule_is_refused_in_commit_and_work_tree(repo: Path) -> None:
    revision = commit_entry(repo, "sub", pygit2.Oid(hex="1" * 40), pygit2.enums.FileMode.COMMIT)
    pygit2.init_repository(str(repo / "policies/sub"))
    repository = PolicyRepository.open(repo)

    for read in (lambda: repository.tree(revision), repository.worktree):
        with pytest.raises(InvalidPolicyError) as caught:
            read()
        assert messages(caught.value) == ["policies/sub: is a submodule"]


def test_fifo_is_refused_without_reading_it(repo: Path) -> None:
    os.mkfifo(repo / "policies/pipe.yaml")

    with pytest.raises(InvalidPolicyError, match="1 problem"):
        PolicyRepository.open(repo).worktree()


@pytest.mark.parametrize("name", ["a b.yaml", "ü.yaml", "a\\b.yaml", "x\x1b[31m.yaml", "a\n.yaml"])
def test_unusable_file_name_is_refused_and_printed_harmlessly(repo: Path, name: str) -> None:
    revision = commit_entry(repo, name, pygit2.Repository(str(repo)).create_blob(b""), pygit2.enums.FileMode.BLOB)

    with pytest.raises(InvalidPolicyError) as caught:
        PolicyRepository.open(repo).tree(revision)

    (problem,) = caught.value.problems
    assert "unusable file name" in problem.message
    assert (problem.file + problem.message).isprintable()


def test_undecodable_file_name_is_refused(repo: Path) -> None:
    (repo / "policies" / os.fsdecode(b"\xff.yaml")).write_text("")
    commit(repo, "hostile")
    repository = PolicyRepository.open(repo)

    for read in (lambda: repository.tree("HEAD"), repository.worktree):
        with pytest.raises(InvalidPolicyError) as caught:
            read()
        assert "unusable file name" in caught.value.problems[0].message
    assert not repository.is_dirty()


def test_limits_on_size_count_and_depth(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = PolicyRepository.open(repo)
    write(repo, {"policies/" + "d/" * 20 + "x.yaml": "", "policies/big.yaml": "x" * 200})
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 100)

    with pytest.raises(InvalidPolicyError) as caught:
        repository.worktree()

    big, deep = caught.value.problems
    assert big.message == "file is too large (200 bytes, limit 100)"
    assert deep.message == "folders are nested too deeply (limit 16)"


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 2), ("MAX_TREE_BYTES", 15)])
def test_totals_are_bounded(repo: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(source, limit, value)

    with pytest.raises(InvalidPolicyError):
        PolicyRepository.open(repo).tree("HEAD")


def test_ignored_files_are_not_part_of_the_work_tree_unless_tracked(repo: Path) -> None:
    write(repo, {".gitignore": "*.bak\na.yaml\n", "policies/x.bak": "junk"})

    files = PolicyRepository.open(repo).worktree().files

    assert "policies/x.bak" not in files
    assert "policies/a.yaml" in files


@pytest.mark.parametrize(
    ("change", "dirty"),
    [
        ({}, False),
        ({"README.md": "new"}, False),
        ({"policies/a.yaml": "new"}, True),
        ({"data/new.yaml": "a: 1"}, True),
        ({"writ.yaml": "name: other"}, True),
    ],
)
def test_dirty_means_a_path_that_matters_differs_from_head(repo: Path, change: dict[str, str], dirty: bool) -> None:
    write(repo, change)

    assert PolicyRepository.open(repo).is_dirty() is dirty


def test_descends_is_strict_and_false_for_unknown_commits(repo: Path) -> None:
    first = PolicyRepository.open(repo).resolve("HEAD")
    write(repo, {"policies/c.yaml": ""})
    second = commit(repo, "second")
    repository = PolicyRepository.open(repo)

    assert repository.descends(second, first)
    assert not repository.descends(first, second)
    assert not repository.descends(first, first)
    assert not repository.descends("f" * 40, first)


def test_missing_object_is_a_usage_error_not_a_bug(repo: Path) -> None:
    git = pygit2.Repository(str(repo))
    blob = str(git.revparse_single("HEAD:policies/a.yaml").id)
    (repo / ".git/objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(UsageError, match="missing or damaged"):
        PolicyRepository.open(repo).tree("HEAD")
