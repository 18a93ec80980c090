"""Keys that change hands: by people who sign, by thieves who hold some of the keys, by whoever dies on the way."""

from typing import Any

World = Any  # of ../conftest.py


class TestPeople:
    def test_hold_a_channel_together(self, peopled: World) -> None:
        state = peopled.publisher().reader.read()

        assert (state.threshold("prod"), len(state.keys("prod"))) == (2, 3)
        assert peopled.seen().release.release == 1

    def test_get_an_oncall_role_that_says_nothing_yet(self, peopled: World) -> None:
        assert peopled.publisher().reader.read().threshold("prod.oncall") == 1
        seen = peopled.seen()

        assert seen.channel.oncall is None
        assert seen.versions["prod.oncall"] == 1
