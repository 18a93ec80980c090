"""Keys that change hands between people who sign: together, one after the other, too late."""

from functools import partial
from typing import Any

import pytest
from ceremonies import adding, begin, checked, finish, keyid, publishers, replacing, reread, revoking
from securesystemslib.signer import SSlibKey

from builder.publishing.carrying_out import (
    change_keys,
    sign,
    sign_or_refuse,
)
from builder.publishing.holders import HoldersError
from builder.publishing.key_changes import KeyChange, change_holders
from builder.publishing.pending import Pending, SignedAlreadyError, StaleError, UnderSignedError, find_pending
from builder.publishing.private_keys import KeyMissingError
from policy_core.trust.layout import pending_object

World = Any  # of ../conftest.py


class TestPeople:
    def test_hold_a_channel_together(self, peopled: World) -> None:
        state = peopled.publisher().reader.read()

        assert (state.threshold("prod"), len(state.keys("prod"))) == (2, 3)
        assert peopled.seen().release.release == 1

    def test_get_an_oncall_role_that_says_nothing_yet(self, peopled: World) -> None:
        seen = peopled.seen()

        assert seen.channel.oncall is None
        assert seen.versions["prod.oncall"] == 1

    def test_sign_one_after_the_other_until_it_is_enough(self, rooted: World) -> None:
        document = begin(rooted, revoking("prod", "cy"))
        for name in ("ana", "bo"):
            with pytest.raises(UnderSignedError, match="signatures are missing: targets: "):
                finish(rooted, document)
            ring = rooted.person(name).ring("targets", "prod")
            document = reread(sign_or_refuse(checked(rooted, document), ring).ceremony.document)

        finish(rooted, document)

        assert len(rooted.publisher().reader.read().keys("prod")) == 2
        assert rooted.seen().release.release == 1

    def test_do_not_sign_twice(self, rooted: World) -> None:
        ana = rooted.person("ana").ring("root", "targets", "prod")
        document = begin(rooted, revoking("prod", "cy"), ana)

        with pytest.raises(SignedAlreadyError, match=r"role targets: key \w{12} has signed this already"):
            sign_or_refuse(checked(rooted, document), ana)

    def test_who_hold_nothing_sign_nothing(self, rooted: World) -> None:
        document = begin(rooted, revoking("prod", "cy"))

        with pytest.raises(KeyMissingError, match=r"role targets: .* gives no key that may sign for it"):
            sign_or_refuse(checked(rooted, document), rooted.person("di").ring("targets", "prod"))

    def test_are_not_needed_where_all_keys_are_here(self, world: World) -> None:
        world.publish()
        world.keys.create("colleague")
        colleague = world.keys.public_key("colleague")

        change_keys(publishers(world), adding("timestamp", colleague))

        seen = world.publisher().reader.read()
        assert {key.keyid for key in seen.keys("timestamp")} == {keyid(world, "timestamp"), colleague.keyid}
        assert world.seen().versions["root"] == 2

    @pytest.mark.parametrize("at", [1, 2, 3])
    def test_who_lose_a_race_go_on_where_they_were(self, world: World, disturbed: Any, at: int) -> None:
        """The snapshot role, root, then the timestamp: what others publish before it is kept."""
        world.publish()
        world.folder.commit_policy("second")
        world.keys.create("colleague")
        store = disturbed(world.store, at, world.publish)

        change_keys(publishers(world, store=store), adding("timestamp", world.keys.public_key("colleague")))

        seen = world.seen()
        assert (seen.versions["root"], seen.release.release) == (2, 2)

    def test_who_are_missing_are_named_before_anything_is_written(self, rooted: World, recording: Any) -> None:
        store = recording(rooted.store)

        with pytest.raises(KeyMissingError, match=r"targets: 2 of ana \(\w{12}\) or bo \(\w{12}\) or cy"):
            change_keys(publishers(rooted, store=store), revoking("prod", "cy"))

        assert not [call for call in store.calls if call.startswith("put")]

    def test_without_the_keys_of_publishers_nothing_is_written(self, rooted: World, recording: Any) -> None:
        rings = [rooted.person(name).ring("targets") for name in ("ana", "bo")]
        document = begin(rooted, revoking("prod", "cy"), *rings)
        rooted.keys.path("timestamp").unlink()
        store = recording(rooted.store)

        with pytest.raises(KeyMissingError, match="role timestamp: no key at"):
            finish(rooted, document, store=store)

        assert not [call for call in store.calls if call.startswith("put")]


class TestRefused:
    @pytest.mark.parametrize(
        ("role", "change", "message"),
        [
            ("prod", {"removed": ("ana", "bo")}, "role prod: threshold 2 with 1 key"),
            ("prod", {"threshold": 4}, "role prod: threshold 4 with 3 keys"),
            ("prod", {"threshold": 2}, "has these keys and this threshold already"),
            ("prod", {"removed": ("eve",)}, "role prod: 'eve' is none of its keys"),
            ("prod.oncall", {"removed": ("di",)}, "role prod.oncall: threshold 1 with 0 keys"),
            ("canary", {"added": "key"}, "role canary: there is no such channel"),
            ("canary.oncall", {"added": "key"}, "role canary.oncall: there is no channel canary"),
            ("Prod", {"added": "key"}, "role Prod: is none of this store's roles"),
            ("mirrors", {"removed": ("ana",)}, "role mirrors: 'ana' is none of its keys"),
        ],
    )
    def test_changes_are_named(self, peopled: World, role: str, change: Any, message: str) -> None:
        if change.get("added"):
            change = {"added": [peopled.person("eve").key]}

        with pytest.raises(HoldersError, match=message):
            begin(peopled, partial(change_holders, role=role, **change))

    @pytest.mark.parametrize("role", ["snapshot", "timestamp", "canary", "canary.oncall"])
    def test_roles_that_nobody_can_renew_are(self, peopled: World, role: str) -> None:
        with pytest.raises(HoldersError, match=f"role {role}: is none that people sign anew"):
            begin(peopled, lambda _: KeyChange(renewed=frozenset({role})))


class TestStale:
    def test_is_the_second_of_two_on_one_base(self, rooted: World) -> None:
        rings = [rooted.person(name).ring("targets", "prod", "prod.oncall") for name in ("ana", "bo", "eve")]
        first = begin(rooted, revoking("prod", "cy"), *rings)
        second = begin(rooted, adding("prod.oncall", rooted.person("eve").key), *rings)

        finish(rooted, first)

        with pytest.raises(StaleError, match="is stale: targets has changed since it was made"):
            finish(rooted, second)
        with pytest.raises(StaleError):
            finish(rooted, first)

    def test_is_what_lost_the_race(self, rooted: World, disturbed: Any) -> None:
        rings = [rooted.person(name).ring("targets", "prod", "prod.oncall") for name in ("ana", "bo", "eve")]
        first = begin(rooted, revoking("prod", "cy"), *rings)
        second = begin(rooted, adding("prod.oncall", rooted.person("eve").key), *rings)
        store = disturbed(rooted.store, 1, lambda: finish(rooted, first))

        with pytest.raises(StaleError, match="is stale: targets has changed"):
            finish(rooted, second, store=store)

        assert len(rooted.publisher().reader.read().keys("prod")) == 2

    def test_is_not_what_others_have_refreshed_meanwhile(self, rooted: World, disturbed: Any) -> None:
        """The base still holds, so the same signatures are good on top of it."""
        rings = [rooted.person(name).ring("root") for name in ("ana", "bo", "dee")]
        document = begin(rooted, replacing("root", "cy", rooted.person("dee").key), *rings)
        another = begin(rooted, lambda _: KeyChange(renewed=frozenset({"prod.oncall"})))
        another = reread(sign(checked(rooted, another), rooted.person("di").ring("prod.oncall")).ceremony.document)
        store = disturbed(rooted.store, 1, lambda: finish(rooted, another))

        finish(rooted, document, store=store)

        seen = rooted.seen()
        assert (seen.versions["root"], seen.versions["prod.oncall"]) == (3, 2)

    def test_is_what_leaves_a_role_without_enough_signatures_by_now(self, rooted: World) -> None:
        """When it was made, the channel was signed by those who stay; since then by one who goes."""
        document = begin(rooted, revoking("prod", "cy"), *(rooted.person(n).ring("targets") for n in ("ana", "bo")))
        assert "prod" not in document.roles
        renewed = begin(
            rooted,
            lambda _: KeyChange(renewed=frozenset({"prod"})),
            *(rooted.person(name).ring("prod") for name in ("ana", "cy")),
        )
        finish(rooted, renewed)

        with pytest.raises(StaleError, match="prod would have too few signatures"):
            finish(rooted, document)


def test_a_key_of_another_kind_is_a_key(world: World) -> None:
    """RSA and P-256, as key management services have them, beside ed25519."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    world.publish()
    keys = [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]

    change_keys(publishers(world), adding("snapshot", *(SSlibKey.from_crypto(key.public_key()) for key in keys)))

    assert world.seen().versions["root"] == 2


def test_what_somebody_signed_who_was_revoked_since_is_proposed_anew(rooted: World) -> None:
    """Their signature does not hold any more, and a document cannot lose one: the proposal takes the next number."""
    rooted.folder.commit_policy("second")
    number = rooted.publish().pending
    stored = rooted.store.get(pending_object("prod", number), max_bytes=10**6)
    waiting = Pending.from_bytes(stored.body, "pending")
    role = waiting.roles["prod"]
    keys = rooted.publisher().reader.read().keys("prod")
    cy = rooted.person("cy").ring("prod").signature("prod", role.signed_bytes, keys)
    rooted.store.put(pending_object("prod", number), waiting.signed_with("prod", cy).to_bytes(), if_etag=stored.etag)
    rings = [rooted.person(name).ring("targets") for name in ("ana", "bo")]
    finish(rooted, begin(rooted, revoking("prod", "cy"), *rings))

    again = rooted.publish().pending

    assert again == number + 1
    assert find_pending(rooted.publisher().reader, rooted.publisher().reader.read()).signed == ()
