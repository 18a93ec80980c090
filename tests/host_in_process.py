"""A host in process that answers over the protocols whose bodies it reads, from what a test puts in force."""

import asyncio
import json
import math
from typing import Any

from asking import UID_7, Asking

from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.decision_log.records import Decided
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.memory import Elsewhere
from agent_sidecar.server.authzen import AuthZenApi
from agent_sidecar.server.caller import Caller
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.opa import OpaApi
from agent_sidecar.status import Health
from policy_core.decision import Answer, PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.model import Provisions, Rule
from policy_core.trust.release import Release

POLICY = PolicyRef(bundle="sha256:0", revision="r")
REQUEST = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "act"}, "resource": {"type": "t", "id": "i"}}
BODY = json.dumps(REQUEST).encode()
OFTEN = 5
"""Times until a body is known, and its answer if it lasts, and that is given."""


class Noting(NoLog):
    """Remembers what is logged."""

    def __init__(self) -> None:
        self.decided: list[Decided] = []

    def write(self, decided: Decided, peer: object) -> None:
        self.decided.append(decided)


class Host:
    """Answers from `active` at `now`, over the protocols that read bodies."""

    def __init__(self, *rules: Rule, memory: Any = None, **provisions: Any) -> None:
        self.now = 0.0
        self.active: Activation | Unavailable = activation(*rules, **provisions)
        self.log = Noting()
        self.decisions = DecisionApi(
            in_force=lambda: self.active,
            clock=lambda: self.now,
            memory=memory or Elsewhere("host-1", decide_nothing),
            status=lambda: None,
            health=lambda: Health(ready=True, state=FreshnessState.FRESH),
            metrics=lambda: b"",
            log=self.log,
        )
        opa = OpaApi(self.decisions, default="writ/answer", status=lambda: None, health=lambda: None)  # type: ignore[arg-type, return-value]
        self._routes = {**self.decisions.routes, **AuthZenApi(self.decisions).routes, **opa.routes}

    def reply(
        self, body: bytes | bytearray, path: bytes = b"/access/v1/evaluation", caller: Caller = UID_7
    ) -> tuple[int, Any]:
        handler = (self._routes.get(path) or self._routes[path[: path.find(b"/", 1) + 1]])[1]
        peer: Any = Asking(target=path, caller=caller)

        async def asked() -> Any:
            reply = handler(body, peer)
            return reply if isinstance(reply, tuple) else await reply

        status, found = asyncio.run(asked())
        return status, json.loads(found)

    def ask(self, body: bytes | bytearray = BODY, caller: Caller = UID_7) -> dict[str, Any]:
        status, found = self.reply(body, caller=caller)
        assert status == 200
        answer: dict[str, Any] = found["context"]
        return answer

    def decide(self, body: bytes | bytearray = BODY, caller: Caller = UID_7) -> str:
        return str(self.ask(body, caller)["decision"])

    def warm(self, body: bytes = BODY) -> str:
        """Ask often; return what is answered each time."""
        (decision,) = {self.decide(body) for _ in range(OFTEN)}
        return decision


def activation(*rules: Rule, **provisions: Any) -> Activation:
    release = Release(
        channel="prod", release=1, revision="0" * 40, action="publish", reason="", actor="tests", name="acme",
        sha256="0" * 64, length=1, content_sha256="0" * 64, policy_sha256="0" * 64,
    )  # fmt: skip
    matcher = load(encode_rules(list(rules)), policy=POLICY, provisions=Provisions(**provisions))
    return Activation(release, POLICY, matcher, host={}, activated_at=0.0, deny_after=math.inf)


async def decide_nothing(_raw: object, _decision_id: str, _is_trial: bool) -> Answer:
    raise AssertionError
