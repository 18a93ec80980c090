"""The middleware in a real MCP server, asked by a real client in both generations of the protocol."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from scripted_policy import ALLOW, ASKING, DENY, Script, answer, bound, throttle

from agent_sidecar.client import acting_as, guard
from agent_sidecar.client.mcp_server import AuthZenMiddleware
from policy_core.model import Decision, Remediation

ADA = {"type": "user", "id": "ada"}
MODES = ["auto", "legacy"]


class ToolCalls(Script):
    """Allows every message but calls of tools, which are answered as the script says."""

    async def decide_async(self, request: dict[str, Any]) -> Any:
        if request["action"]["name"] == "tools/call":
            return await super().decide_async(request)
        self.asked.append(request)
        return ALLOW


def server_of(policy: Script, **more: Any) -> tuple[MCPServer, list[int]]:
    closed: list[int] = []
    options = {"server": "https://tickets.example", "subject": ADA} | more
    server = MCPServer("tickets", middleware=[AuthZenMiddleware(policy, **options)])

    @server.tool()
    def close(number: int) -> str:
        """Close a ticket."""
        closed.append(number)
        return f"closed {number}"

    @server.resource("tickets://{number}")
    def ticket(number: str) -> str:
        return f"ticket {number}"

    @server.prompt()
    def triage() -> str:
        return "Triage the tickets."

    return server, closed


def call(server: MCPServer, mode: str = "auto", **arguments: Any) -> Any:
    async def calling() -> Any:
        async with Client(server, mode=mode) as client:
            try:
                return await client.call_tool("close", arguments or {"number": 7})
            except MCPError as error:  # raised here it would become part of a group of errors
                return error

    found = asyncio.run(calling())
    if isinstance(found, MCPError):
        raise found
    return found


def calls(policy: Script) -> list[dict[str, Any]]:
    """Return what was asked about tool calls: clients list tools, too."""
    return [each for each in policy.asked if "/list" not in each["action"]["name"]]


@contextlib.contextmanager
def token(**claims: Any) -> Iterator[None]:
    """Act with an access token that the server's own middleware has validated."""
    given = AccessToken(token="t", scopes=[], **({"client_id": "https://agent.example"} | claims))
    before = auth_context_var.set(AuthenticatedUser(given))
    try:
        yield
    finally:
        auth_context_var.reset(before)


@pytest.mark.parametrize("mode", MODES)
def test_a_call_that_is_allowed_is_made(mode: str) -> None:
    policy = ToolCalls(ALLOW)
    server, closed = server_of(policy)

    assert call(server, mode).content[0].text == "closed 7"

    assert closed == [7]
    assert calls(policy)[-1] == {
        "subject": ADA,
        "action": {"name": "tools/call"},
        "resource": {"type": "tool", "id": "close"},
        "context": {},
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_call_that_is_denied_is_an_error_that_says_why(mode: str) -> None:
    help_ = Remediation("r", "Ask for a window", "At night")
    server, closed = server_of(ToolCalls(answer(Decision.DENY, remediations=(help_,))))

    with pytest.raises(MCPError) as caught:
        call(server, mode)

    assert caught.value.code == -32001
    assert caught.value.message == (
        "Not done: tools/call: deny: because [p/r] (decision d-1).\nInstead: Ask for a window. At night"
    )
    assert caught.value.data == {"reason_code": "matched_rule", "decision_id": "d-1", "matched_rule": "p/r"}
    assert closed == []


@pytest.mark.parametrize(
    ("given", "code", "data"),
    [
        (throttle(9.0), -32001, {"retry_after_s": 9.0}),
        (ASKING, -32001, {"approval": {"rules": ["p/ask"], "from": {"security": 1}}}),
        (bound(max_targets=1), -32001, {"reason_code": "constraints_not_kept"}),
        (answer(Decision.DENY, reason_code="policy_unavailable"), -32603, {"reason_code": "policy_unavailable"}),
    ],
)
def test_whatever_does_not_simply_allow_is_an_error(given: Any, code: int, data: dict[str, Any]) -> None:
    server, closed = server_of(ToolCalls(given))

    with pytest.raises(MCPError) as caught:
        call(server)

    assert caught.value.code == code
    assert data.items() <= caught.value.data.items()
    assert closed == []


def test_a_throttle_and_an_approval_can_be_waited_for() -> None:
    policy = ToolCalls(throttle(), ASKING, ALLOW)
    server, closed = server_of(policy, throttle_timeout_s=5, approval_timeout_s=5, grants=lambda _asked: ["g"])

    call(server)

    assert calls(policy)[-1]["context"] == {"grants": ["g"]}
    assert closed == [7]


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_may_not_connect_does_not(mode: str) -> None:
    server, closed = server_of(Script(DENY))

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the client's own group of errors
        call(server, mode)

    assert "deny" in str(_innermost(caught.value))
    assert closed == []


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def test_every_message_is_decided_by_the_table_of_the_draft() -> None:
    policy = Script(ALLOW)
    server, _ = server_of(policy)

    async def talk() -> None:
        async with Client(server, mode="legacy") as client:
            await client.list_tools()
            await client.list_resources()
            await client.list_resource_templates()
            await client.read_resource("tickets://7")
            await client.list_prompts()
            await client.get_prompt("triage")
            with contextlib.suppress(MCPError):  # this server completes nothing
                await client.complete(_prompt_reference(), {"name": "n", "value": "v"})

    asyncio.run(talk())

    whole = ("mcp_server", "https://tickets.example")
    assert [(each["action"]["name"], tuple(each["resource"].values())) for each in policy.asked] == [
        ("initialize", whole),
        ("tools/list", whole),
        ("resources/list", whole),
        ("resources/templates/list", whole),
        ("resources/read", ("resource", "tickets://7")),
        ("prompts/list", whole),
        ("prompts/get", ("prompt", "triage")),
        ("completion/complete", ("prompt", "triage")),
    ]
    assert policy.asked[0]["context"] == {"protocol_version": "2025-11-25"}


def _prompt_reference() -> Any:
    from mcp_types import PromptReference

    return PromptReference(type="ref/prompt", name="triage")


def test_who_acts_is_whom_the_token_names_and_the_agent_is_told() -> None:
    policy = ToolCalls(ALLOW)
    server, _ = server_of(policy)

    with token(subject="alice@example.com", claims={"sub": "mallory", "iss": "https://as.example"}):
        call(server)

    assert calls(policy)[-1]["subject"] == {"type": "identity", "id": "alice@example.com"}
    assert calls(policy)[-1]["context"] == {"agent": "https://agent.example"}


class Verifier:
    """Knows two people by tokens that are their names."""

    async def verify_token(self, token: str) -> AccessToken | None:
        known = token in ("alice", "bob")
        given = {"client_id": "agent", "scopes": [], "subject": token, "resource": "https://tickets.example"}
        return AccessToken(token=token, **given) if known else None


@pytest.mark.parametrize(("mode", "decided"), [("auto", ["alice", "alice", "bob"]), ("legacy", ["alice", "alice"])])
def test_over_http_each_message_is_decided_for_the_token_it_came_with(mode: str, decided: list[str]) -> None:
    policy = Script(ALLOW)
    auth = AuthSettings(
        issuer_url="https://as.example", resource_server_url="https://tickets.example", validate_token_resource=True
    )
    middleware = AuthZenMiddleware(policy, server="https://tickets.example", subject=ADA)
    server = MCPServer("tickets", middleware=[middleware], token_verifier=Verifier(), auth=auth)

    @server.tool()
    def close(number: int) -> str:
        return f"closed {number}"

    async def call_as(url: str) -> None:
        async with httpx2.AsyncClient() as http:
            http.headers["Authorization"] = "Bearer alice"
            async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
                for name in ("alice", "bob"):
                    http.headers["Authorization"] = f"Bearer {name}"
                    with contextlib.suppress(MCPError):  # a session of the older protocol is one person's
                        await client.call_tool("close", {"number": 7})
                http.headers["Authorization"] = "Bearer alice"

    async def serve() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            uvicorn_ = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_config=None))
            serving = asyncio.create_task(uvicorn_.serve([sock]))
            while not uvicorn_.started:
                await asyncio.sleep(0.01)
            await call_as(f"http://127.0.0.1:{sock.getsockname()[1]}/mcp")
            uvicorn_.should_exit = True
            await serving

    asyncio.run(serve())

    assert [each["subject"]["id"] for each in calls(policy)] == decided


def test_a_token_without_a_subject_is_nobodys_even_if_a_subject_was_given() -> None:
    server, closed = server_of(ToolCalls(ALLOW))

    with token(), pytest.raises(BaseException) as caught:  # noqa: PT011 - the client's own group of errors
        call(server)

    assert "cannot be mapped" in str(_innermost(caught.value))
    assert closed == []


def test_without_token_and_subject_nothing_happens() -> None:
    server, closed = server_of(ToolCalls(ALLOW), subject=None)

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the client's own group of errors
        call(server)

    assert "no access token" in str(_innermost(caught.value))
    assert closed == []


def test_a_tool_can_be_mapped_by_its_arguments() -> None:
    policy = ToolCalls(ALLOW)

    def closing(params: Any) -> dict[str, Any]:
        return {
            "action": {"name": "tickets.close"},
            "resource": {"type": "ticket", "id": str(params["arguments"]["number"])},
            "context": {"case": "c-1"},
        }

    server, _ = server_of(policy, tools={"close": closing})
    call(server)

    assert calls(policy)[-1]["action"] == {"name": "tickets.close"}
    assert calls(policy)[-1]["resource"] == {"type": "ticket", "id": "7"}
    assert calls(policy)[-1]["context"] == {"case": "c-1"}


@pytest.mark.parametrize("broken", [{}, {"number": None}])
def test_what_cannot_be_mapped_is_an_error_of_its_own(broken: dict[str, Any]) -> None:
    def closing(params: Any) -> dict[str, Any]:
        return {"action": {"name": "a"}, "resource": {"type": "t", "id": params["arguments"]["number"] + ""}}

    server, closed = server_of(ToolCalls(ALLOW), tools={"close": closing})

    with pytest.raises(MCPError) as caught:
        call(server, **(broken or {"other": 1}))

    assert caught.value.code == -32602
    assert closed == []


@pytest.mark.parametrize(
    "uri", ["tickets://%37", "tickets://a%2Fb", "tickets://%c3%a4", "tickets://ä", "tickets://a/../7"]
)
def test_a_resource_is_asked_for_by_the_name_that_rules_have_for_it(uri: str) -> None:
    policy = Script(ALLOW)
    server, _ = server_of(policy)

    async def reading(what: str) -> Any:
        async with Client(server) as client:
            try:
                return await client.read_resource(what)
            except MCPError as error:
                return error

    assert asyncio.run(reading("tickets://%C3%A4")).contents[0].text == "ticket ä"
    refused = asyncio.run(reading(uri))

    assert (refused.code, "not in normal form" in str(refused)) == (-32602, True)
    assert uri not in [each["resource"]["id"] for each in policy.asked]


class _Message:
    """A message as middleware sees it."""

    def __init__(self, method: str, params: Any = None, request_id: Any = 1) -> None:
        self.method, self.params, self.request_id = method, params, request_id


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        (_Message("ping"), True),
        (_Message("notifications/cancelled", {}, None), True),
        (_Message("anything/new"), False),
        (_Message("tools/call", {"name": ["close"]}), False),
        (_Message("tools/call"), False),
    ],
)
def test_a_method_nobody_mapped_is_denied_and_nothing_else_passes_unasked(message: Any, *, passes: bool) -> None:
    policy = Script(DENY)
    passed = []

    async def go_on(ctx: Any) -> None:
        passed.append(ctx)

    middleware = AuthZenMiddleware(policy, server="s", subject=ADA)
    with contextlib.nullcontext() if passes else pytest.raises(MCPError):
        asyncio.run(middleware(message, go_on))

    assert bool(passed) is passes


def test_a_tool_of_a_guarded_function_keeps_its_schema_and_gets_constraints() -> None:
    server = MCPServer("tickets")
    kept = []

    @server.tool()
    @guard(Script(bound(max_targets=2)), action="tickets.close", resource=("ticket", "{number}"), keeps=["max_targets"])
    def close(number: int, *, constraints: Any) -> str:
        """Close a ticket."""
        kept.append(constraints)
        return f"closed {number}"

    @server.tool()
    @guard(Script(DENY), action="tickets.drop", resource=("ticket", "{number}"), raises=ToolError)
    async def drop(number: int) -> str:
        """Drop a ticket."""
        return pytest.fail("ran")

    async def talk() -> list[Any]:
        async with Client(server) as client:
            listed = (await client.list_tools()).tools
            with acting_as("user", "ada"):
                results = [await client.call_tool(name, {"number": 7}) for name in ("close", "drop")]
            return [listed, *results]

    listed, closed, dropped = asyncio.run(talk())

    assert [sorted(tool.input_schema["properties"]) for tool in listed] == [["number"], ["number"]]
    assert (closed.content[0].text, closed.is_error) == ("closed 7", False)
    assert kept == [{"max_targets": 2}]
    assert dropped.is_error
    assert "tickets.drop: deny: because" in dropped.content[0].text
