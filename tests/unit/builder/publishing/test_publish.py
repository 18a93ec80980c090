import hashlib
from typing import Any

import pytest

from builder.publishing.publish import SupersededError
from builder.publishing.publisher import MAX_CLOCK_DIFFERENCE

World = Any  # of conftest.py


@pytest.fixture
def published(world: World) -> World:
    world.publish()
    return world


def test_a_host_gets_what_was_published(store_url: str, world_of: Any) -> None:
    world = world_of(store_url)
    revision = world.folder.git("rev-parse", "HEAD")

    outcome = world.publish()

    release = world.seen().release
    assert outcome.committed
    assert release == outcome.release
    assert (release.release, release.revision, release.action) == (1, revision, "publish")
    assert release.actor == "Ada Example <ada@example.com>"
    assert hashlib.sha256(world.host().download(release)).hexdigest() == release.sha256


def test_before_the_first_publish_a_host_sees_an_empty_channel(world: World) -> None:
    assert world.seen().release is None


def test_each_publish_is_the_next_release(published: World) -> None:
    published.folder.commit_policy("second")
    published.publish()
    published.folder.commit_policy("third")
    published.publish()

    assert published.policies() == [(3, "publish"), (2, "publish"), (1, "publish")]


def test_publishing_what_is_live_is_nothing_to_do(published: World) -> None:
    outcome = published.publish()

    assert not outcome.committed
    assert "live already, as release 1" in outcome.note
    assert published.policies() == [(1, "publish")]


def test_a_commit_that_changes_no_policy_is_nothing_to_do(published: World) -> None:
    published.folder.commit({"README.md": "Policies of the demo\n"})

    outcome = published.publish()

    assert not outcome.committed
    assert "the policy is the one of release 1" in outcome.note


def test_an_older_commit_is_superseded(published: World) -> None:
    first = published.folder.git("rev-parse", "HEAD")
    published.folder.commit_policy("second")
    published.publish()

    with pytest.raises(SupersededError, match=r"superseded by release 2 of prod, which was built from a later commit"):
        published.publish(first)


def test_a_commit_beside_the_published_one_is_superseded(published: World) -> None:
    published.folder.git("checkout", "--quiet", "-b", "aside")
    published.folder.commit_policy("aside")
    published.folder.git("checkout", "--quiet", "main")
    published.folder.commit_policy("second")
    published.publish()

    with pytest.raises(SupersededError, match="is no ancestor of it") as raised:
        published.publish("aside")
    assert "rebase" in raised.value.hint


class TestAfterARollback:
    @pytest.fixture
    def rolled_back(self, published: World) -> World:
        published.first = published.folder.git("rev-parse", "HEAD")
        published.second = published.folder.commit_policy("second")
        published.publish()
        published.roll_back(reason="denies too much")
        return published

    def test_publishing_the_bad_commit_again_does_not_undo_it(self, rolled_back: World) -> None:
        with pytest.raises(SupersededError, match=r"was rolled back by release 3 \(denies too much\)"):
            rolled_back.publish(rolled_back.second)

        assert rolled_back.seen().release.revision == rolled_back.first

    def test_publishing_the_good_commit_again_is_superseded_too(self, rolled_back: World) -> None:
        with pytest.raises(SupersededError, match="superseded by release 2"):
            rolled_back.publish(rolled_back.first)

    def test_a_commit_on_top_is_published(self, rolled_back: World) -> None:
        rolled_back.folder.commit_policy("third")

        assert rolled_back.publish().release.release == 4

    def test_going_forward_again_makes_the_newest_one_live(self, rolled_back: World) -> None:
        rolled_back.roll_back(2, reason="it was not that")

        outcome = rolled_back.publish(rolled_back.second)

        assert not outcome.committed
        assert "live already, as release 4" in outcome.note


def test_channels_count_their_own_releases(world_of: Any, file_url: str) -> None:
    world = world_of(file_url, channels=("staging", "prod"))
    world.publish(channel="staging")
    world.folder.commit_policy("second")
    world.publish(channel="staging")

    world.publish(channel="prod")

    assert world.seen("staging").release.release == 2
    assert world.seen("prod").release.release == 1


def test_a_clock_that_is_behind_signs_with_the_last_signed_time(published: World) -> None:
    before = published.seen().signed_at
    published.now -= MAX_CLOCK_DIFFERENCE
    published.folder.commit_policy("second")

    published.publish()

    assert published.seen().signed_at == before


def test_numbers_taken_by_orphans_are_passed_over(published: World) -> None:
    for version in (3, 4):
        published.store.put(f"metadata/{version}.prod.json", b"{}", if_etag=None)
        published.store.put(f"metadata/{version}.snapshot.json", b"orphan" * 10_000, if_etag=None)
    published.folder.commit_policy("second")

    published.publish()

    verified = published.seen()
    assert verified.release.release == 2
    assert verified.versions["prod"] == verified.versions["snapshot"] == 5


def test_hosts_that_were_away_follow_any_number_of_releases(published: World) -> None:
    host = published.host()
    host.refresh()
    for reason in ("second", "third"):
        published.folder.commit_policy(reason)
        published.publish()

    assert host.refresh()[1].release.release == 3
