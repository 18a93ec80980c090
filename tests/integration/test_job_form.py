"""The verbs of the job form against a real sidecar: one for everybody, the others on the admin socket alone."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import TOKEN, RunningHost, running_host

from agent_sidecar.calling import call
from policy_core.errors import RemoteError

JOB = {"tenant_id": "acme", "job": {"topic": "tickets.read", "actor_type": "user", "actor_id": "ada"}}
VERBS = [("POST", "explain"), ("POST", "simulate"), ("GET", "snapshots")]
ORDERS = [("POST", "/rollback"), ("POST", "/resume"), ("POST", "/refresh"), ("GET", "/history")]
HIDDEN = [*((method, f"/api/v1/policy/{verb}") for method, verb in VERBS), *ORDERS]
TIMEOUT_S = 30


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(configuration='listen = "127.0.0.1:0"\ntoken_file = "token"\n') as running:
        yield running


def state(host: RunningHost) -> Path:
    return host.socket.parent / "state"


def on_admin(host: RunningHost, method: str, verb: str, body: object = None) -> Any:
    raw = None if body is None else json.dumps(body).encode()
    return call(state(host) / "admin.sock", method, f"/api/v1/policy/{verb}", raw)


def command(host: RunningHost, *arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "agent_sidecar", arguments[0], "--state", str(state(host)), *arguments[1:]]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


@pytest.mark.parametrize(("method", "path"), HIDDEN)
@pytest.mark.parametrize(
    "spelling", ["{}", "{}?snapshot=previous", "{}/", "/{}", "{}#", "/api/v1/policy/evaluate/../..{}", "/%2e%2e{}"]
)
def test_on_the_decision_socket_nothing_but_decisions_is_answered(
    host: RunningHost, method: str, path: str, spelling: str
) -> None:
    with pytest.raises(RemoteError, match="another socket than this command needs"):
        call(host.socket, method, spelling.format(path), json.dumps(JOB).encode())


@pytest.mark.parametrize(("method", "path"), HIDDEN)
def test_nor_is_it_on_tcp_with_the_token(host: RunningHost, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=TIMEOUT_S)
    for header in ({}, {"X-HTTP-Method-Override": "GET"}, {"X-Original-URL": path, "X-Rewrite-URL": path}):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **header}
        connection.request(method, path, json.dumps(JOB), headers)
        reply = connection.getresponse()

        assert (reply.status, json.load(reply)["error"]["code"]) == (404, "not_found")
    connection.close()


def test_the_admin_socket_makes_no_decisions(host: RunningHost) -> None:
    for path in ("/api/v1/policy/evaluate", "/access/v1/evaluation", "/v1/data/writ/allow"):
        with pytest.raises(RemoteError, match="another socket"):
            call(state(host) / "admin.sock", "POST", path, json.dumps(JOB).encode())


def test_a_simulation_answers_as_an_evaluation_and_is_none(host: RunningHost) -> None:
    simulated = on_admin(host, "POST", "simulate", JOB)
    before = call(host.socket, "GET", "/status")["decisions"]
    decided = call(host.socket, "POST", "/api/v1/policy/evaluate", json.dumps(JOB).encode())

    assert before == 0
    assert simulated.pop("simulated")["snapshot"] == "in_force"
    assert decided.pop("decision_id")
    assert simulated == decided


def test_the_command_shows_a_simulation(host: RunningHost) -> None:
    shown = command(host, "simulate", "--now", "2030-01-01T00:00:00Z", "-", text=json.dumps(JOB))
    found = command(host, "simulate", "--format", "json", "-", text=json.dumps(JOB))
    refused = command(host, "simulate", "--snapshot", "previous", "-", text=json.dumps(JOB))
    misread = command(host, "simulate", "--now", "tomorrow", "-", text=json.dumps(JOB))

    assert shown.stdout.startswith("allow\n")
    assert shown.stdout.endswith("supposed      snapshot in_force, at 2030-01-01T00:00:00.000Z\n")
    assert json.loads(found.stdout)["decision"] == "ALLOW"
    assert (refused.returncode, misread.returncode) == (7, 2)
    assert refused.stderr.startswith("error: simulate: the previous snapshot cannot be asked: there is none\nhint: ")


def test_the_command_shows_the_snapshots(host: RunningHost) -> None:
    shown = command(host, "snapshots")
    found = command(host, "snapshots", "--format", "json")

    (only,) = json.loads(found.stdout)["snapshots"]
    assert (only["role"], only["release"], only["enforced"], only["loaded"]) == ("current", 1, True, True)
    assert shown.stdout.startswith(f"current   release 1, {only['bundle'][:19]}")
    assert shown.stdout.endswith(f"enforced, {only['rules']} rules\n")
