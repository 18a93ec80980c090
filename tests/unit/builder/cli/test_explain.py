"""``writ explain``, as its users call it: output, streams and exit codes."""

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

Writ = Callable[..., Any]


def test_explain_shows_decision_and_rules(writ: Writ, policies: Any) -> None:
    (policies.path / "request.json").write_text('{"job": {"topic": "service.read"}}')

    run = writ("explain", "request.json")

    assert run.code == 0
    assert run.out.startswith("decision   allow\n")
    assert "✓ a/reads (allow) applies  policies/a.yaml:3" in run.out


def test_explain_reads_stdin_host_time_and_revision(writ: Writ, policies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    condition = 'host.env == "prod" && now > timestamp("2026-01-01T00:00:00Z")'
    policies.commit(
        {"policies/b.yaml": f"version: v1\nrules:\n  - id: r\n    when: '{condition}'\n    decision: deny\n"}
    )

    def explain(*options: str) -> Any:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"job": {"topic": "service.read"}}')))
        return writ("explain", "--format", "json", *options, "-")

    assert explain("--host", "env=prod", "--now", "2026-02-01T00:00:00Z").json["answer"]["decision"] == "deny"
    assert explain("--host", "env=prod", "--now", "2025-02-01T00:00:00Z").json["answer"]["decision"] == "allow"
    assert explain("--host", "env=prod", "--rev", "HEAD~1").json["answer"]["decision"] == "allow"
    assert explain("--host", "env=prod").json["answer"]["decision"] == "deny"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ('{"job": {"topic": "a", "topic": "b"}}', [], "a key occurs twice in one object"),
        ("{", [], "request.json: request: is not JSON"),
        ("[" * 10_000, [], "request.json: request: is not JSON"),
        ("\x00", [], "request.json: request: is not JSON"),
        ("[]", [], "request: is not a JSON object"),
        ('{"subject": {}}', [], "subject.type is missing"),
        ('"' + "x" * 2**20 + '"', [], "request is too large"),
        ("{}", ["--now", "noon"], "--now noon: not a time with its zone"),
        ("{}", ["--now", "2026-01-01T00:00:00"], "not a time with its zone"),
        ("{}", ["--host", "env"], "--host env: not a label"),
        ("{}", ["--host", "=x"], "--host =x: not a label"),
        ('{"job": {"topic": "a"}}', ["--counted", "a/reads"], "--counted a/reads: not a number for a rule"),
        ('{"job": {"topic": "a"}}', ["--counted", "a/reads=2"], "--counted a/reads=2: no such rule with a rate"),
        ('{"job": {"topic": "a"}}', ["--approved-by", "eve"], "--approved-by eve: no such approver"),
    ],
)
def test_explain_refuses_what_it_cannot_read(
    writ: Writ, policies: Any, content: str, options: list[str], message: str
) -> None:
    (policies.path / "request.json").write_text(content)

    run = writ("explain", *options, "request.json")

    assert run.code == 2
    assert message in run.err
    assert "hint: " in run.err
    assert len(run.err) < 1_000


def test_explain_of_a_missing_file_is_a_usage_error(writ: Writ) -> None:
    run = writ("explain", "nope.json")

    assert run.code == 2
    assert "nope.json: cannot be read" in run.err


STATEFUL = """\
version: v1
rules:
  - {id: all, match: {actions: [restart]}, decision: allow}
  - {id: limit, match: {actions: [restart]}, rate: {limit: 3, window: 1h, key: [resource.id]}, decision: throttle}
  - id: ask
    match: {actions: [drop]}
    decision: require_approval
    approval: {from: {security: 1, platform: 1}, expires_in: 1h}
"""
APPROVERS = f"""\
approvers:
  ana: {{key: "{"a1" * 32}", teams: [security], subjects: [ana]}}
  bo: {{key: "{"b2" * 32}", teams: [platform], subjects: [bo]}}
"""


def test_explain_takes_counts_and_approvals_for_granted(writ: Writ, policies: Any) -> None:
    policies.write({"policies/s.yaml": STATEFUL, "writ.yaml": (policies.path / "writ.yaml").read_text() + APPROVERS})
    for action in ("restart", "drop"):
        (policies.path / f"{action}.json").write_text(f'{{"job": {{"topic": "{action}", "job_id": "web"}}}}')

    reached = writ("explain", "restart.json", "--counted", "s/limit=3").out
    below = writ("explain", "restart.json", "--counted", "s/limit=2").out
    asked = writ("explain", "drop.json", "--approved-by", "ana").out
    granted = writ("explain", "drop.json", "--approved-by", "ana", "--approved-by", "bo").out

    rate = "rate: applies after 3 allowed requests in 3600 s with the same resource.id"
    assert reached.startswith("decision   throttle\n")
    assert f'✓ {rate}, reached for ["web"]' in reached
    assert below.startswith("decision   allow\n")
    assert f'✗ {rate}, not reached for ["web"]' in below
    assert (
        "approval   takes 1 of platform and 1 of security; a grant is good for 3600 s at most\n"
        "           granted by ana\n           still missing: 1 of platform\n"
        "           a grant is over these rules    sha256:"
    ) in asked
    assert granted.startswith("decision   allow\nbecause    approved\n")
