"""What schemas declare of an attribute: whether it can exist, of which kinds its values are, and which values.

A place is what one or several schemas say of the same value; several are alternatives, such as the types a rule is
about. `properties` is taken as the list of names there are, unless ``additionalProperties`` says otherwise: JSON Schema
would let any other name pass, and so would a spelling mistake.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from builder.schemas.keywords import Pointer, Schema, parse_reference
from policy_core.attributes import compile_regex

KINDS = frozenset({"object", "array", "string", "number", "boolean", "null"})
"""What a JSON value can be; integers are numbers."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The kinds of values an attribute may have, and the values if they are listed."""

    kinds: frozenset[str]
    values: tuple[Any, ...] | None = None


FREE = Declared(KINDS)


@dataclass(frozen=True, slots=True)
class Branch:
    """One schema within a document that its references point into."""

    document: Schema
    schema: Schema

    def parts(self) -> list[dict[str, Any]]:
        """Return all schemas that speak of the same value, alternatives included, each once."""
        found: dict[int, dict[str, Any]] = {}
        pending = [self.schema]
        while pending:
            schema = pending.pop()
            if isinstance(schema, dict) and id(schema) not in found:
                found[id(schema)] = schema
                pending += self._in_place(schema)
        return list(found.values())

    def field(self, name: str) -> list["Branch"]:
        """Return what is said of the value at a key, nothing if there is no such key."""
        if self.schema is True:
            return [self]
        found: list[Schema] = []
        is_open, names_some = False, False
        for part in self.parts():
            matching = [schema for schema, fits in _keyed(part, name) if fits]
            additional = part.get("additionalProperties")
            found += matching or ([additional] if isinstance(additional, dict) else [])
            is_open |= additional is True
            names_some |= not part.keys().isdisjoint(("properties", "patternProperties", "additionalProperties"))
        if not found and (is_open or not names_some) and "object" in self.declared().kinds:
            found = [True]
        return [Branch(self.document, schema) for schema in found if schema is not False]

    def item(self) -> list["Branch"]:
        """Return what is said of any entry of a list; nothing where entries differ, or nothing is said."""
        parts = self.parts()
        if any("prefixItems" in part for part in parts):
            return []
        return [Branch(self.document, part["items"]) for part in parts if "items" in part]

    def names(self) -> Iterator[str]:
        """Yield the names that are listed."""
        for part in self.parts():
            yield from part.get("properties", ())

    def declared(self) -> Declared:
        """Return the kinds and values that the schema lets pass."""
        return self._declared(self.schema, {})

    def _declared(self, schema: Schema, known: dict[int, Declared]) -> Declared:
        if isinstance(schema, bool):
            return FREE if schema else Declared(frozenset())
        if id(schema) not in known:
            found = _asserted(schema)
            conjuncts: list[Schema] = [*schema.get("allOf", ())]
            if "$ref" in schema:
                conjuncts.append(self._target(schema["$ref"]))
            for conjunct in conjuncts:
                found = _both(found, self._declared(conjunct, known))
            for keyword in ("anyOf", "oneOf"):
                if keyword in schema:
                    found = _both(found, any_of(self._declared(option, known) for option in schema[keyword]))
            known[id(schema)] = found
        return known[id(schema)]

    def _in_place(self, schema: dict[str, Any]) -> list[Schema]:
        found = [*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
        found += [schema[keyword] for keyword in ("then", "else") if keyword in schema]
        found += schema.get("dependentSchemas", {}).values()
        return [*found, self._target(schema["$ref"])] if "$ref" in schema else found

    def _target(self, reference: str) -> Any:
        value: Any = self.document
        for step in parse_reference(reference) or ():
            value = value[int(step)] if isinstance(value, list) else value[step]
        return value


Place = tuple[Branch, ...]


def step(place: Place, name: str) -> Place:
    """Return the place one key further; empty if none of the schemas knows such a key."""
    return tuple(found for branch in place for found in branch.field(name))


def entries(place: Place) -> Place:
    """Return the place of any entry of a list; empty if nothing is known of it."""
    found = [branch.item() for branch in place]
    return tuple(item for items in found for item in items) if all(found) else ()


def declared(place: Place) -> Declared:
    """Return what values a place may hold, by any of its schemas."""
    return any_of(branch.declared() for branch in place)


def any_of(options: Iterable[Declared]) -> Declared:
    """Return what fits at least one of several."""
    found = list(options)
    listed = [option.values for option in found]
    values = None if None in listed else tuple(value for values in listed if values is not None for value in values)
    return Declared(frozenset().union(*(option.kinds for option in found)), values)


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list | tuple) else "object"


def _asserted(schema: dict[str, Any]) -> Declared:
    found = FREE
    if "type" in schema:
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        found = Declared(frozenset("number" if kind == "integer" else kind for kind in types))
    for values in ([schema["const"]] if "const" in schema else None, schema.get("enum")):
        if values is not None:
            found = _both(found, Declared(frozenset(map(kind_of, values)), tuple(values)))
    return found


def _both(one: Declared, other: Declared) -> Declared:
    kinds = one.kinds & other.kinds
    values = other.values if one.values is None else one.values
    if one.values is not None and other.values is not None:
        values = tuple(value for value in one.values if value in other.values)
    return Declared(kinds, values and tuple(value for value in values if kind_of(value) in kinds))


def _keyed(part: dict[str, Any], name: str) -> Iterator[tuple[Schema, bool]]:
    named = part.get("properties", {})
    yield named.get(name), name in named
    for pattern, schema in part.get("patternProperties", {}).items():
        yield schema, compile_regex(pattern).search(name) is not None


def path_text(root: str, pointer: Pointer) -> str:
    """Return a path as people write it: ``data.a.list[2].name``."""
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in pointer)
