"""A policy that decides as the certification scenario of AuthZEN 1.0 asks of a decision point, asked over HTTP.

`authzen/` holds the policy and the scenario's evaluations: single ones, and each member of a batch by itself with the
defaults of its batch filled in. What is expected is a decision, *either* of them, or *refused*: status 400.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import running_host

SCENARIO = Path(__file__).parent / "authzen"
CASES = [json.loads(line) for line in (SCENARIO / "evaluations.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def decision_socket() -> Iterator[Path]:
    with running_host(policies=SCENARIO) as host:
        yield host.socket


def evaluate(decision_socket: Path, body: object) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("writ")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(str(decision_socket))
    sent = body if isinstance(body, str) else json.dumps(body)
    connection.request("POST", "/access/v1/evaluation", sent, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    found = reply.status, json.load(reply)
    connection.close()
    return found


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_an_evaluation_of_the_scenario_gets_what_it_expects(decision_socket: Path, case: dict[str, Any]) -> None:
    status, reply = evaluate(decision_socket, case["body"])

    if case["expect"] == "refused":
        assert status == 400
    else:
        assert status == 200
        assert reply["decision"] in ((True, False) if case["expect"] == "either" else (case["expect"],))


def test_the_scenario_has_permits_denials_and_refusals() -> None:
    expected = [case["expect"] for case in CASES]

    assert (expected.count(True), expected.count(False), expected.count("either"), expected.count("refused")) == (
        17,
        8,
        4,
        13,
    )
