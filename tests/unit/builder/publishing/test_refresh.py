import datetime
import types
from typing import Any

import pytest

from builder.publishing import metadata
from builder.publishing.expiry import alarm
from builder.publishing.refresh import refresh
from builder.publishing.staging import StagedStateError

World = Any  # of ../conftest.py


def test_a_refresh_moves_the_timestamp_and_nothing_else(world: World) -> None:
    world.publish()
    before = world.seen()
    world.now += datetime.timedelta(days=3)

    refreshed = refresh([world.publisher()])

    after = world.seen()
    assert after.release == before.release
    assert after.signed_at == world.now
    assert refreshed.expires == after.expires["timestamp"] == world.now + datetime.timedelta(days=30)
    assert after.versions == before.versions | {"timestamp": before.versions["timestamp"] + 1}


def test_a_publish_after_a_refresh_is_not_dated_before_it(world: World) -> None:
    world.now += datetime.timedelta(hours=20)
    refresh([world.publisher()])
    refreshed_at = world.now
    world.now -= datetime.timedelta(hours=20)

    world.publish()

    reader = world.publisher().reader
    assert next(reader.history(reader.read())).signed_at == refreshed_at


class TestLater:
    """Half a year on, channel and snapshot roles are about to expire, or have."""

    @pytest.fixture(params=[125, 181], ids=["nearly expired", "expired"])
    def world(self, world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
        world.publish()
        later = world.now + datetime.timedelta(days=request.param)
        clock = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda _: later), timezone=datetime.timezone)
        monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)
        world.now = later
        return world

    def test_both_are_signed_anew_without_a_release(self, world: World) -> None:
        refreshed = refresh([world.publisher()])

        after = world.seen()
        assert refreshed.renewed == ("prod", "snapshot")
        assert after.expires["prod"] == after.expires["snapshot"] == world.now + datetime.timedelta(days=180)
        assert after.release.release == 1
        assert world.policies() == [(1, "publish")]

    def test_a_refresher_with_just_the_timestamp_key_does_what_it_can(self, world: World) -> None:
        world.keys.path("prod").unlink()
        expired = world.publisher().reader.read().verified.expires["prod"] < world.now

        if expired:
            with pytest.raises(StagedStateError, match="new prod is expired"):
                refresh([world.publisher()])
        else:
            (warning,) = refresh([world.publisher()]).warnings
            assert "no key at" in warning
            assert world.seen().signed_at == world.now


def test_an_expired_root_cannot_be_refreshed_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    later = world.now + datetime.timedelta(days=366)
    clock = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda _: later), timezone=datetime.timezone)
    monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)
    world.now = later

    with pytest.raises(StagedStateError, match=r"root\.json is expired"):
        refresh([world.publisher()])


class TestLifetime:
    def test_timestamps_are_good_for_as_long_as_was_said_once(self, world: World) -> None:
        refresh([world.publisher()], lifetime=datetime.timedelta(hours=24))
        world.now += datetime.timedelta(hours=1)
        world.publish()
        world.now += datetime.timedelta(hours=1)

        refreshed = refresh([world.publisher()])

        assert refreshed.expires == world.now + datetime.timedelta(hours=24)

    def test_nobody_is_warned_of_a_day_that_has_just_begun(self, world: World) -> None:
        refresh([world.publisher()], lifetime=datetime.timedelta(hours=24))

        seen = world.seen()
        assert alarm("timestamp", seen, world.now) == ""
        assert alarm("timestamp", seen, world.now + datetime.timedelta(hours=19)).startswith(
            "timestamp expires in 5 hours: run `writ refresh`"
        )

    def test_a_thief_of_the_timestamp_key_does_not_set_it_for_good(self, world: World) -> None:
        state = world.publisher().reader.read()
        endless = metadata.timestamp(
            state.timestamp.version + 1, state.timestamp.snapshot_meta, world.now, datetime.timedelta(days=3650)
        )
        body = world.keys.sign("timestamp", endless, state.keys("timestamp"))
        world.store.put("metadata/timestamp.json", body, if_etag=state.etag)

        assert refresh([world.publisher()]).expires == world.now + datetime.timedelta(days=30)
