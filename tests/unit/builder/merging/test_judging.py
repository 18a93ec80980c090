"""What counts as an approval, and what the verdict says."""

from typing import Any

import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.merging.judging import MAX_NAMED, MissingApprovalsError
from builder.merging.reviews import APPROVED, STATES, ReviewRecord
from policy_core.errors import report

Desk = Any  # of conftest.py


def test_a_member_who_signs_a_commit_approves_it(desk: Desk) -> None:
    desk.policy("good", by="ana", signed="ana")

    verdict = desk.judge()

    assert (verdict.since, verdict.commits, verdict.teams) == (desk.live, 1, {"security": ("ana",)})


def test_also_if_somebody_else_wrote_it(desk: Desk) -> None:
    desk.policy("good", by="eve", signed="bo")

    assert desk.judge().names == ("bo",)


def test_a_signed_merge_that_says_so_approves_what_it_brings_in(desk: Desk) -> None:
    desk.branch("feature")
    desk.policy("one")
    desk.branch("part", "feature")
    desk.policy("two")
    desk.checkout("feature")
    desk.merge("part")
    desk.checkout("main")
    desk.merge("feature", message="Merge\n\nTwo policies.\n\nTicket: T-1\nApproved-by: ana", signed="ana")

    assert desk.judge().commits == 2


def test_a_merge_can_approve_what_was_merged_without(desk: Desk) -> None:
    """The way out: from what is live, merge all that came since, signed and said."""
    desk.policy("one")
    desk.policy("two")
    desk.branch("approved", desk.live)
    desk.merge("main", message="Approve\n\nApproved-by: bo", signed="bo")

    assert desk.judge().teams == {"security": ("bo",)}


def test_a_review_approves_the_commits_it_covers(desk: Desk) -> None:
    desk.branch("feature")
    first, second = desk.policy("one"), desk.policy("two")
    desk.checkout("main")
    desk.merge("feature")
    desk.review(second, "ana", first, second)

    assert desk.judge().teams == {"security": ("ana",)}


def test_an_approval_after_a_request_for_changes_counts(desk: Desk) -> None:
    commit = desk.policy("good")
    desk.review(commit, "ana", state="changes_requested")
    desk.review(commit, "ana")

    assert desk.judge().names == ("ana",)


def test_what_another_reviewer_says_takes_nothing_back(desk: Desk) -> None:
    commit = desk.policy("good")
    desk.review(commit, "ana")
    desk.review(commit, "bo", state="changes_requested")

    assert desk.judge().names == ("ana",)


def test_two_teams_are_satisfied_by_two_people_in_either_order(desk: Desk) -> None:
    """Ana is in both teams: whoever else approves, she counts for the other one."""
    commit = desk.commit({"exceptions/e.yaml": "x"}, signed="ana")
    desk.review(commit, "bo")

    assert desk.judge().teams == {"security": ("ana", "bo"), "sre": ("ana",)}


def test_what_no_glob_names_needs_nobody(desk: Desk) -> None:
    desk.commit({"README.md": "x", "data/a.yaml": "x", "policies.md": "x"})

    verdict = desk.judge()

    assert (verdict.commits, verdict.teams, verdict.names) == (0, {}, ())


def test_a_merge_that_adds_nothing_of_its_own_needs_nobody(desk: Desk) -> None:
    desk.branch("feature")
    desk.policy("one", signed="ana")
    desk.checkout("main")
    desk.commit({"README.md": "x"})
    desk.policy("two", signed="bo")
    desk.checkout("feature")
    desk.merge("main")
    desk.checkout("main")
    desk.merge("feature")

    assert desk.judge().commits == 2


def test_of_merges_crosswise_neither_needs_anybody(desk: Desk) -> None:
    desk.branch("left")
    left = desk.policy("one", signed="ana")
    desk.branch("right", desk.live)
    right = desk.policy("two", signed="ana")
    desk.merge(left)
    desk.checkout("left")
    desk.merge(right)
    desk.policy("three", signed="bo")
    desk.merge("right")

    assert desk.judge().commits == 3


def test_what_was_published_before_is_not_judged_again(desk: Desk) -> None:
    desk.live = desk.policy("old")
    desk.policy("good", signed="ana")

    assert desk.judge().commits == 1


def test_a_repository_without_signers_can_rely_on_reviews(desk: Desk) -> None:
    desk.live = desk.commit({"trust/signers": None})
    commit = desk.policy("good", signed="ana")
    assert "not listed" in desk.refusal().problems[0].hint
    desk.review(commit, "ana")

    assert desk.judge().names == ("ana",)


def test_the_verdict_does_not_depend_on_clock_zone_or_settings(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.policy("good", signed="ana")
    expected = desk.judge()
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    for name, value in {
        "gpg.minTrustLevel": "ultimate",
        "gpg.ssh.program": "false",
        "gpg.ssh.revocationFile": str(desk.keys / "ana.pub"),
        "gpg.ssh.allowedSignersFile": "/dev/null",
        "log.showSignature": "true",
        "log.follow": "true",
        "format.pretty": "raw",
        "color.ui": "always",
        "i18n.logOutputEncoding": "UTF-16",
    }.items():
        desk.git("config", name, value)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")

    assert desk.judge() == expected


def test_an_author_whose_name_is_no_text_is_no_obstacle(desk: Desk) -> None:
    desk.policy("good", by="eve")
    commit = desk.replace_head(lambda raw: raw.replace(b"author Eve", b"author \xff\xfe", 1))
    desk.review(commit, "ana")

    assert desk.judge().names == ("ana",)


def test_people_read_what_is_missing_and_what_helps(desk: Desk) -> None:
    commit = desk.commit({"policies/b.yaml": "x"}, message="Change\n\nApproved-by: bo")

    assert report(desk.refusal()) == [
        f"policies/b.yaml: commit {commit[:12]} lacks an approval of security (ana or bo) [E109]",
        "    hint: its trailer `Approved-by: bo` does not count, as that commit is not signed",
        "error: writ.yaml of release 1: 1 approval missing",
        f"hint: {MissingApprovalsError.default_hint}",
    ]


def test_of_very_many_the_first_are_named(desk: Desk) -> None:
    desk.commit({f"policies/{number}.yaml": "x" for number in range(MAX_NAMED + 3)})

    error = desk.refusal()

    assert error.message == f"writ.yaml of release 1: {MAX_NAMED + 3} approvals missing"
    assert len(error.problems) == MAX_NAMED + 1
    assert error.problems[-1].message == "and 3 more"


@settings(
    max_examples=examples(60, nightly=1_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_an_approval_more_never_takes_one_away(history: tuple[Desk, list[str]], data: st.DataObject) -> None:
    """Any reviews, and an approval put in anywhere: what was approved still is, and maybe more."""
    desk, commits = history
    ids = st.sampled_from(commits)
    people = st.sampled_from(("ana", "bo", "cy", "eve"))

    def reviews(states: tuple[str, ...]) -> st.SearchStrategy[ReviewRecord]:
        return st.builds(ReviewRecord, ids, people, st.sampled_from(states), st.frozensets(ids))

    desk.reviews = data.draw(st.lists(reviews(STATES), max_size=12))
    before = lacking(desk)
    place = data.draw(st.integers(0, len(desk.reviews)))
    desk.reviews.insert(place, data.draw(reviews((APPROVED,))))

    assert lacking(desk) <= before


@pytest.fixture
def history(desk: Desk) -> tuple[Desk, list[str]]:
    """Commit as three authors, one of them signed, and merge."""
    first = [desk.policy(f"p{number}", by=("eve", "ana", "bo")[number % 3]) for number in range(3)]
    desk.branch("feature")
    other = [desk.policy("q1"), desk.policy("q2", signed="ana")]
    desk.checkout("main")
    return desk, [*first, *other, desk.merge("feature")]


def lacking(desk: Desk) -> set[tuple[str, str]]:
    try:
        desk.judge()
    except MissingApprovalsError as error:
        return {(problem.file, problem.message) for problem in error.problems}
    return set()
