from typing import Any

import pytest

from agent_sidecar.decision_log.settings import Durability, LogSettings, WhenFull, log_settings


def test_without_a_table_there_is_a_log_that_keeps_the_newest_on_this_host() -> None:
    found = log_settings({})

    assert found == LogSettings()
    assert (found.durability, found.when_full, found.ship) == (Durability.PROCESS, WhenFull.DROP_OLDEST, "")


def test_a_log_that_is_shipped_denies_rather_than_leave_a_gap() -> None:
    found = log_settings({"ship": "s3://acme/logs", "ship_every": "5m"})

    assert (found.when_full, found.ship, found.ship_every_s) == (WhenFull.BLOCK, "s3://acme/logs", 300.0)
    assert log_settings({"ship": "file:///logs", "when_full": "drop-oldest"}).when_full is WhenFull.DROP_OLDEST


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"ship": "https://acme.example.com"}, "read-only"),
        ({"ship": "s3://user:secret@acme/logs"}, "credentials do not belong into the URL"),
        ({"ship": "acme"}, "s3://bucket/prefix"),
        ({"ship": 1}, "is not a text"),
        ({"ship": "s3://acme/logs", "durability": "off"}, "nothing to ship"),
        ({"ship_every": "1m"}, "nothing is shipped"),
        ({"ship": "s3://acme/logs", "ship_every": "0.1s"}, "out of range"),
        ({"ship": "s3://acme/logs", "ship_every": 60}, "not a duration"),
        ({"shp": "s3://acme/logs"}, "shp is not a setting"),
    ],
)
def test_a_mistake_is_told(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        log_settings(table)
    assert "secret" not in str(caught.value)
