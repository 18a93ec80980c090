"""Checks as Envoy's ext_authz filter sends them in HTTP mode, replayed to a real sidecar on one kept connection.

A check has the method, path (behind the prefix), Host and chosen headers of the request that waits, a length of 0, and
headers of Envoy's own. Whatever is not 200 stops the request.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from running_host import RunningHost, running_host

GATEWAY = Path(__file__).parent / "envoy"
TRUST = """
[envoy]
subject_header = "x-forwarded-user"
roles_header = "x-forwarded-groups"
"""
ADA = {"x-forwarded-user": "ada", "x-forwarded-groups": "support,on-call"}


class Envoy:
    """One connection of Envoy's pool to the authorization service."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._replies = self._socket.makefile("rb")

    def check(
        self, method: str, path: str, headers: dict[str, str] | None = None, *, host: str = "shop.example.com"
    ) -> tuple[int, dict[str, str], Any]:  # fmt: skip
        lines = [f"{method} /envoy{path} HTTP/1.1", f"host: {host}", "content-length: 0"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += ["x-envoy-internal: true", "x-forwarded-for: 10.0.0.2", "x-envoy-expected-rq-timeout-ms: 250"]
        return self.send("\r\n".join([*lines, "", ""]), is_head=method == "HEAD")

    def send(self, text: str, *, is_head: bool = False) -> tuple[int, dict[str, str], Any]:
        self._socket.sendall(text.encode())
        status = int(self._replies.readline().split()[1])
        told = {}
        while (line := self._replies.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            told[name.lower()] = value.strip()
        body = b"" if is_head else self._replies.read(int(told["content-length"]))
        return status, told, json.loads(body) if body else None

    def close(self) -> None:
        self._replies.close()
        self._socket.close()


@contextmanager
def connected(host: RunningHost) -> Iterator[Envoy]:
    envoy = Envoy(host.socket)
    yield envoy
    envoy.close()


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(policies=GATEWAY, configuration=TRUST) as running:
        yield running


@pytest.fixture
def envoy(host: RunningHost) -> Iterator[Envoy]:
    with connected(host) as made:
        yield made


def test_one_connection_carries_one_check_after_the_other(envoy: Envoy) -> None:
    told = [
        envoy.check(method, path, ADA)[0]
        for method, path in [
            ("GET", "/orders/7?full=1"), ("HEAD", "/orders/7"), ("DELETE", "/orders/7"), ("HEAD", "/admin"),
            ("OPTIONS", "/orders/7"), ("GET", "/public/logo.png"),
        ]
    ]  # fmt: skip

    assert told == [200, 200, 403, 403, 403, 200]


def test_a_request_that_may_pass_gets_no_body_and_the_id_of_its_decision(envoy: Envoy) -> None:
    status, headers, body = envoy.check("GET", "/orders/7", ADA)

    assert (status, body, headers["x-writ-decision"]) == (200, None, "allow")
    assert headers["x-writ-decision-id"]


def test_a_request_that_may_not_pass_says_why_and_names_no_rule(envoy: Envoy) -> None:
    status, headers, body = envoy.check("DELETE", "/orders/7", ADA)

    assert (status, body["reason_code"], headers["x-writ-decision"]) == (403, "no_matching_rule", "deny")
    assert body.keys() == {"decision", "reason", "reason_code", "decision_id"}


def test_constraints_that_are_not_handed_on_stop_the_request(envoy: Envoy) -> None:
    status, _, body = envoy.check("POST", "/orders/7/refund", ADA)

    assert (status, body["decision"]) == (403, "allow_with_constraints")


def test_constraints_are_handed_on_where_a_header_is_named_and_overwrite_a_clients_own() -> None:
    trust = TRUST + 'constraints_header = "x-bounds"\n'
    with running_host(policies=GATEWAY, configuration=trust) as running, connected(running) as envoy:
        bound = envoy.check("POST", "/orders/7/refund", ADA | {"x-bounds": "{}"})
        free = envoy.check("GET", "/orders/7", ADA | {"x-bounds": '{"max_targets": 9}'})

    assert (bound[0], json.loads(bound[1]["x-bounds"])) == (200, {"max_targets": 1})
    assert (free[0], free[1]["x-bounds"]) == (200, "{}")


def test_who_is_throttled_hears_when_to_come_back(envoy: Envoy) -> None:
    first, second = envoy.check("GET", "/orders/export", ADA), envoy.check("GET", "/orders/export", ADA)

    assert (first[0], second[0]) == (200, 429)
    assert 3500 < int(second[1]["retry-after"]) <= 3600


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-forwarded-groups": "support"},
        {"x-user": "ada", "x-groups": "support"},
        {"x-forwarded-user": "eve", "x_forwarded_groups": "support"},
        {"x-forwarded-user": "eve", "x-forwarded-email": "ada"},
    ],
)
def test_nobody_is_believed_but_the_headers_that_are_named(envoy: Envoy, headers: dict[str, str]) -> None:
    assert envoy.check("GET", "/orders/7", headers)[0] == 403


def test_a_second_identity_beside_the_first_is_refused(envoy: Envoy) -> None:
    assert envoy.check("GET", "/orders/7", ADA | {"X-Forwarded-User": "admin"})[0] == 400
    assert envoy.check("GET", "/public/a", ADA | {"X-Forwarded-Groups": "admin"})[0] == 400
    assert envoy.check("HEAD", "/public/a", ADA | {"X-Forwarded-Groups": "admin"})[0] == 400
    assert envoy.check("GET", "/public/a", ADA)[0] == 200


def test_an_identity_in_a_trailer_is_none(envoy: Envoy) -> None:
    head = "GET /envoy/orders/7 HTTP/1.1\r\nhost: shop.example.com\r\ntransfer-encoding: chunked\r\n\r\n"

    status, _, _ = envoy.send(head + "0\r\nx-forwarded-user: ada\r\nx-forwarded-groups: support\r\n\r\n")

    assert status == 403


def test_an_identity_is_not_remembered_for_the_next_check(envoy: Envoy) -> None:
    assert [envoy.check("GET", "/orders/7", each)[0] for each in (ADA, {}, ADA)] == [200, 403, 200]


@pytest.mark.parametrize(
    "path", ["/public/../orders/7", "/public/%2e%2e/orders/7", "//orders/7", "/public/..;/orders/7"]
)
def test_a_path_that_is_not_in_normal_form_never_passes(envoy: Envoy, path: str) -> None:
    assert envoy.check("GET", path, ADA)[0] == 400


@pytest.mark.parametrize("path", ["/../status", "/health/live", "/metrics", "/v1/status", "/access/v1/evaluation"])
def test_no_path_behind_the_prefix_reaches_another_api(envoy: Envoy, path: str) -> None:
    assert envoy.check("GET", path, ADA)[0] in (400, 403)


def test_another_host_is_another_resource(envoy: Envoy) -> None:
    assert envoy.check("GET", "/orders/7", ADA, host="bank.example.com")[0] == 403
    assert envoy.check("GET", "/orders/7", ADA, host="SHOP.example.com:8443")[0] == 200


def test_without_a_table_of_trusted_headers_nothing_passes() -> None:
    with running_host(policies=GATEWAY) as running, connected(running) as envoy:
        assert [envoy.check(method, "/public/a", ADA)[0] for method in ("GET", "HEAD", "GET")] == [404, 404, 404]
