"""``governance.approvals`` at a publish: judged by what is live, on the record, and looked at again by approvers."""

import base64
import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.ledger.branch import rebuild_ledger
from builder.ledger.commits import branch_name
from builder.merging.judging import Approvals, MissingApprovalsError
from builder.merging.reviews import ReviewRecord
from builder.publishing.approve import review
from builder.publishing.candidate import Candidate, prepare_candidate
from builder.publishing.channels import Histories
from builder.publishing.commit import Outcome
from builder.publishing.gates import require_live_gates
from builder.publishing.pending import PendingError
from builder.publishing.promote import find_promotable, promote
from builder.publishing.provenance import Gates, Provenance
from builder.publishing.publish import publish
from builder.rebuilding import provenance_of
from builder.source import PolicyRepository
from policy_core.trust.release import MAX_REVIEWERS
from tests.unit.builder.publishing.people import give_to_people

World = Any  # of tests/unit/builder/conftest.py

GOVERNANCE = (
    "governance:\n  teams: {security: [ana, bo]}\n"
    "  approvals: {policies/**: [security], writ.yaml: [security], trust/**: [security]}\n"
)


class Desk:
    """Commits, signed or not, and their publication."""

    def __init__(self, world: World, keys: Path) -> None:
        self.world, self.keys = world, keys
        for name in ("ana", "bo"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", keys / name]
            subprocess.run(command, check=True)

    def commit(self, files: dict[str, str], *, signed: str = "") -> str:
        folder = self.world.folder
        folder.write(files)
        folder.git("add", "--all")
        sign = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys / signed}"] if signed else []
        folder.git(*sign, "commit", "--quiet", *(["-S"] if signed else []), "--message", "Change")
        return str(folder.git("rev-parse", "HEAD"))

    def policy(self, reason: str, *, signed: str = "") -> str:
        policy = f"version: v1\nrules: [{{id: r, match: {{actions: [x]}}, decision: allow, reason: {reason}}}]\n"
        return self.commit({"policies/a.yaml": policy}, signed=signed)

    def signers(self, *names: str) -> dict[str, str]:
        return {"trust/signers": "".join(f"{name} {(self.keys / f'{name}.pub').read_text()}" for name in names)}

    def settings(self, governance: str = GOVERNANCE) -> dict[str, str]:
        before = (self.world.folder.path / "writ.yaml").read_text().partition("governance:")[0]
        return {"writ.yaml": before + governance}

    @property
    def repository(self) -> PolicyRepository:
        return PolicyRepository.open(self.world.folder.path)

    def candidate(self, revision: str, *reviews: ReviewRecord) -> Candidate:
        return prepare_candidate(self.repository, revision, today=self.world.now.date(), reviews=reviews)

    def publish(self, *reviews: ReviewRecord, channel: str = "prod") -> Outcome:
        return publish(self.world.publisher(channel), self.repository, self.candidate("HEAD", *reviews), actor="ci")

    def promote(self, *reviews: ReviewRecord) -> Outcome:
        source = find_promotable(self.histories.of("staging"), "staging", None)
        candidate = self.candidate(source.revision, *reviews)
        return promote(self.world.publisher("prod"), self.repository, candidate, source, reason="", actor="ci")

    def review(self, *reviews: ReviewRecord) -> Any:
        prepare = partial(prepare_candidate, self.repository, today=self.world.now.date(), reviews=reviews)
        return review(self.world.publisher("prod"), self.repository, prepare, self.histories)

    @property
    def histories(self) -> Histories:
        return Histories(lambda channel: self.world.publisher(channel).reader)

    def provenance(self) -> Provenance:
        state = self.world.publisher().reader.read()
        found = provenance_of(self.world.store, state.verified.release, self.histories.of)
        assert found is not None
        return found


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Desk:
    """Release 1 demands approvals."""
    return demanding(world, tmp_path)


def demanding(world: World, tmp_path: Path, *channels: str) -> Desk:
    (tmp_path / "ssh").mkdir()
    made = Desk(world, tmp_path / "ssh")
    made.commit(made.settings() | made.signers("ana", "bo"))
    for channel in channels or ("prod",):
        made.publish(channel=channel)
    return made


def test_what_nobody_approved_is_not_published(desk: Desk) -> None:
    commit = desk.policy("evil")

    with pytest.raises(MissingApprovalsError) as caught:
        desk.publish()

    assert [problem.message for problem in caught.value.problems] == [
        f"commit {commit[:12]} lacks an approval of security (ana or bo)"
    ]
    assert desk.world.policies() == [(1, "publish")]


def test_who_approved_is_signed_and_on_the_record(desk: Desk) -> None:
    since = desk.world.seen().release.revision
    desk.policy("one", signed="bo")
    reviewed = desk.policy("two")

    outcome = desk.publish(ReviewRecord(reviewed, "ana", "approved"))

    assert outcome.release is not None
    assert desk.world.seen().release.reviewed_by == ("ana", "bo")
    gates = desk.provenance().gates
    assert (gates.of_release, gates.passed) == (1, ("governance", "approvals"))
    assert gates.approvals == Approvals(since, 2, {"security": ("ana", "bo")})


def test_the_statement_has_the_verdict_as_a_product_of_its_own(desk: Desk) -> None:
    since = desk.world.seen().release.revision
    desk.policy("one", signed="ana")
    release = desk.publish().release
    assert release is not None
    file = desk.world.store.get(
        f"targets/prod/{release.provenance_sha256}.demo-policies.provenance.json", max_bytes=9999
    )
    statement = json.loads(base64.b64decode(json.loads(file.body)["payload"]))

    gates, approvals = statement["predicate"]["runDetails"]["byproducts"][-2:]

    assert gates["annotations"] == {"of_release": 1, "passed": ["governance", "approvals"]}
    assert approvals == {
        "name": "approvals",
        "uri": "urn:writ:approvals",
        "annotations": {"since": since, "commits": 1, "teams": {"security": ["ana"]}},
    }


def test_of_very_many_reviewers_a_release_names_as_many_as_it_has_room_for() -> None:
    names = tuple(f"person-{number:03}" for number in range(MAX_REVIEWERS + 1))

    gates = Gates(1, ("approvals",), Approvals("a" * 40, 1, {"security": names}))

    assert gates.reviewed_by == names[:MAX_REVIEWERS]


def test_a_first_release_is_held_to_none(desk: Desk) -> None:
    assert desk.world.policies() == [(1, "publish")]
    assert desk.world.seen().release.reviewed_by == ()


def test_dropping_the_demand_is_held_to_it(desk: Desk) -> None:
    desk.commit(desk.settings(""))

    with pytest.raises(MissingApprovalsError):
        desk.publish()


def test_dropped_with_approval_it_is_gone_from_the_next_release_on(desk: Desk) -> None:
    desk.commit(desk.settings(""), signed="ana")
    desk.publish()
    desk.policy("anything")

    assert desk.publish().committed
    assert desk.provenance().gates.approvals is None


def test_a_signer_counts_only_once_the_list_is_live(desk: Desk) -> None:
    desk.commit(desk.signers("bo"), signed="bo")
    desk.policy("by ana", signed="ana")
    assert desk.publish().committed  # what is live still lists ana

    desk.policy("again by ana", signed="ana")
    with pytest.raises(MissingApprovalsError):
        desk.publish()


def test_a_key_is_taken_off_the_list_without_any_other_change(desk: Desk) -> None:
    desk.commit(desk.signers("bo"), signed="bo")

    outcome = desk.publish()

    assert outcome.committed
    assert desk.world.seen().release.release == 2


def test_without_the_demand_a_list_of_signers_is_nothing_to_publish(world: World, tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    desk = Desk(world, tmp_path / "ssh")
    desk.publish()
    desk.commit(desk.signers("bo"))

    assert not desk.publish().committed


def test_after_a_rollback_the_commits_since_the_newest_publish_are_judged(desk: Desk) -> None:
    desk.policy("one", signed="ana")
    desk.publish()
    desk.world.roll_back()
    desk.policy("two", signed="ana")

    desk.publish()

    assert desk.provenance().gates.approvals.commits == 1


def test_the_verdict_does_not_depend_on_the_order_of_reviews(desk: Desk) -> None:
    live = desk.world.seen().release
    commit = desk.policy("one")
    reviews = [ReviewRecord(commit, name, "approved") for name in ("ana", "bo")]

    gates = [
        require_live_gates(desk.repository, desk.candidate("HEAD", *order), live=live, since=live.revision)
        for order in (reviews, reviews[::-1])
    ]

    assert gates[0] == gates[1]


class TestPeopleWhoSign:
    @pytest.fixture
    def desk(self, world_of: Callable[..., World], file_url: str, tmp_path: Path) -> Desk:
        """Release 1 is live in staging and prod; from now on two people sign for prod."""
        world = world_of(file_url, channels=("staging", "prod"))
        made = demanding(world, tmp_path, "staging", "prod")
        give_to_people(world, "prod", "ana", "bo", "cy")
        return made

    def test_look_at_approvals_themselves(self, desk: Desk) -> None:
        reviewed = ReviewRecord(desk.policy("one"), "ana", "approved")
        desk.publish(reviewed, channel="staging")
        desk.promote(reviewed)

        with pytest.raises(MissingApprovalsError):
            desk.review()
        assert desk.review(reviewed).waiting.release.reviewed_by == ("ana",)

    def test_need_no_reviews_where_commits_are_signed(self, desk: Desk) -> None:
        desk.policy("one", signed="bo")
        desk.publish(channel="staging")
        desk.promote()

        assert desk.review().waiting.release.reviewed_by == ("bo",)

    def test_sign_no_release_that_makes_up_a_reviewer(self, desk: Desk) -> None:
        commit = desk.policy("one", signed="bo")
        desk.publish(channel="staging")
        desk.promote(ReviewRecord(commit, "ana", "approved"))

        with pytest.raises(PendingError, match=r"says that ana reviewed it, but no such approval counts here$"):
            desk.review()

    def test_sign_no_release_whose_provenance_does(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        commit = desk.policy("one", signed="bo")
        with monkeypatch.context() as builder:
            builder.setattr(Gates, "reviewed_by", ())
            desk.publish(ReviewRecord(commit, "ana", "approved"))

        with pytest.raises(PendingError, match=r"says that ana reviewed it, but no such approval counts here$"):
            desk.review()


def test_the_ledger_names_who_reviewed(desk: Desk) -> None:
    desk.policy("one", signed="ana")
    desk.publish()
    reader = desk.world.publisher().reader

    rebuild_ledger(desk.repository.git, "prod", reader.history(reader.read()))

    message = desk.world.folder.git("log", "-1", "--format=%B", branch_name("prod"))
    assert message.splitlines()[-1] == "Writ-Reviewed-By: ana"
