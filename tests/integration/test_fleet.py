"""A real sidecar reports, is seen by ``writ fleet``, and keeps out of its log what the policy keeps out of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import RunningHost, running_host
from sidecar_bench import until

from agent_sidecar.calling import call
from builder.cli.main import main

SETTINGS = """\
decision_log:
  erase: [{path: context.prompt}]
  leave_out: [{match: {actions: [health.check]}}]
"""
POLICY = """\
version: v1
rules:
  - {id: healthy, match: {actions: [health.check]}, decision: allow}
  - {id: reads, match: {actions: [service.read]}, decision: allow}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "policies").mkdir()
    (folder / "policies/a.yaml").write_text(POLICY)
    records = (folder / "records").as_uri()
    settings = f"{SETTINGS}reports: {records}\n"
    configuration = f'host_id = "web-1"\nreports = "{records}"\n'
    with running_host(policies=folder, settings=settings, configuration=configuration) as running:
        yield running


def ask(host: RunningHost, action: str) -> dict[str, Any]:
    request = {
        "subject": {"type": "agent", "id": "a"}, "action": {"name": action}, "resource": {"type": "s", "id": "i"},
        "context": {"prompt": "the secret"},
    }  # fmt: skip
    answer: dict[str, Any] = call(host.socket, "POST", "/access/v1/evaluation", json.dumps(request).encode())
    return answer


def fleet(host: RunningHost, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["-C", str(host.repository), "fleet", "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_running_host_is_seen_and_believed(host: RunningHost, capsys: pytest.CaptureFixture[str]) -> None:
    def enforcing() -> list[dict[str, Any]]:
        """Return the host once it has reported what it enforces: its first report may be of the moment before."""
        return [found for found in fleet(host, capsys)["channels"]["prod"]["hosts"] if found["release"]]

    (seen,) = until(enforcing, "a report")

    assert (seen["host"], seen["standing"], seen["release"]) == ("web-1", "current", 1)
    assert main(["-C", str(host.repository), "fleet", "--host", "web-1"]) == 0
    assert "web-1 in prod: current, release 1, fresh" in capsys.readouterr().out


def test_the_log_holds_what_the_policy_leaves(host: RunningHost) -> None:
    told, untold = ask(host, "service.read"), ask(host, "health.check")
    written = b"".join(path.read_bytes() for path in Path(host.socket.parent, "state/spool").glob("*.jsonl"))

    assert told["decision"] is untold["decision"] is True
    assert told["context"]["decision_id"].encode() in written
    assert untold["context"]["decision_id"].encode() not in written
    assert b'"erased":["context.prompt"]' in written
    assert b"the secret" not in written
