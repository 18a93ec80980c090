"""Releases that people sign: promoted, reviewed on a machine of their own, signed by two, made live."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from builder.publishing.approve import (
    NothingPendingError,
    SignedAlreadyError,
    UnderSignedError,
    approve,
    complete,
    review,
)
from builder.publishing.candidate import prepare_candidate
from builder.publishing.channels import Histories
from builder.publishing.commit import Outcome, Proposal, commit
from builder.publishing.pending import PendingError, StaleError
from builder.publishing.private_keys import KeyUnusableError
from builder.publishing.promote import find_promotable, promote
from builder.publishing.publish import SupersededError
from builder.publishing.publisher import Publisher
from builder.publishing.reviewing import document_digest, require_document
from builder.publishing.rollback import roll_back
from builder.rebuilding import RebuildError
from builder.source import PolicyRepository
from policy_core.bundle import build_bundle, read_bundle
from policy_core.errors import ConflictError, TrustError, UsageError
from policy_core.trust.layout import pending_object, target_object
from tests.unit.builder.publishing.people import give_to_people

World = Any  # of conftest.py
NAMES = ("ana", "bo", "cy")


@pytest.fixture
def people(world_of: Callable[..., World], file_url: str) -> "People":
    """Release 1 is live in staging; prod, which two of three people sign for, has no release yet."""
    return people_of(world_of(file_url, channels=("staging", "prod")))


def people_of(world: World) -> "People":
    made = People(world, give_to_people(world, "prod", *NAMES))
    world.publish(channel="staging")
    return made


class People:
    def __init__(self, world: World, signers: dict[str, CryptoSigner]) -> None:
        self.world = world
        self.signers = signers

    def promote(self, number: int | None = None) -> Outcome:
        histories = Histories(lambda channel: self.world.publisher(channel).reader)
        source = find_promotable(histories.of("staging"), "staging", number)
        candidate = prepare_candidate(self.repository, source.revision, today=self.world.now.date())
        return promote(
            self.world.publisher("prod"), self.repository, candidate, source, reason="seen working", actor="ci"
        )

    def review(self, name: str = "ana", *, number: int | None = None) -> Any:
        prepare = partial(prepare_candidate, self.repository, today=self.world.now.date())
        histories = Histories(lambda channel: self.world.publisher(channel).reader)
        return review(self.publisher(name), self.repository, prepare, histories, number=number)

    def approve(self, name: str) -> Any:
        return approve(self.publisher(name), self.review(name))

    def complete(self, *, number: int | None = None) -> Outcome:
        return complete(self.world.publisher("prod"), number=number)

    def publisher(self, name: str) -> Publisher:
        """Return a publisher with the key of one person."""
        path = self.world.tmp_path / f"{name}.pem"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(self.signers[name].private_bytes)
        environment = {**os.environ, "WRIT_SIGNER_PROD": f"file:{path}"}
        return self.world.publisher("prod", key_ring=replace(self.world.keys, environment=environment))

    @property
    def repository(self) -> PolicyRepository:
        return PolicyRepository.open(self.world.folder.path)

    def change(self, number: int, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a pending document in the store, as whoever can write to it may."""
        name = pending_object("prod", number)
        stored = self.world.store.get(name, max_bytes=10**7)
        document = json.loads(stored.body)
        change(document)
        self.world.store.put(name, json.dumps(document).encode(), if_etag=stored.etag)


def live(world: World) -> tuple[int, str] | None:
    release = world.seen("prod").release
    return (release.release, release.action) if release else None


class TestTwoPersonPromotion:
    def test_a_promotion_waits_for_people(self, people: People) -> None:
        outcome = people.promote()

        assert (outcome.committed, outcome.pending > 0, live(people.world)) == (False, True, None)

    def test_two_signatures_make_it_live(self, people: People) -> None:
        people.promote()
        people.approve("ana")
        people.approve("cy")
        people.complete()

        assert live(people.world) == (1, "promote")

    def test_hosts_get_the_bytes_of_the_channel_it_came_from(self, people: People) -> None:
        people.promote()
        people.approve("ana")
        people.approve("bo")
        people.complete()

        staging, prod = people.world.seen("staging").release, people.world.seen("prod").release
        assert (prod.sha256, prod.origin) == (staging.sha256, "staging/1")

    def test_the_history_says_who_signed(self, people: People) -> None:
        people.promote()
        people.approve("cy")
        people.approve("ana")
        people.complete()

        reader = people.world.publisher("prod").reader
        assert next(reader.history(reader.read())).approved_by == ("ana", "cy")

    def test_promoting_again_does_not_start_over(self, people: People) -> None:
        first = people.promote().pending
        people.approve("ana")

        assert people.promote().pending == first

    def test_a_lost_answer_does_not_count_as_a_signature_of_somebody_else(self, people: People) -> None:
        people.promote()
        people.approve("ana")

        with pytest.raises(SignedAlreadyError, match="ana has signed it already"):
            people.approve("ana")

    def test_one_signature_is_not_enough(self, people: People) -> None:
        people.promote()
        people.approve("ana")

        with pytest.raises(UnderSignedError, match="has 1 of 2 signatures"):
            people.complete()
        assert live(people.world) is None

    def test_a_stranger_cannot_sign(self, people: People) -> None:
        people.promote()
        people.signers["eve"] = CryptoSigner.generate_ed25519()

        with pytest.raises(KeyUnusableError, match="gives no key that may sign for it"):
            people.approve("eve")

    def test_nothing_waits_once_it_is_live(self, people: People) -> None:
        people.promote()
        people.approve("ana")
        people.approve("bo")
        people.complete()

        with pytest.raises(NothingPendingError, match="nothing waits"):
            people.review()

    def test_a_rollback_waits_for_people_too(self, people: People) -> None:
        for text in ("first", "second"):
            people.world.folder.commit_policy(text)
            people.world.publish(channel="staging")
            people.promote()
            people.approve("ana")
            people.approve("bo")
            people.complete()

        assert roll_back(people.world.publisher("prod"), to=1, reason="broken", actor="cy").pending
        people.approve("bo")
        people.approve("cy")
        people.complete()
        assert live(people.world) == (3, "rollback")

    def test_a_rollback_cannot_claim_reviewers(self, people: People) -> None:
        for text in ("first", "second"):
            people.world.folder.commit_policy(text)
            people.world.publish(channel="staging")
            people.promote()
            people.approve("ana")
            people.approve("bo")
            people.complete()
        number = roll_back(people.world.publisher("prod"), to=1, reason="broken", actor="cy").pending
        people.change(number, custom(reviewed_by=["ana"]))

        with pytest.raises(PendingError, match="was not released where it says"):
            people.review("bo")


class TestSuperseded:
    @pytest.fixture
    def two(self, people: People) -> tuple[int, int]:
        """A promotion that is signed by two, and a newer one."""
        first = people.promote().pending
        people.approve("ana")
        people.approve("bo")
        people.world.folder.commit_policy("newer")
        people.world.publish(channel="staging")
        return first, people.promote().pending

    def test_a_newer_promotion_supersedes_an_older_one(self, people: People, two: tuple[int, int]) -> None:
        with pytest.raises(SupersededError, match=f"pending/prod/{two[0]}.json: superseded by {two[1]}"):
            people.complete(number=two[0])

    def test_signatures_do_not_pass_to_the_newer_one(self, people: People, two: tuple[int, int]) -> None:
        with pytest.raises(UnderSignedError, match="0 of 2"):
            people.complete(number=two[1])

    def test_a_document_made_on_top_of_another_state_is_stale(self, people: People) -> None:
        number = people.promote().pending
        kept = people.world.store.get(pending_object("prod", number), max_bytes=10**7).body
        people.approve("ana")
        people.approve("bo")
        people.complete()
        people.world.store.put(pending_object("prod", number + 1), kept, if_etag=None)

        with pytest.raises(StaleError, match="is stale"):
            people.review()


def unsign(document: dict[str, Any]) -> None:
    document["roles"]["prod"]["signatures"] = []


def double(document: dict[str, Any]) -> None:
    document["roles"]["prod"]["signatures"] *= 2


def spoil(document: dict[str, Any]) -> None:
    document["roles"]["prod"]["signatures"][0]["sig"] = "00" * 64


def custom(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        unsign(document)
        target = next(iter(document["roles"]["prod"]["signed"]["targets"].values()))
        target["custom"] |= values

    return change


def signed(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        unsign(document)
        document["roles"]["prod"]["signed"] |= values

    return change


def second_target(document: dict[str, Any]) -> None:
    unsign(document)
    targets = document["roles"]["prod"]["signed"]["targets"]
    targets["prod/other.tar.gz"] = next(iter(targets.values()))


def second_role(document: dict[str, Any]) -> None:
    document["roles"]["staging"] = document["roles"]["prod"]


SELECTABLE = {
    "schema": 1, "release": 1, "revision": "a" * 40, "content_sha256": "b" * 64, "policy_sha256": "c" * 64,
    "action": "publish", "reason": "", "actor": "", "name": "evil", "sha256": "d" * 64, "length": 9,
}  # fmt: skip

TAMPERED = {
    "a signature twice": (double, "is no pending document"),
    "a signature that does not hold": (spoil, "does not hold"),
    "another role beside it": (second_role, "is not about the role of prod"),
    "two targets": (second_target, "lists 2 targets"),
    "another reason for staying valid": (signed(expires="2999-01-01T00:00:00Z"), "which is too long"),
    "a hidden delegation": (
        signed(delegations={"keys": {}, "roles": []}),
        "is not what a publisher would propose",
    ),
    "an unknown signed field": (signed(**{"x-oncall": {}}), "is not what a publisher would propose"),
    "another number": (signed(version=99), "is not what a publisher would propose"),
    "another base": (signed(**{"x-base": {"version": 1, "sha256": "0" * 64}}), "is stale"),
    "a release number that comes later": (custom(release=7), "is stale: it is release 7, but the next one is 1"),
    "something for people on call to select": (
        custom(release=1, selectable=[SELECTABLE]),
        "bad selectable|is not what a publisher would propose",
    ),
    "an origin that never had it": (custom(**{"from": "staging/9"}), "was not released where it says"),
    "an origin that is no channel": (custom(**{"from": "nosuch/1"}), "comes from nosuch, which is no channel here"),
    "an origin that is another role": (custom(**{"from": "targets/1"}), "targets: not delegated|no channel here"),
    "an action that needs no origin": (custom(action="publish"), "does not say where the bundle comes from"),
    "a rollback to what never was live": (custom(action="rollback"), "was not released where it says"),
    "an emergency": (custom(action="emergency"), "does not say where the bundle comes from"),
    "another least release": (custom(min_release=1), "lets people on call go back to 1"),
    "another revision": (custom(revision="a" * 40), "was not released where it says"),
    "no provenance": (custom(provenance_sha256=""), "is not what a publisher would propose|was not released"),
}


class TestTamperedDocuments:
    @pytest.mark.parametrize("what", TAMPERED)
    def test_nobody_is_asked_to_sign_a_tampered_document(self, people: People, what: str) -> None:
        change, message = TAMPERED[what]
        number = people.promote().pending
        people.approve("ana")
        people.change(number, change)

        with pytest.raises((PendingError, StaleError, TrustError), match=message):
            people.review("bo")

    def test_garbage_is_refused_by_name(self, people: People) -> None:
        number = people.promote().pending
        name = pending_object("prod", number)
        etag = people.world.store.get(name, max_bytes=10**7).etag
        people.world.store.put(name, b"[" * 100_000, if_etag=etag)

        with pytest.raises(PendingError, match=f"{name}: is no pending document"):
            people.review()

    def test_garbage_keeps_nobody_from_proposing(self, people: People) -> None:
        number = people.promote().pending
        name = pending_object("prod", number)
        etag = people.world.store.get(name, max_bytes=10**7).etag
        people.world.store.put(name, b"garbage", if_etag=etag)

        assert people.promote().pending == number + 1
        assert people.review().waiting.version == number + 1

    def test_an_orphan_too_long_to_read_keeps_nobody_from_proposing(self, people: People) -> None:
        number = people.promote().pending
        people.world.store.put(f"metadata/{number}.prod.json", b" " * 5_000_001, if_etag=None)
        people.world.folder.commit_policy("newer")
        people.world.publish(channel="staging")

        assert people.promote().pending == number + 1

    def test_what_nobody_signs_is_not_published_along(self, people: People) -> None:
        number = people.promote().pending
        people.change(number, lambda document: document["roles"]["prod"].update({"more": "x" * 1000}))

        with pytest.raises(PendingError, match="is no pending document"):
            people.review()

    def test_a_document_exchanged_after_the_review_is_not_signed(self, people: People) -> None:
        number = people.promote().pending
        reviewed = people.review("ana")
        people.change(number, custom(reason="something else"))

        with pytest.raises(ConflictError, match="is another one than was reviewed"):
            approve(people.publisher("ana"), reviewed)


def test_a_builder_that_lies_gets_no_signature(people: People) -> None:
    """Staging's key and the builder's machine are the attacker's: what it signed is not what the commit gives."""
    world = people.world
    honest = world.seen("staging").release
    blob = world.store.get(target_object("staging", honest.name, honest.sha256), max_bytes=10**7).body
    files = dict(read_bundle(blob).files)
    files["policies/backdoor.yaml"] = b"version: v1\n"
    evil, bundle = build_bundle(name=honest.name, revision=honest.revision, dirty=False, files=files)
    lie = replace(
        honest,
        release=2,
        sha256=bundle.sha256,
        length=len(evil),
        content_sha256=bundle.content_sha256,
        policy_sha256=bundle.policy_sha256,
        provenance_sha256="",
    )
    commit(world.publisher("staging"), lambda *_: Proposal(lie, evil))
    people.promote()

    with pytest.raises(RebuildError, match=r"different: policies/backdoor\.yaml"):
        people.review("ana")


def test_a_promotion_by_two_people_works_in_every_store(world_of: Callable[..., World], store_url: str) -> None:
    people = people_of(world_of(store_url, channels=("staging", "prod")))

    people.promote()
    people.approve("ana")
    people.approve("bo")
    people.complete()

    assert live(people.world) == (1, "promote")


def test_two_approvers_at_once_both_count(people: People) -> None:
    people.promote()
    seen_by_ana, seen_by_bo = people.review("ana"), people.review("bo")

    approve(people.publisher("ana"), seen_by_ana)

    assert approve(people.publisher("bo"), seen_by_bo).is_complete


def test_an_orphan_under_the_number_is_stepped_over(people: People, tmp_path: Path) -> None:
    version = people.world.seen("prod").versions["prod"] + 1
    people.world.store.put(f"metadata/{version}.prod.json", b"{}", if_etag=None)

    people.promote()
    people.approve("ana")
    people.approve("bo")
    people.complete()

    assert live(people.world) == (1, "promote")


def test_what_staging_went_back_from_is_not_approved(people: People) -> None:
    people.world.folder.commit_policy("second")
    people.world.publish(channel="staging")
    people.promote()
    roll_back(people.world.publisher("staging"), to=1, reason="broken", actor="ci")

    with pytest.raises(StaleError, match="staging has gone back from release 2"):
        people.review()


class TestWhatWasLookedAt:
    def test_signatures_do_not_change_the_digest_of_a_document(self, people: People) -> None:
        people.promote()
        before = document_digest(people.review())

        people.approve("ana")

        assert document_digest(people.review("bo")) == before

    def test_another_document_is_not_the_one_that_was_looked_at(self, people: People) -> None:
        number = people.promote().pending
        seen = document_digest(people.review())
        people.change(number, custom(reason="something else"))

        with pytest.raises(ConflictError, match="not what was expected"):
            require_document(people.review(), seen)

    def test_too_few_digits_are_refused(self, people: People) -> None:
        people.promote()

        with pytest.raises(UsageError, match="expected at least 12"):
            require_document(people.review(), document_digest(people.review())[:11])
