"""Guarded tools in real LangChain: what a model sees, what runs, and what it is told instead."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, Tool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from scripted_policy import ALLOW, ASKING, DENY, Script, answer, bound, throttle

from agent_sidecar.client import Constraints, acting_as, guard
from agent_sidecar.client.langchain_tools import guard_tool
from policy_core.model import Decision, Remediation

ADA = {"type": "user", "id": "ada"}
ran: list[Any] = []


@pytest.fixture(autouse=True)
def _none_ran() -> None:
    ran.clear()


@tool
def close(number: int, note: str = "") -> str:
    """Close a ticket."""
    ran.append((number, note))
    return f"closed {number}"


@tool
async def reopen(number: int) -> str:
    """Reopen a ticket."""
    ran.append(number)
    return f"reopened {number}"


class Listing(BaseTool):
    name: str = "listing"
    description: str = "List tickets."

    def _run(self, queue: str, settings: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None) -> str:
        ran.append((queue, settings.get("tags"), run_manager is not None))
        return f"tickets of {queue}"


SEARCH = Tool(name="search", description="Search.", func=lambda query: f"found {query}")


@pytest.fixture(params=["invoke", "ainvoke"])
def invoke(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call a tool as an agent does: with a tool call, for a tool message."""

    def call(a_tool: BaseTool, **arguments: Any) -> Any:
        made = {"type": "tool_call", "id": "1", "name": a_tool.name, "args": arguments}
        if request.param == "invoke":
            return a_tool.invoke(made)
        return asyncio.run(a_tool.ainvoke(made))

    return call


def test_what_is_allowed_runs(invoke: Callable[..., Any]) -> None:
    policy = Script(ALLOW)

    message = invoke(guard_tool(close, policy, subject=ADA), number=7)

    assert (message.content, message.status) == ("closed 7", "success")
    assert ran == [(7, "")]
    assert policy.asked == [
        {
            "subject": ADA,
            "action": {"name": "tools/call"},
            "resource": {"type": "tool", "id": "close"},
            "context": {"arguments": {"number": 7, "note": ""}},
        }
    ]


@pytest.mark.parametrize("given", [DENY, ASKING, throttle(9.0), bound(max_targets=1)])
def test_what_is_not_allowed_is_told_to_the_model(invoke: Callable[..., Any], given: Any) -> None:
    message = invoke(guard_tool(close, Script(given), subject=ADA), number=7)

    assert message.status == "error"
    assert message.content.startswith("Not done: tools/call: ")
    assert ran == []


def test_remediations_are_told_too(invoke: Callable[..., Any]) -> None:
    denied = answer(Decision.DENY, remediations=(Remediation("r", "Ask for a window"),))

    message = invoke(guard_tool(close, Script(denied), subject=ADA), number=7)

    assert message.content.splitlines()[1] == "Instead: Ask for a window."


@pytest.mark.parametrize("a_tool", [close, Listing()], ids=["function", "class"])
def test_a_model_sees_the_same_tool(a_tool: BaseTool) -> None:
    guarded = guard_tool(a_tool, Script(ALLOW), subject=ADA)

    assert convert_to_openai_tool(guarded) == convert_to_openai_tool(a_tool)
    assert guarded.args == a_tool.args
    assert guarded.get_input_schema().model_json_schema() == a_tool.get_input_schema().model_json_schema()


def test_a_model_sees_that_a_tool_takes_one_text() -> None:
    guarded = guard_tool(SEARCH, Script(ALLOW), subject=ADA)

    shown = convert_to_openai_tool(SEARCH)
    assert shown["function"]["parameters"]["properties"]["__arg1"].pop("title")
    assert convert_to_openai_tool(guarded) == shown
    assert guarded.args == SEARCH.args


def test_calls_are_mapped_by_their_arguments(invoke: Callable[..., Any]) -> None:
    policy = Script(ALLOW)
    guarded = guard_tool(
        close, policy, subject=ADA, action="tickets.close", resource=("ticket", "{number}"), context=["note"]
    )

    invoke(guarded, number=7, note="done")

    assert policy.asked[0]["action"] == {"name": "tickets.close"}
    assert policy.asked[0]["resource"] == {"type": "ticket", "id": "7"}
    assert policy.asked[0]["context"] == {"note": "done"}


def test_an_async_tool_is_guarded() -> None:
    made = {"type": "tool_call", "id": "1", "name": "reopen", "args": {"number": 7}}

    allowed = asyncio.run(guard_tool(reopen, Script(ALLOW), subject=ADA).ainvoke(made))
    denied = asyncio.run(guard_tool(reopen, Script(DENY), subject=ADA).ainvoke(made))

    assert (allowed.content, denied.status, ran) == ("reopened 7", "error", [7])


@pytest.mark.parametrize("invoked", ["invoke", "ainvoke"])
def test_a_tool_that_is_a_class_is_guarded_and_gets_what_langchain_gives(invoked: str) -> None:
    made = {"type": "tool_call", "id": "1", "name": "listing", "args": {"queue": "q"}}
    guarded = guard_tool(Listing(), Script(ALLOW), subject=ADA)

    if invoked == "invoke":
        message = guarded.invoke(made, {"tags": ["t"]})
    else:
        message = asyncio.run(guarded.ainvoke(made, {"tags": ["t"]}))

    assert message.content == "tickets of q"
    assert ran == [("q", ["t"], True)]


def test_a_tool_of_one_text_is_guarded(invoke: Callable[..., Any]) -> None:
    policy = Script(ALLOW)

    assert guard_tool(SEARCH, policy, subject=ADA).invoke("x") == "found x"

    assert policy.asked[0]["context"]["arguments"] == {"input": "x"}


@pytest.mark.parametrize("name", ["query", "__arg1", "tool_input"])
def test_a_tool_of_one_text_is_guarded_whatever_a_model_calls_it(invoke: Callable[..., Any], name: str) -> None:
    policy = Script(ALLOW)

    assert invoke(guard_tool(SEARCH, policy, subject=ADA), **{name: "x"}).content == "found x"

    assert policy.asked[0]["context"]["arguments"] == {"input": "x"}


def test_what_the_application_injects_is_no_argument() -> None:
    policy = Script(ALLOW)

    @tool
    def read(number: int, connection: Annotated[Any, InjectedToolArg]) -> str:
        """Read a ticket."""
        return f"read {number} by {connection}"

    guarded = guard_tool(read, policy, subject=ADA)

    assert guarded.invoke({"number": 7, "connection": "c"}) == "read 7 by c"
    assert policy.asked[0]["context"]["arguments"] == {"number": 7}


def test_arguments_that_are_no_json_are_told_to_the_model() -> None:
    from agent_sidecar.client import Policy

    @tool
    def read(when: complex) -> str:
        """Read."""
        return pytest.fail("ran")

    guarded = guard_tool(read, Policy(socket="/nowhere"), subject=ADA)

    assert guarded.invoke({"when": 1j}).startswith("Not done: request: is not JSON")


def test_a_guarded_function_is_a_tool_with_its_schema_and_its_constraints() -> None:
    @tool
    @guard(Script(bound(max_targets=2)), action="a", resource=("t", "{name}"), keeps=["max_targets"])
    def restart(name: str, *, constraints: Constraints) -> str:
        """Restart a service."""
        return f"{name} within {dict(constraints)}"

    assert isinstance(restart, StructuredTool)
    assert list(restart.args) == ["name"]
    with acting_as("user", "ada"):
        assert restart.invoke({"name": "web"}) == "web within {'max_targets': 2}"
    assert not inspect.signature(restart.func).parameters.get("constraints")
