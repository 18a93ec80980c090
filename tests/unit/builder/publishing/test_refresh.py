import datetime
import types
from typing import Any

import pytest

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
