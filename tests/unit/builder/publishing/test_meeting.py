"""Publishers that meet: real processes that begin at the same moment, on one channel and on several.

Against moto, whose If-Match is no atomic compare-and-swap, publishers are interleaved on purpose instead (test_races).
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import s3_servers
from stress.faults import FaultyStore
from stress.operations import OPERATIONS
from stress.processes import Processes
from stress.scene import Scene, prepare

from builder.cli.main import main
from policy_core.trust.layout import TIMESTAMP

CONFLICT = 7
STORES = ["file", *sorted(s3_servers.SERVERS.keys() - {"moto"})]


@pytest.fixture
def publishers(stage: Processes, store_url: str, tmp_path: Path) -> Callable[[int], list[Scene]]:
    """Make publishers of one store, each with a clone in which it has committed on top of those before it."""

    def make(count: int) -> list[Scene]:
        (tmp_path / "past").mkdir()
        first = Scene.of(
            prepare(OPERATIONS["refresh"].past, tmp_path / "past"), stage, tmp_path / "publisher", store_url
        )
        made = [first]
        for number in range(count):
            made[-1].commit_policy(f"number {number}")
            made.append(made[-1].someone_else())
        return made[:-1]

    return make


@pytest.mark.parametrize("store_url", STORES, indirect=True)
@pytest.mark.parametrize("count", [2, 10])
class TestPublishersThatMeet:
    def test_on_one_channel_make_as_many_releases_as_succeed(
        self, publishers: Callable[[int], list[Scene]], count: int
    ) -> None:
        meeting = publishers(count)
        releases, timestamp = meeting[0].releases(), meeting[0].timestamp

        codes = [ended.code for ended in meeting[0].processes.run(*(one.publishing("prod") for one in meeting))]

        assert set(codes) <= {0, CONFLICT}, codes
        assert meeting[-1].releases() == releases + codes.count(0)
        assert meeting[-1].timestamp == timestamp + codes.count(0)

    def test_on_several_channels_make_as_many_releases_as_succeed(
        self, publishers: Callable[[int], list[Scene]], count: int
    ) -> None:
        meeting = publishers(count)
        releases = meeting[0].releases("staging") + meeting[0].releases("prod")
        timestamp = meeting[0].timestamp
        channels = ["prod", "staging"] * (count // 2)

        tasks = [one.publishing(channel) for one, channel in zip(meeting, channels, strict=True)]
        codes = [ended.code for ended in meeting[0].processes.run(*tasks)]

        assert set(codes) <= {0, CONFLICT}, codes
        assert meeting[-1].releases("staging") + meeting[-1].releases("prod") == releases + codes.count(0)
        assert meeting[-1].timestamp == timestamp + codes.count(0)


@pytest.mark.parametrize("store_url", ["file"], indirect=True)
def test_a_release_that_is_overtaken_at_once_is_recorded(
    publishers: Callable[[int], list[Scene]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is live by then was made of a commit that is not in this clone."""
    mine, other = publishers(2)
    releases = mine.releases()

    class Overtaken(FaultyStore):
        def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
            etag = super().put(name, body, if_etag=if_etag)
            if name == TIMESTAMP:
                assert other.publish("prod").code == 0
            return etag

    store = Overtaken(mine.store)
    monkeypatch.setattr("builder.publishing.workspace.open_store", lambda _: store)
    task = mine.publishing("prod")
    for name, value in task.environment.items():
        monkeypatch.setenv(name, value)

    assert main(task.command) == 0
    assert other.releases() == releases + 2
