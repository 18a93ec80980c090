"""From a rule that asks to an action that is approved: the commands, a signed release, and a host that remembers."""

import json
from pathlib import Path
from typing import Any

import pytest
from running_host import RunningHost, running_host

from agent_sidecar.calling import decide
from builder.cli.main import main

POLICY = """\
version: v1
rules:
  - id: dropping-takes-two
    match: {actions: [database.drop]}
    decision: require_approval
    approval: {from: {security: 1, platform: 1}, expires_in: 1h}
"""
REQUEST = {
    "subject": {"type": "user", "id": "di"},
    "action": {"name": "database.drop"},
    "resource": {"type": "database", "id": "orders"},
}


@pytest.fixture
def approvers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Make a key for each approver in a folder; return their entries in writ.yaml."""
    entries = {}
    for name, team in (("ana", "security"), ("bo", "platform")):
        key = tmp_path / f"{name}.pem"
        assert main(["keys", "approver", name, "--team", team, "--no-passphrase", "-o", str(key)]) == 0
        entries[name] = capsys.readouterr().out.split("\n", 1)[1]
    return entries


def answer(host: RunningHost, request: dict[str, Any]) -> dict[str, Any]:
    return decide(host.socket, json.dumps(request).encode())


def test_what_two_people_approve_is_allowed_once(
    tmp_path: Path, approvers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    policies = tmp_path / "repository"
    (policies / "policies").mkdir(parents=True)
    (policies / "policies/drop.yaml").write_text(POLICY)
    settings = "approvers:\n" + "".join(approvers.values())

    with running_host(policies=policies, settings=settings) as host:
        asked = answer(host, REQUEST)
        (tmp_path / "request.json").write_text(json.dumps(REQUEST))
        (tmp_path / "answer.json").write_text(json.dumps(asked))
        capsys.readouterr()
        grants = []
        for name in approvers:
            files = [str(tmp_path / file) for file in ("request.json", "answer.json")]
            command = ["-C", str(host.repository), "grant", *files, "--key", str(tmp_path / f"{name}.pem"), "--yes"]
            assert main(command) == 0
            grants.append(capsys.readouterr().out.strip())
        one = answer(host, {**REQUEST, "context": {"grants": grants[:1]}})
        another = answer(
            host, {**REQUEST, "resource": {"type": "database", "id": "payments"}, "context": {"grants": grants}}
        )
        both = answer(host, {**REQUEST, "context": {"grants": grants}})
        again = answer(host, {**REQUEST, "context": {"grants": grants}})

    assert (asked["decision"], asked["reason_code"]) == ("require_approval", "matched_rule")
    assert one["approval"]["missing"] == {"platform": 1}
    assert (another["decision"], another["reason_code"]) == ("require_approval", "grant_other_request")
    assert (both["decision"], both["reason_code"]) == ("allow", "approved")
    assert (again["decision"], again["reason_code"]) == ("require_approval", "grant_replayed")
