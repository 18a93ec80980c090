"""OpenAI Agents SDK: a guardrail that decides a function tool's calls before they are made.

What may not be done is told to the model in place of a result, and the run goes on. Needs the package
``openai-agents``.
"""

import json
from typing import TYPE_CHECKING, Any

from agent_sidecar.client.calls import Action, Context, Resource, Subject
from agent_sidecar.client.declared import check_declared
from agent_sidecar.client.obeying import Deciding, GrantSource, Patience, decide_async
from agent_sidecar.client.refusals import Denied
from agent_sidecar.client.tools import refusal_text, tool_mapping
from policy_core.request import RequestError

if TYPE_CHECKING:
    from agents import ToolGuardrailFunctionOutput, ToolInputGuardrail, ToolInputGuardrailData


def tool_guardrail(
    policy: Deciding,
    *,
    subject: Subject = None,
    action: Action | None = None,
    resource: Resource | None = None,
    context: Context | None = None,
    grants: GrantSource | None = None,
    approval_timeout_s: float = 0.0,
    throttle_timeout_s: float = 0.0,
) -> "ToolInputGuardrail[Any]":
    """Return a guardrail for ``function_tool(…, tool_input_guardrails=[…])``, for any number of tools.

    Calls are mapped as `agent_sidecar.client.tools` says, or as is given here, as with `guard`. Arguments that are not
    of the types the tool declares are refused: the SDK would bend them after the decision. Constraints cannot be kept
    here and deny: make the tool of a function that is guarded itself.
    """
    from agents import FunctionTool, ToolGuardrailFunctionOutput, ToolInputGuardrail

    patience = Patience(grants=grants, approval_timeout_s=approval_timeout_s, throttle_timeout_s=throttle_timeout_s)

    async def writ_policy(data: "ToolInputGuardrailData") -> "ToolGuardrailFunctionOutput":
        called = data.context
        mapping = tool_mapping(called.tool_name, subject=subject, action=action, resource=resource, context=context)
        try:
            arguments = _arguments(called.tool_arguments)
            for tool in data.agent.tools:
                if isinstance(tool, FunctionTool) and tool.name == called.tool_name:
                    check_declared(arguments, tool.params_json_schema)
            answer = await decide_async(policy, lambda: mapping.request(arguments), keeps=(), patience=patience)
        except Denied as denied:
            info = {"decision_id": denied.decision_id, "reason_code": denied.reason_code}
            return ToolGuardrailFunctionOutput.reject_content(refusal_text(denied), output_info=info)
        except RequestError as error:
            return ToolGuardrailFunctionOutput.reject_content(refusal_text(error))
        return ToolGuardrailFunctionOutput.allow(output_info={"decision_id": answer.decision_id})

    return ToolInputGuardrail(guardrail_function=writ_policy)


def tell_refusal(_context: Any, error: Exception) -> str:
    """Return what a model is told of an error: for ``failure_error_function`` of tools that are guarded functions."""
    if isinstance(error, Denied | RequestError):
        return refusal_text(error)
    return "An error occurred while running the tool."


def _arguments(text: str) -> dict[str, Any]:
    """Return the arguments a model gave. Raises RequestError."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise RequestError(f"request: the arguments are not JSON: {error}") from error
    if not isinstance(found, dict):
        raise RequestError("request: the arguments are not an object")
    return found
