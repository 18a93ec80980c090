"""The jsonschema library made safe for files of strangers: offline, patterns by RE2, no comparing of each with each.

Its own keywords are replaced where they hang (``pattern`` runs on Python's backtracking engine, ``uniqueItems`` is
quadratic), repeat whole values in their messages, or name no place.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from builder.language.fields import shown, suggestion
from builder.schemas.keywords import FORMATS
from policy_core.attributes import compile_regex

Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class UnknownKey(Exception):  # noqa: N818 - carries a hint through the library
    """The message of it is a hint."""


def library_validator(schema: Any, wrap: Callable[[Keyword], Keyword]) -> Any:
    """Return the library's validator for a checked schema, each keyword wrapped."""
    from jsonschema import Draft202012Validator, FormatChecker, validators
    from referencing import Registry

    keywords = {name: wrap(keyword) for name, keyword in (Draft202012Validator.VALIDATORS | _OWN).items()}
    make = validators.extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    # an empty registry retrieves nothing, where the library's own would open addresses
    return make(schema, registry=Registry(), format_checker=FormatChecker(sorted(FORMATS)))


def _pattern(validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[Any]:
    if validator.is_type(value, "string") and not _finds(pattern, value):
        yield _error(f"{shown(value)} does not match {shown(pattern)}")


def _properties(validator: Any, properties: Any, value: Any, _schema: Any) -> Iterator[Any]:
    if validator.is_type(value, "object"):
        for key, schema in properties.items():
            if key in value and schema is False:  # the library would name no place
                yield _error("nothing is permitted here", path=(key,))
            elif key in value:
                yield from validator.descend(value[key], schema, path=key, schema_path=key)


def _pattern_properties(validator: Any, patterns: Any, value: Any, _schema: Any) -> Iterator[Any]:
    if validator.is_type(value, "object"):
        for pattern, schema in patterns.items():
            for key, held in value.items():
                if _finds(pattern, key):
                    yield from validator.descend(held, schema, path=key, schema_path=pattern)


def _additional_properties(validator: Any, additional: Any, value: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(value, "object"):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, held in value.items():
        if key in named or any(_finds(pattern, key) for pattern in patterns):
            continue
        if additional is False:
            hint = suggestion(key, named, "known keys") if named else ""
            yield _error(f"unknown key {shown(key)}", path=(key,), cause=UnknownKey(hint))
        else:
            yield from validator.descend(held, additional, path=key)


def _unique_items(validator: Any, wanted: bool, value: Any, _schema: Any) -> Iterator[Any]:
    if wanted and validator.is_type(value, "array"):
        first: dict[str, int] = {}  # the library compares each with each, if they cannot be sorted
        for index, item in enumerate(value):
            earlier = first.setdefault(_canonical(item), index)
            if earlier != index:
                yield _error(f"the same as entry {earlier + 1}", path=(index,))


def _canonical(value: Any) -> str:
    return json.dumps(_integral(value), sort_keys=True)


def _integral(value: Any) -> Any:
    """Return a value in which 1.0 is spelled 1, as JSON Schema takes them for equal."""
    if isinstance(value, dict):
        return {key: _integral(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_integral(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _finds(pattern: str, text: str) -> bool:
    """Tell whether a pattern occurs in a text: JSON Schema does not anchor."""
    try:
        return compile_regex(pattern).search(text) is not None
    except UnicodeEncodeError:  # half of a surrogate pair is in no language
        return False


def _error(message: str, *, path: tuple[Any, ...] = (), cause: Exception | None = None) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message, path=path, cause=cause)


_OWN: dict[str, Keyword] = {
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "pattern": _pattern,
    "uniqueItems": _unique_items,
}
