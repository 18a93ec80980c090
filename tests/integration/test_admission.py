"""Kubernetes asks a real sidecar: a set of reviews in order, as an API server sends them, and reviews that are none.

`admission/` holds the policy and the reviews: each is one `request` with what is expected of its answer.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import RunningHost, running_host

CLUSTER = Path(__file__).parent / "admission"
CASES = [json.loads(line) for line in (CLUSTER / "reviews.jsonl").read_text(encoding="utf-8").splitlines()]
PATH = "/kubernetes/admission?timeout=10s"  # the API server adds its timeout


def review(request: Any) -> dict[str, Any]:
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def post(host: RunningHost, body: bytes) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("writ")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(str(host.socket))
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    found = reply.status, json.load(reply)
    connection.close()
    return found


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(policies=CLUSTER) as running:
        yield running


@pytest.fixture(scope="module")
def responses(host: RunningHost) -> dict[str, Any]:
    """Return the response to each review; they were sent one after the other, as rates remember."""
    found = {}
    for case in CASES:
        status, reply = post(host, json.dumps(review(case["request"])).encode())
        assert (status, reply["apiVersion"], reply["kind"]) == (200, "admission.k8s.io/v1", "AdmissionReview")
        found[case["case"]] = reply["response"]
    return found


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_review_gets_what_it_expects(responses: dict[str, Any], case: dict[str, Any]) -> None:
    response, expected = responses[case["case"]], case["expect"]

    assert (response["uid"], response["allowed"]) == (case["request"]["uid"], expected["allowed"])
    assert response["auditAnnotations"]["decision-id"]
    if expected["allowed"]:
        assert "status" not in response
        assert [expected["warning"] in warning for warning in response.get("warnings", [])] == [True] * (
            "warning" in expected
        )
    else:
        assert response["status"]["code"] == expected["code"]
        assert expected["message"] in response["status"]["message"]


def test_who_is_throttled_hears_when_to_come_back(responses: dict[str, Any]) -> None:
    status = responses["a second secret is created within the hour"]["status"]

    assert status["reason"] == "TooManyRequests"
    assert 3500 < status["details"]["retryAfterSeconds"] <= 3600


def without(path: str) -> bytes:
    request = json.loads(json.dumps(CASES[0]["request"]))
    *above, last = path.split(".")
    place = request
    for name in above:
        place = place[name]
    del place[last]
    return json.dumps(review(request)).encode()


def having(**changes: Any) -> bytes:
    return json.dumps(review(CASES[0]["request"] | changes)).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        json.dumps(review(None)).encode(),
        json.dumps(review(CASES[0]["request"]) | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        json.dumps(review(CASES[0]["request"]) | {"kind": "Pod"}).encode(),
        json.dumps(review(CASES[0]["request"])).encode()[:-1] + b',"kind":"AdmissionReview"}',
        *map(without, ("uid", "kind", "resource", "operation", "userInfo", "userInfo.username", "resource.resource")),
        having(uid=""),
        having(uid=7),
        having(operation="READ"),
        having(operation="create"),
        having(userInfo={"username": ""}),
        having(userInfo={"username": "ada", "groups": "shop-developers"}),
        having(userInfo={"username": "ada", "groups": [1]}),
        having(object="pod"),
        having(dryRun="false"),
        having(subResource=["exec"]),
        having(namespace=None),
    ],
)
def test_what_is_no_review_is_refused_and_decides_nothing(host: RunningHost, body: bytes) -> None:
    status, reply = post(host, body)

    assert status == 400
    assert "response" not in reply
    assert reply["error"]["message"]


def test_a_review_that_is_too_large_is_refused(host: RunningHost) -> None:
    status, reply = post(host, having(object={"kind": "Pod", "spec": {"containers": []}, "padding": "x" * (1 << 20)}))

    assert (status, reply["error"]["code"]) == (413, "body_too_large")
