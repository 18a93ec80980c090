"""What the adapters of agent frameworks share: the request for a tool call, and what a model is told of a refusal.

A tool call is, unless it is mapped otherwise, the action ``tools/call`` on the resource of type ``tool`` with the name
of the tool as its id (the default mapping of COAZ-MCP), and its arguments are ``context.arguments``.
"""

from collections.abc import Callable
from typing import Any

from agent_sidecar.client.calls import Action, Arguments, CallMapping, Context, Resource, Subject
from agent_sidecar.client.refusals import Denied
from policy_core.request import RequestError

TOOL_CALL, TOOL = "tools/call", "tool"


def tool_mapping(
    name: str, *, subject: Subject, action: Action | None, resource: Resource | None, context: Context | None
) -> CallMapping:
    """Return how the calls of a tool are mapped; what is not given is as above."""
    return CallMapping(
        subject=subject,
        action=TOOL_CALL if action is None else action,
        resource=_resource(name) if resource is None else resource,
        context=_arguments if context is None else context,
    )


def refusal_text(refused: Denied | RequestError) -> str:
    """Return what a model is told in place of a result: that nothing was done, why, and what would help."""
    lines = [f"Not done: {refused.message}."]
    if isinstance(refused, Denied):
        lines += [f"Instead: {each.title}. {each.summary}".rstrip() for each in refused.remediations]
    return "\n".join(lines)


def _resource(name: str) -> Callable[[Arguments], dict[str, object]]:
    return lambda _arguments: {"type": TOOL, "id": name}


def _arguments(arguments: Arguments) -> dict[str, Any]:
    return {"arguments": dict(arguments)}
