"""MCP servers: every message of a client is decided before it takes effect, by the default mapping of COAZ-MCP.

COAZ-MCP is the binding of OpenID AuthZEN for the Model Context Protocol (draft 1, February 2026). The mapping is its
table of default mappings, and what it does not name is denied. A tool's own mapping is a function here, as there is no
CEL on hosts: ``x-authzen-mapping`` in a schema is not read. Needs the package ``mcp``, version 2.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent_sidecar.client.obeying import Deciding, GrantSource, Patience, decide_async
from agent_sidecar.client.refusals import ApprovalMissing, Denied, Throttled
from agent_sidecar.client.tools import TOOL, TOOL_CALL, refusal_text
from policy_core.decision import POLICY_UNAVAILABLE
from policy_core.request import RequestError

DENIED, INVALID, UNAVAILABLE = -32001, -32602, -32603
PASS_THROUGH = frozenset({"ping"})
"""Methods that no policy is asked about; notifications are not either."""

LATER_METHODS = ("server/discover", "resources/templates/list")
"""Methods that the draft leaves out, of which servers know no less than before: decided as others about all of it."""

_URI = re.compile(
    r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%(?:[01][0-9A-F]|2[025]|3[CE]|5[CE]|60|7[BCDF]|[89A-F][0-9A-F]))+"
)
"""A URI in which each character has one spelling: encoded if it cannot be there otherwise, and else as it is."""
_DOTS = frozenset({".", ".."})

Params = Mapping[str, Any]
Token = Mapping[str, Any]
"""Claims of the validated access token; ``sub`` is who acts, ``client_id`` the agent."""
Parts = Mapping[str, Any]
"""Action and resource of a request, and what is added to its context."""
Mapper = Callable[[Params], Parts]


class AuthZenMiddleware:
    """Middleware of an MCP server: ``MCPServer(…, middleware=[AuthZenMiddleware(policy, server="…")])``."""

    def __init__(
        self,
        policy: Deciding,
        *,
        server: str,
        subject: Mapping[str, object] | None = None,
        tools: Mapping[str, Mapper] | None = None,
        methods: Mapping[str, Mapper] | None = None,
        grants: GrantSource | None = None,
        approval_timeout_s: float = 0.0,
        throttle_timeout_s: float = 0.0,
    ) -> None:
        """`server` identifies this server where a message is about all of it.

        `subject` is who acts where there is no access token, such as over stdio; with a token it is never used. `tools`
        maps calls of some tools by name, `methods` methods that COAZ-MCP does not know, from their params to action,
        resource and context. The rest is as with `guard`. Constraints cannot be kept here: guard the tool's function.
        """
        self._policy = policy
        self._server = server
        self._subject = subject
        self._tools = tools or {}
        self._methods = {**_default_mappings(server), **(methods or {})}
        self._patience = Patience(
            grants=grants, approval_timeout_s=approval_timeout_s, throttle_timeout_s=throttle_timeout_s
        )

    async def __call__(self, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """Let a message pass if it is allowed. Raises MCPError."""
        if ctx.request_id is not None and ctx.method not in PASS_THROUGH:
            await self._decide(ctx.method, ctx.params or {})
        return await call_next(ctx)

    async def _decide(self, method: str, params: Params) -> None:
        from mcp.shared.exceptions import MCPError

        if method not in self._methods:  # of a later version, perhaps: nobody has said what it may do
            raise MCPError(DENIED, f"Not done: {method} has no mapping to a request.")
        try:
            request = self._request(method, params, _token())
            await decide_async(self._policy, lambda: request, keeps=(), patience=self._patience)
        except (KeyError, TypeError, ValueError, RequestError) as error:
            raise MCPError(INVALID, f"cannot be mapped to a request: {error}") from error
        except Denied as denied:
            code = UNAVAILABLE if denied.reason_code == POLICY_UNAVAILABLE else DENIED
            raise MCPError(code, refusal_text(denied), _details(denied)) from denied

    def _request(self, method: str, params: Params, token: Token) -> dict[str, Any]:
        mapper = self._tools.get(params["name"]) if method == TOOL_CALL else None
        parts = (mapper or self._methods[method])(params)
        agent = {"agent": token["client_id"]} if token.get("client_id") else {}
        return {
            "subject": self._who(token),
            "action": parts["action"],
            "resource": parts["resource"],
            "context": {**agent, **parts.get("context", {})},
        }

    def _who(self, token: Token) -> Mapping[str, object]:
        """Return the subject that the token proves, or the one of this process where there are no tokens."""
        if token:
            return {"type": "identity", "id": token["sub"]}
        if self._subject is None:
            raise RequestError("request: there is no access token, and no subject was given")
        return self._subject


def _token() -> Token:
    """Return the claims of the access token of this message, empty if there is none."""
    from mcp.server.auth.middleware.auth_context import get_access_token

    token = get_access_token()
    if token is None:
        return {}
    given = {"sub": token.subject, "client_id": token.client_id}
    return {**(token.claims or {}), **{name: value for name, value in given.items() if value is not None}}


def _checked_uri(uri: str) -> str:
    """Return a URI that names its resource as a policy would: servers decode ``%37``, and a rule about 7 must hold.

    Raises RequestError.
    """
    if not _URI.fullmatch(uri) or not _DOTS.isdisjoint(re.split("[/?#]", uri)):
        raise RequestError("request: the URI is not in normal form (RFC 3986 6.2.2), or encodes what need not be")
    return uri


def _details(denied: Denied) -> dict[str, Any]:
    answer = denied.answer
    found: dict[str, Any] = {"reason_code": denied.reason_code, "decision_id": denied.decision_id}
    if denied.matched_rule:
        found["matched_rule"] = denied.matched_rule
    if isinstance(denied, Throttled):
        found["retry_after_s"] = answer.retry_after_s
    if isinstance(denied, ApprovalMissing) and answer.approval is not None:
        found["approval"] = {"rules": list(answer.approval.rules), "from": dict(answer.approval.quorum)}
    return found


def _default_mappings(server: str) -> dict[str, Mapper]:
    """Return the table of default mappings of COAZ-MCP, but for subject and agent, which are always the same."""

    def on(method: str, resource: Callable[[Params], Parts], *context: tuple[str, str]) -> Mapper:
        return lambda params: {
            "action": {"name": method},
            "resource": resource(params),
            "context": {name: params[key] for name, key in context},
        }

    def whole(_params: Params) -> Parts:
        return {"type": "mcp_server", "id": server}

    def named(kind: str, key: str) -> Callable[[Params], Parts]:
        return lambda params: {"type": kind, "id": params[key]}

    def located(params: Params) -> Parts:
        return {"type": "resource", "id": _checked_uri(params["uri"])}

    def referred(params: Params) -> Parts:
        ref = params["ref"]
        is_prompt = ref["type"] == "ref/prompt"
        return {"type": "prompt" if is_prompt else "resource", "id": ref["name" if is_prompt else "uri"]}

    table: dict[str, Callable[[Params], Parts]] = {
        **dict.fromkeys(LATER_METHODS, whole),
        **dict.fromkeys(("tools/list", "resources/list", "prompts/list", "tasks/list"), whole),
        **dict.fromkeys(("resources/read", "resources/subscribe", "resources/unsubscribe"), located),
        **dict.fromkeys(("tasks/get", "tasks/result", "tasks/cancel"), named("task", "taskId")),
        TOOL_CALL: named(TOOL, "name"),
        "prompts/get": named("prompt", "name"),
        "completion/complete": referred,
    }
    return {
        **{method: on(method, resource) for method, resource in table.items()},
        "initialize": on("initialize", whole, ("protocol_version", "protocolVersion")),
        "logging/setLevel": on("logging/setLevel", whole, ("level", "level")),
    }
