"""The guardrail in real runs of the OpenAI Agents SDK, with a model that calls what a test says."""

import asyncio
from typing import Any

import pytest
from agents import Agent, ModelResponse, RunConfig, Runner, Usage, function_tool
from agents.models.interface import Model
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from scripted_policy import ALLOW, ASKING, DENY, Script, bound, throttle

from agent_sidecar.client import Constraints, acting_as, guard
from agent_sidecar.client.openai_agents import tell_refusal, tool_guardrail

ADA = {"type": "user", "id": "ada"}


class Calling(Model):
    """A model that makes one tool call and then repeats what it was told."""

    def __init__(self, name: str, arguments: str) -> None:
        self.told: Any = None
        self._call = (name, arguments)

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:  # noqa: A002 - theirs
        outputs = [each["output"] for each in input if isinstance(each, dict) and "output" in each]
        if outputs:
            self.told = outputs[-1]
            text = ResponseOutputText(type="output_text", text="done", annotations=[])
            said: Any = ResponseOutputMessage(
                id="m", type="message", role="assistant", status="completed", content=[text]
            )
        else:
            name, arguments = self._call
            said = ResponseFunctionToolCall(type="function_call", call_id="1", name=name, arguments=arguments)
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def run(tool: Any, arguments: str = '{"number": 7}') -> Any:
    """Return what the model is told after its call of a tool."""
    model = Calling(tool.name, arguments)
    agent: Agent[Any] = Agent(name="agent", model=model, tools=[tool])
    asyncio.run(Runner.run(agent, "go", run_config=RunConfig(tracing_disabled=True)))
    return model.told


@pytest.fixture
def closed() -> list[int]:
    return []


def closing(closed: list[int], policy: Script, **more: Any) -> Any:
    guardrail = tool_guardrail(policy, **({"subject": ADA} | more))

    @function_tool(tool_input_guardrails=[guardrail])
    def close(number: int) -> str:
        """Close a ticket."""
        closed.append(number)
        return f"closed {number}"

    return close


def test_what_is_allowed_runs(closed: list[int]) -> None:
    policy = Script(ALLOW)

    assert run(closing(closed, policy)) == "closed 7"

    assert closed == [7]
    assert policy.asked == [
        {
            "subject": ADA,
            "action": {"name": "tools/call"},
            "resource": {"type": "tool", "id": "close"},
            "context": {"arguments": {"number": 7}},
        }
    ]


@pytest.mark.parametrize("given", [DENY, ASKING, throttle(9.0), bound(max_targets=1)])
def test_what_is_not_allowed_is_told_to_the_model(closed: list[int], given: Any) -> None:
    told = run(closing(closed, Script(given)))

    assert told.startswith("Not done: tools/call: ")
    assert closed == []


def test_calls_are_mapped_by_their_arguments(closed: list[int]) -> None:
    policy = Script(ALLOW)

    run(closing(closed, policy, action="tickets.close", resource=("ticket", "{number}"), context=()))

    assert (policy.asked[0]["action"], policy.asked[0]["context"]) == ({"name": "tickets.close"}, {})
    assert policy.asked[0]["resource"] == {"type": "ticket", "id": "7"}


@pytest.mark.parametrize("arguments", ['{"other": 1}', "[7]", '{"number": '])
def test_a_call_that_cannot_be_mapped_is_told_to_the_model(closed: list[int], arguments: str) -> None:
    told = run(closing(closed, Script(ALLOW), resource=("ticket", "{number}")), arguments)

    assert told.startswith(("Not done: request:", "An error occurred"))
    assert closed == []


@pytest.mark.parametrize(
    "arguments", ['{"number": "07"}', '{"number": 7.0}', '{"number": true}', '{"number": 7, "x": 1}']
)
def test_what_the_sdk_would_bend_after_the_decision_is_refused(closed: list[int], arguments: str) -> None:
    policy = Script(ALLOW)

    told = run(closing(closed, policy, resource=("ticket", "{number}")), arguments)

    assert "is not what the tool declares" in told
    assert (policy.asked, closed) == ([], [])


def test_a_throttle_and_an_approval_can_be_waited_for(closed: list[int]) -> None:
    policy = Script(throttle(), ASKING, ALLOW)

    run(closing(closed, policy, throttle_timeout_s=5, approval_timeout_s=5, grants=lambda _asked: ["g"]))

    assert policy.asked[-1]["context"]["grants"] == ["g"]
    assert closed == [7]


def test_a_guarded_function_is_a_tool_with_its_schema_and_its_constraints() -> None:
    @function_tool
    @guard(Script(bound(max_targets=2)), action="a", resource=("t", "{number}"), keeps=["max_targets"])
    async def restart(number: int, *, constraints: Constraints) -> str:
        """Restart a service."""
        return f"{number} within {dict(constraints)}"

    assert list(restart.params_json_schema["properties"]) == ["number"]
    with acting_as("user", "ada"):
        assert run(restart) == "7 within {'max_targets': 2}"


def test_a_guarded_function_that_is_denied_is_told_to_the_model() -> None:
    @function_tool(failure_error_function=tell_refusal)
    @guard(Script(DENY), action="a", resource=("t", "{number}"))
    def restart(number: int) -> str:
        """Restart a service."""
        return pytest.fail("ran")

    with acting_as("user", "ada"):
        assert "a: deny: because [p/r]" in run(restart)


def test_a_model_is_told_nothing_of_other_errors() -> None:
    @function_tool(failure_error_function=tell_refusal)
    @guard(Script(ALLOW), action="a", resource=("t", "{number}"))
    def restart(number: int) -> str:
        """Restart a service."""
        raise OSError("secret path")

    with acting_as("user", "ada"):
        assert run(restart) == "An error occurred while running the tool."
