"""What a host says of its own reports: to whoever looks at it, not at the fleet."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from reported_status import STATUS

from agent_sidecar.host_key import open_host_key
from agent_sidecar.reports.status import ReportsStatus
from agent_sidecar.reports.telling import Telling
from agent_sidecar.status import Status

NOON = 1_772_366_400.0


@pytest.fixture
def telling(tmp_path: Path) -> Telling:
    def document() -> Status:
        return msgspec.convert(STATUS, Status)

    signer = open_host_key(tmp_path, host="web-1", now=NOON)
    return Telling((tmp_path / "records").as_uri(), signer, status=document, clock=lambda: NOON)


def test_a_host_says_when_it_last_reported(telling: Telling) -> None:
    assert telling.status() == ReportsStatus(to=telling.status().to)

    telling.tend()

    expected: dict[str, Any] = {"enrolled": True, "reported_at": "2026-03-01T12:00:00.000Z", "reports": 1}
    assert telling.status() == ReportsStatus(to=telling.status().to, **expected)


def test_a_host_says_why_it_cannot_report(telling: Telling, tmp_path: Path) -> None:
    (tmp_path / "records").touch()  # no directory can be made there

    telling.tend()

    found = telling.status()
    assert (found.enrolled, found.reports) == (False, 0)
    assert "records" in found.problem
