"""The ledger as an auditor sees it: with plain git."""

import datetime
import subprocess
from pathlib import Path
from typing import Any

import pygit2
import pytest

from builder.ledger.branch import LedgerError, extend_ledger, rebuild_ledger, verify_ledger
from builder.ledger.commits import LedgerCommitError, LedgerWriteError, SourceMissingError, check_source
from builder.source import PolicyRepository
from policy_core.errors import ConflictError, UsageError

World = Any  # of ../conftest.py
HOUR = datetime.timedelta(hours=1)


def history(world: World, channel: str = "prod") -> Any:
    reader = world.publisher(channel).reader
    return reader.history(reader.read())


def extend(world: World, channel: str = "prod", *, folder: Any = None) -> Any:
    return extend_ledger(PolicyRepository.open((folder or world.folder).path).git, channel, history(world, channel))


def rebuild(world: World, *, folder: Any = None) -> Any:
    return rebuild_ledger(PolicyRepository.open((folder or world.folder).path).git, "prod", history(world))


def verify(world: World, *, folder: Any = None) -> Any:
    return verify_ledger(PolicyRepository.open((folder or world.folder).path).git, "prod", history(world))


def live_before(world: World, moment: datetime.datetime, *, folder: Any = None) -> str:
    """Ask plain git, as the documentation says."""
    before = moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    arguments = ("log", "-1", "--first-parent", "--format=%s", f"--before={before}", "live/prod")
    subject: str = (folder or world.folder).git(*arguments)
    return subject


@pytest.fixture
def world(world: World) -> World:
    """Three releases an hour apart: publish, publish, rollback."""
    world.begin = world.now
    world.first = world.folder.git("rev-parse", "HEAD")
    world.now += HOUR
    world.publish()
    world.now += HOUR
    world.second = world.folder.commit_policy("second")
    world.publish()
    world.now += HOUR
    world.roll_back(reason="denies too much")
    return world


def test_plain_git_says_what_was_live_at_any_moment(world: World) -> None:
    extend(world)

    assert live_before(world, world.begin + HOUR / 2) == "begin: ledger of prod"
    assert live_before(world, world.begin + HOUR) == "publish: release 1 of prod"
    assert live_before(world, world.begin + 1.5 * HOUR) == "publish: release 1 of prod"
    assert live_before(world, world.begin + 2.5 * HOUR) == "publish: release 2 of prod"
    assert live_before(world, world.begin + 9 * HOUR) == "rollback: release 3 of prod"
    assert live_before(world, world.begin - HOUR) == ""


def test_plain_git_shows_the_policy_that_was_live(world: World) -> None:
    extend(world)

    assert "reason: second" in world.folder.git("show", "live/prod~1:policies/a.yaml")
    assert "reason: first" in world.folder.git("show", "live/prod:policies/a.yaml")


def test_a_ledger_tree_holds_what_the_bundle_was_made_from_and_nothing_else(world: World) -> None:
    folders = {f"{name}/README.md": "x" for name in ("tests", "classify", "exceptions", "corpus", "elsewhere")}
    world.folder.commit({"README.md": "x", "data/a.yaml": "x: 1\n", **folders})
    world.publish()
    extend(world)

    assert world.folder.git("ls-tree", "--name-only", "live/prod").split() == [
        "classify", "data", "exceptions", "policies", "writ.yaml",
    ]  # fmt: skip


def test_the_second_parent_is_the_source(world: World) -> None:
    extend(world)

    assert world.folder.git("rev-parse", "live/prod^2", "live/prod~1^2", "live/prod~2^2").split() == [
        world.first, world.second, world.first,
    ]  # fmt: skip


def test_the_branch_begins_with_an_empty_tree(world: World) -> None:
    extend(world)

    assert world.folder.git("ls-tree", "live/prod~3") == ""
    assert world.folder.git("rev-list", "--count", "--first-parent", "live/prod") == "4"


def test_trailers_say_who_what_and_why(world: World) -> None:
    extend(world)
    release = world.seen().release

    trailers = world.folder.git("log", "-1", "--format=%(trailers:only,unfold)", "live/prod").splitlines()

    assert trailers == [
        "Writ-Action: rollback",
        "Writ-Release: 3",
        f"Writ-Revision: {world.first}",
        f"Writ-Bundle: sha256:{release.sha256}",
        f"Writ-Content: sha256:{release.content_sha256}",
        "Writ-Actor: Ada",
        "Writ-Reason: denies too much",
    ]


def test_a_reason_that_looks_like_a_trailer_stays_a_reason(world: World) -> None:
    world.folder.commit_policy("third")
    world.publish()
    world.roll_back(reason="Writ-Release: 99")
    extend(world)

    values = world.folder.git("log", "-1", "--format=%(trailers:key=Writ-Release,valueonly)", "live/prod")

    assert values == "5"


def test_every_clone_derives_the_same_commits(world: World, tmp_path: Path) -> None:
    ours = extend(world)
    clone = world.folder.clone(tmp_path / "clone", "--branch", "main", "--single-branch")
    clone.git("config", "user.name", "Someone Else")
    clone.git("config", "commit.gpgsign", "true")

    assert rebuild(world, folder=clone).tip == ours.tip


def test_a_lost_branch_is_derived_again(world: World) -> None:
    before = extend(world)
    world.folder.git("branch", "-D", "live/prod")

    assert rebuild(world).tip == before.tip
    assert verify(world).tip == before.tip


def test_step_by_step_gives_the_same_as_all_at_once(world: World, tmp_path: Path) -> None:
    for reason in ("third", "fourth"):
        world.folder.commit_policy(reason)
        world.publish()
        tip = extend(world).tip
    clone = world.folder.clone(tmp_path / "clone", "--branch", "main", "--single-branch")

    assert rebuild(world, folder=clone).tip == tip


def test_extending_what_is_complete_adds_nothing(world: World) -> None:
    first = extend(world)

    again = extend(world)

    assert (again.tip, again.added, again.releases) == (first.tip, 0, 3)


def test_extending_reads_no_more_history_than_needed(world: World, recording: type[Any]) -> None:
    extend(world)
    world.folder.commit_policy("third")
    world.publish()
    store = recording(world.store)
    reader = world.publisher(store=store).reader
    state = reader.read()
    store.calls.clear()

    extend_ledger(PolicyRepository.open(world.folder.path).git, "prod", reader.history(state))

    snapshots = [call for call in store.calls if "snapshot" in call]
    assert len(snapshots) == 2  # the predecessor, and the one before it that shows where that release began


def test_neither_index_nor_work_tree_is_touched(world: World) -> None:
    world.folder.write({"policies/a.yaml": "changed", "staged.txt": "staged"})
    world.folder.git("add", "staged.txt")
    before = world.folder.git("status", "--porcelain")

    extend(world)

    assert world.folder.git("status", "--porcelain") == before
    assert world.folder.git("symbolic-ref", "HEAD") == "refs/heads/main"


def test_dates_never_decrease(world: World) -> None:
    world.now -= 5 * HOUR
    world.folder.commit_policy("third")
    world.publish()
    extend(world)

    dates = [int(date) for date in world.folder.git("log", "--first-parent", "--format=%ct", "live/prod").split()]

    assert dates == sorted(dates, reverse=True)
    assert live_before(world, world.begin + 3 * HOUR) == "publish: release 4 of prod"


def forge_deep_down(world: World, git: pygit2.Repository) -> None:
    """Move the branch to the right newest commit on top of a forged one."""
    from builder.ledger.commits import make_commit

    newest = next(iter(history(world)))
    signature = pygit2.Signature("x", "x@example.com", 0, 0)
    forged = git.create_commit(None, signature, signature, "x\n\nWrit-Release: 2\n", git.TreeBuilder().write(), [])
    git.references["refs/heads/live/prod"].set_target(make_commit(git, "prod", newest, forged))


class TestABranchThatDisagrees:
    @pytest.fixture
    def git(self, world: World) -> pygit2.Repository:
        extend(world)
        return PolicyRepository.open(world.folder.path).git

    def test_with_another_message_is_refused(self, world: World, git: pygit2.Repository) -> None:
        world.folder.git("checkout", "--quiet", "live/prod")
        world.folder.git("commit", "--quiet", "--amend", "--message", "rollback: release 3\n\nWrit-Release: 3")
        world.folder.git("checkout", "--quiet", "main")

        for check in (extend, rebuild, verify):
            with pytest.raises(LedgerError, match=r"live/prod: its commit for release 3 is not the one"):
                check(world)

    def test_deep_down_is_found_by_a_full_check(self, world: World, git: pygit2.Repository) -> None:
        forge_deep_down(world, git)

        with pytest.raises(LedgerError, match="its first commit is not the one"):
            verify(world)
        with pytest.raises(LedgerError, match="its first commit is not the one"):
            rebuild(world)

    def test_deep_down_at_origin_is_not_taken_over_by_a_fresh_clone(
        self, world: World, git: pygit2.Repository, tmp_path: Path
    ) -> None:
        """Who may push to origin, but holds no key, rewrites the past and hopes for the next publisher to go on."""
        forge_deep_down(world, git)
        clone = world.folder.clone(tmp_path / "clone")

        with pytest.raises(LedgerError, match="its first commit is not the one"):
            extend(world, folder=clone)
        assert clone.git("branch", "--list", "live/prod") == ""

    def test_that_is_another_branch_is_refused(self, world: World, git: pygit2.Repository) -> None:
        world.folder.git("branch", "--force", "live/prod", "main")

        for check in (extend, rebuild, verify):
            with pytest.raises(LedgerError, match="is not the one the signed history gives"):
                check(world)

    def test_that_is_ahead_of_the_store_is_refused(self, world: World, git: pygit2.Repository) -> None:
        entries = list(history(world))[1:]

        for check in (extend_ledger, rebuild_ledger, verify_ledger):
            with pytest.raises(LedgerError, match="has release 3, the store only 2"):
                check(git, "prod", iter(entries))

    def test_is_never_moved_by_force(self, world: World, git: pygit2.Repository) -> None:
        world.folder.git("branch", "--force", "live/prod", "main")
        with pytest.raises(LedgerError) as raised:
            rebuild(world)

        assert world.folder.git("rev-parse", "live/prod") == world.folder.git("rev-parse", "main")
        assert "git branch -m live/prod" in raised.value.hint

    def test_that_is_behind_does_not_pass_verification(self, world: World, git: pygit2.Repository) -> None:
        world.folder.git("branch", "--force", "live/prod", "live/prod~1")

        with pytest.raises(LedgerError, match=r"ends with release 2 \(the signed history ends with release 3\)"):
            verify(world)
        assert extend(world).added == 1

    def test_that_is_missing_does_not_pass_verification(self, world: World, git: pygit2.Repository) -> None:
        world.folder.git("branch", "-D", "live/prod")

        with pytest.raises(LedgerError, match="live/prod: missing"):
            verify(world)


def test_a_checked_out_ledger_is_not_moved(world: World) -> None:
    extend(world)
    world.folder.git("checkout", "--quiet", "live/prod")
    world.folder.git("checkout", "--quiet", "main")
    world.folder.commit_policy("third")
    world.publish()
    world.folder.git("checkout", "--quiet", "live/prod")

    with pytest.raises(UsageError, match="is checked out here"):
        extend(world)


def test_a_branch_that_another_process_has_extended_is_not_moved_back(world: World) -> None:
    entries = list(history(world))
    git = PolicyRepository.open(world.folder.path).git

    def overtaken() -> Any:
        yield entries[1]  # what this process saw
        extend(world)  # meanwhile another one saw, and recorded, release 3
        yield from entries[2:]

    extend_ledger(git, "prod", overtaken())

    assert world.folder.git("log", "-1", "--format=%s", "live/prod") == "rollback: release 3 of prod"


def test_a_branch_called_live_is_in_the_way_and_said_so(world: World) -> None:
    world.folder.git("branch", "live")

    with pytest.raises(ConflictError, match="live/prod: cannot be moved"):
        extend(world)


def test_objects_that_cannot_be_written_are_no_bug(world: World) -> None:
    objects = world.folder.path / ".git/objects"
    world.folder.git("gc", "--quiet", "--prune=now")
    for folder in objects.glob("??"):
        folder.rmdir()
    for number in range(256):
        (objects / f"{number:02x}").write_text("in the way")

    with pytest.raises(LedgerWriteError, match="ledger of prod: git cannot write"):
        extend(world)


class TestASource:
    @pytest.fixture
    def git(self, world: World) -> pygit2.Repository:
        extend(world)
        return PolicyRepository.open(world.folder.path).git

    def test_is_a_commit_of_the_policies(self, world: World, git: pygit2.Repository) -> None:
        check_source(git, world.second)

    def test_may_have_merged_a_ledger(self, world: World, git: pygit2.Repository) -> None:
        world.folder.git("merge", "--quiet", "--strategy=ours", "--allow-unrelated-histories", "-m", "x", "live/prod")

        check_source(git, world.folder.git("rev-parse", "HEAD"))

    @pytest.mark.parametrize("revision", ["live/prod", "live/prod~1", "live/prod~3"])
    def test_is_no_ledger_commit(self, world: World, git: pygit2.Repository, revision: str) -> None:
        with pytest.raises(LedgerCommitError):
            check_source(git, world.folder.git("rev-parse", revision))

    def test_is_not_on_top_of_a_ledger(self, world: World, git: pygit2.Repository) -> None:
        world.folder.git("checkout", "--quiet", "-b", "hotfix", "live/prod")

        with pytest.raises(LedgerCommitError):
            check_source(git, world.folder.commit_policy("hotfix"))


def test_a_clone_without_the_sources_says_so(world: World, tmp_path: Path) -> None:
    world.folder.git("branch", "old", world.first)
    elsewhere = tmp_path / "elsewhere"
    subprocess.run(["git", "init", "--quiet", elsewhere], check=True)

    with pytest.raises(SourceMissingError, match="is not in this clone"):
        rebuild_ledger(PolicyRepository.open(elsewhere).git, "prod", history(world))


def test_a_fresh_clone_goes_on_from_the_ledger_of_origin(world: World, tmp_path: Path) -> None:
    extend(world)
    clone = world.folder.clone(tmp_path / "clone")
    world.folder.commit_policy("third")
    world.publish()
    clone.git("fetch", "--quiet", "origin")

    ledger = extend(world, folder=clone)

    assert (ledger.added, ledger.releases) == (1, 4)
    assert ledger.tip == extend(world).tip
