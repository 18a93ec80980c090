"""What one on-call key can do for a channel that two people sign for, and what it cannot."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from builder.publishing import metadata
from builder.publishing.approve import complete
from builder.publishing.oncall import (
    NoOncallRoleError,
    NoSuchEntryError,
    add_emergency,
    lift_emergency,
    roll_back_on_call,
)
from builder.publishing.publisher import Publisher
from builder.publishing.rollback import NoSuchReleaseError
from builder.publishing.transaction import Change, make_live
from policy_core.emergency import encode_deny
from policy_core.errors import ConflictError, TrustError, UsageError
from policy_core.model import Clauses
from policy_core.trust.errors import MetadataError
from policy_core.trust.oncall import MAX_EMERGENCIES, Emergency, EmergencyKind, OncallDocument
from policy_core.trust.release import Release

World = Any  # of conftest.py


@pytest.fixture
def world(peopled: World) -> World:
    """Releases 1 to 4 of prod, each with a policy of its own, signed by Ana and Bo; Di is on call."""
    for text in ("second", "third", "fourth"):
        peopled.folder.commit_policy(text)
        peopled.publish()
        peopled.approve("ana", "bo")
    return peopled


def on_call(world: World) -> Publisher:
    """Return a publisher with the key of Di and those of the publisher."""
    return world.publisher(key_ring=world.joined(world.person("di").ring("prod.oncall")))


def go_back(world: World, to: int | None = None) -> Any:
    return roll_back_on_call(on_call(world), to=to, reason="denies restarts", actor="di")


def entry(world: World, name: str = "stop-agents", **changes: Any) -> Emergency:
    rule = encode_deny(name, reason="an agent runs wild", match=Clauses(actions=("service.*",)))
    values: dict[str, Any] = {
        "id": name,
        "kind": EmergencyKind.DENY,
        "rule": rule,
        "reason": "an agent runs wild",
        "actor": "di",
        "created": world.now,
        "expires": world.now + timedelta(hours=4),
    }
    return Emergency(**(values | changes))


def commit_role(
    publisher: Publisher, state: Any, role: Any, name: str = "prod.oncall", *, live: Release | None = None
) -> None:
    """Sign a role with the on-call key and commit it, without any of the checks that commands make."""
    data = publisher.key_ring.sign("prod.oncall", role, state.keys("prod.oncall"))
    publisher.store.put(f"metadata/{role.version}.{name}.json", data, if_etag=None)
    change = Change({name: metadata.pin_of(role.version, data)}, {"prod": live or state.verified.release})
    make_live(publisher, {"prod": state}, change)


class TestRollback:
    def test_one_key_goes_back(self, world: World) -> None:
        third = world.history()[1]

        go_back(world)

        live = world.seen().release
        assert (live.release, live.action, live.sha256) == (5, "rollback", third.sha256)

    def test_a_second_one_goes_one_policy_further_back(self, world: World) -> None:
        second = world.history()[2]

        go_back(world)
        go_back(world)

        assert world.seen().release.sha256 == second.sha256

    def test_what_was_rolled_back_before_is_not_gone_back_to(self, world: World) -> None:
        third = world.history()[1]
        go_back(world)
        world.folder.commit_policy("fifth")
        world.publish()
        world.approve("ana", "bo")

        go_back(world)

        assert world.seen().release.sha256 == third.sha256

    def test_one_key_goes_forward_again(self, world: World) -> None:
        fourth = world.history()[0]

        go_back(world)
        go_back(world, to=4)

        assert (world.seen().release.release, world.seen().release.sha256) == (6, fourth.sha256)

    def test_what_people_sign_next_counts_again(self, world: World) -> None:
        go_back(world)
        world.folder.commit_policy("fifth")
        world.publish()
        world.approve("ana", "cy")

        assert (world.seen().release.release, world.seen().release.action) == (6, "publish")

    def test_what_waited_for_people_meanwhile_is_stale(self, world: World) -> None:
        world.folder.commit_policy("fifth")
        world.publish()
        go_back(world)

        with pytest.raises(ConflictError, match="is stale: it is release 5, but the next one is 6"):
            world.approve("ana", "bo")

    def test_a_release_the_channel_does_not_offer_is_refused(self, world: World) -> None:
        with pytest.raises(NoSuchReleaseError, match="people on call cannot go to release 9"):
            go_back(world, to=9)

    def test_the_history_says_who_signed_it(self, world: World) -> None:
        go_back(world)

        reader = world.publisher().reader
        assert next(reader.history(reader.read())).approved_by == ("di",)

    def test_nobody_goes_below_the_least_release_that_the_policy_names(self, world: World) -> None:
        settings = (world.folder.path / "writ.yaml").read_text()
        world.folder.commit({"writ.yaml": f"{settings}\nhosts: {{min_release: {{prod: 4}}}}\n"})
        world.publish()
        world.approve("ana", "bo")

        with pytest.raises(NoSuchReleaseError, match="people on call cannot go to release 3"):
            go_back(world, to=3)
        go_back(world)
        assert (world.seen().release.release, world.seen().release.sha256) == (6, world.history()[2].sha256)

    def test_nobody_on_call_is_said_by_name(self, world_of: Callable[..., World], file_url: str) -> None:
        world = world_of(file_url)
        world.publish()

        with pytest.raises(NoOncallRoleError, match="nobody is on call"):
            roll_back_on_call(world.publisher(), to=None, reason="broken", actor="di")

    def test_a_renewal_of_the_channel_undoes_no_rollback(self, world: World) -> None:
        go_back(world)
        world.renew("prod", "ana", "bo")

        assert world.seen().release.release == 5


class TestEmergency:
    def test_an_entry_is_a_release_with_the_same_bundle(self, world: World) -> None:
        before = world.seen().release

        add_emergency(on_call(world), entry(world))

        seen = world.seen()
        assert (seen.release.release, seen.release.sha256) == (before.release + 1, before.sha256)
        assert [each.id for each in seen.emergency] == ["stop-agents"]

    def test_it_stays_through_the_next_release(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        world.folder.commit_policy("fifth")
        world.publish()
        world.approve("ana", "bo")

        assert [each.id for each in world.seen().emergency] == ["stop-agents"]

    def test_it_stays_through_a_rollback(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        go_back(world)

        assert [each.id for each in world.seen().emergency] == ["stop-agents"]

    def test_two_of_one_id_are_refused(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))

        with pytest.raises(ConflictError, match="is in force already"):
            add_emergency(on_call(world), entry(world))

    def test_it_is_lifted_by_name(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        add_emergency(on_call(world), entry(world, "stop-more"))
        lift_emergency(on_call(world), "stop-agents", reason="over", actor="di")

        assert [each.id for each in world.seen().emergency] == ["stop-more"]

    def test_lifting_what_is_not_there_names_what_is(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))

        with pytest.raises(NoSuchEntryError) as raised:
            lift_emergency(on_call(world), "other", reason="over", actor="di")
        assert raised.value.hint == "in force: stop-agents"

    def test_what_has_expired_is_dropped_from_the_next_one(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        world.now += timedelta(hours=5)
        world.folder.commit_policy("fifth")
        world.publish()
        world.approve("ana", "bo")
        add_emergency(on_call(world), entry(world, "stop-more"))

        assert [each.id for each in world.seen().emergency] == ["stop-more"]

    def test_a_clock_that_is_ahead_lifts_nothing(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        world.now += timedelta(hours=5)
        go_back(world)

        assert [each.id for each in world.seen().emergency] == ["stop-agents"]

    def test_the_name_of_an_entry_that_is_over_is_free(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        world.now += timedelta(hours=5)
        add_emergency(on_call(world), entry(world))

        assert [each.created for each in world.seen().emergency] == [world.now]

    def test_the_history_has_the_entries_of_the_release_that_brought_them(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))

        reader = world.publisher().reader
        assert [each.id for each in next(reader.history(reader.read())).emergency] == ["stop-agents"]

    def test_one_more_than_a_document_can_hold_is_refused_by_name(self, world: World) -> None:
        publisher, state = on_call(world), on_call(world).reader.read()
        entries = tuple(entry(world, f"stop-{number}") for number in range(MAX_EMERGENCIES))
        said = {"action": "emergency", "reason": "", "actor": ""}
        document = OncallDocument(release=5, selected=state.verified.release.sha256, emergency=entries, **said)
        live = replace(state.verified.release, release=5, **said)
        commit_role(publisher, state, metadata.oncall_role(9, document, world.now), live=live)

        with pytest.raises(ConflictError, match="64 entries are in force") as raised:
            add_emergency(on_call(world), entry(world))
        assert "lift" in raised.value.hint

    def test_a_clock_that_is_behind_makes_no_entry_that_is_over_already(self, world: World) -> None:
        """Hosts would never enforce it, and who is on call would think they do."""
        world.now -= timedelta(hours=5)

        with pytest.raises(UsageError, match="would be over when it is signed") as raised:
            add_emergency(on_call(world), entry(world))
        assert "clock" in raised.value.hint

    def test_two_people_on_call_at_once_both_count(self, world: World, disturbed: Any) -> None:
        other = partial(add_emergency, on_call(world), entry(world, "stop-more"))
        store = disturbed(world.store, 3, other)

        add_emergency(replace(on_call(world), store=store), entry(world))

        assert {each.id for each in world.seen().emergency} == {"stop-agents", "stop-more"}

    def test_an_entry_and_a_release_at_once_both_count(self, world: World, disturbed: Any) -> None:
        world.folder.commit_policy("fifth")
        world.publish()
        world.sign_pending("ana", "bo")
        store = disturbed(world.store, 3, partial(complete, world.publisher()))

        add_emergency(replace(on_call(world), store=store), entry(world))

        assert [each.id for each in world.seen().emergency] == ["stop-agents"]
        assert (world.seen().release.release, world.history()[1].action) == (6, "publish")


class TestAStolenOncallKey:
    """The thief has the key of Di and, to commit, those of the publisher."""

    def forge(self, world: World, **changes: Any) -> None:
        publisher, state = on_call(world), on_call(world).reader.read()
        live = state.verified.release
        assert live is not None
        values = {
            "release": live.release + 1,
            "selected": live.sha256,
            "action": "rollback",
            "reason": "",
            "actor": "",
        } | changes
        document = OncallDocument(**values)
        commit_role(publisher, state, metadata.oncall_role(9, document, world.now))

    def test_a_bundle_that_nobody_signed_is_refused(self, world: World) -> None:
        with pytest.raises(TrustError, match="selects a bundle that the channel does not offer"):
            self.forge(world, selected="e" * 64)

    def test_the_numbers_cannot_be_used_up(self, world: World) -> None:
        with pytest.raises(TrustError, match="too far ahead"):
            self.forge(world, release=2**52)

    def test_an_entry_lifted_without_a_release_is_seen_by_auditors(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        live = world.seen().release
        self.forge(world, release=live.release, action=live.action, reason=live.reason, actor=live.actor)

        with pytest.raises(MetadataError, match="the on-call role changed beside release 5"):
            world.history()

    def test_an_entry_lifted_beneath_a_later_release_is_seen_by_auditors(self, world: World) -> None:
        add_emergency(on_call(world), entry(world))
        world.folder.commit_policy("fifth")
        world.publish()
        world.approve("ana", "bo")
        self.forge(world, release=5)

        with pytest.raises(MetadataError, match="the on-call role changed beside release 6"):
            world.history()

    def test_the_key_cannot_sign_for_the_channel(self, world: World) -> None:
        state = on_call(world).reader.read()
        said = state.verified.channel
        role = metadata.channel_role(99, said.listed, said, world.now)

        with pytest.raises(TrustError, match="signed by 0/2 keys"):
            commit_role(on_call(world), state, role, "prod")

    def test_the_role_cannot_list_targets(self, world: World) -> None:
        state = on_call(world).reader.read()
        role = metadata.oncall_role(9, None, world.now)
        role.targets = {"prod.oncall/x": state.verified.release.target()}

        with pytest.raises(TrustError, match="lists targets, which only a channel may"):
            commit_role(on_call(world), state, role)

    def test_an_entry_cannot_live_longer_than_a_month(self, world: World) -> None:
        with pytest.raises(MetadataError, match="bad expires"):
            entry(world, expires=world.now + timedelta(days=31))

    def test_an_entry_cannot_be_dated_ahead(self, world: World) -> None:
        ahead = world.now + timedelta(days=300)

        with pytest.raises(TrustError, match="created after it was signed"):
            add_emergency(on_call(world), entry(world, created=ahead, expires=ahead + timedelta(days=1)))

    def test_an_entry_of_an_unknown_kind_is_refused(self, world: World) -> None:
        state = on_call(world).reader.read()
        live = state.verified.release
        document = OncallDocument(
            release=live.release + 1, selected=live.sha256, action="emergency", reason="", actor="",
            emergency=(entry(world),),
        )  # fmt: skip
        role = metadata.oncall_role(9, document, world.now)
        role.unrecognized_fields["x-oncall"]["emergency"][0]["kind"] = "allow"

        with pytest.raises(TrustError, match="unknown kind 'allow'"):
            commit_role(on_call(world), state, role)


def test_an_older_document_cannot_come_back(world: World) -> None:
    """Publisher's keys and store are the attacker's: the emergency is to be forgotten."""
    add_emergency(on_call(world), entry(world))
    seasoned = world.host()
    seasoned.refresh()
    state = world.publisher().reader.read()
    older = state.verified.versions["prod.oncall"] - 1
    data = world.store.get(f"metadata/{older}.prod.oncall.json", max_bytes=10**6).body
    pins = {"prod.oncall": metadata.pin_of(older, data)}
    snapshot = metadata.next_snapshot(state.snapshot.version + 1, state.snapshot, state.chain.snapshot, pins, world.now)
    signed = world.keys.sign("snapshot", snapshot, state.keys("snapshot"))
    world.store.put(f"metadata/{snapshot.version}.snapshot.json", signed, if_etag=None)
    stamp = metadata.timestamp(state.timestamp.version + 1, metadata.pin_of(snapshot.version, signed), world.now)
    body = world.keys.sign("timestamp", stamp, state.keys("timestamp"))
    world.store.put("metadata/timestamp.json", body, if_etag=state.etag)

    with pytest.raises(TrustError, match=r"prod\.oncall"):
        seasoned.refresh()


def test_the_role_says_nothing_before_it_is_used(world: World) -> None:
    role = Metadata.from_bytes(world.store.get("metadata/1.prod.oncall.json", max_bytes=10**6).body)

    assert "x-oncall" not in role.signed.unrecognized_fields
