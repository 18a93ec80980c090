"""`@guard`: a function that runs only if a policy allows it, and only within the constraints the policy sets."""

import contextlib
import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from agent_sidecar.client.calls import Action, CallMapping, Context, Resource, Subject
from agent_sidecar.client.obeying import Deciding, GrantSource, Patience, decide, decide_async
from agent_sidecar.client.refusals import Denied
from agent_sidecar.client.tools import refusal_text
from policy_core.constraints import REGISTRY
from policy_core.decision import Answer
from policy_core.errors import UsageError
from policy_core.model import Constraint

P = ParamSpec("P")
R = TypeVar("R")

CONSTRAINTS = "constraints"
Constraints = Mapping[str, Constraint]
"""What a function must keep to, by name (docs/reference/constraints.md)."""


def guard(
    policy: Deciding,
    *,
    action: Action,
    resource: Resource,
    subject: Subject = None,
    context: Context = (),
    keeps: Collection[str] = (),
    grants: GrantSource | None = None,
    approval_timeout_s: float = 0.0,
    throttle_timeout_s: float = 0.0,
    raises: Callable[[str], Exception] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for functions and methods, ``async`` or not, that asks before each call.

    `action` and `resource` (type and id) are texts with ``{parameter}`` in them, or functions of the arguments;
    `context` names parameters, or is such a function; `subject` is whoever `acting_as` says, if it is not given. A
    function with a keyword-only parameter ``constraints`` gets those that hold; `keeps` names all that it can keep.

    The function runs if the answer allows it. It raises Denied otherwise: ApprovalMissing if not enough `grants` came
    within `approval_timeout_s`, Throttled if it would have to wait longer than `throttle_timeout_s`. With
    `raises`, such as a framework's error whose text its models are told, that is raised from Denied, with such a text.
    Raises UsageError for a function that it cannot guard.
    """
    mapping = CallMapping(subject, action, resource, context)
    patience = Patience(grants=grants, approval_timeout_s=approval_timeout_s, throttle_timeout_s=throttle_timeout_s)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return cast("Callable[P, R]", _guarded(function, policy, mapping, frozenset(keeps), patience, raises))

    return decorate


def _guarded(
    function: Callable[..., Any],
    policy: Deciding,
    mapping: CallMapping,
    keeps: frozenset[str],
    patience: Patience,
    raises: Callable[[str], Exception] | None,
) -> Callable[..., Any]:
    visible, takes = _visible_signature(function, keeps)
    mapping.check(visible.parameters)

    def making(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        if CONSTRAINTS in kwargs:
            raise TypeError(f"{CONSTRAINTS}: is given by the policy, not by the caller")
        bound = visible.bind(*args, **kwargs)
        bound.apply_defaults()
        return lambda: mapping.request(bound.arguments)

    def given(answer: Answer) -> dict[str, Any]:
        return {CONSTRAINTS: dict(answer.constraints)} if takes else {}

    if _is_any(inspect.iscoroutinefunction, function):

        @functools.wraps(function)
        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            with _raising(raises):
                answer = await decide_async(policy, making(args, kwargs), keeps=keeps, patience=patience)
            return await function(*args, **kwargs, **given(answer))

        wrapper: Callable[..., Any] = guarded_async
    else:

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with _raising(raises):
                answer = decide(policy, making(args, kwargs), keeps=keeps, patience=patience)
            return function(*args, **kwargs, **given(answer))

        wrapper = guarded
    wrapper.__signature__ = visible  # type: ignore[attr-defined]  # what frameworks show to models
    annotations = getattr(function, "__annotations__", {})
    wrapper.__annotations__ = {name: kind for name, kind in annotations.items() if name != CONSTRAINTS}
    return wrapper


@contextlib.contextmanager
def _raising(raises: Callable[[str], Exception] | None) -> Iterator[None]:
    try:
        yield
    except Denied as denied:
        if raises is None:
            raise
        raise raises(refusal_text(denied)) from denied


def _visible_signature(function: Callable[..., Any], keeps: frozenset[str]) -> tuple[inspect.Signature, bool]:
    """Return the signature without ``constraints``, and whether the function takes them."""
    name = getattr(function, "__qualname__", repr(function))
    if isinstance(function, staticmethod | classmethod):
        raise UsageError(f"guard: {name}: goes below @{type(function).__name__}, next to the function")
    if _is_any(inspect.isgeneratorfunction, function) or _is_any(inspect.isasyncgenfunction, function):
        raise UsageError(f"guard: {name}: is a generator, which acts after its call was decided")
    signature = inspect.signature(function)
    found = signature.parameters.get(CONSTRAINTS)
    if found and found.kind is not inspect.Parameter.KEYWORD_ONLY:
        raise UsageError(f"guard: {name}: {CONSTRAINTS} must be keyword-only: (…, *, {CONSTRAINTS})")
    if bool(found) != bool(keeps):
        raise UsageError(
            f"guard: {name}: {'takes' if found else 'has no parameter'} {CONSTRAINTS}, and keeps names {len(keeps)}",
            hint="name in keeps what the function keeps to, and take it as constraints",
        )
    unknown = sorted(each for each in keeps if each not in REGISTRY and not each.startswith("x_"))
    if unknown:
        raise UsageError(f"guard: {name}: keeps: {', '.join(unknown)} is no constraint", hint=_hint(unknown[0]))
    visible = [each for each in signature.parameters.values() if each.name != CONSTRAINTS]
    return signature.replace(parameters=visible), found is not None


def _is_any(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Tell whether a function, or what calling an object comes to, is of a kind."""
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004 - it is looked at, not for


def _hint(name: str) -> str:
    close = difflib.get_close_matches(name, REGISTRY, n=1)
    return f"did you mean {close[0]}?" if close else "a name of your own starts with x_"
