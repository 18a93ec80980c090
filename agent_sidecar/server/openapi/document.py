"""From operations and types to an OpenAPI 3.1 document. Schemas are those of the types that bodies are encoded from.

A document tells of the routes it is made for: an operation whose route is not there is left out, and a route without
any operation is a mistake, so what is served and what is documented are the same.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from agent_sidecar.server.openapi.forms import ErrorReply, Prometheus
from policy_core import __version__

Types = tuple[Any, ...]
"""Any of these types; none at all: there is no body."""

_REF = "#/components/schemas/{name}"
EVERYWHERE = (400, 401, 403, 408, 413, 421, 431, 500, 503)
"""Statuses that any request may be answered with, each as an `ErrorReply`."""

_JSON, _TEXT = "application/json", "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter in the query or, if its name is in the path, there; `content` is sent as JSON."""

    name: str
    types: Types
    about: str
    is_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `route` is its key in the table of routes, where that is not the path itself.

    `replies` are those beside what any request may be answered with: `EVERYWHERE`.
    """

    method: str
    path: str
    summary: str
    takes: Types = ()
    needs_body: bool = True
    replies: Mapping[int, Types]
    parameters: tuple[Parameter, ...] = ()
    route: str = ""

    @property
    def key(self) -> bytes:
        """Return its key in the table of routes."""
        return (self.route or self.path).encode()

    def types(self) -> Iterator[Any]:
        """Yield every type its schemas are made of."""
        yield from self.takes
        yield from (kind for each in self.parameters for kind in each.types)
        for each in self.replies.values():
            yield from each


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """All operations of a service, and what is said of it."""

    title: str
    about: str
    operations: tuple[Operation, ...]

    def document(self, routes: Collection[bytes]) -> dict[str, Any]:
        """Return the document of the routes that there are. Raises LookupError for one that nothing is said of."""
        operations = [each for each in self.operations if each.key in routes]
        if untold := set(routes) - {each.key for each in operations}:
            raise LookupError(f"no operation tells of {sorted(untold)}")
        return _document(operations, title=self.title, about=self.about)


def _document(operations: Sequence[Operation], *, title: str, about: str) -> dict[str, Any]:
    used = dict.fromkeys(each for operation in operations for each in operation.types())
    types = [ErrorReply, *(each for each in used if each not in (ErrorReply, Prometheus))]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_anything, ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__, "description": about},
        "security": [{}, {"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "responses": {str(each): _reply(each, {each: ()}, schema_of) for each in EVERYWHERE},
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "On TCP."}},
        },
    }


def _anything(kind: type) -> dict[str, Any]:
    """Return the schema of a type that msgspec has none for. Raises NotImplementedError but for `object`."""
    if kind is not object:
        raise NotImplementedError
    return {"description": "Any value."}


def _operation(operation: Operation, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    words = re.findall(r"[a-z0-9]+", operation.path)
    made: dict[str, Any] = {
        "operationId": "_".join([operation.method.lower(), *words]),
        "summary": operation.summary,
        "responses": {
            str(status): _reply(status, operation.replies, schema_of)
            for status in sorted(operation.replies.keys() | set(EVERYWHERE))
        },
    }
    if operation.takes:
        made["requestBody"] = {"required": operation.needs_body, **_content(operation.takes, schema_of)}
    if operation.parameters:
        made["parameters"] = [_parameter(operation.path, each, schema_of) for each in operation.parameters]
    return made


def _parameter(path: str, parameter: Parameter, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    is_in_path = f"{{{parameter.name}}}" in path
    schema = _any_of(parameter.types, schema_of)
    said = {"content": {_JSON: {"schema": schema}}} if parameter.is_json else {"schema": schema}
    where = {"in": "path", "required": True} if is_in_path else {"in": "query", "required": False}
    return {"name": parameter.name, **where, "description": parameter.about, **said}


def _reply(status: int, replies: Mapping[int, Types], schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    if status not in replies:
        return {"$ref": f"#/components/responses/{status}"}
    types = replies[status] + ((ErrorReply,) if status in EVERYWHERE else ())
    return {"description": HTTPStatus(status).phrase, **_content(types, schema_of)}


def _content(types: Types, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    if not types:
        return {}
    if Prometheus in types:
        return {"content": {_TEXT: {"schema": {"type": "string"}}}}
    return {"content": {_JSON: {"schema": _any_of(types, schema_of)}}}


def _any_of(types: Types, schema_of: Mapping[Any, Any]) -> Any:
    schemas = [schema_of[each] for each in types]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
