"""The table of limits: settings within hard maxima."""

from typing import Any

import pytest

from agent_sidecar.access.limits import Limits, limits


def test_what_is_not_set_stays_as_it_is() -> None:
    assert limits({}) == Limits()
    assert limits({"idle": "20s", "body_bytes": 4096}) == Limits(idle_s=20.0, body_bytes=4096)


@pytest.mark.parametrize(
    "table",
    [
        {"header_bytes": 1 << 20}, {"headers": 100_000}, {"body_bytes": 1 << 30}, {"header_time": "10m"},
        {"body_time": "1d"}, {"idle": "1h"}, {"connections": 0}, {"connections": 10**6}, {"drain": "1h"},
        {"connections_per_caller": 10**6}, {"headers": True}, {"headers": 64.5}, {"idle": 0}, {"idle": "0s"},
        {"connections": 10, "connections_per_caller": 11}, {"nothing": 1},
    ],
)  # fmt: skip
def test_no_limit_can_be_lifted(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"out of range|not a duration|is more than|is not a setting"):
        limits(table)
