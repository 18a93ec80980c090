"""A subset of the REST API of Open Policy Agent, for programs that ask OPA today.

Its Data API reads one document, ``data.writ``, which is made for each request: ``allow``, true only where nothing has
to be kept to, and ``answer``, the complete answer. Any other path is undefined, and an input that is no request is
refused: neither is ever true. Nothing can be written; policies come as signed bundles.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from msgspec import UNSET, UnsetType

from agent_sidecar.asked import Asked
from agent_sidecar.bodies import Bodies
from agent_sidecar.decision_log.records import Spoken
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.replies import Reply, encode, headed
from agent_sidecar.server.service import ANY, Routes
from agent_sidecar.status import Health, Status
from policy_core.decision import Answer
from policy_core.decoding import decode_request
from policy_core.model import Decision
from policy_core.request import RequestError

Segments = tuple[str, ...]
ALLOW = ("writ", "allow")
ANSWER = ("writ", "answer")
NO_INPUT = {"code": "api_usage_warning", "message": "'input' key missing from the request"}


class Result(msgspec.Struct, omit_defaults=True):
    """The reply of the Data API; without `result` the document is undefined."""

    result: object | UnsetType = UNSET
    decision_id: str = ""
    warning: dict[str, str] = {}


class OpaApi:
    """Speaks OPA's forms; decisions are made by `decisions`. `default` is the document of ``POST /``."""

    def __init__(
        self,
        decisions: DecisionApi,
        *,
        default: str,
        status: Callable[[], Status],
        health: Callable[[], Health],
    ) -> None:
        self._decisions = decisions
        self._default = tuple(default.split("/"))
        self._inputs = Bodies(_input_of)
        self._status = status
        self._health = health

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        return {
            b"/": (b"POST", self.default),
            b"/health": (b"GET", self.health),
            b"/v0/": (b"POST", self.bare_data),
            b"/v1/": (ANY, self.handle),
        }

    def handle(self, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer anything below ``/v1/``."""
        if peer.method == b"HEAD":
            return 405, headed(b"", b"Allow: GET, POST\r\n")
        _, kind, *segments = _segments(peer.target)
        if kind == "data":
            return self._data(tuple(segments), body, peer)
        if kind not in ("policies", "status") or (segments and kind == "status"):
            return _error(404, "resource_not_found", "there is nothing at this path")
        if peer.method != b"GET":
            return _read_only(b"GET")
        if kind == "status":
            return 200, encode({"result": _bundle_status(self._status())})
        if segments:
            return _error(404, "resource_not_found", "there are no Rego modules here: policies come as signed bundles")
        return 200, b'{"result":[]}'

    def default(self, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer with the default document alone; the body is the input."""
        return self._bare(self._default, body, peer)

    def bare_data(self, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer with a document alone; the body is the input."""
        _, kind, *segments = _segments(peer.target)
        if kind != "data":
            return _error(404, "resource_not_found", "there is nothing at this path")
        return self._bare(tuple(segments), body, peer)

    def health(self, _body: bytes | bytearray, peer: Connection) -> Reply:
        """Tell that the process answers or, asked about bundles or plugins, that a policy is enforced."""
        if not {"bundles", "plugins"} & _switched_on(peer.target):
            return 200, b"{}"
        health = self._health()
        return (200, b"{}") if health.ready else (500, encode({"error": f"not ready: {health.state}"}))

    def _data(self, segments: Segments, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        if peer.method not in (b"GET", b"POST"):
            return _read_only(b"GET, POST")
        try:
            asked = self._inputs.asked(body or b"{}") if peer.method == b"POST" else _asked_in_query(peer.target)
            if not _is_defined(segments):
                return 200, b"{}"
            spell = partial(_spell, segments, "pretty" in _switched_on(peer.target))
            return self._decisions.answer(asked, spell, peer, Spoken.OPA)
        except _NoInputError:
            return 200, encode(Result(warning=NO_INPUT))
        except RequestError as error:
            return _error(400, "invalid_parameter", error.message)

    def _bare(self, segments: Segments, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        if not _is_defined(segments):
            return _UNDEFINED
        try:
            spell = partial(_spell_bare, segments)
            return self._decisions.answer(self._decisions.bodies.asked(body), spell, peer, Spoken.OPA)
        except RequestError as error:
            return _error(400, "invalid_parameter", error.message)


def _spell(segments: Segments, is_pretty: bool, answer: Answer) -> Reply:
    encoded = encode(Result(_document(answer, segments), answer.decision_id))
    return 200, msgspec.json.format(encoded, indent=2) if is_pretty else encoded


def _spell_bare(segments: Segments, answer: Answer) -> Reply:
    document = _document(answer, segments)
    return _UNDEFINED if document is UNSET else (200, encode(document))


def _document(answer: Answer, segments: Segments) -> object:
    """Return what is at a path in ``data``, UNSET if nothing is."""
    if segments == ALLOW:
        return _is_free(answer)
    if segments == ANSWER:
        return answer
    found: Any = {"writ": {"allow": _is_free(answer), "answer": msgspec.to_builtins(answer)}}
    for segment in segments:
        if type(found) is not dict or segment not in found:
            return UNSET
        found = found[segment]
    return found


def _is_free(answer: Answer) -> bool:
    """Tell whether a caller who hears nothing but this may act: constraints would not reach it."""
    return answer.decision is Decision.ALLOW


def _is_defined(segments: Segments) -> bool:
    return segments in ((), ALLOW) or segments[:2] in (ANSWER, ANSWER[:1])


def _segments(target: bytes) -> list[str]:
    """Return the segments of a path: its version, what kind of thing it names (empty if it does not), the rest."""
    version, *rest = [unquote(each) for each in target.partition(b"?")[0].decode("latin-1").split("/") if each]
    return [version, *(rest or [""])]


def _query(target: bytes) -> dict[str, list[str]]:
    """Raises RequestError for bytes that are no text."""
    text = target.partition(b"?")[2]
    if not text:
        return {}
    try:
        return parse_qs(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise RequestError("request: the query is not UTF-8 in percent encoding") from error


def _switched_on(target: bytes) -> set[str]:
    """Return the names that a query does not say false to."""
    return {name for name, values in _query(target).items() if values[-1].lower() != "false"}


class _NoInputError(Exception):
    """There is no input."""


def _input_of(body: object) -> object:
    """Raises RequestError, _NoInputError."""
    if type(body) is not dict:
        raise RequestError("request: is not a JSON object")
    if "input" not in body:
        raise _NoInputError
    return body["input"]


def _asked_in_query(target: bytes) -> Asked:
    """Raises RequestError, _NoInputError."""
    given = _query(target).get("input", [])
    if len(given) > 1:
        raise RequestError("request: input occurs twice in the query")
    if not given:
        raise _NoInputError
    return Asked(decode_request(given[0].encode()))


def _bundle_status(status: Status) -> dict[str, object]:
    bundle: dict[str, object] = {
        "name": status.channel,
        "last_successful_request": status.answered_at,
        "last_successful_download": status.verified_at,
    }
    if status.enforced:
        bundle["active_revision"] = status.enforced.revision
        bundle["last_successful_activation"] = status.enforced.activated_at
    if status.failure:
        bundle |= {"code": "bundle_error", "message": status.failure.message}
    elif status.rejection:
        bundle |= {"code": "bundle_error", "message": status.rejection.reason}
    return {"labels": {"version": status.version}, "bundles": {status.channel: bundle}}


def _read_only(allowed: bytes) -> Reply:
    _, body = _error(405, "invalid_operation", "nothing is written here: policies and data come as signed bundles")
    return 405, headed(body, b"Allow: %b\r\n" % allowed)


def _error(status: int, code: str, message: str) -> Reply:
    return status, encode({"code": code, "message": message})


_UNDEFINED = _error(404, "undefined_document", "there is no such document")
