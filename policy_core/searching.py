"""Searches of AuthZEN 1.0 as values: what is asked, among whom, and where a page ends.

A sidecar knows rules and data, not everybody who might ask. So a search is among the candidates that the policy
repository lists: ``data.directory.subjects`` and ``.resources`` by type and id, ``.actions`` by name, each with its
properties. What may be is decided about each of them as it would be alone, by whoever walks through them.

A page token is a position and a digest over it, the bundle and the query. It is no secret, and no privilege: every
candidate after it is decided anew. The digest keeps a page of one search from being taken for one of another.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from policy_core.errors import InvalidError
from policy_core.request import RequestError, normalise

DIRECTORY = "directory"
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000

_DOMAIN = b"writ-search-page/1\n"
_POSITION_BYTES, _DIGEST_BYTES = 8, 16
_sorted = msgspec.json.Encoder(order="sorted").encode
_FOREIGN = "request: page.token is none of this search under the policy in force: begin without one"


class DirectoryError(InvalidError):
    """``data.directory`` of the policy in force is none."""

    default_hint = "list candidates as data/directory/subjects.yaml: {user: {ada: {roles: [sre]}}}"


class SearchKind(StrEnum):
    """The part of a request that is searched for."""

    SUBJECT = "subject"
    RESOURCE = "resource"
    ACTION = "action"


PLACES: dict[SearchKind, tuple[str, ...]] = {kind: (DIRECTORY, f"{kind}s") for kind in SearchKind}
"""Where candidates of a kind are in the data."""


class PageRequest(msgspec.Struct, frozen=True):
    """Where a page begins, and how many results it may have."""

    token: str = ""
    limit: Annotated[int, msgspec.Meta(ge=0)] = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class Search:
    """A search whose shape was checked; `parts` is the request but for what is searched for."""

    kind: SearchKind
    type: str
    parts: Mapping[str, Any]
    query: bytes
    token: str
    limit: int

    def result(self, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return a candidate as a request has it: asked with that, the decision is the same."""
        found = {"name": name} if self.kind is SearchKind.ACTION else {"type": self.type, "id": name}
        return {**found, "properties": properties} if properties else found

    def request(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request that a candidate would have to make."""
        return {**self.parts, self.kind.value: result}


def read_search(kind: SearchKind, body: object) -> Search:
    """Return the search in a decoded body. Raises RequestError naming all that is missing or of a wrong type.

    An id or properties of what is searched for are ignored, as all else that is unknown.
    """
    if type(body) is not dict:
        raise RequestError("request: is not a JSON object")
    parts = {part: body.get(part) for part in ("subject", "action", "resource", "context")}
    searched = parts[kind]
    wanted = searched.get("type") if type(searched) is dict else None
    if kind is SearchKind.ACTION:
        parts[kind] = {"name": ""}
    elif type(searched) is dict:
        parts[kind] = {"type": wanted, "id": ""}
    normalise(parts, now=0.0, host={})
    del parts[kind]
    page = _page(body.get("page"))
    try:
        query = _sorted([kind, wanted if kind is not SearchKind.ACTION else None, parts])
    except RecursionError as error:
        raise RequestError("request: is nested too deeply") from error
    found = wanted if type(wanted) is str and kind is not SearchKind.ACTION else ""
    return Search(kind, found, parts, query, page.token, min(page.limit, MAX_LIMIT))


def _page(given: object) -> PageRequest:
    if type(given) is dict and type(given.get("limit")) is float and given["limit"].is_integer():
        given = {**given, "limit": int(given["limit"])}  # 5.0 is an integer to JSON Schema
    try:
        return msgspec.convert({} if given is None else given, PageRequest)
    except msgspec.ValidationError as error:
        raise RequestError(f"request: page: {error}") from error


def candidates(data: Mapping[str, Any], search: Search) -> Mapping[str, Any]:
    """Return the properties of everything that could be found, by id or name. Raises DirectoryError."""
    place = PLACES[search.kind]
    keys = place if search.kind is SearchKind.ACTION else (*place, search.type)
    found: Mapping[str, Any] = data
    where = "data"
    for key in keys:
        where = f"{where}.{key}"
        found = _mapping(found.get(key), where)
    return found


def properties_of(search: Search, name: str, entry: object) -> Mapping[str, Any]:
    """Return the properties of one candidate. Raises DirectoryError."""
    return _mapping(entry, f"the {search.kind} {name} in data.{DIRECTORY}")


def _mapping(entry: object, where: str) -> Mapping[str, Any]:
    if entry is None:
        return {}
    if type(entry) is not dict:
        raise DirectoryError(f"{where}: is not a mapping")
    return entry


def token_at(position: int, *, search: Search, bundle: str) -> str:
    """Return the token of the page that begins with the candidate at `position` (from 0) of a bundle's list."""
    at = position.to_bytes(_POSITION_BYTES, "big")
    return base64.urlsafe_b64encode(at + _digest(at, search, bundle)).decode("ascii")


def position_of(search: Search, *, bundle: str, end: int) -> int:
    """Return where the page that is asked for begins, among `end` candidates.

    Raises RequestError for a token of anything else. Nothing in it is secret, so what it says is held against the list.
    """
    if not search.token:
        return 0
    try:
        content = base64.b64decode(search.token, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):  # ValueError: not ASCII
        content = b""
    at, digest = content[:_POSITION_BYTES], content[_POSITION_BYTES:]
    position = int.from_bytes(at, "big")
    if len(digest) != _DIGEST_BYTES or digest != _digest(at, search, bundle) or position > end:
        raise RequestError(_FOREIGN, hint="leave page.token out")
    return position


def _digest(at: bytes, search: Search, bundle: str) -> bytes:
    hasher = hashlib.sha256(_DOMAIN)
    for part in (at, bundle.encode(), search.query):
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.digest()[:_DIGEST_BYTES]
