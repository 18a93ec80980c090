"""Values against a schema: what is wrong with them in our words, within a budget.

A schema is checked before (`builder.schemas.checking`), so nothing here refers to another file or to itself in a loop.
"""

import itertools
import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from builder.language.fields import shown
from builder.schemas.checking import Finding
from builder.schemas.library import Keyword, UnknownKey, library_validator

MAX_STEPS = 2_000_000
"""Keywords looked at for one value: alternatives within alternatives can multiply."""
MAX_FINDINGS = 50
"""Reported of one value."""

_KINDS = {
    "object": "a mapping", "array": "a list", "string": "text", "integer": "an integer", "number": "a number",
    "boolean": "true or false", "null": "nothing",
}  # fmt: skip


class _OverBudgetError(Exception):
    """More keywords were looked at than a value is worth."""


class Validator:
    """Tells what is wrong with values, by one checked schema."""

    def __init__(self, schema: Any) -> None:
        self._steps = 0
        self._library = library_validator(schema, self._counted)

    def findings(self, value: Any) -> list[Finding]:
        """Return what is wrong with a value, the first `MAX_FINDINGS`, in the order of the schema."""
        self._steps = 0
        try:
            errors = itertools.islice(self._library.iter_errors(value), MAX_FINDINGS)
            return [finding for error in errors for finding in _explained(error)]
        except (_OverBudgetError, RecursionError):
            return [Finding((), "is too large to be held against its schema", "split it, or simplify the schema")]

    def _counted(self, keyword: Keyword) -> Keyword:
        def counted(validator: Any, operand: Any, value: Any, schema: Any) -> Iterator[Any] | None:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise _OverBudgetError
            return keyword(validator, operand, value, schema)

        return counted


def described(value: Any) -> str:
    """Return what a value is, for messages: ``found …``."""
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if value is None or isinstance(value, dict | list):
        return _KINDS["null" if value is None else "array" if isinstance(value, list) else "object"]
    return json.dumps(value)


def _explained(error: Any) -> Iterator[Finding]:
    """Yield an error of the library in our words: its own repeat the whole value."""
    path, wanted, value = tuple(error.absolute_path), error.validator_value, error.instance
    match error.validator:
        case "additionalProperties":
            hint = str(error.cause) if isinstance(error.cause, UnknownKey) else ""
            yield Finding(path, error.message, hint, at_key=True)
        case "type":
            kinds = [_KINDS[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted)]
            yield Finding(path, f"expected {' or '.join(kinds)}, found {described(value)}")
        case "enum" | "const":
            accepted = [described(item) for item in (wanted if error.validator == "enum" else [wanted])]
            hint = _near(value, wanted) if error.validator == "enum" else ""
            yield Finding(path, f"expected {_some(accepted)}, found {described(value)}", hint)
        case "required":
            yield Finding(path, f"has no {_missing(error)}", "")
        case "pattern" | "uniqueItems" | "properties":
            yield Finding(path, error.message)
        case "anyOf" | "oneOf":
            yield Finding(path, _alternatives(error, wanted))
        case "format":
            yield Finding(path, f"{described(value)} is no {wanted}")
        case None:
            yield Finding(path, "nothing is permitted here")
        case keyword:
            yield Finding(path, f"{described(value)} breaks {keyword}: {json.dumps(wanted)[:80]}")


def _missing(error: Any) -> str:
    return next(shown(name) for name in error.validator_value if error.message.startswith(f"{name!r} "))


def _alternatives(error: Any, wanted: list[Any]) -> str:
    from jsonschema.exceptions import best_match

    closest = best_match(error.context or ())
    if closest is None:
        return f"fits more than one of {len(wanted)} alternatives"
    found = next(_explained(closest))
    return f"fits none of {len(wanted)} alternatives (closest: {found.message})"


def _near(value: Any, wanted: list[Any]) -> str:
    texts = [item for item in wanted if isinstance(item, str)]
    near = get_close_matches(value, texts, n=1) if isinstance(value, str) else []
    return f"did you mean {near[0]!r}?" if near else ""


def _some(accepted: list[str]) -> str:
    if len(accepted) <= 6:
        return " or ".join(accepted)
    return f"one of {len(accepted)} values ({', '.join(accepted[:5])}, …)"
