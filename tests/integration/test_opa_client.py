"""The client of OPA for Python, as it is published, asks a real sidecar over TCP."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from opa_client import AsyncOpaClient, OpaClient
from opa_client.errors import ConnectionsError, DeletePolicyError, PatchDataError, PolicyNotFoundError, RegoParseError
from running_host import TOKEN, RunningHost, running_host

LISTEN = 'listen = "127.0.0.1:0"\ntoken_file = "token"\n'


def request(action: str) -> dict[str, Any]:
    who = {"type": "user", "id": "ada", "properties": {"roles": ["sre"]}}
    web = {"type": "service", "id": "web", "properties": {"instances": ["web-1", "web-2"]}}
    return {"subject": who, "action": {"name": action}, "resource": web}


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(configuration=LISTEN) as running:
        yield running


@pytest.fixture
def client(host: RunningHost) -> Iterator[OpaClient]:
    with OpaClient(host="127.0.0.1", port=host.port, token=TOKEN, timeout=10.0) as made:
        yield made


@pytest.mark.parametrize(
    ("action", "is_allowed"), [("tickets.read", True), ("service.restart", False), ("bucket.delete", False)]
)
def test_a_rule_gives_the_boolean(client: OpaClient, action: str, is_allowed: bool) -> None:
    reply = client.query_rule(request(action), "writ", "allow", {"metrics": True, "pretty": True, "explain": "full"})

    assert reply["result"] is is_allowed
    assert reply["decision_id"]


def test_a_rule_gives_the_answer_with_its_constraints(client: OpaClient) -> None:
    answer = client.query_rule(request("service.restart"), "writ.answer")["result"]

    assert (answer["decision"], answer["constraints"]) == ("allow_with_constraints", {"max_targets": 1})


def test_a_job_is_a_request_too(client: OpaClient) -> None:
    job = {"topic": "job.mcp-bridge.read.tickets", "actor_type": "registered_agent", "actor_id": "bot-7"}

    assert client.query_rule({"tenant_id": "acme", "job": job}, "writ", "allow")["result"] is True


def test_what_is_undefined_has_no_result(client: OpaClient) -> None:
    assert client.query_rule(request("tickets.read"), "httpapi.authz", "allow") == {}
    with pytest.raises(PolicyNotFoundError):
        client.get_data("writ/allow")


def test_an_input_that_is_no_request_is_an_error(client: OpaClient) -> None:
    with pytest.raises(requests.HTTPError, match="400"):
        client.query_rule({"user": "ada"}, "writ", "allow")


def test_it_finds_a_healthy_server_with_the_policy_in_force(client: OpaClient) -> None:
    bundle = client.get_status()["result"]["bundles"]["prod"]

    assert client.check_connection() is True
    assert client.wait_for_ready(query={"bundles": True}) is True
    assert client.get_policies_list() == []
    assert "writ_ready 1" in client.get_metrics()
    assert len(bundle["active_revision"]) == 40


def test_it_can_write_nothing(client: OpaClient) -> None:
    with pytest.raises(RegoParseError, match="nothing is written here"):
        client.update_or_create_data({"allow": True}, "writ")
    with pytest.raises(RegoParseError, match="nothing is written here"):
        client.update_policy_from_string("package writ\nallow := true", "writ")
    with pytest.raises(PatchDataError, match="nothing is written here"):
        client.patch_data("writ", [{"op": "add", "path": "/allow", "value": True}])
    with pytest.raises(DeletePolicyError, match="nothing is written here"):
        client.delete_policy("writ")
    assert client.query_rule(request("bucket.delete"), "writ", "allow")["result"] is False


def test_without_the_token_it_is_turned_away(host: RunningHost) -> None:
    with OpaClient(host="127.0.0.1", port=host.port) as client, pytest.raises(ConnectionsError):
        client.check_connection()


def test_the_asynchronous_client_gets_the_same(host: RunningHost) -> None:
    async def ask() -> Any:
        async with AsyncOpaClient(host="127.0.0.1", port=host.port, token=TOKEN, timeout=10.0) as client:
            return await client.query_rule(request("tickets.read"), "writ", "allow")

    assert asyncio.run(ask())["result"] is True
