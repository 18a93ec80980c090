"""A sidecar as the certification scenario of AuthZEN 1.0 asks of a decision point, all but its searches, over HTTP.

`authzen/` holds the policy and the scenario's requests: ``evaluations.jsonl`` and ``batches.jsonl``. What is expected
is a decision, or a list of them (null: any), or *refused*: status 400. What a case says of headers, repetition and
metadata is in the tests themselves.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import TOKEN, RunningHost, running_host
from tls_front import certificate, ending_tls

SCENARIO = Path(__file__).parent / "authzen"
EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
METADATA = "/.well-known/authzen-configuration"
JSON = {"Content-Type": "application/json"}
TIMEOUT_S = 10


def cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SCENARIO / name).read_text(encoding="utf-8").splitlines()]


SINGLE, BATCHES = cases("evaluations.jsonl"), cases("batches.jsonl")
BODY = {case["case"]: case["body"] for case in SINGLE}


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """The socket of a proxy before the sidecar: its port is part of what the sidecar is told."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(scope="module")
def host(listener: socket.socket) -> Iterator[RunningHost]:
    url = f'authzen_url = "https://127.0.0.1:{listener.getsockname()[1]}"\n'
    tcp = 'listen = "127.0.0.1:0"\ntoken_file = "token"\n'
    with running_host(policies=SCENARIO, configuration=url + tcp) as running:
        yield running


def ask(host: RunningHost, path: str, body: object, headers: dict[str, str] = JSON) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("writ")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(TIMEOUT_S)
    connection.sock.connect(str(host.socket))
    connection.request("POST", path, body if isinstance(body, str) else json.dumps(body), headers)
    reply = connection.getresponse()
    found = reply.status, json.load(reply), reply.headers
    connection.close()
    return found


@pytest.mark.parametrize("case", SINGLE, ids=[case["case"] for case in SINGLE])
def test_an_evaluation_of_the_scenario_gets_what_it_expects(host: RunningHost, case: dict[str, Any]) -> None:
    status, reply, headers = ask(host, EVALUATION, case["body"])

    assert headers["Content-Type"] == "application/json"
    if case["expect"] == "refused":
        assert status == 400
    else:
        assert status == 200
        assert reply["decision"] is case["expect"]


@pytest.mark.parametrize("case", BATCHES, ids=[case["case"] for case in BATCHES])
def test_a_batch_of_the_scenario_gets_what_it_expects(host: RunningHost, case: dict[str, Any]) -> None:
    status, reply, _ = ask(host, EVALUATIONS, case["body"])

    assert status == 200
    if isinstance(case["expect"], bool):
        assert reply["decision"] is case["expect"]
    else:
        found = [evaluation["decision"] for evaluation in reply["evaluations"]]
        assert all(type(decision) is bool for decision in found)
        assert [None if wanted is None else got for got, wanted in zip(found, case["expect"], strict=True)] == (
            case["expect"]
        )


def test_c_2_4_3_1_a_body_that_is_said_to_be_text_is_refused(host: RunningHost) -> None:
    for path in (EVALUATION, EVALUATIONS):
        assert ask(host, path, BODY["c-2-2-1.1"], {"Content-Type": "text/plain"})[0] == 400


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
def test_c_2_5_a_request_id_comes_back_and_none_is_made_up(host: RunningHost, path: str) -> None:
    name = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    batch = {"evaluations": [BODY["c-2-2-1.1"]]}

    with_id = ask(host, path, batch if path == EVALUATIONS else BODY["c-2-2-1.1"], {**JSON, "X-Request-ID": name})[2]
    without = ask(host, path, BODY["c-2-2-1.1"])[2]

    assert with_id["X-Request-ID"] == name
    assert without["X-Request-ID"] is None


def test_c_2_6_1_asked_five_times_the_answer_is_the_same(host: RunningHost) -> None:
    found = [ask(host, EVALUATION, BODY["c-2-6.1"]) for _ in range(5)]

    assert [(status, reply["decision"]) for status, reply, _ in found] == [(200, True)] * 5


def test_c_6_5_1_metadata_is_found_behind_tls_and_names_where_evaluations_are(
    host: RunningHost, listener: socket.socket, tmp_path: Path
) -> None:
    pem = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    address, port = listener.getsockname()

    def over_tls(method: str, url: str, body: str = "") -> tuple[int, str | None, Any]:
        connection = http.client.HTTPSConnection(address, port, context=trusting, timeout=TIMEOUT_S)
        path = url.removeprefix(f"https://{address}:{port}")
        connection.request(method, path, body or None, {**JSON, "Connection": "close"})
        reply = connection.getresponse()
        found = reply.status, reply.headers["Content-Type"], json.load(reply)
        connection.close()
        return found

    with ending_tls(listener, pem, host.socket):
        status, kind, metadata = over_tls("GET", METADATA)
        asked = over_tls("POST", metadata["access_evaluation_endpoint"], json.dumps(BODY["c-2-2-1.1"]))
        batch = json.dumps({"evaluations": [BODY["c-2-2-1.1"], BODY["c-2-2-2.1"]]})
        asked_together = over_tls("POST", metadata["access_evaluations_endpoint"], batch)

    assert (status, kind) == (200, "application/json")
    assert metadata["policy_decision_point"] == f"https://{address}:{port}"
    assert (asked[0], asked[2]["decision"]) == (200, True)
    assert [evaluation["decision"] for evaluation in asked_together[2]["evaluations"]] == [True, False]


def test_metadata_does_not_follow_the_host_that_a_client_claims(host: RunningHost) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=TIMEOUT_S)
    claimed = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Authorization": f"Bearer {TOKEN}"}
    connection.request("GET", METADATA, headers=claimed)
    reply = connection.getresponse().read().decode()
    connection.close()

    assert "policy_decision_point" in reply
    assert "evil" not in reply


def test_on_tcp_a_batch_needs_the_token(host: RunningHost) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=TIMEOUT_S)
    connection.request("POST", EVALUATIONS, json.dumps({"evaluations": [BODY["c-2-2-1.1"]]}), JSON)
    status = connection.getresponse().status
    connection.close()

    assert status == 401


def test_the_scenario_has_permits_denials_and_refusals() -> None:
    expected = [case["expect"] for case in SINGLE]

    assert (expected.count(True), expected.count(False), expected.count("refused")) == (9, 3, 12)
    assert len(BATCHES) == 10
