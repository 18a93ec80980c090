"""Killed at any moment, a host loses nothing that was answered, and ships nothing twice."""

from pathlib import Path

import msgspec
import pytest
import s3_servers
from effort import examples
from killed_shipping import hosts

from builder.logs.keys import load_keys
from builder.logs.sources import open_source
from builder.logs.verifying import verify_logs
from policy_core.decision_log.lines import Record

MAX_STEPS = 200
STRIDE = examples(3, nightly=1)
"""Of every so many steps one is tried."""


@pytest.mark.parametrize("kind", ["file", "moto"])
def test_a_host_that_is_killed_before_any_of_its_steps_loses_nothing(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every step a life can end before: what it has left, the next life ships. One state directory for all."""
    if kind == "file":
        logs, records = (tmp_path / "logs").as_uri(), (tmp_path / "records").as_uri()
        steps = range(0, MAX_STEPS, STRIDE)
    else:
        request.getfixturevalue("aws")
        bucket = s3_servers.make_bucket()
        logs, records = f"s3://{bucket}/logs", f"s3://{bucket}/records"
        steps = range(0, MAX_STEPS, 3 * STRIDE)
    answered: list[int] = []
    code, state = -9, tmp_path / "state"
    with hosts(tmp_path / "errors") as running:

        def live(kill_before: int | None, number: int) -> int:
            code, logged = running.run(
                kill_before, state=state, logs=logs, records=records, numbers=[number, number + 1]
            )
            answered.extend(logged)
            return code

        for step in steps:
            code = live(step, step * 10)
            if code == 0:
                break
            assert (code, live(None, step * 10 + 5)) == (-9, 0), (tmp_path / "errors").read_text()
    assert code == 0, "a life has more steps than were tried"

    found: list[int] = []

    def watch(_host: str, record: Record) -> None:
        if record.type == "decision":
            found.append(msgspec.json.decode(record.line)["n"])

    ring = load_keys(records, base=tmp_path, host=None)
    outcome = verify_logs(open_source(logs, base=tmp_path), ring, watch=watch)
    outcome.check()
    assert len(found) == len(set(found))
    assert set(answered) <= set(found)
    assert len(answered) > 10
    assert not list((state / "spool").glob("*.sealed.jsonl"))
    assert not list((state / "spool").glob("*.damaged"))
