"""An emergency on a running host: seen with the next poll, shown everywhere, kept through a kill without network."""

import json
import shutil
import signal
from collections.abc import Iterator

import pytest
from sidecar_bench import REQUEST, Bench, new_bench, until
from signed_store import bundle, denial, rules


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench(oncall=True) as made:
        yield made


def test_an_emergency_is_obeyed_shown_and_kept(bench: Bench) -> None:
    bench.store.publish(bundle(rules("allow"), number=1))
    sidecar = bench.start().wait_for(1)
    assert sidecar.decide()["decision"] is True

    number = bench.store.call(denial("act.*"))
    answer = until(lambda: not (answer := sidecar.decide())["decision"] and answer, "the emergency")
    sidecar.wait_for(number)

    assert answer["context"]["matched_rule"] == "emergency/e-1"
    assert answer["context"]["reason_code"] == "emergency_deny"
    (entry,) = sidecar.ask()["emergency"]
    assert (entry["id"], entry["rule"], entry["actor"]) == ("e-1", {"match": {"actions": ["act.*"]}}, "ana")
    state, request = str(bench.state), json.dumps(REQUEST).encode()
    status = bench.command("status", "--state", state).stdout.decode()
    assert 'emergency  e-1: deny {"match": {"actions": ["act.*"]}} until ' in status
    assert "by ana: leaked key" in status
    explained = bench.command("explain", "--state", state, "-", text=request).stdout.decode()
    assert "emergency/e-1" in explained

    sidecar.stop(signal.SIGKILL)
    shutil.rmtree(bench.folder / "store")
    in_process = bench.command("decide", "--state", state, "--format", "json", "-", text=request)
    assert json.loads(in_process.stdout)["matched_rule"] == "emergency/e-1"
    again = bench.start().wait_for(number)
    assert again.decide()["context"]["matched_rule"] == "emergency/e-1"
    history = bench.command("history", "--state", state).stdout.decode()
    assert [line.split()[1] for line in history.splitlines()] == ["activated", "emergency", "activated", "started"]
    assert again.stop() == 0
