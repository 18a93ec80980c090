"""Envoy asks as its `ext_authz` filter does in HTTP mode: status 200 lets a request pass, any other does not.

So nothing below the prefix is ever 200 but a decision that allows, and constraints are handed on or the request ends
here.
"""

import json
import math
from collections.abc import Awaitable
from functools import partial

from msgspec import to_builtins

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.records import Spoken
from agent_sidecar.ext_authz import PREFIX, TrustedHeaders, request_of
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.replies import Reply, encode, headed
from agent_sidecar.server.service import ANY, Routes
from policy_core.decision import Answer
from policy_core.model import Decision
from policy_core.request import RequestError


class EnvoyApi:
    """Answers checks; decisions are made by `decisions`, for whom the `trusted` headers name."""

    def __init__(self, decisions: DecisionApi, trusted: TrustedHeaders) -> None:
        self._decisions = decisions
        self._trusted = trusted

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        return {PREFIX + b"/": (ANY, self.check)}

    def check(self, _body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer a check: the method, path and headers are those of the request that waits in Envoy."""
        is_head = peer.method == b"HEAD"
        try:
            request = request_of(peer.method, peer.target, peer.kept_headers, self._trusted)
            return self._decisions.answer(
                Asked(request), partial(_spell, self._trusted.constraints, is_head), peer, Spoken.ENVOY
            )
        except RequestError as error:
            return 400, b"" if is_head else encode({"reason_code": "bad_request", "reason": error.message})


def _spell(constraints_header: str, is_head: bool, answer: Answer) -> Reply:
    lines = f"x-writ-decision: {answer.decision}\r\nx-writ-decision-id: {answer.decision_id}\r\n"
    if answer.decision is Decision.ALLOW or (answer.decision is Decision.ALLOW_WITH_CONSTRAINTS and constraints_header):
        return 200, headed(b"", (lines + _handed_on(constraints_header, answer)).encode())
    status, reason = 403, answer.reason
    if answer.decision is Decision.ALLOW_WITH_CONSTRAINTS:
        reason = "allowed within constraints only, which are not handed on"
    elif answer.decision is Decision.THROTTLE:
        status = 429
        lines += f"Retry-After: {math.ceil(answer.retry_after_s or 1)}\r\n"
    told = {"decision": answer.decision, "reason": reason, "reason_code": answer.reason_code}
    body = encode(told | {"decision_id": answer.decision_id})
    return status, headed(b"" if is_head else body, lines.encode())


def _handed_on(header: str, answer: Answer) -> str:
    """Return the line with the constraints, also without any: it takes the place of what a client sent in that name."""
    if not header:
        return ""
    return f"{header}: {json.dumps(to_builtins(answer.constraints), sort_keys=True)}\r\n"
