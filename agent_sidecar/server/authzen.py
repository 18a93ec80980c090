"""OpenID AuthZEN 1.0: one evaluation, a batch of them, and the document that says where both are.

A body that is neither is status 400 with a message string. A batch is answered in its order, one item after the other,
each as if it had come alone: by the policy in force at its moment, counting and spending for itself, and denied if the
log has it not. Between two items other requests get their turn.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

import msgspec

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.records import Spoken
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.decisions import DecisionApi, Peer
from agent_sidecar.server.replies import Reply, encode
from agent_sidecar.server.service import Routes
from agent_sidecar.server.together import Together
from agent_sidecar.server.waiting import PATIENCE_S
from policy_core.decision import Answer
from policy_core.decoding import decode_request
from policy_core.request import RequestError

EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
METADATA = b"/.well-known/authzen-configuration"
KEPT_HEADERS = frozenset({b"content-type"})
NO_SEARCHES: Mapping[str, str] = {}
MAX_ITEMS = 100
MAX_BATCHES = 256
"""Each holds a body of up to 1 MB while its items wait, and outlives the connection it came on."""

_JSON = b"application/json"
_PARTS = ("subject", "action", "resource", "context")
_ENDS_WITH = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}
_TOO_LATE = f"not evaluated: the batch has taken longer than {PATIENCE_S:g} s"


class Evaluation(msgspec.Struct):
    """The boolean, and beside it the complete answer, or why there is none: ``{"error": {"status", "message"}}``."""

    decision: bool
    context: Answer | dict[str, object]


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests with the defaults of their batch filled in, and the decision that ends it (None: none does)."""

    items: list[object]
    ends_with: bool | None


class AuthZenApi:
    """Speaks AuthZEN; decisions are made by `decisions`. `url` is where others reach it, empty if nobody said.

    `searches` are the paths of searches by their names in the metadata, empty if there are none.
    """

    def __init__(self, decisions: DecisionApi, *, url: str = "", searches: Mapping[str, str] = NO_SEARCHES) -> None:
        self._decisions = decisions
        self._metadata = encode(_metadata(url, searches)) if url else b""
        self._batches = 0

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        routes: Routes = {
            EVALUATION.encode(): (b"POST", self.evaluation),
            EVALUATIONS.encode(): (b"POST", self.evaluations),
        }
        if not self._metadata:
            return routes
        return {**routes, METADATA: (b"GET", lambda body, peer: (200, self._metadata))}  # noqa: ARG005

    def evaluation(self, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer one evaluation."""
        try:
            check_content_type(peer)
            return self._decisions.answer(self._decisions.bodies.asked(body), _as_reply, peer, Spoken.AUTHZEN)
        except RequestError as error:
            return 400, encode(error.message)

    def evaluations(self, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer a batch; a body without one is an evaluation."""
        try:
            check_content_type(peer)
            decoded = decode_request(body)
            batch = read_batch(decoded)
            if batch is None:
                return self._decisions.answer(Asked(decoded), _as_reply, peer, Spoken.AUTHZEN)
        except RequestError as error:
            return 400, encode(error.message)
        if self._batches >= MAX_BATCHES:
            return 503, encode(f"more than {MAX_BATCHES} batches are under way")
        self._batches += 1
        return self._answer(batch, peer)

    async def _answer(self, batch: Batch, peer: Connection) -> Reply:
        """Answer item by item. None begins once the batch takes too long: the one before it may still be under way."""
        now = asyncio.get_running_loop().time
        until = now() + PATIENCE_S
        asking = Together[Evaluation](peer)
        made = asking.made
        try:
            for item in batch.items:
                await asyncio.sleep(0)
                evaluation = self._evaluate(item, asking) if now() < until else _failed(503, _TOO_LATE)
                made.append(evaluation if isinstance(evaluation, Evaluation) else await evaluation)
                if made[-1].decision is batch.ends_with:
                    break
            return 200, encode({"evaluations": await asking.logged()})
        except TimeoutError:
            return 503, encode("not answered: the decision log is not on the disk yet")
        finally:
            self._batches -= 1

    def _evaluate(self, item: object, peer: Peer) -> Evaluation | Awaitable[Evaluation]:
        try:
            return self._decisions.answer(Asked(item), _evaluation, peer, Spoken.AUTHZEN)
        except RequestError as error:
            return _failed(400, error.message)


def read_batch(body: object) -> Batch | None:
    """Return the batch in a body, None if it has no evaluations and so may be one itself.

    A part that an item has takes the place of the default as a whole. Raises RequestError.
    """
    if type(body) is not dict or body.get("evaluations", []) == []:
        return None
    items, options = body["evaluations"], body.get("options", {})
    if type(items) is not list:
        raise RequestError("request: evaluations is not a list")
    if len(items) > MAX_ITEMS:
        raise RequestError(f"request: too many evaluations (expected at most {MAX_ITEMS}, found {len(items)})")
    semantic = options.get("evaluations_semantic", "execute_all") if type(options) is dict else None
    if type(semantic) is not str or semantic not in _ENDS_WITH:
        raise RequestError(f"request: options.evaluations_semantic is none of {', '.join(_ENDS_WITH)}")
    defaults = _parts(body)
    return Batch([defaults | _parts(item) if type(item) is dict else item for item in items], _ENDS_WITH[semantic])


def _parts(given: dict[str, object]) -> dict[str, object]:
    return {part: given[part] for part in _PARTS if part in given}


def check_content_type(peer: Connection) -> None:
    """Raise RequestError for a body that is said to be something else: a web page can send those without asking."""
    for name, value in peer.kept_headers:
        if name == b"content-type" and value != _JSON and value.partition(b";")[0].strip().lower() != _JSON:
            raise RequestError("request: Content-Type is not application/json")


def _evaluation(answer: Answer) -> Evaluation:
    return Evaluation(answer.allowed, answer)


def _as_reply(answer: Answer) -> Reply:
    return 200, encode(_evaluation(answer))


def _failed(status: int, message: str) -> Evaluation:
    return Evaluation(decision=False, context={"error": {"status": status, "message": message}})


def _metadata(url: str, searches: Mapping[str, str]) -> dict[str, str]:
    paths = {"access_evaluation_endpoint": EVALUATION, "access_evaluations_endpoint": EVALUATIONS, **searches}
    return {"policy_decision_point": url} | {name: url + path for name, path in paths.items()}
