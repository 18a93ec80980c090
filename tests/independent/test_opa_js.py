"""The client of OPA for Node.js, as it is published, asks a real sidecar.

Needs node and ``npm ci --prefix tests/independent``, as the tests beside it do.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import TOKEN, running_host

HERE = Path(__file__).parent
NODE = shutil.which("node")
MISSING = (
    "" if NODE and (HERE / "node_modules/@open-policy-agent/opa").is_dir() else "run: npm ci --prefix tests/independent"
)
REQUIRED = os.environ.get("WRIT_TEST_NODE") == "required"  # read before tests get an environment of their own
CLIENT_TIMEOUT_S = 60
LISTEN = 'listen = "127.0.0.1:0"\ntoken_file = "token"\n'

Call = Callable[..., dict[str, Any]]


def request(action: str, *tags: str) -> dict[str, Any]:
    who = {"type": "user", "id": "ada", "properties": {"roles": ["sre"]}}
    web = {"type": "service", "id": "web", "properties": {"instances": ["web-1", "web-2"]}}
    return {"subject": who, "action": {"name": action}, "resource": web, "context": {"risk_tags": list(tags)}}


@pytest.fixture(scope="module")
def call() -> Iterator[Call]:
    """Return what calls a method of the client and returns its value or its error."""
    if MISSING:
        (pytest.fail if REQUIRED else pytest.skip)(f"node or the client is not installed; {MISSING}")
    with running_host(configuration=LISTEN) as host:

        def made(method: str, *arguments: Any) -> dict[str, Any]:
            assert NODE
            done = subprocess.run(
                [NODE, HERE / "opa.js", f"http://127.0.0.1:{host.port}", TOKEN],
                input=json.dumps([[method, *arguments]]), capture_output=True, text=True, check=True,
                timeout=CLIENT_TIMEOUT_S,
            )  # fmt: skip
            (told,) = json.loads(done.stdout)
            return dict(told)

        yield made


@pytest.mark.parametrize(
    ("action", "is_allowed"), [("tickets.read", True), ("service.restart", False), ("bucket.delete", False)]
)
def test_evaluate_gives_the_boolean(call: Call, action: str, is_allowed: bool) -> None:
    assert call("evaluate", "writ/allow", request(action)) == {"value": is_allowed}


def test_evaluate_gives_the_answer_with_its_constraints(call: Call) -> None:
    answer = call("evaluate", "writ/answer", request("service.restart"))["value"]

    assert (answer["decision"], answer["constraints"]) == ("allow_with_constraints", {"max_targets": 1})


def test_what_is_undefined_is_no_value(call: Call) -> None:
    assert call("evaluate", "httpapi/authz/allow", request("tickets.read")) == {}
    assert call("evaluate", "writ/allow") == {}


def test_an_input_that_is_no_request_is_an_error_that_says_why(call: Call) -> None:
    assert "subject is missing" in call("evaluate", "writ/allow", {"user": "ada"})["error"]


def test_the_default_document_is_true_or_an_error(call: Call) -> None:
    assert call("evaluateDefault", request("tickets.read")) == {"value": True}
    assert call("evaluateDefault", request("bucket.delete")) == {"error": "no result in API response"}


def test_batches_fall_back_to_single_evaluations(call: Call) -> None:
    inputs = {"read": request("tickets.read"), "delete": request("bucket.delete")}

    assert call("evaluateBatch", "writ/allow", inputs, {"fallback": True}) == {"value": {"read": True, "delete": False}}
    assert "error" in call("evaluateBatch", "writ/allow", inputs)
