"""What a sidecar says of itself, held against what it does: schemathesis sends what its document allows, and what not.

No reply is a server error; each has a status, a content type and a body that the document has for it. What the document
allows is not refused as malformed, what it does not allow is, and so is a method that it does not name.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import PROFILE, examples
from relay import relaying
from running_host import TOKEN, RunningHost, running_host

from agent_sidecar.calling import call

HERE = Path(__file__).parent
EVERYTHING = """\
listen = "127.0.0.1:0"
token_file = "token"
authzen_url = "https://pdp.example.com"
authzen_search = true
envoy = {subject_header = "x-forwarded-user"}
"""
ORDERS = "^/(rollback|resume|refresh|log-level)$"
"""They change the host they are given to, each in its own way, and have tests of their own."""
ALIKE = r"^/v[01]/data(/writ(/answer)?)?$"
"""Read the body, and fail, as `/v1/data/writ/allow` and `/v0/data/writ/allow` do: for the nightly profile."""
EXAMPLES = examples(5, nightly=200)
TIMEOUT_S = 3600


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(policies=HERE / "authzen", configuration=EVERYTHING) as running:
        yield running


def held_against(url: str, folder: Path, *more: str) -> str:
    """Return what schemathesis reports of a service; it fails the test that asks if anything is wrong."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--phases"]
    command += [
        "examples,coverage,fuzzing",
        "--max-examples",
        str(EXAMPLES),
        "--generation-deterministic",
        "--no-color",
    ]
    paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SCHEMATHESIS_HOOKS": "openapi_hooks"}
    done = subprocess.run(
        [*command, *more], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_decision_service_does_what_its_document_says(host: RunningHost, tmp_path: Path) -> None:
    left_out = () if PROFILE == "nightly" else ("--exclude-path-regex", ALIKE)
    token = ("--header", f"Authorization: Bearer {TOKEN}")
    report = held_against(f"http://127.0.0.1:{host.port}", tmp_path, *token, *left_out)

    selected, tested = numbers(report)
    assert selected == tested >= 24


def test_so_does_the_admin_service(host: RunningHost, tmp_path: Path) -> None:
    behind = host.socket.parent / "state/admin.sock"
    with socket.create_server(("127.0.0.1", 0)) as listener, relaying(listener, behind):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        report = held_against(url, tmp_path, "--exclude-path-regex", ORDERS)

    selected, tested = numbers(report)
    assert selected == tested >= 5


def numbers(report: str) -> tuple[int, int]:
    """Return how many operations were selected, and how many of them tested."""
    found = re.search(r"Selected: (\d+)/\d+\s+Tested: (\d+)", report)
    assert found, report
    return int(found[1]), int(found[2])


def document(host: RunningHost, path: str = "decision.sock") -> Any:
    return call(host.socket.parent / path, "GET", "/openapi.json")


def test_each_service_tells_of_its_own_paths_alone(host: RunningHost) -> None:
    decisions, admin = document(host), document(host, "state/admin.sock")

    assert "/access/v1/search/subject" in decisions["paths"]
    assert "/api/v1/policy/simulate" in admin["paths"]
    assert set(decisions["paths"]) & set(admin["paths"]) == {"/openapi.json", "/status"}


def test_what_is_switched_off_is_not_told_of() -> None:
    with running_host() as plain:
        paths = document(plain)["paths"]

    assert "/access/v1/evaluation" in paths
    assert not [path for path in paths if "search" in path or "envoy" in path or "well-known" in path]


def test_on_tcp_the_document_takes_the_token(host: RunningHost) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.port)
    found = []
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        connection.request("GET", "/openapi.json", headers=headers)
        reply = connection.getresponse()
        found.append((reply.status, "paths" in json.load(reply)))
    connection.close()

    assert found == [(401, False), (200, True)]
