"""Documents that wait for signatures, in a store where somebody else writes, too, and while keys change."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from builder.publishing.approve import NothingPendingError, approve, complete
from builder.publishing.channels import Histories
from builder.publishing.holders import Holders
from builder.publishing.key_changes import KeyChange
from builder.publishing.pending import Pending, PendingError, StaleError, UnderSignedError
from builder.publishing.rollback import roll_back
from builder.publishing.transaction import NumberTakenError
from builder.rebuilding import provenance_of
from bundle_store.port import StoreUnavailableError
from policy_core.trust.layout import MAX_PENDING_BYTES, MAX_TARGETS_BYTES, metadata_name, pending_object

World = Any  # of conftest.py
Document = dict[str, Any]


@pytest.fixture
def number(peopled: World) -> int:
    """Return the number of the document in which release 2 waits; two of Ana, Bo and Cy sign for prod."""
    peopled.folder.commit_policy("second")
    return propose(peopled)


def propose(world: World) -> int:
    return int(world.publish().pending)


def propose_rollback(world: World, to: int) -> int:
    return int(roll_back(world.publisher(), to=to, reason="broken", actor="ci").pending)


def change(world: World, number: int, edit: Callable[[Document], object]) -> None:
    """Change a document in the store, as whoever can write to it may."""
    name = pending_object("prod", number)
    stored = world.store.get(name, max_bytes=10**7)
    document = json.loads(stored.body)
    edit(document["roles"]["prod"])
    world.store.put(name, json.dumps(document).encode(), if_etag=stored.etag)


def overwrite(world: World, number: int, body: bytes) -> None:
    name = pending_object("prod", number)
    world.store.put(name, body, if_etag=world.store.get(name, max_bytes=10**7).etag)


def live(world: World) -> int:
    return int(world.seen().release.release)


# A document that nobody can sign is stepped over.


def sign_as_a_stranger(role: Document) -> None:
    role["signatures"].append({"keyid": "ab" * 32, "sig": "00" * 64})


def shorten(role: Document) -> None:
    role["signed"]["expires"] = "2001-01-01T00:00:00Z"


def lengthen(role: Document) -> None:
    role["signed"]["expires"] = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize("spoil", [sign_as_a_stranger, shorten, lengthen])
def test_a_spoilt_document_is_proposed_anew_and_can_be_signed(
    peopled: World, number: int, spoil: Callable[[Document], None]
) -> None:
    change(peopled, number, spoil)

    assert propose(peopled) == number + 1
    peopled.approve("ana", "bo")
    assert live(peopled) == 2


@pytest.mark.parametrize("body", [b"garbage", b"[" * 100_000, b" " * (MAX_PENDING_BYTES + 1)], ids=len)
def test_garbage_is_proposed_over_and_can_be_signed(peopled: World, number: int, body: bytes) -> None:
    overwrite(peopled, number, body)

    assert propose(peopled) == number + 1
    peopled.approve("ana", "bo")
    assert live(peopled) == 2


def test_a_role_file_that_is_too_long_to_be_read_is_stepped_over(peopled: World, number: int) -> None:
    peopled.store.put(metadata_name("prod", number + 1), b" " * (MAX_TARGETS_BYTES + 1), if_etag=None)
    peopled.folder.commit_policy("third")

    assert propose(peopled) == number + 2
    peopled.approve("ana", "bo")
    assert live(peopled) == 2


# The newest one counts, also for whoever proposes again.


def test_what_was_superseded_is_proposed_anew(peopled: World, number: int) -> None:
    peopled.approve("ana", "bo")
    peopled.folder.commit_policy("third")
    propose(peopled)
    peopled.approve("ana", "bo")
    first, second = propose_rollback(peopled, 1), propose_rollback(peopled, 2)

    again = propose_rollback(peopled, 1)

    assert (first, second, again) == (first, first + 1, first + 2)


# What a document may hold.


def add_beside(role: Document) -> None:
    role["more"] = "x"


def add_to_signature(role: Document) -> None:
    role["signatures"] = [{"keyid": "ab" * 32, "sig": "00", "more": 1}]


def add_no_number(role: Document) -> None:
    role["signed"]["more"] = float("nan")


def move_the_cursor(role: Document) -> None:
    role["signatures"] = [{"keyid": "\x1b[2J", "sig": "00"}]


@pytest.mark.parametrize("edit", [add_beside, add_to_signature, add_no_number, move_the_cursor])
def test_a_document_holds_role_files_and_signatures_and_nothing_else(
    peopled: World, number: int, edit: Callable[[Document], None]
) -> None:
    change(peopled, number, edit)

    with pytest.raises(PendingError, match="is no pending document") as raised:
        complete(peopled.publisher())
    assert raised.value.message.isprintable()


def test_a_role_cannot_have_a_name_that_moves_the_cursor(peopled: World, number: int) -> None:
    stored = peopled.store.get(pending_object("prod", number), max_bytes=10**7)
    document = json.loads(stored.body)
    document["roles"] = {"\x1b[2J": document["roles"]["prod"]}

    with pytest.raises(PendingError, match="is no pending document"):
        Pending.from_bytes(json.dumps(document).encode(), "x.ceremony")


def test_a_document_that_would_soon_expire_is_not_signed(peopled: World, number: int) -> None:
    """Hosts would stop soon after: whoever writes to the store could choose when."""
    soon = peopled.now + timedelta(days=2)
    change(peopled, number, lambda role: role["signed"].update(expires=f"{soon:%Y-%m-%dT%H:%M:%SZ}"))

    with pytest.raises(StaleError, match="is stale: it would be valid until"):
        peopled.approve("ana")


# Several at once.


def test_a_file_with_too_few_signatures_under_the_number_is_said_so(peopled: World, number: int) -> None:
    """Somebody who may write role files puts the same one there, unsigned."""
    stored = peopled.store.get(pending_object("prod", number), max_bytes=10**7)
    unsigned = json.loads(stored.body)["roles"]["prod"]
    peopled.sign_pending("ana", "bo")
    peopled.store.put(metadata_name("prod", number), json.dumps(unsigned).encode(), if_etag=None)

    with pytest.raises(NumberTakenError) as raised:
        complete(peopled.publisher())
    assert raised.value.hint == "propose the change again: it takes the next number"
    assert propose(peopled) == number + 1
    peopled.approve("ana", "bo")
    assert live(peopled) == 2


def test_making_live_what_is_live_is_nothing_to_do(peopled: World, number: int) -> None:
    peopled.approve("ana", "bo")

    outcome = complete(peopled.publisher(), number=number)

    assert (outcome.committed, outcome.release, outcome.note) == (
        False,
        peopled.seen().release,
        "prod: nothing waits for signatures",
    )


def test_a_number_that_is_yet_to_come_is_refused(peopled: World, number: int) -> None:
    peopled.approve("ana", "bo")

    with pytest.raises(NothingPendingError, match="nothing waits"):
        complete(peopled.publisher(), number=number + 1)


def test_a_signature_that_somebody_makes_live_at_once_was_given(peopled: World, number: int, disturbed: Any) -> None:
    peopled.sign_pending("ana")
    store = disturbed(peopled.store, 1, lambda: complete(peopled.publisher()), applied=True)
    publisher = peopled.publisher(store=store, key_ring=peopled.person("bo").ring("prod"))

    signed = approve(publisher, peopled.review(publisher))

    assert (signed.is_complete, live(peopled)) == (True, 2)


def test_a_signature_whose_answer_was_lost_and_that_another_followed_was_given(
    peopled: World, number: int, disturbed: Any
) -> None:
    def follow() -> None:
        peopled.sign_pending("bo")
        raise StoreUnavailableError("no answer")

    store = disturbed(peopled.store, 1, follow, applied=True)
    publisher = peopled.publisher(store=store, key_ring=peopled.person("ana").ring("prod"))

    assert approve(publisher, peopled.review(publisher)).is_complete


def test_two_who_make_it_live_with_different_signatures_both_succeed(
    peopled: World, number: int, disturbed: Any
) -> None:
    peopled.sign_pending("ana", "bo")
    store = disturbed(peopled.store, 1, lambda: peopled.approve("cy"))

    outcome = complete(peopled.publisher(store=store))

    assert (outcome.release.release, live(peopled)) == (2, 2)


def test_two_who_propose_at_once_leave_one_document_each(peopled: World, number: int, disturbed: Any) -> None:
    peopled.approve("ana", "bo")
    store = disturbed(peopled.store, 1, lambda: propose_rollback(peopled, 1))
    peopled.folder.commit_policy("third")

    outcome = peopled.publish(store=store)

    assert outcome.pending == number + 2
    peopled.approve("ana", "bo")
    assert peopled.seen().release.action == "publish"


def test_a_proposal_whose_answer_was_lost_is_one_document(
    peopled: World, number: int, disturbed: Any, raising: Any
) -> None:
    peopled.approve("ana", "bo")
    store = disturbed(peopled.store, 1, raising(StoreUnavailableError("no answer")), applied=True)

    outcome = roll_back(peopled.publisher(store=store), to=1, reason="broken", actor="ci")

    assert outcome.pending == number + 1 == propose_rollback(peopled, 1)


def take(world: World, threshold: int) -> None:
    """Let prod take another number of signatures of the same three people."""
    people = [world.person(name) for name in ("ana", "bo", "cy")]
    holders = Holders(tuple(person.key for person in people), threshold)
    world.change_keys(KeyChange({"prod": holders}), *(person.ring("prod") for person in people))


def test_a_threshold_that_was_lowered_meanwhile_is_the_one_that_counts(peopled: World, number: int) -> None:
    peopled.sign_pending("cy")
    take(peopled, 1)

    assert complete(peopled.publisher()).release.release == 2


def test_what_waits_when_a_threshold_is_raised_is_proposed_anew(peopled: World, number: int) -> None:
    peopled.sign_pending("ana", "bo")
    take(peopled, 3)

    assert not complete(peopled.publisher()).committed
    propose(peopled)
    with pytest.raises(UnderSignedError, match="has 2 of 3 signatures"):
        peopled.approve("ana", "bo")


def test_provenance_holds_though_the_threshold_was_lowered_meanwhile(peopled: World, number: int) -> None:
    """It was sealed for a channel of several signers, by the publisher's key, and is released by one of one."""
    peopled.sign_pending("cy")
    take(peopled, 1)
    release = complete(peopled.publisher()).release

    histories = Histories(lambda channel: peopled.publisher(channel).reader)
    assert provenance_of(peopled.store, release, histories.of).revision == release.revision


def list_nothing(role: Document) -> None:
    role["signed"]["targets"] = {}


def list_what_is_live(world: World, role: Document) -> None:
    stored = world.store.get(metadata_name("prod", world.seen().versions["prod"]), max_bytes=10**6)
    role["signed"]["targets"] = json.loads(stored.body)["signed"]["targets"]


def test_what_releases_nothing_is_no_pending_document(peopled: World, number: int) -> None:
    """No command leaves such a one: a role is signed anew by a ceremony."""
    change(peopled, number, list_nothing)

    with pytest.raises(PendingError, match=r"lists 0 targets \(expected one\)"):
        peopled.sign_pending("ana")


def test_what_releases_the_live_one_again_is_stale(peopled: World, number: int) -> None:
    change(peopled, number, lambda role: list_what_is_live(peopled, role))

    with pytest.raises(StaleError, match="it is release 1, but the next one is 2"):
        peopled.sign_pending("ana")
