"""LangChain: a tool of `langchain-core` as one whose calls are decided first.

The guarded tool has the name, description and arguments of the other; what it may not do it tells the model as a
message of status ``error``. Needs the package ``langchain-core``, version 1.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from agent_sidecar.client.calls import Action, CallMapping, Context, Resource, Subject
from agent_sidecar.client.obeying import Deciding, GrantSource, Patience, decide, decide_async
from agent_sidecar.client.refusals import Denied
from agent_sidecar.client.tools import refusal_text, tool_mapping
from policy_core.request import RequestError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


_ONE_TEXT = {
    "type": "object",
    "properties": {"__arg1": {"type": "string"}},
    "required": ["__arg1"],
}
"""What LangChain shows models of a tool that takes one text."""


def guard_tool(
    tool: "BaseTool",
    policy: Deciding,
    *,
    subject: Subject = None,
    action: Action | None = None,
    resource: Resource | None = None,
    context: Context | None = None,
    grants: GrantSource | None = None,
    approval_timeout_s: float = 0.0,
    throttle_timeout_s: float = 0.0,
) -> "BaseTool":
    """Return the tool guarded: mapped as `agent_sidecar.client.tools` says, or as is given here, as with `guard`.

    Constraints cannot be kept here and deny: make the tool of a function that is guarded itself.
    """
    mapping = tool_mapping(tool.name, subject=subject, action=action, resource=resource, context=context)
    patience = Patience(grants=grants, approval_timeout_s=approval_timeout_s, throttle_timeout_s=throttle_timeout_s)
    return _guarded_class()(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema,
        return_direct=tool.return_direct,
        response_format=tool.response_format,
        metadata=tool.metadata,
        tags=tool.tags,
        handle_tool_error=True,
        handle_validation_error=tool.handle_validation_error,
        guarded=tool,
        policy=policy,
        mapping=mapping,
        patience=patience,
    )


@functools.cache
def _guarded_class() -> Callable[..., "BaseTool"]:
    """Return the class of guarded tools, made once LangChain is there."""
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseTool, Tool, ToolException

    class GuardedTool(BaseTool):  # type: ignore[misc]  # its class is not looked at
        """A tool whose calls are decided first, with the arguments that the tool will get."""

        guarded: BaseTool
        policy: Any
        mapping: CallMapping
        patience: Patience

        @property
        def args(self) -> dict[str, Any]:
            """Return the arguments of the tool."""
            found: dict[str, Any] = self.guarded.args
            return found

        @property
        def tool_call_schema(self) -> Any:
            """Return what a model is shown of them; tools of one text LangChain knows by their class alone."""
            guarded = self.guarded
            return _ONE_TEXT if isinstance(guarded, Tool) and not guarded.args_schema else guarded.tool_call_schema

        def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
            """Return what the tool takes, from whomever."""
            return self.guarded.get_input_schema(config)

        def _to_args_and_kwargs(self, tool_input: Any, tool_call_id: str | None) -> Any:
            """Return what the tool itself would be called with: one of one text gets that without a name."""
            return self.guarded._to_args_and_kwargs(tool_input, tool_call_id)  # noqa: SLF001 - as `_run`

        def _filter_injected_args(self, tool_input: dict[str, Any]) -> dict[str, Any]:
            """Return the arguments that a model gives."""
            found: dict[str, Any] = self.guarded._filter_injected_args(tool_input)  # noqa: SLF001 - as `_run`
            return found

        def _run(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
            try:
                decide(self.policy, self._making(args, kwargs), keeps=(), patience=self.patience)
            except (Denied, RequestError) as refused:
                raise ToolException(refusal_text(refused)) from refused
            run = self.guarded._run  # noqa: SLF001 - what `BaseTool.run` calls, and its subclasses define
            return run(*args, **kwargs, **_wanted(run, config, run_manager))

        async def _arun(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
            try:
                await decide_async(self.policy, self._making(args, kwargs), keeps=(), patience=self.patience)
            except (Denied, RequestError) as refused:
                raise ToolException(refusal_text(refused)) from refused
            guarded = self.guarded
            is_threaded = type(guarded)._arun is BaseTool._arun  # noqa: SLF001 - as above; it calls `_run` in a thread
            wanted = _wanted(guarded._run if is_threaded else guarded._arun, config, run_manager)  # noqa: SLF001
            return await guarded._arun(*args, **kwargs, **wanted)  # noqa: SLF001

        def _making(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], dict[str, Any]]:
            """Return what makes the request, of the arguments that the model gave; a tool of one text gets it bare."""
            arguments = {**({"input": args[0]} if args else {}), **self._filter_injected_args(kwargs)}
            return functools.partial(self.mapping.request, arguments)

    return GuardedTool


def _wanted(run: Callable[..., Any], config: Any, run_manager: Any) -> dict[str, Any]:
    """Return what LangChain gives a tool beside its arguments, if it takes that: by name, or by its annotation."""
    from langchain_core.runnables import RunnableConfig

    given = {}
    try:
        kinds = get_type_hints(run)
    except (NameError, TypeError, AttributeError):  # annotations that name what is not there at run time
        kinds = {}
    for name, kind in kinds.items():
        if kind is RunnableConfig or RunnableConfig in get_args(kind):
            given[name] = config
    if "run_manager" in inspect.signature(run).parameters:
        given["run_manager"] = run_manager
    return given
